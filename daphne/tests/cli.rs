//! The `daphne` program.

mod support;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::client::Client;
use support::process::run_with_input;
use support::websocket::handshake;
use support::within;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, Command};

const GET: &str = "GET /here HTTP/1.1\r\nHost: a\r\n\r\n";
/// A layer that every build of the program has. Nobody consumes what is sent to it.
const LAYER: &str = "memory:";

/// The program, which serves on a layer without workers too.
fn daphne(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daphne"));
    command
        .arg("--allow-process-local")
        .args(arguments)
        .kill_on_drop(true);
    command
}

/// The program with arguments with which it ends by itself.
async fn ended(arguments: &[&str]) -> Output {
    run_with_input(&mut daphne(arguments), b"").await
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are text")
}

/// The program while it serves.
struct Running {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// What was logged up to the last address.
    logged: String,
}

impl Running {
    async fn start(arguments: &[&str]) -> Self {
        let mut command = daphne(arguments);
        Self::spawn(command.stdin(Stdio::null()).stdout(Stdio::null())).await
    }

    async fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        Self {
            child,
            log,
            logged: String::new(),
        }
    }

    /// Waits until a line with `text` is logged, and returns it.
    async fn logs(&mut self, text: &str) -> String {
        within(format!("a line with {text:?}"), async {
            loop {
                let line = self.log.next_line().await.expect("the log is text");
                let Some(line) = line else {
                    panic!(
                        "the program ended without {text:?}; it said:\n{}",
                        self.logged
                    )
                };
                self.logged.push_str(&line);
                self.logged.push('\n');
                if line.contains(text) {
                    return line;
                }
            }
        })
        .await
    }

    /// The TCP address it listens on.
    async fn addr(&mut self) -> SocketAddr {
        let line = self.logs("istening on").await;
        let (_, after) = line.split_once("127.0.0.1:").expect("an address");
        let port: String = after.chars().take_while(char::is_ascii_digit).collect();
        format!("127.0.0.1:{port}").parse().expect("an address")
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("it runs")).expect("a process id");
        kill_process(Pid::from_raw(pid).expect("a process id"), signal).expect("it runs");
    }

    async fn ends(&mut self) -> ExitStatus {
        within("the program to end", self.child.wait())
            .await
            .unwrap()
    }
}

/// Checks that something serves at the other end: nobody is there to answer, so 503.
async fn expect_serving<S>(client: &mut Client<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    client.send(GET).await;
    assert_eq!(client.response().await.head.status, 503);
}

#[tokio::test]
async fn help_names_every_flag() {
    let output = ended(&["--help"]).await;
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for flag in [
        "--port",
        "--bind",
        "--allow-process-local",
        "--websocket-timeout",
        "--websocket-connect-timeout",
        "--unix-socket",
        "--fd",
        "--endpoint",
        "--verbosity",
        "--http-timeout",
        "--body-read-timeout",
        "--body-min-rate",
        "--access-log",
        "--ping-interval",
        "--ping-timeout",
        "--ws-protocol",
        "--root-path",
        "--proxy-headers",
    ] {
        assert!(help.contains(flag), "{flag} is missing:\n{help}");
    }
}

#[tokio::test]
async fn version_is_told() {
    let output = ended(&["--version"]).await;
    assert!(output.status.success());
    let version = String::from_utf8(output.stdout).unwrap();
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

#[tokio::test]
async fn usage_errors_end_with_2_and_say_what_is_wrong() {
    for (arguments, part) in [
        (&["--nonsense", LAYER][..], "--nonsense"),
        (&["-p", "70000", LAYER], "70000"),
        (&["-p", "http", LAYER], "http"),
        (&["-v", "9", LAYER], "9"),
        (&["-t", "soon", LAYER], "soon"),
        (&["--fd", "-1", LAYER], "-1"),
        (&["-e", "imap:", LAYER], "imap"),
        (&["-e", "tcp:port=x", LAYER], "port"),
        (&[LAYER, "surplus"], "surplus"),
    ] {
        let output = ended(arguments).await;
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(part), "{arguments:?}: {message}");
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    }
}

#[tokio::test]
async fn endpoints_it_cannot_open_are_explained() {
    for (endpoint, part) in [
        ("ssl:443:privateKey=key.pem:certKey=crt.pem", "TLS"),
        ("haproxy:tcp:80", "PROXY"),
        ("le:/certs:tcp:443", "TLS"),
    ] {
        let output = ended(&["-e", endpoint, LAYER]).await;
        assert_eq!(output.status.code(), Some(2));
        let message = stderr(&output);
        assert!(message.contains(part), "{endpoint}: {message}");
    }
}

#[tokio::test]
async fn without_a_layer_it_ends_with_4_and_says_what_to_give() {
    for (arguments, part) in [
        (&["-p", "0"][..], "--layer"),
        (&["-p", "0", "nosuch://host"], "`nosuch:` is not known"),
        (&["-p", "0", "myproject.asgi:channel_layer"], "memory:"),
        (&["-p", "0", "just-a-word"], "memory:"),
        (&["-p", "0", "memory:?nosuch=1"], "nosuch"),
        (
            &["-p", "0", "redis://user:hunter2@localhost/one"],
            "number of a database",
        ),
    ] {
        let output = ended(arguments).await;
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {message}");
        assert!(message.contains(part), "{arguments:?}: {message}");
        assert!(
            !message.contains("hunter2"),
            "the password is shown: {message}"
        );
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    }
}

#[tokio::test]
async fn a_file_describes_the_layer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site.toml");
    let file = path.to_str().unwrap();
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write("[channel_layers]\ndefault = 'memory:?capacity=5'\nother = 'memory:'");
    for arguments in [
        &["-p", "0", "--settings", file][..],
        &["-p", "0", "--settings", file, "other"],
        &["-p", "0", "--settings", file, "--layer", "other"],
        &["-p", "0", "--settings", file, LAYER],
    ] {
        let mut program = Running::start(arguments).await;
        program.addr().await;
        program.signal(Signal::TERM);
        assert_eq!(program.ends().await.code(), Some(0), "{arguments:?}");
    }
    for (text, arguments, part) in [
        (
            "[channel_layers]\nother = 'memory:'",
            &[][..],
            "there is `other`",
        ),
        (
            "[channel_layers]\nother = 'memory:'",
            &["third"],
            "there is `other`",
        ),
        (
            "[channel_layer]\ndefault = 'memory:'",
            &[],
            "did you mean `channel_layers`?",
        ),
        (
            "[site]\nname = 'memory:'",
            &[],
            "has no table `[channel_layers.NAME]`",
        ),
        ("channel_layers = 3", &[], "must be a table"),
    ] {
        write(text);
        let output = ended(&[&["-p", "0", "--settings", file], arguments].concat()).await;
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{text}: {message}");
        assert!(message.contains(part), "{text}: {message}");
        assert!(message.contains(file), "{text}: {message}");
    }
}

#[tokio::test]
async fn it_serves_until_it_is_told_to_stop() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut program = Running::start(&["-p", "0", "-t", "1", LAYER]).await;
        let addr = program.addr().await;
        let mut client = Client::connect(addr).await;
        expect_serving(&mut client).await;
        program.signal(signal);
        assert_eq!(program.ends().await.code(), Some(0), "{signal:?}");
        client.expect_end().await;
    }
}

#[tokio::test]
async fn a_layer_no_worker_can_reach_is_refused_unless_that_is_wanted() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daphne"));
    let output = run_with_input(command.args(["-p", "0", LAYER]).kill_on_drop(true), b"").await;
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{message}");
    for part in [
        "InMemoryChannelLayer",
        "redis:",
        "runserver",
        "--allow-process-local",
    ] {
        assert!(message.contains(part), "{part} is missing: {message}");
    }
    assert!(!message.contains("istening on"), "{message}");
    let mut program = Running::start(&["-p", "0", LAYER]).await;
    program.addr().await;
    program.signal(Signal::TERM);
    assert_eq!(program.ends().await.code(), Some(0));
}

#[tokio::test]
async fn a_stop_lets_requests_under_way_end() {
    let mut program = Running::start(&["-p", "0", "-t", "2", LAYER]).await;
    let mut client = Client::connect(program.addr().await).await;
    client.send(GET).await;
    // What came later on another connection is answered: so the request was read.
    let mut later = Client::connect(client.peer_addr()).await;
    later.send("GARBAGE\r\n\r\n").await;
    assert_eq!(later.response().await.head.status, 400);
    program.signal(Signal::TERM);
    assert_eq!(client.response().await.head.status, 503);
    assert_eq!(program.ends().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut program = Running::start(&["-p", "0", "-t", "100", LAYER]).await;
    let addr = program.addr().await;
    let mut client = Client::connect(addr).await;
    client.send(GET).await;
    let mut socket = Client::connect(addr).await;
    socket.send(handshake("/", &[])).await;
    program.signal(Signal::TERM);
    support::until("it to stop listening", || {
        std::net::TcpStream::connect(addr).is_err()
    })
    .await;
    program.signal(Signal::INT);
    program.ends().await;
}

#[tokio::test]
async fn a_port_in_use_ends_it_with_a_message() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = ended(&["-p", &port, LAYER]).await;
    assert_eq!(output.status.code(), Some(3));
    let message = stderr(&output);
    assert!(message.contains(&port), "{message}");
    assert!(message.contains("in use"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}

#[tokio::test]
async fn it_listens_on_a_unix_socket_and_removes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daphne.sock");
    let mut program = Running::start(&["-u", path.to_str().unwrap(), "-t", "1", LAYER]).await;
    let line = program.logs("istening on").await;
    assert!(line.contains(path.to_str().unwrap()), "{line}");
    let mut client = Client::over(UnixStream::connect(&path).await.unwrap());
    expect_serving(&mut client).await;
    program.signal(Signal::TERM);
    assert_eq!(program.ends().await.code(), Some(0));
    assert!(!path.exists());
}

#[tokio::test]
async fn descriptor_0_is_a_descriptor_like_any_other() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut command = daphne(&["--fd", "0", "-t", "1", LAYER]);
    let mut program =
        Running::spawn(command.stdin(OwnedFd::from(listener)).stdout(Stdio::null())).await;
    let line = program.logs("istening on").await;
    expect_serving(&mut Client::connect(addr).await).await;
    program.signal(Signal::TERM);
    assert_eq!(program.ends().await.code(), Some(0));
    while let Some(line) = program.log.next_line().await.unwrap() {
        assert!(
            !line.contains("istening on"),
            "it opened something else as well: {line}"
        );
    }
    assert!(!line.contains(":8000"), "{line}");
}

#[tokio::test]
async fn any_inherited_descriptor_can_be_given() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "exec 7<&0 0</dev/null; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_daphne"))
        .args(["--fd", "7", "-t", "1", "--allow-process-local", LAYER])
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::null())
        .kill_on_drop(true);
    let mut program = Running::spawn(&mut shell).await;
    program.logs("istening on").await;
    expect_serving(&mut Client::connect(addr).await).await;
    program.signal(Signal::TERM);
    assert_eq!(program.ends().await.code(), Some(0));
}

#[tokio::test]
async fn endpoints_may_be_given_several_times() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.sock");
    let unix = format!("unix:{}:mode=600", path.display());
    let tcp = "tcp:port=0:interface=127.0.0.1";
    let mut program = Running::start(&["-e", &unix, "-e", tcp, "-t", "1", LAYER]).await;
    let mut lines = vec![program.logs("istening on").await];
    lines.push(program.logs("istening on").await);
    let line = lines
        .iter()
        .find(|line| line.contains("127.0.0.1:"))
        .expect("a TCP address");
    let (_, after) = line.split_once("127.0.0.1:").unwrap();
    let port: String = after.chars().take_while(char::is_ascii_digit).collect();
    let addr: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    expect_serving(&mut Client::connect(addr).await).await;
    expect_serving(&mut Client::over(UnixStream::connect(&path).await.unwrap())).await;
}

/// Runs the program with `arguments`, sends one request and returns what it wrote to standard
/// output.
async fn standard_output(arguments: &[&str]) -> String {
    let arguments = [&["-p", "0", "-t", "1"], arguments, &[LAYER]].concat();
    let mut command = daphne(&arguments);
    let mut program = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped())).await;
    let addr = program.addr().await;
    expect_serving(&mut Client::connect(addr).await).await;
    program.signal(Signal::TERM);
    program.ends().await;
    let mut output = String::new();
    let mut lines = BufReader::new(program.child.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        output.push_str(&line);
        output.push('\n');
    }
    output
}

fn is_access_log(text: &str) -> bool {
    text.starts_with("127.0.0.1:") && text.contains("] \"GET /here\" 503 ")
}

#[tokio::test]
async fn the_access_log_goes_to_standard_output_or_a_file() {
    let log = standard_output(&[]).await;
    assert!(is_access_log(&log), "{log:?}");
    let log = standard_output(&["--access-log", "-"]).await;
    assert!(is_access_log(&log), "{log:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = standard_output(&["--access-log", path.to_str().unwrap()]).await;
    assert_eq!(log, "");
    assert!(is_access_log(&std::fs::read_to_string(&path).unwrap()));
}

#[tokio::test]
async fn an_access_log_that_cannot_be_opened_ends_it() {
    let path = Path::new("/nonexistent/access.log");
    let output = ended(&["-p", "0", "--access-log", path.to_str().unwrap(), LAYER]).await;
    assert!(!output.status.success());
    assert!(stderr(&output).contains("/nonexistent/access.log"));
}

#[tokio::test]
async fn every_flag_of_the_original_is_taken() {
    let mut program = Running::start(&[
        "-p",
        "0",
        "-b",
        "127.0.0.1",
        "--websocket_timeout",
        "100",
        "--websocket_connect_timeout",
        "-1",
        "-v",
        "2",
        "-t",
        "1",
        "--ping-interval",
        "20",
        "--ping-timeout",
        "30",
        "--root-path",
        "/site",
        "--proxy-headers",
        "--force-sync",
        "--ws-protocol",
        "chat",
        "superchat",
        "--access-log",
        "-",
        LAYER,
    ])
    .await;
    let addr = program.addr().await;
    expect_serving(&mut Client::connect(addr).await).await;
    program.signal(Signal::TERM);
    assert_eq!(program.ends().await.code(), Some(0));
}
