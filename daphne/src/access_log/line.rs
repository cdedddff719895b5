use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::SystemTime;

use asgiref::protocol::Address;
use chrono::{DateTime, Local};

use super::Action;

/// An event as it waits to be written.
#[derive(Debug)]
pub(super) struct Entry {
    time: SystemTime,
    client: Option<Address>,
    request: String,
    /// Status and size, of a response.
    response: Option<(u16, u64)>,
}

impl Entry {
    pub(super) fn new(action: &Action<'_>) -> Self {
        let response = match action {
            Action::HttpComplete { status, size, .. } => Some((*status, *size)),
            _ => None,
        };
        let mut request = Escaped(String::with_capacity(64));
        // Writing to a string does not fail.
        let _ = write!(request, "{action}");
        Self {
            time: SystemTime::now(),
            client: action.client().cloned(),
            request: request.0,
            response,
        }
    }
}

/// Takes care that a line stays a line, and what is quoted inside the quotation marks.
struct Escaped(String);

impl std::fmt::Write for Escaped {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for char in text.chars() {
            match char {
                '"' | '\\' => {
                    self.0.push('\\');
                    self.0.push(char);
                }
                char if char.is_control() => write!(self.0, "\\x{:02x}", u32::from(char))?,
                char => self.0.push(char),
            }
        }
        Ok(())
    }
}

/// Writes entries as lines; the time is put into words once a second.
#[derive(Debug, Default)]
pub(super) struct Formatter {
    second: Option<u64>,
    time: String,
}

impl Formatter {
    pub(super) fn write(&mut self, writer: &mut impl Write, entry: &Entry) -> io::Result<()> {
        self.set_time(entry.time);
        match &entry.client {
            // Without the brackets an IPv6 address would have elsewhere: so the format is.
            Some(client) => write!(writer, "{}:{}", client.host, client.port)?,
            None => writer.write_all(b"None")?,
        }
        write!(writer, " - - [{}] \"{}\" ", self.time, entry.request)?;
        match entry.response {
            None => writeln!(writer, "- -"),
            Some((status, 0)) => writeln!(writer, "{status} -"),
            Some((status, size)) => writeln!(writer, "{status} {size}"),
        }
    }

    fn set_time(&mut self, time: SystemTime) {
        let second = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        if self.second != Some(second) {
            self.second = Some(second);
            self.time.clear();
            // Writing to a string does not fail.
            let _ = write!(
                self.time,
                "{}",
                DateTime::<Local>::from(time).format("%d/%b/%Y:%H:%M:%S")
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(action: &Action<'_>) -> String {
        let mut line = Vec::new();
        Formatter::default()
            .write(&mut line, &Entry::new(action))
            .unwrap();
        String::from_utf8(line).unwrap()
    }

    fn response<'a>(client: Option<&'a Address>, target: &'a str, size: u64) -> Action<'a> {
        Action::HttpComplete {
            client,
            method: "GET",
            target,
            status: 200,
            size,
            duration: Duration::from_millis(3),
        }
    }

    #[test]
    fn a_response_is_logged_with_status_and_size() {
        let client = Address::new("192.168.1.1", 54321);
        let line = line(&response(Some(&client), "/a/b%20c?x=%41+1", 2));
        let (before, rest) = line.split_once(" - - [").unwrap();
        let (time, after) = rest.split_once(']').unwrap();
        assert_eq!(before, "192.168.1.1:54321");
        assert_eq!(after, " \"GET /a/b%20c?x=%41+1\" 200 2\n");
        assert!(
            chrono::NaiveDateTime::parse_from_str(time, "%d/%b/%Y:%H:%M:%S").is_ok(),
            "{time}"
        );
    }

    #[test]
    fn no_body_is_a_dash_and_no_address_is_none() {
        let line = line(&response(None, "/", 0));
        assert!(line.starts_with("None - - ["), "{line}");
        assert!(line.ends_with("\"GET /\" 200 -\n"), "{line}");
    }

    #[test]
    fn an_ipv6_address_has_no_brackets() {
        let client = Address::new("::1", 5555);
        let line = line(&response(Some(&client), "/", 0));
        assert!(line.starts_with("::1:5555 - - "), "{line}");
    }

    #[test]
    fn a_target_cannot_end_the_quotation_or_the_line() {
        let line = line(&response(None, "/\" 200 1\n\\", 0));
        assert!(line.contains(r#""GET /\" 200 1\x0a\\" 200 -"#), "{line}");
        assert_eq!(line.lines().count(), 1);
    }
}
