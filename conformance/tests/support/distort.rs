//! What a bad encoding does to messages.

use asgiref::{ChannelName, Error, Map, Message, Result, Value};

use super::fault::Fault;

/// The message as a layer with `fault` carries it.
pub(crate) fn distort(fault: Fault, message: Message) -> Result<Message> {
    match fault {
        Fault::RefusesHalfMegabyte => limit(message, 1 << 19, |size, limit| {
            Error::MessageTooLarge { size, limit }
        }),
        Fault::FailsOnLarge => limit(message, 3 << 19, |_, _| {
            Error::backend("broken", "the connection was closed")
        }),
        Fault::ShallowValues if depth(&Value::from(message.clone())) > 16 => {
            Err(Error::invalid_message("", "nested too deep"))
        }
        Fault::CutsAt64KiB
        | Fault::WholeFloatsAreIntegers
        | Fault::IntegersAreFloats
        | Fault::TextEndsAtNul
        | Fault::BasicPlaneOnly
        | Fault::BytesBecomeText
        | Fault::SortsKeys
        | Fault::DropsNulls
        | Fault::FewEntries => Ok(Message::from(map(fault, message.into_map()))),
        _ => Ok(message),
    }
}

/// Where a layer sends the message that obeys the key a sender should not be able to use.
pub(crate) fn obey_reserved_key(channel: ChannelName, message: Message) -> (ChannelName, Message) {
    match message.opt_channel("__asgi_channel__") {
        Ok(Some(other)) => {
            let mut message = message;
            message.remove("__asgi_channel__");
            (other, message)
        }
        _ => (channel, message),
    }
}

fn limit(
    message: Message,
    limit: usize,
    error: impl FnOnce(usize, usize) -> Error,
) -> Result<Message> {
    let size = size(&Value::from(message.clone()));
    if size > limit {
        return Err(error(size, limit));
    }
    Ok(message)
}

fn size(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len(),
        Value::Text(text) => text.len(),
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(map) => map.iter().map(|(key, value)| key.len() + size(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 8,
    }
}

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::List(items) => items.iter().map(depth).max(),
        Value::Map(map) => map.values().map(depth).max(),
        _ => None,
    };
    1 + inner.unwrap_or(0)
}

fn map(fault: Fault, map: Map) -> Map {
    let mut entries: Vec<_> = map
        .into_iter()
        .map(|(key, value)| (key, self::value(fault, value)))
        .collect();
    match fault {
        Fault::SortsKeys => entries.sort_by(|(one, _), (other, _)| one.cmp(other)),
        Fault::DropsNulls => entries.retain(|(_, value)| !value.is_null()),
        Fault::FewEntries => entries.truncate(255),
        _ => {}
    }
    entries.into_iter().collect()
}

fn value(fault: Fault, value: Value) -> Value {
    const CUT: usize = 1 << 16;
    match (fault, value) {
        (_, Value::Map(inner)) => map(fault, inner).into(),
        (_, Value::List(mut items)) => {
            if fault == Fault::FewEntries {
                items.truncate(255);
            }
            items
                .into_iter()
                .map(|item| self::value(fault, item))
                .collect()
        }
        (Fault::CutsAt64KiB, Value::Bytes(bytes)) if bytes.len() > CUT => bytes.slice(..CUT).into(),
        (Fault::CutsAt64KiB, Value::Text(text)) if text.len() > CUT => {
            String::from_utf8_lossy(&text.as_bytes()[..CUT])
                .as_ref()
                .into()
        }
        (Fault::WholeFloatsAreIntegers, Value::Float(float))
            if float.fract() == 0.0 && float.abs() < 1e15 =>
        {
            Value::Int(float as i64)
        }
        (Fault::IntegersAreFloats, Value::Int(int)) => Value::Int(int as f64 as i64),
        (Fault::TextEndsAtNul, Value::Text(text)) => {
            text.split('\0').next().unwrap_or_default().into()
        }
        (Fault::BasicPlaneOnly, Value::Text(text)) => {
            let basic = |c: char| if c > '\u{ffff}' { '\u{fffd}' } else { c };
            text.chars().map(basic).collect::<String>().into()
        }
        (Fault::BytesBecomeText, Value::Bytes(bytes)) => match std::str::from_utf8(&bytes) {
            Ok(text) => text.into(),
            Err(_) => bytes.into(),
        },
        (_, value) => value,
    }
}
