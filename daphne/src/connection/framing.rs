//! Finding requests whose length hyper would not refuse, or not for what it is.
//!
//! * hyper does what RFC 9112 (section 6.3) allows for a request with both `Content-Length` and
//!   `Transfer-Encoding`: it forgets the former and closes the connection afterwards. This server
//!   refuses such requests, which nobody sends in good faith, but from hyper it cannot learn of
//!   them.
//! * hyper keeps the two largest numbers for itself: of a body of such a length it says that the
//!   head is too large.

/// From here on hyper means something else by a length.
const FIRST_RESERVED: u64 = u64::MAX - 1;

/// What a piece of a request's head says about the length of the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lengths {
    pub(super) content_length: bool,
    pub(super) transfer_encoding: bool,
}

/// Looks through what was read while a request was waited for, up to the end of its head. A line
/// that comes in two parts is not recognised; then hyper's way has to do.
///
/// A length that hyper keeps for itself is made a larger one, which it refuses as a length.
pub(super) fn lengths(data: &mut [u8]) -> Lengths {
    let mut found = Lengths::default();
    // Requests that have no body are most, and are not looked at.
    if data.starts_with(b"GET ") || data.starts_with(b"HEAD ") {
        return found;
    }
    for line in data.split_mut(|byte| *byte == b'\n') {
        if matches!(&*line, b"" | b"\r") {
            break;
        }
        let Some(end) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at_mut(end);
        found.transfer_encoding |= name.eq_ignore_ascii_case(b"transfer-encoding");
        if name.eq_ignore_ascii_case(b"content-length") {
            found.content_length = true;
            spoil_reserved(&mut value[1..]);
        }
    }
    found
}

/// Makes a length that hyper keeps for itself one that no longer fits into its type.
fn spoil_reserved(value: &mut [u8]) {
    let number = std::str::from_utf8(value.trim_ascii())
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    if number.is_some_and(|number| number >= FIRST_RESERVED)
        && let Some(last_digit) = value.iter_mut().rfind(|byte| byte.is_ascii_digit())
    {
        *last_digit = b'9';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lengths_are_found_in_either_order_and_case() {
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\nTRANSFER-ENCODING: chunked\ncontent-length: 3\n\n",
        ] {
            let both = Lengths {
                content_length: true,
                transfer_encoding: true,
            };
            assert_eq!(lengths(&mut head.as_bytes().to_vec()), both, "{head}");
        }
    }

    #[test]
    fn the_body_is_not_looked_at() {
        let request = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nContent-Length: 3\r\n";
        assert!(!lengths(&mut request.as_bytes().to_vec()).content_length);
    }

    #[test]
    fn lengths_that_mean_something_else_to_hyper_are_made_larger_and_no_others() {
        for (length, expected) in [
            ("18446744073709551615", "18446744073709551619"),
            (" 18446744073709551614 ", " 18446744073709551619 "),
            ("18446744073709551613", "18446744073709551613"),
            ("99999999999999999999", "99999999999999999999"),
            ("5", "5"),
            ("", ""),
        ] {
            let mut head =
                format!("POST / HTTP/1.1\r\nContent-Length:{length}\r\n\r\n").into_bytes();
            assert!(lengths(&mut head).content_length);
            let head = String::from_utf8(head).unwrap();
            assert!(head.contains(&format!(":{expected}\r\n")), "{head}");
        }
    }
}
