//! A server in the test's process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelLayer, InMemoryChannelLayer, LayerConfig};
use daphne::{Server, ServerBuilder, ServerStatistics, Statistics};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::app::App;
use super::client::Client;
use super::{until, within};

/// A running server, its channel layer and its address.
#[derive(Debug)]
pub struct TestServer {
    addr: SocketAddr,
    layer: Arc<dyn ChannelLayer>,
    statistics: ServerStatistics,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<daphne::Result<()>>,
}

impl TestServer {
    /// With all defaults.
    pub async fn start() -> Self {
        Self::configured(|builder| builder).await
    }

    /// With options, on an in-memory layer with all defaults.
    pub async fn configured(configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        Self::on(Arc::new(InMemoryChannelLayer::new()), configure).await
    }

    /// With options, on an in-memory layer configured with `config`.
    pub async fn with_config(
        config: LayerConfig,
        configure: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        Self::on(
            Arc::new(InMemoryChannelLayer::with_config(config)),
            configure,
        )
        .await
    }

    /// With options, on any layer.
    pub async fn on(
        layer: Arc<dyn ChannelLayer>,
        configure: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        Self::listening(listener, layer, configure).await
    }

    /// With options, on any layer and a listener of one's own.
    pub async fn listening(
        listener: TcpListener,
        layer: Arc<dyn ChannelLayer>,
        configure: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let addr = listener.local_addr().expect("a bound socket");
        let builder = Server::builder(Arc::clone(&layer)).listener(listener);
        let server = configure(builder).build().expect("the options are valid");
        let bound = within("bind", server.bind()).await.expect("can listen");
        let statistics = bound.statistics();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(bound.run(async move {
            let _ = stopped.await;
        }));
        Self {
            addr,
            layer,
            statistics,
            stop: Some(stop),
            task,
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://` and the address.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The application's end of the layer.
    pub fn app(&self) -> App {
        App::new(Arc::clone(&self.layer))
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.addr).await
    }

    pub fn statistics(&self) -> Statistics {
        self.statistics.now()
    }

    /// Waits until the server holds no connection any more; no client may hold one either.
    #[track_caller]
    pub fn expect_idle(&self) -> impl Future<Output = ()> {
        let statistics = self.statistics.clone();
        until("the server to hold no connection", move || {
            let now = statistics.now();
            now.open_connections == 0 && now.open_websockets == 0
        })
    }

    /// Asks the server to stop; [`stopped`](Self::stopped) waits for it.
    pub fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Whether the server has stopped.
    pub fn has_stopped(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits until the server has stopped.
    pub async fn stopped(&mut self) -> daphne::Result<()> {
        within("the server to stop", &mut self.task)
            .await
            .expect("the server does not panic")
    }

    /// Sends one request on a connection of its own and answers it: whatever happened before,
    /// the server goes on serving.
    #[track_caller]
    pub fn expect_serving(&self) -> impl Future<Output = ()> {
        let app = self.app();
        within("the server to go on serving", async move {
            let mut client = self.connect().await;
            client
                .send("GET /still-serving HTTP/1.1\r\nHost: a.example\r\n\r\n")
                .await;
            let request = app.request().await;
            assert_eq!(request.text("path").unwrap(), "/still-serving");
            app.reply(
                &request,
                asgiref::message! { "status" => 200, "content" => b"yes" },
            )
            .await;
            assert_eq!(client.response().await.body, b"yes");
        })
    }
}

/// Long enough for anything that ought to happen at once, short enough to wait for.
pub const SHORT: Duration = Duration::from_millis(250);
