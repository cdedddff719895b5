//! Bytes to transfer, in which a part that is lost, doubled or out of place is found.

/// The pattern repeats after this many bytes: a prime, so that parts of any usual size begin at
/// different places in it.
const PERIOD: usize = 65_521;

/// The first `length` bytes of the pattern.
pub fn pattern(length: usize) -> Vec<u8> {
    let period = period();
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let rest = length - bytes.len();
        bytes.extend_from_slice(&period[..rest.min(PERIOD)]);
    }
    bytes
}

/// Compares what arrives with the pattern, part by part.
#[derive(Debug)]
pub struct Checker {
    period: Vec<u8>,
    length: usize,
    is_right: bool,
}

impl Checker {
    pub fn new() -> Self {
        Self {
            period: period(),
            length: 0,
            is_right: true,
        }
    }

    /// Looks at the next part.
    pub fn add(&mut self, mut part: &[u8]) {
        while !part.is_empty() {
            let expected = &self.period[self.length % PERIOD..];
            let count = part.len().min(expected.len());
            self.is_right &= part[..count] == expected[..count];
            self.length += count;
            part = &part[count..];
        }
    }

    /// In words: how many bytes came, and whether they are those of the pattern.
    pub fn report(&self) -> String {
        let verdict = if self.is_right { "right" } else { "wrong" };
        format!("{} bytes, {verdict}", self.length)
    }
}

fn period() -> Vec<u8> {
    // Xorshift: the same in every run.
    let mut state = 0x853c_49e6_748f_ea9b_u64;
    (0..PERIOD)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}
