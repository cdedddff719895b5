//! The request target: path and query string as messages carry them.

use bytes::{BufMut as _, Bytes, BytesMut};
use bytestring::ByteString;
use percent_encoding::percent_decode;

/// The path of a target, percent-decoded.
///
/// `+` stays, `%2F` becomes `/`, escapes that are none stay as they are, and what is not UTF-8
/// becomes U+FFFD, as in the Python program.
pub(crate) fn decode_path(path: &[u8]) -> ByteString {
    let decoded: Vec<u8> = percent_decode(path).collect();
    match String::from_utf8(decoded) {
        Ok(text) => text.into(),
        Err(error) => String::from_utf8_lossy(error.as_bytes())
            .into_owned()
            .into(),
    }
}

/// Copies pieces of a request into one allocation that all of them then share.
///
/// hyper hands out header values and paths as parts of its read buffer, which a message that waits
/// in a queue would keep alive.
pub(crate) struct Packer {
    packed: BytesMut,
}

impl Packer {
    pub(crate) fn with_capacity(size: usize) -> Self {
        Self {
            packed: BytesMut::with_capacity(size),
        }
    }

    pub(crate) fn put(&mut self, piece: &[u8]) -> Bytes {
        if piece.is_empty() {
            return Bytes::new();
        }
        self.packed.put_slice(piece);
        self.packed.split().freeze()
    }

    pub(crate) fn put_text(&mut self, piece: &str) -> ByteString {
        ByteString::try_from(self.put(piece.as_bytes())).expect("the bytes of a text are UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_as_by_the_python_program() {
        for (target, path) in [
            ("/a/b%20c", "/a/b c"),
            (
                "/%ff%fe/%C3%A9/%2F%2e%2E/a+b",
                "/\u{fffd}\u{fffd}/é//../a+b",
            ),
            ("/%zz%", "/%zz%"),
            ("/%00", "/\0"),
            ("//x//y;p=1", "//x//y;p=1"),
            ("*", "*"),
        ] {
            assert_eq!(decode_path(target.as_bytes()), path, "{target}");
        }
    }
}
