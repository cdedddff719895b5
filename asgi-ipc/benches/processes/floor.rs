//! The least that two processes can do with a Unix socket.

use std::io::{BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use asgiref::codec::Codec;

use crate::children::Place;
use crate::layers::{MESSAGES, ROUND_TRIPS, content};
use crate::{SIZE, median};

/// Microseconds.
pub(crate) fn latency(place: &Place<'_>) -> f64 {
    let mut other = place.start("socket-echo", "", "");
    let mut frame = [7; SIZE];
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        other.stream.write_all(&frame).expect("the child reads");
        other
            .stream
            .read_exact(&mut frame)
            .expect("the child writes");
        times.push(start.elapsed().as_secs_f64() * 1e6 / 2.0);
    }
    median(&mut times)
}

/// What the frames of a socket hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Frames {
    /// Bytes that nobody looks into.
    Opaque,
    /// The messages of the layer, encoded and decoded as the layer does it.
    Messages,
}

/// Frames per second from this process to the other one.
pub(crate) fn throughput(place: &Place<'_>, frames: Frames) -> f64 {
    let mut other = match frames {
        Frames::Opaque => place.start("socket-sink-opaque", "", ""),
        Frames::Messages => place.start("socket-sink", "", ""),
    };
    let codec = Codec::new();
    let opaque = [7; SIZE];
    let mut frame = Vec::with_capacity(SIZE + 4);
    let start = Instant::now();
    for _ in 0..MESSAGES {
        match frames {
            Frames::Opaque => put(&mut frame, &opaque),
            Frames::Messages => put(&mut frame, &codec.encode(&content()).expect("it is small")),
        }
        other.stream.write_all(&frame).expect("the child reads");
    }
    other.is_ready();
    MESSAGES as f64 / start.elapsed().as_secs_f64()
}

/// Makes a frame with the length in front.
fn put(frame: &mut Vec<u8>, bytes: &[u8]) {
    frame.clear();
    frame.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    frame.extend_from_slice(bytes);
}

pub(crate) fn echo(mut parent: UnixStream) {
    let mut frame = [0; SIZE];
    while parent.read_exact(&mut frame).is_ok() && parent.write_all(&frame).is_ok() {}
}

pub(crate) fn sink(mut parent: UnixStream, frames: Frames) {
    let codec = Codec::new();
    let mut reader = BufReader::with_capacity(64 << 10, &parent);
    for _ in 0..MESSAGES {
        let mut length = [0; 4];
        reader.read_exact(&mut length).expect("a length");
        let mut frame = vec![0; u32::from_le_bytes(length) as usize];
        reader.read_exact(&mut frame).expect("a frame");
        match frames {
            Frames::Opaque => {
                std::hint::black_box(frame);
            }
            Frames::Messages => {
                let message = codec.decode(frame.into()).expect("a message");
                std::hint::black_box(message);
            }
        }
    }
    parent.write_all(b"x").expect("the parent reads");
}
