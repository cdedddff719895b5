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

/// Messages per second.
pub(crate) fn throughput(place: &Place<'_>) -> f64 {
    let mut other = place.start("socket-sink", "", "");
    let codec = Codec::new();
    let start = Instant::now();
    for _ in 0..MESSAGES {
        let message = codec.encode(&content()).expect("it is small");
        let mut frame = Vec::with_capacity(message.len() + 4);
        frame.extend_from_slice(&(message.len() as u32).to_le_bytes());
        frame.extend_from_slice(&message);
        other.stream.write_all(&frame).expect("the child reads");
    }
    other.is_ready();
    MESSAGES as f64 / start.elapsed().as_secs_f64()
}

pub(crate) fn echo(mut parent: UnixStream) {
    let mut frame = [0; SIZE];
    while parent.read_exact(&mut frame).is_ok() && parent.write_all(&frame).is_ok() {}
}

pub(crate) fn sink(mut parent: UnixStream) {
    let codec = Codec::new();
    let mut reader = BufReader::with_capacity(64 << 10, &parent);
    for _ in 0..MESSAGES {
        let mut length = [0; 4];
        reader.read_exact(&mut length).expect("a length");
        let mut frame = vec![0; u32::from_le_bytes(length) as usize];
        reader.read_exact(&mut frame).expect("a frame");
        let message = codec.decode(frame.into()).expect("a message");
        std::hint::black_box(message);
    }
    parent.write_all(b"x").expect("the parent reads");
}
