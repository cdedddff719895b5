use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::sleep;

use crate::Result;
use crate::child::Server;
use crate::load::{Frame, PATIENCE, handshake, text_frame, unwrap_frame};
use crate::options::{Options, Side};
use crate::report::{Report, Row, Target};

/// How long the server may take to settle after the last handshake.
const SETTLE: Duration = Duration::from_millis(500);

/// The server's memory for each open WebSocket that nothing is said on.
pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    allow_sockets(options.sockets.into())?;
    let server = Server::start(Side::Stack)?;
    // What the first connection initialises is not a cost of each.
    drop(open(server.address)?);
    sleep(SETTLE).await;
    let before = server.resident()?;
    let mut sockets = Vec::new();
    for _ in 0..options.sockets {
        sockets.push(open(server.address)?);
    }
    sleep(SETTLE).await;
    let after = server.resident()?;
    for (number, socket) in sockets.iter_mut().enumerate() {
        prove_alive(number, socket)?;
    }
    let each = after.saturating_sub(before) as f64 / f64::from(options.sockets) / 1024.0;
    report.add(Row {
        what: "idle WebSocket, KB of resident memory each",
        measured: each,
        target: Target::AtMost(10.0),
        detail: format!(
            "{:.1} MB with none, {:.1} MB with {}",
            megabytes(before),
            megabytes(after),
            options.sockets
        ),
    });
    Ok(())
}

pub(super) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Raises the limit on open files, which the server inherits.
fn allow_sockets(sockets: u64) -> Result<()> {
    let wanted = sockets + 200;
    let limit = getrlimit(Resource::Nofile);
    let reaches = |limit: Option<u64>| limit.is_none_or(|limit| limit >= wanted);
    if reaches(limit.current) {
        return Ok(());
    }
    let maximum = if reaches(limit.maximum) {
        limit.maximum
    } else {
        Some(wanted)
    };
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    setrlimit(Resource::Nofile, raised).map_err(|error| {
        format!("{wanted} open files are needed, and the limit cannot be raised: {error}").into()
    })
}

/// A WebSocket without buffers: the client's memory must not limit their number.
fn open(address: SocketAddr) -> Result<TcpStream> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_nodelay(true)?;
    socket.write_all(&handshake("/echo/"))?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        head.extend(byte);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(format!("not upgraded: {}", String::from_utf8_lossy(&head)).into());
    }
    Ok(socket)
}

/// Sends a text and waits until it comes back.
fn prove_alive(number: usize, socket: &mut TcpStream) -> Result<()> {
    let text = format!("{number:032}");
    let mut frame = Vec::new();
    text_frame(&text, &mut frame);
    socket.write_all(&frame)?;
    loop {
        let mut input = vec![0; 2];
        socket.read_exact(&mut input)?;
        let length = usize::from(input[1]);
        input.resize(2 + length, 0);
        socket.read_exact(&mut input[2..])?;
        match unwrap_frame(&input)? {
            Some(Frame::Ping) => {}
            Some(Frame::Text(echoed)) if echoed == text => return Ok(()),
            _ => return Err(format!("idle WebSocket {number} did not echo {text:?}").into()),
        }
    }
}
