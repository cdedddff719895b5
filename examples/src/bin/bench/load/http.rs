use crate::Result;
use crate::servers::GREETING;

use super::Exchange;

/// `GET /` on a kept-alive connection.
pub(crate) struct Hello;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

impl Exchange for Hello {
    fn opening(&self) -> Option<Vec<u8>> {
        None
    }

    fn request(&mut self, output: &mut Vec<u8>) {
        output.extend_from_slice(REQUEST);
    }

    fn is_answered(&mut self, input: &[u8]) -> Result<bool> {
        // The answer is known, so the head need not be parsed: it ends in the greeting, and
        // nothing comes after that before the next request.
        if !input.ends_with(GREETING.as_bytes()) {
            return match input.len() {
                ..4096 => Ok(false),
                _ => Err("an answer that is far too long".into()),
            };
        }
        if input.starts_with(b"HTTP/1.1 200 OK\r\n") {
            Ok(true)
        } else {
            Err(format!("unexpected answer: {}", String::from_utf8_lossy(input)).into())
        }
    }
}
