use crate::Result;

use super::Exchange;

/// How long the text is that goes out and comes back, in bytes.
const TEXT_LENGTH: usize = 32;

/// An echoed text, different each time and on each connection, so that an answer that went astray
/// is noticed.
pub(crate) struct Echo {
    connection: u32,
    count: u64,
}

impl Echo {
    pub(crate) fn new(connection: u32) -> Self {
        Self {
            connection,
            count: 0,
        }
    }

    fn text(&self) -> String {
        format!("{:08} {:023}", self.connection, self.count)
    }
}

impl Exchange for Echo {
    fn opening(&self) -> Option<Vec<u8>> {
        Some(handshake("/echo/"))
    }

    fn request(&mut self, output: &mut Vec<u8>) {
        self.count += 1;
        text_frame(&self.text(), output);
    }

    fn is_answered(&mut self, input: &[u8]) -> Result<bool> {
        match unwrap_frame(input)? {
            None => Ok(false),
            Some(Frame::Ping) => Err("a ping within seconds".into()),
            Some(Frame::Text(text)) if text == self.text() => Ok(true),
            Some(Frame::Text(text)) => {
                Err(format!("sent {:?}, received {text:?}", self.text()).into())
            }
        }
    }
}

/// A frame from the server.
pub(crate) enum Frame<'a> {
    Text(&'a str),
    Ping,
}

/// The opening handshake of a client.
pub(crate) fn handshake(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

/// A text frame as clients send it. The mask is constant: it protects proxies, and there is none.
pub(crate) fn text_frame(text: &str, output: &mut Vec<u8>) {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    debug_assert_eq!(text.len(), TEXT_LENGTH, "longer texts need another header");
    output.extend([0x81, 0x80 | TEXT_LENGTH as u8]);
    output.extend(MASK);
    output.extend(
        text.bytes()
            .zip(MASK.into_iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
}

/// The one short frame that `input` is; `None` if the rest has yet to come.
pub(crate) fn unwrap_frame(input: &[u8]) -> Result<Option<Frame<'_>>> {
    let [first, length, payload @ ..] = input else {
        return Ok(None);
    };
    if payload.len() < usize::from(*length) {
        return Ok(None);
    }
    match (first, payload.len() == usize::from(*length)) {
        (0x81, true) => Ok(Some(Frame::Text(std::str::from_utf8(payload)?))),
        (0x89, true) => Ok(Some(Frame::Ping)),
        _ => Err(format!("unexpected bytes from the server: {input:x?}").into()),
    }
}
