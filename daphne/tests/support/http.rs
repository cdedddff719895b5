//! Reading HTTP/1 responses from raw bytes.

/// Status line and headers of a response; names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub head: Head,
    pub body: Vec<u8>,
}

/// Where a response's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// After this many bytes.
    Length(usize),
    /// After the chunk of size zero.
    Chunked,
    /// Where the connection ends.
    Close,
    /// There is none: the connection changes its protocol.
    Upgrade,
}

/// As much of a body as has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub content: Vec<u8>,
    pub complete: bool,
    /// How many bytes of the input it took, framing included.
    pub consumed: usize,
}

impl Head {
    /// Reads a head from the start of `input`, with its length in bytes; `None` if it is not all
    /// there. Panics if it is not HTTP.
    pub fn parse(input: &[u8]) -> Option<(Self, usize)> {
        let end = find(input, b"\r\n\r\n")?;
        let mut lines = split_lines(&input[..end]);
        let status_line = String::from_utf8(lines.next()?.to_vec()).expect("status line is text");
        let mut words = status_line.splitn(3, ' ');
        let version = words.next().unwrap_or_default().to_owned();
        assert!(
            version == "HTTP/1.1" || version == "HTTP/1.0",
            "not the status line of a response: {status_line:?}"
        );
        let status = words
            .next()
            .and_then(|code| code.parse().ok())
            .unwrap_or_else(|| panic!("no status code: {status_line:?}"));
        let reason = words.next().unwrap_or_default().to_owned();
        let headers = lines.map(parse_header).collect();
        Some((
            Self {
                version,
                status,
                reason,
                headers,
            },
            end + 4,
        ))
    }

    /// The value of the only header called `name`, `None` if there is none; panics if there are
    /// several or it is no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() <= 1, "several {name} headers: {self:?}");
        values.first().copied()
    }

    /// The values of all headers called `name`.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| std::str::from_utf8(value).expect("header value is text"))
            .collect()
    }

    /// How the body of the answer to a request with `method` is framed.
    pub fn framing(&self, method: &str) -> Framing {
        if self.status == 101 {
            return Framing::Upgrade;
        }
        if method == "HEAD" || self.status < 200 || matches!(self.status, 204 | 304) {
            return Framing::Empty;
        }
        let length = self.header("content-length");
        if let Some(coding) = self.header("transfer-encoding") {
            assert_eq!(coding, "chunked", "unknown transfer coding");
            assert_eq!(length, None, "chunked and a length: {self:?}");
            return Framing::Chunked;
        }
        match length {
            Some(length) => Framing::Length(length.parse().expect("length is a number")),
            None => Framing::Close,
        }
    }
}

impl Body {
    /// Decodes the start of `input`; `eof` says that nothing follows it.
    pub fn decode(framing: Framing, input: &[u8], eof: bool) -> Self {
        let (content, complete, consumed) = match framing {
            Framing::Empty | Framing::Upgrade => (Vec::new(), true, 0),
            Framing::Length(length) => {
                let taken = length.min(input.len());
                (input[..taken].to_vec(), taken == length, taken)
            }
            Framing::Close => (input.to_vec(), eof, input.len()),
            Framing::Chunked => decode_chunks(input),
        };
        Self {
            content,
            complete,
            consumed,
        }
    }
}

/// Position of the first `needle` in `haystack`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn decode_chunks(input: &[u8]) -> (Vec<u8>, bool, usize) {
    let mut content = Vec::new();
    let mut at = 0;
    while let Some(line) = find(&input[at..], b"\r\n") {
        let text = std::str::from_utf8(&input[at..at + line]).expect("chunk size is text");
        let digits = text.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(digits, 16)
            .unwrap_or_else(|_| panic!("malformed chunk size {text:?}"));
        let start = at + line + 2;
        if input.len() < start + size + 2 {
            break;
        }
        assert_eq!(
            &input[start + size..start + size + 2],
            b"\r\n",
            "a chunk must end with a line break"
        );
        content.extend_from_slice(&input[start..start + size]);
        at = start + size + 2;
        if size == 0 {
            return (content, true, at);
        }
    }
    (content, false, at)
}

fn split_lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(head);
    std::iter::from_fn(move || {
        let input = rest?;
        let line = match find(input, b"\r\n") {
            Some(end) => {
                rest = Some(&input[end + 2..]);
                &input[..end]
            }
            None => {
                rest = None;
                input
            }
        };
        Some(line)
    })
}

fn parse_header(line: &[u8]) -> (String, Vec<u8>) {
    let colon = find(line, b":")
        .unwrap_or_else(|| panic!("header line without a colon: {}", line.escape_ascii()));
    let name = std::str::from_utf8(&line[..colon]).expect("header name is text");
    (
        name.to_ascii_lowercase(),
        line[colon + 1..].trim_ascii().to_vec(),
    )
}
