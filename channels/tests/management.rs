//! The commands, as functions and as a program.

mod support;

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asgiref::{
    ChannelLayer, ChannelName, ChannelPattern, Groups, InMemoryChannelLayer, Message, message,
};
use async_trait::async_trait;
use axum::routing::get;
use channels::management::{
    RunserverOptions, RunworkerOptions, ServerAddress, execute, runserver, runworker,
};
use channels::{Application, ConsumerError, Context, Error, Outcome, Router, route};
use futures_util::{SinkExt as _, StreamExt as _};
use rustix::process::{Pid, Signal, kill_process};
use support::layer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Far beyond anything these tests wait for.
const LONG: Duration = Duration::from_secs(60);

fn application() -> Application {
    async fn special(cx: Context) {
        cx.reply(message! { "status" => 200, "content" => b"from a consumer" });
    }
    async fn never(_cx: Context) {
        std::future::pending::<()>().await;
    }
    Application::builder()
        .router(
            Router::new()
                .route(route("http.request", special).path("/special$"))
                .route(route("http.request", never).path("/never$")),
        )
        .http(axum::Router::new().route("/", get(|| async { "Hello world!" })))
        .build()
        .unwrap()
}

/// The response to a GET, head and body.
async fn fetch(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    let read = stream.read_to_string(&mut response);
    timeout(LONG, read).await.expect("a response").unwrap();
    response
}

fn options() -> RunserverOptions {
    RunserverOptions::new()
        .address(ServerAddress::new("127.0.0.1", 0))
        .console(false)
}

#[tokio::test]
async fn runserver_is_a_whole_site_in_one_process() {
    let (listening, addresses) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let options = options().on_listening(|addresses| listening.send(addresses[0]).unwrap());
    let site = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        runserver(&application(), options, stopped).await
    });
    let address = timeout(LONG, addresses).await.unwrap().unwrap();

    let response = fetch(address, "/").await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.ends_with("Hello world!"), "{response}");
    assert!(
        fetch(address, "/special")
            .await
            .ends_with("from a consumer")
    );
    assert!(
        fetch(address, "/nowhere")
            .await
            .starts_with("HTTP/1.1 404 Not Found\r\n")
    );

    stop.send(()).unwrap();
    timeout(LONG, site)
        .await
        .expect("the end")
        .unwrap()
        .unwrap();
}

/// The consumers of the getting-started guide as it was before sockets had to be accepted.
fn chat() -> Application {
    async fn ws_add(cx: Context) -> Outcome {
        cx.group("chat")?.add(cx.reply_channel()?).await?;
        Ok(())
    }
    async fn ws_message(cx: Context) -> Outcome {
        cx.group("chat")?.send(cx.message().clone());
        Ok(())
    }
    async fn ws_disconnect(cx: Context) -> Outcome {
        cx.group("chat")?.discard(cx.reply_channel()?).await?;
        cx.group("chat")?
            .send(message! { "text" => "somebody left" });
        Ok(())
    }
    async fn ws_refuse() -> Outcome {
        Err(ConsumerError::DenyConnection)
    }
    let router = Router::new()
        .route(route("websocket.connect", ws_refuse).path("/private/"))
        .route(route("websocket.connect", ws_add).path("/chat/"))
        .route(route("websocket.receive", ws_message).path("/chat/"))
        .route(route("websocket.disconnect", ws_disconnect).path("/chat/"));
    Application::builder().router(router).build().unwrap()
}

type WebSocket = tokio_tungstenite::WebSocketStream<TcpStream>;

async fn connect(address: SocketAddr, path: &str) -> Result<WebSocket, WebSocketError> {
    let stream = TcpStream::connect(address).await?;
    let url = format!("ws://{address}{path}");
    let connected = tokio_tungstenite::client_async(url, stream);
    let (socket, _) = timeout(LONG, connected).await.expect("an answer")?;
    Ok(socket)
}

async fn next_text(socket: &mut WebSocket) -> String {
    let frame = timeout(LONG, socket.next()).await.expect("a frame");
    frame.unwrap().unwrap().into_text().unwrap().to_string()
}

#[tokio::test]
async fn the_chat_of_the_guide_works() {
    let (listening, addresses) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let options = options().on_listening(|addresses| listening.send(addresses[0]).unwrap());
    let site = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        runserver(&chat(), options, stopped).await
    });
    let address = timeout(LONG, addresses).await.unwrap().unwrap();

    let mut anna = connect(address, "/chat/").await.unwrap();
    let mut berta = connect(address, "/chat/").await.unwrap();
    anna.send("hello".into()).await.unwrap();
    assert_eq!(next_text(&mut anna).await, "hello");
    assert_eq!(next_text(&mut berta).await, "hello");
    anna.close(None).await.unwrap();
    assert_eq!(next_text(&mut berta).await, "somebody left");

    for refused in ["/private/", "/nowhere/"] {
        match connect(address, refused).await {
            Err(WebSocketError::Http(response)) => assert_eq!(response.status(), 403),
            other => panic!("{refused}: {other:?}"),
        }
    }

    stop.send(()).unwrap();
    // The server says good-bye before it goes.
    let close = timeout(LONG, berta.next()).await.unwrap().unwrap().unwrap();
    assert!(close.is_close(), "{close:?}");
    timeout(LONG, site)
        .await
        .expect("the end")
        .unwrap()
        .unwrap();
}

/// Answers each frame with the name of the thread it is consumed on.
fn who_is_there() -> Application {
    async fn ws_message(cx: Context) -> Outcome {
        // Possible only where a runtime can get another thread.
        tokio::task::block_in_place(|| ());
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        cx.reply(message! { "text" => name });
        Ok(())
    }
    Application::builder()
        .router(Router::new().route(route("websocket.receive", ws_message)))
        .build()
        .unwrap()
}

/// The threads that consume the frames of eight WebSockets.
async fn threads_at_work(options: RunserverOptions) -> BTreeSet<String> {
    let (listening, addresses) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let options = options.on_listening(|addresses| listening.send(addresses[0]).unwrap());
    let site = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        runserver(&who_is_there(), options, stopped).await
    });
    let address = timeout(LONG, addresses).await.unwrap().unwrap();
    let mut names = BTreeSet::new();
    for _ in 0..8 {
        let mut socket = connect(address, "/").await.unwrap();
        socket.send("?".into()).await.unwrap();
        names.insert(next_text(&mut socket).await);
    }
    drop(stop);
    timeout(LONG, site).await.unwrap().unwrap().unwrap();
    names
}

#[tokio::test]
async fn runserver_serves_on_as_many_threads_as_it_is_told_and_consumers_may_run() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let three: BTreeSet<_> = names(&["channels-0", "channels-1", "channels-2"]);
    assert_eq!(
        threads_at_work(options().connection_threads(Some(3))).await,
        three
    );
    let options = options().connection_threads(Some(3)).concurrency(Some(1));
    let one: BTreeSet<_> = names(&["channels-0"]);
    assert_eq!(threads_at_work(options).await, one);
}

/// A site on two threads that lasts until the guard is dropped, and two WebSockets, one on each.
async fn two_threads(
    application: Application,
    concurrency: Option<usize>,
) -> (WebSocket, WebSocket, DropGuard) {
    let (listening, addresses) = oneshot::channel();
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let options = options()
        .connection_threads(Some(2))
        .concurrency(concurrency)
        .on_listening(|addresses| listening.send(addresses[0]).unwrap());
    tokio::spawn(async move { runserver(&application, options, stopped).await });
    let address = timeout(LONG, addresses).await.unwrap().unwrap();
    let one = connect(address, "/").await.unwrap();
    let other = connect(address, "/").await.unwrap();
    (one, other, stop.drop_guard())
}

#[tokio::test]
async fn a_frame_whose_thread_may_run_no_more_consumers_is_consumed_on_another() {
    let rung = Arc::new(Notify::new());
    let ws_message = move |cx: Context| {
        let rung = Arc::clone(&rung);
        async move {
            if cx.message().text("text")? == "wait" {
                rung.notified().await;
                cx.reply(message! { "text" => "heard" });
            } else {
                rung.notify_one();
            }
            Outcome::Ok(())
        }
    };
    let application = Application::builder()
        .router(Router::new().route(route("websocket.receive", ws_message)))
        .build()
        .unwrap();
    let (mut socket, _other, _site) = two_threads(application, Some(2)).await;
    for _ in 0..10 {
        socket.feed("wait".into()).await.unwrap();
        socket.feed("ring".into()).await.unwrap();
        socket.flush().await.unwrap();
        assert_eq!(next_text(&mut socket).await, "heard");
    }
}

#[tokio::test]
async fn messages_do_not_wait_for_a_thread_that_a_consumer_holds_up() {
    let job = ChannelName::new("job").unwrap();
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    let waiting = Arc::new(Mutex::new(waiting));
    let ws_message = {
        let job = job.clone();
        move |cx: Context| {
            let (job, waiting) = (job.clone(), Arc::clone(&waiting));
            async move {
                if cx.message().text("text")? == "block" {
                    let came = waiting.lock().unwrap().recv_timeout(LONG / 2).is_ok();
                    cx.reply(message! { "text" => if came { "came" } else { "never came" } });
                } else {
                    cx.send(&job, Message::new());
                }
                Outcome::Ok(())
            }
        }
    };
    let work = move || {
        let done = done.clone();
        async move { done.send(()).unwrap() }
    };
    let application = Application::builder()
        .router(
            Router::new()
                .route(route("websocket.receive", ws_message))
                .route(route("job", work)),
        )
        .build()
        .unwrap();
    let (mut blocked, mut free, _site) = two_threads(application, None).await;
    for _ in 0..10 {
        blocked.send("block".into()).await.unwrap();
        free.send("job".into()).await.unwrap();
        assert_eq!(next_text(&mut blocked).await, "came");
    }
}

#[tokio::test]
async fn every_socket_that_a_stop_closes_is_reported_and_consumed() {
    const SOCKETS: usize = 200;
    let gone = Arc::new(AtomicUsize::new(0));
    let ws_disconnect = {
        let gone = Arc::clone(&gone);
        move || {
            let gone = Arc::clone(&gone);
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                gone.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let application = Application::builder()
        .router(Router::new().route(route("websocket.disconnect", ws_disconnect)))
        .build()
        .unwrap();
    let (listening, addresses) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let options = options()
        .concurrency(Some(8))
        .on_listening(|addresses| listening.send(addresses[0]).unwrap());
    let site = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        runserver(&application, options, stopped).await
    });
    let address = timeout(LONG, addresses).await.unwrap().unwrap();
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(connect(address, "/").await.unwrap());
    }
    drop(stop);
    for socket in &mut sockets {
        let closed = timeout(LONG, socket.next()).await.unwrap();
        assert!(matches!(closed, Some(Ok(frame)) if frame.is_close()));
        // Answers the close frame.
        let _ = socket.next().await;
    }
    timeout(LONG, site).await.unwrap().unwrap().unwrap();
    assert_eq!(gone.load(Ordering::SeqCst), SOCKETS);
}

#[tokio::test]
async fn frames_sent_back_to_back_are_consumed_in_order_if_nothing_is_waited_for() {
    async fn ws_message(cx: Context) -> Outcome {
        let text = cx.message().text("text")?.clone();
        cx.reply(message! { "text" => text });
        Ok(())
    }
    let application = Application::builder()
        .router(Router::new().route(route("websocket.receive", ws_message)))
        .build()
        .unwrap();
    let (listening, addresses) = oneshot::channel();
    let options = options()
        .connection_threads(Some(1))
        .on_listening(|addresses| listening.send(addresses[0]).unwrap());
    let site =
        tokio::spawn(async move { runserver(&application, options, std::future::pending()).await });
    let address = timeout(LONG, addresses).await.unwrap().unwrap();
    let mut socket = connect(address, "/").await.unwrap();
    let sent: Vec<_> = (0..500).map(|number| number.to_string()).collect();
    for text in &sent {
        socket.feed(text.as_str().into()).await.unwrap();
    }
    socket.flush().await.unwrap();
    for text in sent {
        assert_eq!(next_text(&mut socket).await, text);
    }
    site.abort();
}

#[tokio::test]
async fn runserver_says_why_it_cannot_listen() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = ServerAddress::new("127.0.0.1", taken.local_addr().unwrap().port());
    let (application, options) = (application(), options().address(address));
    let running = runserver(&application, options, std::future::pending());
    let error = timeout(LONG, running).await.unwrap().unwrap_err();
    assert!(
        matches!(error, Error::Server(daphne::Error::Bind { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn runserver_without_workers_needs_a_layer_that_workers_can_reach() {
    let application = application();
    let options = options().workers(false);
    let running = runserver(&application, options, std::future::pending());
    let error = timeout(LONG, running).await.unwrap().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("there would be nobody to answer"),
        "{error}"
    );
}

#[tokio::test]
async fn runworker_refuses_a_layer_of_this_process() {
    let application = application();
    let running = runworker(
        &application,
        RunworkerOptions::new(),
        std::future::pending(),
    );
    let error = timeout(LONG, running).await.unwrap().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("channel layer default (InMemoryChannelLayer): it reaches no further"),
        "{error}"
    );
    let options = RunworkerOptions::new().layer("other");
    let running = runworker(&application, options, std::future::pending());
    let error = timeout(LONG, running).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::UnknownAlias { .. }), "{error}");
}

/// A layer of this process that says it reaches others.
#[derive(Debug)]
struct FarReaching(InMemoryChannelLayer);

impl fmt::Display for FarReaching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FarReaching")
    }
}

#[async_trait]
impl ChannelLayer for FarReaching {
    async fn send(&self, channel: &ChannelName, message: Message) -> asgiref::Result<()> {
        self.0.send(channel, message).await
    }

    async fn receive(&self, channels: &[ChannelName]) -> asgiref::Result<(ChannelName, Message)> {
        self.0.receive(channels).await
    }

    async fn try_receive(
        &self,
        channels: &[ChannelName],
    ) -> asgiref::Result<Option<(ChannelName, Message)>> {
        self.0.try_receive(channels).await
    }

    async fn new_channel(&self, pattern: &ChannelPattern) -> asgiref::Result<ChannelName> {
        self.0.new_channel(pattern).await
    }

    fn as_groups(&self) -> Option<&dyn Groups> {
        self.0.as_groups()
    }
}

#[tokio::test]
async fn server_and_workers_can_run_apart() {
    let layer = Arc::new(FarReaching(InMemoryChannelLayer::new()));
    let application = application().with_layer("default", layer);
    let stop = CancellationToken::new();
    let (listening, addresses) = oneshot::channel();
    let options = options()
        .workers(false)
        .on_listening(|addresses| listening.send(addresses[0]).unwrap());
    let mut running = JoinSet::new();
    running.spawn({
        let (application, stop) = (application.clone(), stop.clone());
        async move { runserver(&application, options, stop.cancelled()).await }
    });
    let pages = RunworkerOptions::new().only_channels(["http.request"]);
    let rest = RunworkerOptions::new()
        .exclude_channels(["http.*"])
        .concurrency(Some(1));
    for options in [pages, rest] {
        let (application, stop) = (application.clone(), stop.clone());
        running.spawn(async move { runworker(&application, options, stop.cancelled()).await });
    }
    let address = timeout(LONG, addresses).await.unwrap().unwrap();
    assert!(fetch(address, "/").await.ends_with("Hello world!"));
    match connect(address, "/nowhere/").await {
        Err(WebSocketError::Http(response)) => assert_eq!(response.status(), 403),
        other => panic!("{other:?}"),
    }
    stop.cancel();
    while let Some(ended) = timeout(LONG, running.join_next()).await.expect("the end") {
        ended.unwrap().unwrap();
    }
}

#[test]
fn an_application_opens_the_layers_of_its_settings() {
    let settings = |text: &str| asgiref::config::ChannelLayers::from_toml(text).unwrap();
    let given: Arc<InMemoryChannelLayer> = layer();
    let application = Application::builder()
        .layer("given", given)
        .settings(settings(
            "[channel_layers]\nother = 'memory:?capacity=5'\ngiven = 'memory:'",
        ))
        .router_for("other", Router::new())
        .build()
        .unwrap();
    let aliases: Vec<_> = application.layers().aliases().collect();
    assert_eq!(aliases, ["default", "given", "other"]);
    let routed: Vec<_> = application.routed_aliases().collect();
    assert_eq!(routed, ["default", "other"]);

    let error = Application::builder()
        .router_for("other", Router::new())
        .build();
    assert_eq!(
        error.unwrap_err().to_string(),
        "channel_layers.other: there is a routing for it, but no channel layer of this alias"
    );
    let unknown = settings("channel_layers.default = 'carrier-pigeon://roof'");
    let error = Application::builder()
        .settings(unknown)
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("carrier-pigeon"), "{error}");
}

#[test]
fn addresses_are_those_of_djangos_runserver() {
    let parsed = |text: &str| {
        text.parse::<ServerAddress>()
            .map(|address| address.to_string())
    };
    for (text, address) in [
        ("8000", "127.0.0.1:8000"),
        ("0:80", "0.0.0.0:80"),
        ("localhost:8000", "localhost:8000"),
        ("1.2.3.4:5", "1.2.3.4:5"),
        ("[::1]:8000", "[::1]:8000"),
    ] {
        assert_eq!(parsed(text).unwrap(), address);
    }
    for text in [
        "", ":", "x", "+80", "70000", "::1", "::1:8000", "[x]:1", "a b:1", "host:", ":80",
    ] {
        let error = parsed(text).unwrap_err().to_string();
        assert!(
            error.contains("must be a port, or an address and a port"),
            "{text}: {error}"
        );
    }
}

// ---- As a program

const ARGUMENTS: &str = "CHANNELS_TEST_ARGUMENTS";

/// What the tests below run in a process of its own.
#[test]
#[ignore = "it is the program that other tests start"]
fn site() {
    let arguments = std::env::var(ARGUMENTS).expect("arguments");
    let arguments = std::iter::once("site").chain(arguments.split_whitespace());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let status = runtime.block_on(execute(application(), arguments));
    std::process::exit(i32::from(status));
}

/// The program, running.
struct Site(Child);

impl Site {
    fn start(arguments: &str) -> Self {
        let program: PathBuf = std::env::current_exe().unwrap();
        let child = Command::new(program)
            .args(["--ignored", "--exact", "site", "--nocapture"])
            .env(ARGUMENTS, arguments)
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Reads what it says of its address.
    fn address(&mut self) -> SocketAddr {
        let stdout = self.0.stdout.as_mut().unwrap();
        let greeting = "Starting Channels development server at http://";
        for line in BufReader::new(stdout).lines() {
            if let Some(rest) = line.unwrap().strip_prefix(greeting) {
                return rest.trim_end_matches('/').parse().unwrap();
            }
        }
        panic!("it ended without saying its address");
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.0);
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end; exit status and what it wrote to standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let mut errors = String::new();
        let mut stderr = self.0.stderr.take().unwrap();
        stderr.read_to_string(&mut errors).unwrap();
        (self.0.wait().unwrap().code(), errors)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // It may have ended, and then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_program_serves_and_ends_with_status_0_when_told_to_stop() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut site = Site::start("runserver 127.0.0.1:0");
        let address = site.address();
        assert!(fetch(address, "/").await.ends_with("Hello world!"));
        site.signal(signal);
        let (status, errors) = site.end();
        assert_eq!(status, Some(0), "{errors}");
        let line = errors
            .lines()
            .find(|line| line.contains("HTTP GET / 200 [0."));
        assert!(line.is_some(), "{errors}");
    }
}

#[tokio::test]
async fn a_second_signal_ends_the_program_at_once() {
    let mut site = Site::start("runserver 127.0.0.1:0");
    let address = site.address();
    // A request that is never answered keeps it from stopping.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /never HTTP/1.1\r\nHost: test\r\n\r\n")
        .await
        .unwrap();
    assert!(fetch(address, "/").await.ends_with("Hello world!"));
    site.signal(Signal::TERM);
    let mut lines = BufReader::new(site.0.stderr.take().unwrap()).lines();
    let told = lines.find(|line| line.as_ref().unwrap().contains("SIGTERM: stopping"));
    assert!(told.is_some());
    site.signal(Signal::INT);
    assert_eq!(
        site.0.wait().unwrap().code(),
        Some(128 + Signal::INT.as_raw())
    );
}

#[test]
fn wrong_usage_ends_with_status_2_and_the_reason() {
    let cases = [
        ("", "Usage:"),
        ("runserver --no-such-option", "unexpected argument"),
        (
            "runserver nowhere",
            "must be a port, or an address and a port",
        ),
        ("runserver --noworker", "there would be nobody to answer"),
        (
            "runserver --layer other",
            "no channel layer has the alias \"other\"",
        ),
        ("runserver --layer carrier-pigeon://roof", "carrier-pigeon"),
        (
            "runserver --settings /does/not/exist.toml",
            "settings file /does/not/exist.toml",
        ),
        ("runserver --http_timeout 0", "invalid value"),
        ("runworker", "it reaches no further than this process"),
        ("runworker -v 4", "invalid value"),
    ];
    for (arguments, reason) in cases {
        let (status, errors) = Site::start(arguments).end();
        assert_eq!(status, Some(2), "{arguments}: {errors}");
        assert!(errors.contains(reason), "{arguments}: {errors}");
    }
}

#[test]
fn settings_are_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    let run = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let arguments = format!("runserver 127.0.0.1:0 --settings {}", file.display());
        Site::start(&arguments)
    };
    let mut site = run("[channel_layers]\ndefault = 'memory:?capacity=50'");
    site.address();
    site.signal(Signal::TERM);
    assert_eq!(site.end().0, Some(0));

    let (status, errors) = run("[channel_layers.default]\nbackend = 'memory'\ncapacty = 5").end();
    assert_eq!(status, Some(2), "{errors}");
    assert!(errors.contains("capacty"), "{errors}");
    let (status, errors) = run("no TOML").end();
    assert_eq!(status, Some(2), "{errors}");
    assert!(errors.contains("line 1"), "{errors}");
}

#[test]
fn a_port_that_is_taken_ends_the_program_with_status_1_and_the_reason() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (status, errors) = Site::start(&format!("runserver {port}")).end();
    assert_eq!(status, Some(1), "{errors}");
    assert!(errors.contains("in use"), "{errors}");
}
