use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::Result;
use crate::child::Server;
use crate::load::PATIENCE;
use crate::options::Side;
use crate::report::{Report, Row, Target};

use super::idle::megabytes;

/// How large the request body is, in bytes.
const SIZE: u64 = 50 << 20;
/// How much is written between two looks at the server's memory, in bytes.
const STEP: usize = 256 << 10;

/// How far the server's memory grows while a large body streams through it.
pub(super) fn measure(report: &mut Report) -> Result<()> {
    let server = Server::start(Side::Stack)?;
    // What the first request initialises has nothing to do with the size of a body.
    upload(server.address, 1, || Ok(()))?;
    let before = server.resident()?;
    let mut highest = before;
    upload(server.address, SIZE, || {
        highest = highest.max(server.resident()?);
        Ok(())
    })?;
    report.add(Row {
        what: "50 MB upload, growth of resident memory in MB",
        measured: megabytes(highest - before),
        target: Target::Below(8.0),
        detail: format!(
            "{:.1} MB before, {:.1} MB at most, {:.1} MB after",
            megabytes(before),
            megabytes(highest),
            megabytes(server.resident()?)
        ),
    });
    Ok(())
}

/// Posts `size` bytes and checks that all of them arrived.
fn upload(address: SocketAddr, size: u64, mut look: impl FnMut() -> Result<()>) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST /upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Length: {size}\r\n\r\n"
    )?;
    let block = vec![b'x'; STEP];
    let mut left = size;
    while left > 0 {
        let length = left.min(STEP as u64) as usize;
        stream.write_all(&block[..length])?;
        left -= length as u64;
        look()?;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    look()?;
    if answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&format!("\r\n\r\n{size}")) {
        Ok(())
    } else {
        Err(format!("{size} bytes were posted, and the answer is {answer:?}").into())
    }
}
