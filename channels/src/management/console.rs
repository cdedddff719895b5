//! The lines `runserver` writes about requests and WebSockets.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use chrono::Local;
use daphne::{Action, ActionLogger};

/// How many lines may wait to be written. More are lost, and counted.
const CAPACITY: usize = 4096;

/// Writes a line for each request and each event of a WebSocket to standard error:
/// `[2017/03/05 10:11:12] HTTP GET / 200 [0.01, 127.0.0.1:55342]`.
///
/// A thread of its own writes, so that a slow terminal delays no connection.
#[derive(Debug)]
pub(super) struct Console {
    lines: SyncSender<String>,
    lost: AtomicU64,
    colours: bool,
}

impl Console {
    pub(super) fn new() -> io::Result<Self> {
        let (lines, waiting) = sync_channel(CAPACITY);
        std::thread::Builder::new()
            .name("console".to_owned())
            .spawn(move || write_lines(&waiting))?;
        Ok(Self {
            lines,
            lost: AtomicU64::new(0),
            colours: io::stderr().is_terminal(),
        })
    }
}

impl ActionLogger for Console {
    fn log(&self, action: &Action<'_>) {
        let Some(line) = line(action, self.colours) else {
            return;
        };
        let time = Local::now().format("[%Y/%m/%d %H:%M:%S]");
        if self.lines.try_send(format!("{time} {line}\n")).is_err() {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            if lost.is_power_of_two() {
                tracing::warn!(lost, "the console does not keep up: lines are lost");
            }
        }
    }
}

fn write_lines(waiting: &Receiver<String>) {
    while let Ok(line) = waiting.recv() {
        if io::stderr().write_all(line.as_bytes()).is_err() {
            return;
        }
    }
}

/// The line without its time; `None` for actions that are of no interest here.
fn line(action: &Action<'_>, colours: bool) -> Option<String> {
    let mut line = String::new();
    let colour = match action {
        Action::HttpComplete {
            method,
            target,
            status,
            duration,
            ..
        } => {
            let _ = write!(line, "HTTP {method} {} {status} ", Escaped(target));
            let _ = write!(line, "[{:.2}", duration.as_secs_f64());
            if let Some(client) = action.client() {
                let _ = write!(line, ", {client}");
            }
            line.push(']');
            colour_of(*status)
        }
        Action::WebsocketConnecting { path, .. } => {
            websocket(&mut line, "HANDSHAKING", path, action);
            ""
        }
        Action::WebsocketConnected { path, .. } => {
            websocket(&mut line, "CONNECT", path, action);
            ""
        }
        Action::WebsocketRejected { path, .. } => {
            websocket(&mut line, "REJECT", path, action);
            ""
        }
        Action::WebsocketDisconnected { path, .. } => {
            websocket(&mut line, "DISCONNECT", path, action);
            ""
        }
        _ => return None,
    };
    if colours && !colour.is_empty() {
        line = format!("\x1b[{colour}m{line}\x1b[0m");
    }
    Some(line)
}

// Writing to a string does not fail, here and above.
fn websocket(line: &mut String, event: &str, path: &str, action: &Action<'_>) {
    let _ = write!(line, "WebSocket {event} {}", Escaped(path));
    if let Some(client) = action.client() {
        let _ = write!(line, " [{client}]");
    }
}

/// The colours of Django's development server.
const fn colour_of(status: u16) -> &'static str {
    match status {
        100..=199 => "1",
        200..=299 => "",
        304 => "36",
        300..=399 => "32",
        404 => "33",
        400..=499 => "1;31",
        _ => "1;35",
    }
}

/// Text from a client, without characters that could control a terminal.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}
