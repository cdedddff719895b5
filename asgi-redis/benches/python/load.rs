//! Keep-alive connections that each ask, wait for the answer, and ask again.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Outcome;

const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
const CONTENT: &[u8] = b"Hello world!";
/// What follows the content if its length was not said before.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// How long an answer may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests per second on `connections`, all of this thread, over `duration`; every one must be
/// answered.
pub(crate) async fn run(port: u16, connections: usize, duration: Duration) -> Outcome<f64> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for stream in streams {
        let driven = drive(stream, begin + duration);
        tasks.spawn(tokio::time::timeout(duration + PATIENCE, driven));
    }
    let mut answers = 0;
    while let Some(ended) = tasks.join_next().await {
        answers += ended?.map_err(|_| "a request is not answered")??;
    }
    Ok(answers as f64 / begin.elapsed().as_secs_f64())
}

async fn drive(mut stream: TcpStream, end: Instant) -> std::io::Result<usize> {
    let mut answers = 0;
    let mut input = vec![0; 4096];
    while Instant::now() < end {
        stream.write_all(REQUEST).await?;
        let mut length = 0;
        while !is_answer(&input[..length]) {
            match stream.read(&mut input[length..]).await? {
                0 => return Err(std::io::Error::other(text(&input[..length]))),
                read => length += read,
            }
        }
        answers += 1;
    }
    Ok(answers)
}

/// Whether it is the whole answer. Nothing follows it before the next request.
fn is_answer(input: &[u8]) -> bool {
    let content = input.strip_suffix(LAST_CHUNK).unwrap_or(input);
    input.starts_with(b"HTTP/1.1 200 OK\r\n")
        && content.ends_with(CONTENT)
        && (content.len() < input.len() || !is_chunked(input))
}

fn is_chunked(input: &[u8]) -> bool {
    let head = text(input).to_ascii_lowercase();
    head.contains("\r\ntransfer-encoding: chunked\r\n")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
