//! Programs the tests run.

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::within;

/// A command for `program`, which the Debian package `package` installs. Fails the test with the
/// command that installs it if it is not there.
pub fn command(program: &str, package: &str) -> Command {
    let found = if program.contains('/') {
        Path::new(program).is_file()
    } else {
        std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        })
    };
    assert!(
        found,
        "{program} is not installed; run: apt-get install -y {package}"
    );
    let mut command = Command::new(program);
    command.kill_on_drop(true);
    command
}

/// Runs `command` to its end, with `input` on its standard input.
pub async fn run_with_input(command: &mut Command, input: &[u8]) -> Output {
    let what = format!("{command:?} to end");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    let feed = async {
        // A program that wants no more closes the pipe; what it did then shows in its output.
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    let (output, ()) = within(what, async { tokio::join!(child.wait_with_output(), feed) }).await;
    output.expect("the program's output can be read")
}

/// Runs `command` to its end, which must be a success, and returns its standard output.
pub async fn succeed(command: &mut Command) -> Vec<u8> {
    let output = run_with_input(command, b"").await;
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
