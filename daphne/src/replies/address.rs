//! Local parts of reply channels: which connection, which request of it.

/// 64 characters a name may have, in the order of their values.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

/// The value of every character that has one, and 255 for the others.
const VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// Characters for any 64-bit number.
const LENGTH: usize = 11;

/// The local part of `request` of the connection `connection`: eleven characters for the
/// connection, which is a random number, and one or more for the request, which is counted.
pub(super) struct LocalPart {
    text: [u8; 2 * LENGTH],
    length: usize,
}

impl LocalPart {
    pub(super) fn new(connection: u64, request: u64) -> Self {
        let mut text = [0; 2 * LENGTH];
        let (first, second) = text.split_at_mut(LENGTH);
        for (at, digit) in first.iter_mut().enumerate() {
            *digit = digit_of(connection, at);
        }
        let needed = (u64::BITS - request.leading_zeros()).div_ceil(6).max(1) as usize;
        for (digit, at) in second.iter_mut().zip((0..needed).rev()) {
            *digit = digit_of(request, at);
        }
        Self {
            text,
            length: LENGTH + needed,
        }
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.length]).expect("the digits are ASCII")
    }
}

/// Reads a [`LocalPart`]; `None` for anything else.
pub(super) fn read(local_part: &str) -> Option<(u64, u64)> {
    let (connection, request) = local_part.as_bytes().split_at_checked(LENGTH)?;
    if request.is_empty() || request.len() > LENGTH {
        return None;
    }
    let connection = connection.iter().rev().try_fold(0, add_digit)?;
    let request = request.iter().try_fold(0, add_digit)?;
    Some((connection, request))
}

/// The digit of `number` at the place `at`, counted from the least.
fn digit_of(number: u64, at: usize) -> u8 {
    DIGITS[(number >> (6 * at)) as usize % DIGITS.len()]
}

fn add_digit(number: u64, digit: &u8) -> Option<u64> {
    let value = VALUES[usize::from(*digit)];
    (value != u8::MAX).then_some(number << 6 | u64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for connection in [0, 1, 63, 64, 0x1234_5678_9abc_def0, u64::MAX] {
            for request in [0, 1, 63, 64, 4095, 4096, u64::MAX] {
                let local_part = LocalPart::new(connection, request);
                let text = local_part.as_str();
                assert_eq!(read(text), Some((connection, request)), "{text}");
                assert!(text.len() <= 22, "{text}");
            }
        }
    }

    #[test]
    fn requests_are_counted_in_few_characters() {
        assert_eq!(LocalPart::new(0, 0).as_str(), "000000000000");
        assert_eq!(LocalPart::new(1, 1).as_str(), "100000000001");
        assert_eq!(LocalPart::new(1, 64).as_str(), "1000000000010");
    }

    #[test]
    fn foreign_local_parts_are_not_understood() {
        for text in [
            "",
            "abc",
            "0123456789A",
            "0123456789A.",
            "ééééééé",
            &"0".repeat(23),
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
