//! A network that fails when the test wants it to.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use super::block_until;

/// What happens to what is written into a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Pass,
    /// It arrives this much later.
    Delay(Duration),
    /// It arrives no faster than this many bytes per second.
    Throttle(u32),
    /// It is held back for as long as this lasts; nothing closes.
    Hold,
}

/// Stands between clients and a server, and lets pass what the test wants to pass. Its own
/// threads keep it going, whatever the test does.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    control: watch::Sender<Control>,
    open: Arc<AtomicUsize>,
    _stop: oneshot::Sender<()>,
}

#[derive(Clone, Copy, Debug)]
struct Control {
    requests: Fate,
    replies: Fate,
    accepts: bool,
    /// Counts how often what was open was told apart from what comes.
    generation: u64,
    /// Connections made before this generation are closed.
    cut_before: u64,
    /// On connections made before this generation nothing arrives any more.
    frozen_before: u64,
}

impl Control {
    /// What happens now to what is written into a connection of `generation`.
    fn fate(&self, way: Way, generation: u64) -> Fate {
        match way {
            _ if generation < self.frozen_before => Fate::Hold,
            Way::Requests => self.requests,
            Way::Replies => self.replies,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Requests,
    Replies,
}

impl FaultProxy {
    /// A proxy for the server that listens on `port` of 127.0.0.1.
    pub fn start(port: u16) -> Self {
        let (control, watcher) = watch::channel(Control {
            requests: Fate::Pass,
            replies: Fate::Pass,
            accepts: true,
            generation: 0,
            cut_before: 0,
            frozen_before: 0,
        });
        let listener = StdTcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let own_port = listener.local_addr().expect("it is bound").port();
        let (stop, stopped) = oneshot::channel::<()>();
        let open = Arc::new(AtomicUsize::new(0));
        let line = Line {
            server: (Ipv4Addr::LOCALHOST, port).into(),
            watcher,
            open: Arc::clone(&open),
        };
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async move {
                tokio::select! {
                    () = line.accept(listener) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            port: own_port,
            control,
            open,
            _stop: stop,
        }
    }

    /// The port to connect to instead of the server's.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Everything arrives again, also what was held back on connections that are still open.
    pub fn pass(&self) {
        self.change(|control| {
            control.requests = Fate::Pass;
            control.replies = Fate::Pass;
            control.accepts = true;
        });
    }

    /// Nothing arrives, in neither direction, and nothing closes: as if a cable had been pulled.
    pub fn blackhole(&self) {
        self.change(|control| {
            control.requests = Fate::Hold;
            control.replies = Fate::Hold;
        });
    }

    /// On the connections that are open nothing arrives ever again, and nothing closes; new ones
    /// work: as if a firewall between had forgotten them.
    pub fn freeze(&self) {
        self.change(|control| {
            control.generation += 1;
            control.frozen_before = control.generation;
        });
    }

    /// Requests arrive at the server, its replies nowhere.
    pub fn hold_replies(&self) {
        self.change(|control| control.replies = Fate::Hold);
    }

    /// Everything arrives, later by `delay` each way.
    pub fn delay(&self, delay: Duration) {
        self.change(|control| {
            control.requests = Fate::Delay(delay);
            control.replies = Fate::Delay(delay);
        });
    }

    /// No more than `bytes_per_second` arrive on each connection, each way.
    pub fn throttle(&self, bytes_per_second: u32) {
        self.change(|control| {
            control.requests = Fate::Throttle(bytes_per_second);
            control.replies = Fate::Throttle(bytes_per_second);
        });
    }

    /// Closes all connections, with what was held back on them.
    pub fn cut(&self) {
        self.change(|control| {
            control.generation += 1;
            control.cut_before = control.generation;
        });
        block_until("connections to be cut", || self.connections() == 0);
    }

    /// Closes all connections, and every new one at once, until [`pass`](Self::pass).
    pub fn refuse(&self) {
        self.change(|control| {
            control.accepts = false;
            control.generation += 1;
            control.cut_before = control.generation;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Control)) {
        self.control.send_modify(change);
    }
}

/// What the connections share.
#[derive(Clone, Debug)]
struct Line {
    server: SocketAddr,
    watcher: watch::Receiver<Control>,
    open: Arc<AtomicUsize>,
}

impl Line {
    async fn accept(self, listener: StdTcpListener) {
        let listener = TcpListener::from_std(listener).expect("within a runtime");
        loop {
            let (client, _) = listener
                .accept()
                .await
                .expect("connections can be accepted");
            let control = *self.watcher.borrow();
            if control.accepts {
                let line = self.clone();
                tokio::spawn(async move { line.connect(client, control.generation).await });
            }
        }
    }

    /// Carries one connection until one side closes it or it is cut.
    async fn connect(self, client: TcpStream, generation: u64) {
        let _open = Open::count(&self.open);
        // A server that is down closes the client's connection.
        let Ok(server) = TcpStream::connect(self.server).await else {
            return;
        };
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("a TCP socket");
        }
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        let requests = Direction {
            way: Way::Requests,
            generation,
            watcher: self.watcher.clone(),
        };
        let replies = Direction {
            way: Way::Replies,
            ..requests.clone()
        };
        let mut watcher = self.watcher;
        tokio::select! {
            () = requests.carry(client_read, server_write) => {}
            () = replies.carry(server_read, client_write) => {}
            _ = watcher.wait_for(|now| generation < now.cut_before) => {}
        }
    }
}

/// One direction of a connection.
#[derive(Clone, Debug)]
struct Direction {
    way: Way,
    generation: u64,
    watcher: watch::Receiver<Control>,
}

impl Direction {
    /// Carries bytes until there is an end.
    async fn carry(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let Ok(length @ 1..) = from.read(&mut buffer).await else {
                // The news that one side has ended it is held back like everything else.
                return self.wait_while_held().await;
            };
            let now = self.watcher.borrow().fate(self.way, self.generation);
            match now {
                Fate::Delay(delay) => tokio::time::sleep(delay).await,
                Fate::Throttle(rate) => {
                    let seconds = length as f64 / f64::from(rate);
                    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                }
                Fate::Pass | Fate::Hold => {}
            }
            self.wait_while_held().await;
            if to.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    }

    async fn wait_while_held(&mut self) {
        let Self {
            way, generation, ..
        } = *self;
        let passes = |now: &Control| now.fate(way, generation) != Fate::Hold;
        // An error means that the proxy is ending.
        let _ = self.watcher.wait_for(passes).await;
    }
}

/// Counts a connection for as long as it is open.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
