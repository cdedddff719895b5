//! Finding requests whose length is given in two ways.
//!
//! hyper does what RFC 9112 (section 6.3) allows for a request with both `Content-Length` and
//! `Transfer-Encoding`: it forgets the former and closes the connection afterwards. This server
//! refuses such requests, which nobody sends in good faith, but from hyper it cannot learn of
//! them.

/// What a piece of a request's head says about the length of the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lengths {
    pub(super) content_length: bool,
    pub(super) transfer_encoding: bool,
}

/// Looks through what was read while a request was waited for, up to the end of its head. A line
/// that comes in two parts is not recognised; then hyper's way has to do.
pub(super) fn lengths(data: &[u8]) -> Lengths {
    let mut found = Lengths::default();
    // Requests that have no body are most, and are not looked at.
    if data.starts_with(b"GET ") || data.starts_with(b"HEAD ") {
        return found;
    }
    for line in data.split(|byte| *byte == b'\n') {
        if matches!(line, b"" | b"\r") {
            break;
        }
        let Some(end) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = &line[..end];
        found.content_length |= name.eq_ignore_ascii_case(b"content-length");
        found.transfer_encoding |= name.eq_ignore_ascii_case(b"transfer-encoding");
    }
    found
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
            assert_eq!(lengths(head.as_bytes()), both, "{head}");
        }
    }

    #[test]
    fn the_body_is_not_looked_at() {
        let request = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nContent-Length: 3\r\n";
        assert!(!lengths(request.as_bytes()).content_length);
    }
}
