//! WebSocket frames as raw bytes (RFC 6455 section 5), valid or not.

/// The mask clients use here; any four bytes will do.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;

/// One frame, unmasked.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The first byte: FIN, the reserved bits and the opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame that is a message of its own.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            first: 0x80 | opcode,
            payload: payload.into(),
        }
    }

    pub fn text(text: &str) -> Self {
        Self::new(TEXT, text)
    }

    pub fn binary(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(BINARY, bytes)
    }

    pub fn ping(payload: &str) -> Self {
        Self::new(PING, payload)
    }

    pub fn pong(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(PONG, payload)
    }

    pub fn close(code: u16) -> Self {
        Self::new(CLOSE, code.to_be_bytes())
    }

    /// A part of a message; `last` says whether it is the last.
    pub fn part(opcode: u8, payload: &[u8], last: bool) -> Self {
        Self {
            first: if last { 0x80 | opcode } else { opcode },
            payload: payload.to_vec(),
        }
    }

    pub fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    /// The code a close frame carries; 1005 if it carries none.
    pub fn close_code(&self) -> u16 {
        assert_eq!(self.opcode(), CLOSE, "no close frame: {self:?}");
        match self.payload.get(..2) {
            Some(code) => u16::from_be_bytes([code[0], code[1]]),
            None => 1005,
        }
    }

    /// The frame as a client sends it.
    pub fn masked(&self) -> Vec<u8> {
        let mut bytes = self.header(0x80);
        bytes.extend(MASK);
        bytes.extend(
            self.payload
                .iter()
                .zip(MASK.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        bytes
    }

    /// The frame as a server sends it.
    pub fn unmasked(&self) -> Vec<u8> {
        let mut bytes = self.header(0);
        bytes.extend(&self.payload);
        bytes
    }

    /// Reads a server's frame from the start of `input`, with its length in bytes; `None` if it
    /// is not all there. Panics if it is masked or its length is not in the shortest form.
    pub fn parse(input: &[u8]) -> Option<(Self, usize)> {
        let (&first, rest) = input.split_first()?;
        let (&second, rest) = rest.split_first()?;
        assert_eq!(second & 0x80, 0, "a server must not mask its frames");
        let (length, header) = match second {
            126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
            127 => (
                usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).expect("length fits"),
                10,
            ),
            short => (usize::from(short), 2),
        };
        let payload = input.get(header..header + length)?.to_vec();
        let frame = Self { first, payload };
        assert_eq!(
            frame.header(0).len(),
            header,
            "the length of {frame:?} is not in the shortest form"
        );
        Some((frame, header + length))
    }

    fn header(&self, mask_bit: u8) -> Vec<u8> {
        let length = self.payload.len();
        let mut header = vec![self.first];
        if length < 126 {
            header.push(mask_bit | length as u8);
        } else if let Ok(length) = u16::try_from(length) {
            header.push(mask_bit | 126);
            header.extend(length.to_be_bytes());
        } else {
            header.push(mask_bit | 127);
            header.extend((length as u64).to_be_bytes());
        }
        header
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.payload[..self.payload.len().min(60)];
        write!(
            f,
            "Frame({:#04x}, {} bytes, \"{}\")",
            self.first,
            self.payload.len(),
            shown.escape_ascii()
        )
    }
}
