//! Local parts of reply channels: which connection, which request of it.

/// Letters and digits, in the order of their values.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters of a connection's part: enough for any 64-bit number.
const CONNECTION_LENGTH: usize = 11;

/// Appends the local part of `request` of the connection `connection`: eleven characters for the
/// connection, which is a random number, and one or more for the request, which is counted.
pub(super) fn write(text: &mut String, connection: u64, request: u64) {
    let mut digits = [b'0'; CONNECTION_LENGTH];
    write_digits(&mut digits, connection);
    text.extend(digits.map(char::from));

    let mut digits = [b'0'; CONNECTION_LENGTH];
    let from = write_digits(&mut digits, request).min(CONNECTION_LENGTH - 1);
    text.extend(digits[from..].iter().map(|digit| char::from(*digit)));
}

/// Reads what [`write`] wrote; `None` for anything else.
pub(super) fn read(local_part: &str) -> Option<(u64, u64)> {
    let (connection, request) = local_part.as_bytes().split_at_checked(CONNECTION_LENGTH)?;
    if request.is_empty() {
        return None;
    }
    Some((read_digits(connection)?, read_digits(request)?))
}

/// Writes `number` right-aligned; says where its first digit is.
fn write_digits(digits: &mut [u8; CONNECTION_LENGTH], mut number: u64) -> usize {
    let mut at = CONNECTION_LENGTH;
    while number > 0 && at > 0 {
        at -= 1;
        digits[at] = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    at
}

fn read_digits(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            _ => return None,
        };
        number.checked_mul(62)?.checked_add(u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for connection in [0, 1, 61, 62, 0x1234_5678_9abc_def0, u64::MAX] {
            for request in [0, 1, 61, 62, 3843, 3844, u64::MAX] {
                let mut text = String::new();
                write(&mut text, connection, request);
                assert_eq!(read(&text), Some((connection, request)), "{text}");
                assert!(text.len() <= 22, "{text}");
            }
        }
    }

    #[test]
    fn foreign_local_parts_are_not_understood() {
        for text in [
            "",
            "abc",
            "0123456789A",
            "0123456789A-",
            "zzzzzzzzzzzz",
            "ééééééé",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
