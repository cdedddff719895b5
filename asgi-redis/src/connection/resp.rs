//! The Redis protocol (RESP2): commands as bytes, replies from bytes.

use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::error::Error;

/// A body up to this size is copied out of the piece it came in, in bytes, so that one small
/// message that is kept does not keep a whole batch in memory.
const COPIED: usize = 4096;

/// How deep the arrays of a reply may be nested. The layer's own scripts need two levels.
const MAX_DEPTH: usize = 8;

/// The longest line and the longest bulk string the protocol has, in bytes.
const MAX_LINE: usize = 64 << 10;
const MAX_BULK: usize = 512 << 20;

/// A command as the server reads it.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// The name, and for a script what says which; encoded.
    head: Bytes,
    words: usize,
    arguments: BytesMut,
    count: usize,
}

impl Command {
    /// A command of one or more words: `Command::new("SCRIPT LOAD")`.
    pub(crate) fn new(words: &str) -> Self {
        let (head, words) = encode_words(words.split(' '));
        Self::with_head(head, words, 0)
    }

    /// Arguments alone, with room for `size` bytes of them.
    pub(crate) fn arguments(size: usize) -> Self {
        Self::with_head(Bytes::new(), 0, size)
    }

    /// A command whose words are encoded already, with room for `size` bytes of arguments.
    pub(crate) fn with_head(head: Bytes, words: usize, size: usize) -> Self {
        Self {
            head,
            words,
            arguments: BytesMut::with_capacity(size),
            count: 0,
        }
    }

    /// The same arguments after another head.
    pub(crate) fn headed(&self, head: Bytes, words: usize) -> Self {
        Self {
            head,
            words,
            ..self.clone()
        }
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.push(argument);
        self
    }

    /// A number as an argument.
    pub(crate) fn int(mut self, number: impl Into<i128>) -> Self {
        self.push_int(number);
        self
    }

    pub(crate) fn push_int(&mut self, number: impl Into<i128>) {
        let mut digits = [0; 40];
        self.push(format_int(number.into(), &mut digits));
    }

    pub(crate) fn push(&mut self, argument: impl AsRef<[u8]>) {
        self.count += 1;
        put_string(&mut self.arguments, argument.as_ref());
    }

    pub(crate) fn write(&self, out: &mut BytesMut) {
        out.reserve(self.head.len() + self.arguments.len() + 24);
        put_head(out, b'*', self.count());
        self.write_words(out);
    }

    /// How many words it has.
    pub(super) const fn count(&self) -> usize {
        self.words + self.count
    }

    /// The words without what says how many they are.
    pub(super) fn write_words(&self, out: &mut BytesMut) {
        out.put_slice(&self.head);
        out.put_slice(&self.arguments);
    }

    /// The arguments of a command without a name.
    pub(super) fn encoded(&self) -> &[u8] {
        &self.arguments
    }
}

/// The encoded form of the words a command begins with, and their number.
pub(crate) fn encode_words<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> (Bytes, usize) {
    let mut head = BytesMut::new();
    let mut count = 0;
    for word in words {
        put_string(&mut head, word.as_ref());
        count += 1;
    }
    (head.freeze(), count)
}

pub(super) fn put_string(out: &mut BytesMut, string: &[u8]) {
    out.reserve(string.len() + 24);
    put_head(out, b'$', string.len());
    out.put_slice(string);
    out.put_slice(b"\r\n");
}

pub(super) fn put_head(out: &mut BytesMut, kind: u8, number: usize) {
    let mut digits = [0; 40];
    out.put_u8(kind);
    out.put_slice(format_int(number as i128, &mut digits));
    out.put_slice(b"\r\n");
}

/// Written out, because commands consist of little else than numbers.
fn format_int(number: i128, digits: &mut [u8; 40]) -> &[u8] {
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    &digits[at..]
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Nil,
    Int(i64),
    Text(Bytes),
    Array(Vec<Self>),
    /// A refusal: its first word, and the rest.
    Refusal(String, String),
}

impl Reply {
    /// The reply, or the error that it is.
    pub(crate) fn or_refusal(self, server: &Arc<str>) -> Result<Self, Error> {
        match self {
            Self::Refusal(code, message) => Err(Error::Refused {
                server: Arc::clone(server),
                code: code.into(),
                message: message.into(),
            }),
            reply => Ok(reply),
        }
    }

    pub(crate) fn into_bytes(self) -> Option<Bytes> {
        match self {
            Self::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn into_array(self) -> Option<Vec<Self>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The integer, or the text that is one.
    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            Self::Text(text) => str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }
}

/// Takes the next reply out of `buffer`; `None` if it has not come completely.
pub(crate) fn read(buffer: &mut BytesMut) -> Result<Option<Reply>, &'static str> {
    let Some(length) = measure(buffer, 0)? else {
        return Ok(None);
    };
    let mut bytes = buffer.split_to(length).freeze();
    Ok(Some(parse(&mut bytes)))
}

/// How many bytes the reply at the start of `bytes` takes; `None` if more must come first.
fn measure(bytes: &[u8], depth: usize) -> Result<Option<usize>, &'static str> {
    if depth > MAX_DEPTH {
        return Err("an array is nested too deeply");
    }
    let Some(line) = line(bytes)? else {
        return Ok(None);
    };
    let end = line + 2;
    let head = &bytes[1..line];
    match bytes[0] {
        b'+' | b'-' => Ok(Some(end)),
        b':' => number(head).map(|_| Some(end)),
        b'$' => match number(head)? {
            -1 => Ok(Some(end)),
            length if (0..=MAX_BULK as i64).contains(&length) => {
                let total = end + length as usize + 2;
                Ok((bytes.len() >= total).then_some(total))
            }
            _ => Err("a string has no possible length"),
        },
        b'*' => {
            let items = number(head)?;
            let mut at = end;
            for _ in 0..items.max(0) {
                match measure(&bytes[at..], depth + 1)? {
                    Some(length) => at += length,
                    None => return Ok(None),
                }
            }
            Ok(Some(at))
        }
        _ => Err("a reply begins with an unknown byte"),
    }
}

/// Where the first line ends.
fn line(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    let searched = &bytes[..bytes.len().min(MAX_LINE)];
    match searched.windows(2).position(|pair| pair == b"\r\n") {
        None if searched.len() == MAX_LINE => Err("a line is too long"),
        None => Ok(None),
        Some(0) => Err("a line is empty"),
        Some(at) => Ok(Some(at)),
    }
}

fn number(digits: &[u8]) -> Result<i64, &'static str> {
    str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or("a number is none")
}

/// The reply at the start of `bytes`, which is complete and well-formed as far as [`measure`]
/// looked.
fn parse(bytes: &mut Bytes) -> Reply {
    let end = bytes
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .unwrap_or(bytes.len());
    let mut line = bytes.split_to(end);
    bytes.advance(bytes.len().min(2));
    let kind = line.get_u8();
    match kind {
        b'+' => Reply::Text(line),
        b'-' => {
            let text = String::from_utf8_lossy(&line);
            let (code, rest) = text.split_once(' ').unwrap_or((&text, ""));
            Reply::Refusal(code.to_owned(), rest.to_owned())
        }
        b':' => Reply::Int(number(&line).unwrap_or(0)),
        b'$' => match number(&line) {
            Ok(length) if length >= 0 => {
                let text = bytes.split_to(length as usize);
                bytes.advance(2);
                if text.len() <= COPIED {
                    Reply::Text(Bytes::copy_from_slice(&text))
                } else {
                    Reply::Text(text)
                }
            }
            _ => Reply::Nil,
        },
        _ => match number(&line) {
            Ok(items) if items >= 0 => Reply::Array((0..items).map(|_| parse(bytes)).collect()),
            _ => Reply::Nil,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Reply {
        Reply::Text(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn commands_are_arrays_of_strings() {
        let mut out = BytesMut::new();
        let command = Command::new("SCRIPT LOAD").arg("return 1").int(-12);
        command.write(&mut out);
        let expected = b"*4\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$8\r\nreturn 1\r\n$3\r\n-12\r\n";
        assert_eq!(&out[..], expected);
    }

    #[test]
    fn replies_of_every_kind_however_they_are_cut() {
        let stream = b"+OK\r\n-ERR full\r\n-full\r\n:-7\r\n$-1\r\n$3\r\na\r\n\r\n*-1\r\n*0\r\n\
                       *3\r\n$1\r\nx\r\n*1\r\n:1\r\n$-1\r\n";
        let expected = [
            text("OK"),
            Reply::Refusal("ERR".into(), "full".into()),
            Reply::Refusal("full".into(), String::new()),
            Reply::Int(-7),
            Reply::Nil,
            text("a\r\n"),
            Reply::Nil,
            Reply::Array(vec![]),
            Reply::Array(vec![
                text("x"),
                Reply::Array(vec![Reply::Int(1)]),
                Reply::Nil,
            ]),
        ];
        for piece in 1..stream.len() {
            let mut buffer = BytesMut::new();
            let mut replies = Vec::new();
            for bytes in stream.chunks(piece) {
                buffer.extend_from_slice(bytes);
                while let Some(reply) = read(&mut buffer).unwrap() {
                    replies.push(reply);
                }
            }
            assert_eq!(replies, expected, "in pieces of {piece} bytes");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn what_is_not_the_protocol_is_refused() {
        for bytes in [
            &b"HTTP/1.1 400\r\n"[..],
            b"$-2\r\n",
            b"$9999999999\r\n",
            b":x\r\n",
            b"\r\n",
        ] {
            assert!(read(&mut BytesMut::from(bytes)).is_err(), "{bytes:?}");
        }
        let deep = b"*1\r\n".repeat(20);
        assert!(read(&mut BytesMut::from(&deep[..])).is_err());
        let endless = vec![b'+'; MAX_LINE + 1];
        assert!(read(&mut BytesMut::from(&endless[..])).is_err());
    }
}
