//! Certificates for servers of 127.0.0.1.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{program, succeed};

/// Files in PEM form: an authority made for the test, and a server it vouches for.
#[derive(Debug)]
pub struct Certificate {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// Makes them in `folder`, where they stay.
    pub fn generate(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name);
        let openssl = program("openssl", "openssl");
        let new_key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];

        let mut authority = Command::new(&openssl);
        authority.args(["req", "-x509", "-days", "2"]).args(new_key);
        authority.args(["-subj", "/CN=Authority of a test"]);
        authority.arg("-keyout").arg(file("authority.key"));
        authority.arg("-out").arg(file("authority.crt"));
        succeed(&mut authority);

        let mut server = Command::new(&openssl);
        server.args(["req", "-x509", "-days", "2"]).args(new_key);
        server.args(["-subj", "/CN=127.0.0.1"]);
        server.args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]);
        server.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        server.arg("-CA").arg(file("authority.crt"));
        server.arg("-CAkey").arg(file("authority.key"));
        server.arg("-keyout").arg(file("server.key"));
        server.arg("-out").arg(file("server.crt"));
        succeed(&mut server);

        Self {
            authority: file("authority.crt"),
            certificate: file("server.crt"),
            key: file("server.key"),
        }
    }
}
