//! The load: connections that each send, wait for the answer, and send again.

mod http;
mod websocket;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::Result;
use crate::stats::Sample;

pub(crate) use http::Hello;
pub(crate) use websocket::{Echo, Frame, handshake, text_frame, unwrap_frame};

/// How long an answer may take before it counts as lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// One connection's side of a protocol, reduced to what a load generator needs: it must cost far
/// less than the server it measures.
pub(crate) trait Exchange: Send + 'static {
    /// What opens the connection, and is answered by a head that ends in an empty line.
    fn opening(&self) -> Option<Vec<u8>>;

    /// Writes the next request into `output`.
    fn request(&mut self, output: &mut Vec<u8>);

    /// Whether `input` is the whole answer to the latest request; an error if it is a wrong one.
    fn is_answered(&mut self, input: &[u8]) -> Result<bool>;
}

/// Runs `connections` exchanges at once for `duration`, all on this thread.
///
/// Every request must be answered, rightly and within [`PATIENCE`].
pub(crate) async fn run<E: Exchange>(
    address: SocketAddr,
    connections: u32,
    duration: Duration,
    exchange: impl Fn(u32) -> E,
) -> Result<Sample> {
    let mut opened = Vec::new();
    for number in 0..connections {
        let exchange = exchange(number);
        let stream = timeout(PATIENCE, open(address, &exchange)).await??;
        opened.push((stream, exchange));
    }
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (stream, exchange) in opened {
        tasks.spawn(timeout(
            duration + PATIENCE,
            drive(stream, exchange, start + duration),
        ));
    }
    let mut latencies = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let one = ended?.map_err(|_| "an answer did not come within 10 seconds")??;
        latencies.extend(one);
    }
    Ok(Sample::new(latencies, start.elapsed()))
}

async fn open(address: SocketAddr, exchange: &impl Exchange) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    if let Some(opening) = exchange.opening() {
        stream.write_all(&opening).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        if !head.starts_with(b"HTTP/1.1 101 ") {
            return Err(format!("not upgraded: {}", String::from_utf8_lossy(&head)).into());
        }
    }
    Ok(stream)
}

/// Returns how long each answer took, in nanoseconds.
async fn drive(
    mut stream: TcpStream,
    mut exchange: impl Exchange,
    until: Instant,
) -> Result<Vec<u32>> {
    let mut latencies = Vec::new();
    let mut output = Vec::new();
    let mut input = vec![0; 4096];
    let mut sent = Instant::now();
    while sent < until {
        output.clear();
        exchange.request(&mut output);
        stream.write_all(&output).await?;
        let mut length = 0;
        loop {
            let read = stream.read(&mut input[length..]).await?;
            if read == 0 {
                return Err("the server closed a connection that waited for an answer".into());
            }
            length += read;
            if exchange.is_answered(&input[..length])? {
                break;
            }
        }
        let answered = Instant::now();
        let nanoseconds = (answered - sent).as_nanos();
        latencies.push(u32::try_from(nanoseconds).unwrap_or(u32::MAX));
        sent = answered;
    }
    Ok(latencies)
}
