//! The grammar of endpoint descriptions: fields between `:`, the first is the type, those with `=`
//! have a name, and `\` takes the meaning from what follows it.

use std::fmt;
use std::path::PathBuf;

use super::{DEFAULT_BACKLOG, DEFAULT_MODE, Endpoint};

/// Reads a description; the error says what is wrong with it.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    let mut fields = Fields::read(text)?;
    let endpoint = match fields.kind.as_str() {
        "tcp" => tcp(&mut fields, "0.0.0.0")?,
        "tcp6" => tcp(&mut fields, "::")?,
        "unix" => unix(&mut fields)?,
        "fd" => fd(&mut fields)?,
        "systemd" => systemd(&mut fields)?,
        "ssl" | "le" | "lets" | "txsni" => {
            return Err(
                "TLS is not part of this version; let a proxy in front terminate it".to_owned(),
            );
        }
        "haproxy" => {
            return Err(
                "the PROXY protocol is not part of this version; X-Forwarded-For headers are"
                    .to_owned(),
            );
        }
        "stdio" => return Err("a server needs something to listen on; use `fd`".to_owned()),
        other => {
            return Err(format!(
                "the type `{other}` is not known; there are tcp, tcp6, unix, fd and systemd"
            ));
        }
    };
    fields.end()?;
    Ok(endpoint)
}

fn tcp(fields: &mut Fields, any: &str) -> Result<Endpoint, String> {
    let port = fields.take("port", 0).ok_or("the port is missing")?;
    let port = port
        .parse()
        .map_err(|_| format!("the port must be a number from 0 to 65535, not `{port}`"))?;
    let interface = fields
        .take("interface", 1)
        .filter(|interface| !interface.is_empty())
        .unwrap_or_else(|| any.to_owned());
    Ok(Endpoint::Tcp {
        interface,
        port,
        backlog: fields.backlog()?,
    })
}

fn unix(fields: &mut Fields) -> Result<Endpoint, String> {
    let path = fields
        .take("address", 0)
        .filter(|path| !path.is_empty())
        .ok_or("the path of the socket is missing")?;
    let mode = match fields.take("mode", 1) {
        None => DEFAULT_MODE,
        Some(mode) => u32::from_str_radix(&mode, 8)
            .ok()
            .filter(|mode| *mode <= 0o777)
            .ok_or_else(|| format!("the mode must be an octal number up to 777, not `{mode}`"))?,
    };
    let backlog = fields.backlog()?;
    // Whether a socket was left behind is found out by connecting to it, so a lock file is of no
    // use; those who ask for one, or for none, get what they want either way.
    fields.take("lockfile", 3);
    Ok(Endpoint::Unix {
        path: PathBuf::from(path),
        mode,
        backlog,
    })
}

fn fd(fields: &mut Fields) -> Result<Endpoint, String> {
    let fileno = fields
        .take("fileno", 0)
        .ok_or("the file descriptor is missing")?;
    let fileno = fileno
        .parse()
        .ok()
        .filter(|fileno| *fileno >= 0)
        .ok_or_else(|| format!("a file descriptor is a number from 0, not `{fileno}`"))?;
    // The socket itself knows its domain.
    fields.take("domain", 1);
    Ok(Endpoint::Fd { fileno })
}

fn systemd(fields: &mut Fields) -> Result<Endpoint, String> {
    fields.take("domain", 0);
    let index = fields.take("index", 1).ok_or("the index is missing")?;
    let index = index
        .parse()
        .map_err(|_| format!("the index must be a number from 0, not `{index}`"))?;
    Ok(Endpoint::Systemd { index })
}

/// The fields of a description that were not taken yet.
struct Fields {
    kind: String,
    positional: Vec<Option<String>>,
    named: Vec<(String, String)>,
}

impl Fields {
    fn read(text: &str) -> Result<Self, String> {
        let mut fields = split(text, ':').into_iter();
        let kind = fields
            .next()
            .map(|kind| unescape(&kind))
            .unwrap_or_default();
        if kind.is_empty() {
            return Err("the type is missing; write, for example, `tcp:8000`".to_owned());
        }
        let mut this = Self {
            kind,
            positional: Vec::new(),
            named: Vec::new(),
        };
        for field in fields {
            match split(&field, '=').as_slice() {
                [value] => this.positional.push(Some(unescape(value))),
                [name, value] => {
                    let name = unescape(name);
                    if this.named.iter().any(|(known, _)| *known == name) {
                        return Err(format!("`{name}` is given twice"));
                    }
                    this.named.push((name, unescape(value)));
                }
                _ => return Err(format!("`{field}` has more than one `=`; write `\\=`")),
            }
        }
        Ok(this)
    }

    /// Takes the field called `name`, or else the one at `position` among those without a name.
    fn take(&mut self, name: &str, position: usize) -> Option<String> {
        if let Some(at) = self.named.iter().position(|(known, _)| known == name) {
            return Some(self.named.remove(at).1);
        }
        self.positional.get_mut(position)?.take()
    }

    fn backlog(&mut self) -> Result<u32, String> {
        let Some(backlog) = self.take("backlog", 2) else {
            return Ok(DEFAULT_BACKLOG);
        };
        backlog
            .parse()
            .ok()
            .filter(|backlog| *backlog > 0)
            .ok_or_else(|| format!("the backlog must be a number from 1, not `{backlog}`"))
    }

    /// Complains of what nobody took.
    fn end(self) -> Result<(), String> {
        if let Some((name, _)) = self.named.first() {
            return Err(format!("`{name}` is not an argument of `{}`", self.kind));
        }
        match self.positional.iter().flatten().next() {
            Some(value) => Err(format!("`{value}` is too much for `{}`", self.kind)),
            None => Ok(()),
        }
    }
}

/// Splits at `separator` where no backslash comes before it; backslashes stay.
fn split(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for char in text.chars() {
        if char == separator && !escaped {
            parts.push(String::new());
            continue;
        }
        escaped = char == '\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(char);
        }
    }
    parts
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => plain.extend(chars.next()),
            char => plain.push(char),
        }
    }
    plain
}

/// Text with a backslash before what would otherwise mean something.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for char in self.0.chars() {
            if matches!(char, ':' | '=' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(char)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(interface: &str, port: u16, backlog: u32) -> Endpoint {
        Endpoint::Tcp {
            interface: interface.to_owned(),
            port,
            backlog,
        }
    }

    fn unix(path: &str, mode: u32) -> Endpoint {
        Endpoint::Unix {
            path: path.into(),
            mode,
            backlog: DEFAULT_BACKLOG,
        }
    }

    #[test]
    fn fields_have_a_place_or_a_name() {
        for (text, expected) in [
            ("tcp:8000", tcp("0.0.0.0", 8000, DEFAULT_BACKLOG)),
            ("tcp:port=8000", tcp("0.0.0.0", 8000, DEFAULT_BACKLOG)),
            ("tcp:8000:127.0.0.1:50", tcp("127.0.0.1", 8000, 50)),
            (
                "tcp:interface=localhost:port=1:backlog=7",
                tcp("localhost", 1, 7),
            ),
            (
                r"tcp:port=8000:interface=200a\:\:1",
                tcp("200a::1", 8000, DEFAULT_BACKLOG),
            ),
            ("tcp6:8000", tcp("::", 8000, DEFAULT_BACKLOG)),
            ("unix:/run/d.sock", unix("/run/d.sock", 0o666)),
            (
                "unix:address=/run/d.sock:mode=660:lockfile=0",
                unix("/run/d.sock", 0o660),
            ),
            (r"unix:/run/a\:b\=c\\d", unix(r"/run/a:b=c\d", 0o666)),
            ("fd:fileno=0", Endpoint::fd(0)),
            ("fd:3:domain=INET", Endpoint::fd(3)),
            (
                "systemd:domain=UNIX:index=1",
                Endpoint::Systemd { index: 1 },
            ),
        ] {
            assert_eq!(endpoint(text).as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn a_description_is_read_back_from_its_text() {
        for text in [
            r"tcp:port=8000:interface=\:\:1:backlog=7",
            r"unix:/run/a\:b\=c\\d:mode=600",
            "fd:fileno=3",
            "systemd:index=2",
        ] {
            let read = endpoint(text).unwrap();
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, part) in [
            ("", "type is missing"),
            (":8000", "type is missing"),
            ("tcp", "port is missing"),
            ("tcp:http", "`http`"),
            ("tcp:70000", "65535"),
            ("tcp:1:2:3:4", "too much"),
            ("tcp:port=1:port=2", "given twice"),
            ("tcp:1:backlog=0", "backlog"),
            ("tcp:1:nosuch=1", "`nosuch` is not an argument"),
            ("tcp:a=b=c", "more than one"),
            ("unix:", "path of the socket"),
            ("unix:/x:mode=888", "octal"),
            ("fd:fileno=-1", "from 0"),
            ("systemd:domain=INET", "index is missing"),
            ("ssl:443:privateKey=key.pem", "TLS"),
            ("haproxy:tcp:80", "PROXY"),
            ("imap:", "`imap` is not known"),
        ] {
            let error = endpoint(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
