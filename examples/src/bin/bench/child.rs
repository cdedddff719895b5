use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use clap::ValueEnum as _;

use crate::Result;
use crate::options::Side;

/// A server in a process of its own, so that its memory and its threads are nobody else's.
///
/// Ends when this value is dropped, and also when the parent dies: then its standard input ends.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts this program again in the role of `side` and waits until it listens.
    pub(crate) fn start(side: Side) -> Result<Self> {
        let name = side
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .ok_or("a side without a name")?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", &name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let read = match child.stdout.take() {
            Some(stdout) => BufReader::new(stdout).read_line(&mut line),
            None => Ok(0),
        };
        let address = read.map_err(crate::Error::from).and_then(|_| {
            line.trim()
                .parse()
                .map_err(|_| format!("the {name} server did not say where it listens").into())
        });
        match address {
            Ok(address) => Ok(Self { child, address }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// The server's resident memory, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        let path = format!("/proc/{}/statm", self.child.id());
        let text = fs::read_to_string(&path)?;
        let pages: u64 = text
            .split_ascii_whitespace()
            .nth(1)
            .ok_or_else(|| format!("{path} has no second field"))?
            .parse()?;
        Ok(pages * rustix::param::page_size() as u64)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // An error here means that it has ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}
