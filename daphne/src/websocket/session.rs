use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use asgiref::protocol::websocket::{Frame, NORMAL_CLOSURE, Reply};
use asgiref::{Groups, Message};
use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::Message as WsMessage;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame as RawFrame, Utf8Bytes};
use tracing::debug;

use crate::connection::{Connection, Entered};
use crate::io::Watched;
use crate::options::{Options, WebsocketTimeout};
use crate::replies::Overflow;
use crate::shared::{Shared, Stage};
use crate::timer::LazyTimer;

use super::Accepted;
use super::codes::{self, GOING_AWAY, NO_CODE, TRY_AGAIN_LATER};
use super::connect::read_reply;
use super::forward::{Forwarded, Held, forward};
use super::keepalive::{Due, Keepalive};
use super::presence::{ABNORMAL, Presence};
use super::stream::{self, own_bytes, own_text};

/// Lifetime of a WebSocket when neither the options nor the layer say.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(86_400);

/// How much of what a client still sends is read after its connection has failed.
const LINGER_BYTES: usize = 1024 * 1024;

/// Runs a WebSocket to its end. `early` is what the client sent before it was accepted.
///
/// What is kept here is kept for as long as the WebSocket is open, so the pieces it is made of are
/// put together apart.
pub(crate) async fn run(entered: Entered, start: Box<Start>) {
    let connection = Arc::clone(entered.connection());
    let mut session = Box::pin(start.session(connection)).await;
    let code = session.run().await;
    // Replies go nowhere from here on, and then the application is told.
    session.presence.set_code(code);
    drop(entered);
}

/// What a WebSocket begins with.
pub(crate) struct Start {
    pub(crate) socket: Watched,
    /// What the client sent before it was accepted.
    pub(crate) early: Bytes,
    pub(crate) accepted: Box<Accepted>,
}

impl Start {
    async fn session(self: Box<Self>, connection: Arc<Connection>) -> Session {
        let Self {
            socket,
            early,
            accepted,
        } = *self;
        let Accepted { presence, reply } = *accepted;
        let stream = stream::open(socket, &early, &connection.shared.options).await;
        let mut session = Session::new(connection, presence, stream);
        session.apply(reply);
        session
    }
}

struct Session {
    connection: Arc<Connection>,
    presence: Presence,
    stream: WebSocketStream<Watched>,
    keepalive: Keepalive,
    /// When the session has lasted long enough.
    ends: Option<Instant>,
    /// Whether something was handed to `stream` that is not written yet.
    unwritten: bool,
    /// When the client stopped taking what is written.
    blocked_since: Option<Instant>,
    /// A frame that `websocket.receive` has had no room for.
    held: Option<Box<Held>>,
    /// Once a close frame was sent or received.
    closing: Option<Closing>,
}

struct Closing {
    /// When to stop waiting for the other side.
    deadline: Instant,
    /// The code the other side gave.
    code: Option<u16>,
    /// Whether frames that still come are handed to the application.
    forwarding: bool,
}

/// What happens next.
enum Event {
    Incoming(WsMessage),
    Reply(Message),
    /// Replies were lost because the client is slow.
    Overflow,
    /// A deadline has passed.
    Due,
    Draining,
    Failed(WsError),
    /// The connection is closed.
    Ended,
}

impl Session {
    fn new(
        connection: Arc<Connection>,
        presence: Presence,
        stream: WebSocketStream<Watched>,
    ) -> Self {
        let now = Instant::now();
        let options = &connection.shared.options;
        let keepalive = Keepalive::new(options.ping_interval, options.ping_timeout, now);
        let ends = lifetime(&connection.shared).map(|lifetime| now + lifetime);
        Self {
            connection,
            presence,
            stream,
            keepalive,
            ends,
            unwritten: false,
            blocked_since: None,
            held: None,
            closing: None,
        }
    }

    /// Runs to the end; returns the code the application is told.
    async fn run(&mut self) -> u16 {
        let first = self.deadline().unwrap_or_else(Instant::now);
        let mut timer = pin!(LazyTimer::new(first));
        loop {
            let event = poll_fn(|context| self.poll_event(context, timer.as_mut())).await;
            let end = match event {
                Event::Incoming(message) => self.incoming(message).await,
                Event::Reply(message) => {
                    if let Some(reply) = read_reply(&self.connection, &self.presence, &message) {
                        self.apply(reply);
                    }
                    None
                }
                Event::Overflow => {
                    self.close(TRY_AGAIN_LATER, false);
                    None
                }
                Event::Draining => {
                    self.close(GOING_AWAY, true);
                    None
                }
                Event::Due => self.due().await,
                Event::Ended => Some(self.code_of_peer()),
                Event::Failed(failure) => Some(self.fail(&failure).await),
            };
            if let Some(code) = end {
                return code;
            }
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>, timer: Pin<&mut LazyTimer>) -> Poll<Event> {
        let stage = self.connection.shared.stage();
        if stage == Stage::Stopping {
            return Poll::Ready(Event::Ended);
        }
        if stage == Stage::Draining && self.closing.is_none() {
            return Poll::Ready(Event::Draining);
        }
        if let Poll::Ready(event) = self.poll_write(context) {
            return Poll::Ready(event);
        }
        // While a frame is held nothing more is read, so that the client is slowed down.
        if self.held.is_none() {
            match Pin::new(&mut self.stream).poll_next(context) {
                Poll::Ready(Some(Ok(message))) => return Poll::Ready(Event::Incoming(message)),
                Poll::Ready(Some(Err(failure))) => return Poll::Ready(Event::Failed(failure)),
                Poll::Ready(None) => return Poll::Ready(Event::Ended),
                Poll::Pending => {}
            }
        }
        match self.deadline() {
            Some(deadline) => timer.poll(context, deadline).map(|()| Event::Due),
            None => Poll::Pending,
        }
    }

    /// Takes replies as long as the client takes what is written; then writes what is left.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        match Pin::new(&mut self.stream).poll_ready(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(failure)) => return Poll::Ready(Event::Failed(failure)),
            Poll::Pending => {
                self.note_blocked();
                // The task must be known to the mailbox, if only to hear that it overflows.
                self.connection.mailbox.attend(context);
                return Poll::Pending;
            }
        }
        if self.closing.is_none() {
            match self.connection.mailbox.poll_next(context) {
                Poll::Ready(Ok(message)) => return Poll::Ready(Event::Reply(message)),
                Poll::Ready(Err(Overflow)) => return Poll::Ready(Event::Overflow),
                Poll::Pending => {}
            }
        }
        if self.unwritten {
            match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Ready(Ok(())) => self.unwritten = false,
                Poll::Ready(Err(failure)) => return Poll::Ready(Event::Failed(failure)),
                Poll::Pending => {
                    self.note_blocked();
                    return Poll::Pending;
                }
            }
        }
        self.blocked_since = None;
        Poll::Pending
    }

    /// The client does not take all that is written; a new count begins whenever it took some.
    fn note_blocked(&mut self) {
        if self.connection.watch.take_progress() {
            self.blocked_since = None;
        }
        self.blocked_since.get_or_insert_with(Instant::now);
    }

    /// The next moment at which something is due even if nothing happens.
    fn deadline(&self) -> Option<Instant> {
        let blocked = self
            .blocked_since
            .map(|since| since + self.options().send_timeout);
        let held = self.held.as_ref().map(|held| held.next_try());
        let other = match &self.closing {
            Some(closing) => Some(closing.deadline),
            None => [self.keepalive.deadline(), self.ends]
                .into_iter()
                .flatten()
                .min(),
        };
        [blocked, held, other].into_iter().flatten().min()
    }

    // ---- From the client

    async fn incoming(&mut self, message: WsMessage) -> Option<u16> {
        self.keepalive.heard(Instant::now());
        let frame = match message {
            WsMessage::Text(text) => Frame::Text(own_text(text)),
            WsMessage::Binary(bytes) => Frame::Binary(own_bytes(bytes)),
            WsMessage::Close(frame) => {
                self.closed_by_peer(frame.as_ref());
                return None;
            }
            // Answered by the stream.
            WsMessage::Ping(_) => {
                self.unwritten = true;
                return None;
            }
            WsMessage::Pong(_) | WsMessage::Frame(_) => return None,
        };
        if self
            .closing
            .as_ref()
            .is_some_and(|closing| !closing.forwarding)
        {
            return None;
        }
        let message = Message::from(self.presence.next(frame));
        let shared = &self.connection.shared;
        let forwarded = forward(shared, &mut self.presence, message).await;
        self.forwarded(forwarded);
        None
    }

    fn forwarded(&mut self, forwarded: Forwarded) {
        match forwarded {
            Forwarded::Sent => {}
            Forwarded::Held(held) => self.held = Some(held),
            Forwarded::Lost(code) => self.close(code, false),
        }
    }

    fn closed_by_peer(&mut self, frame: Option<&CloseFrame>) {
        let code = frame.map_or(NO_CODE, |frame| frame.code.into());
        let closing = self.closing.get_or_insert(Closing {
            deadline: Instant::now() + self.connection.shared.options.websocket_close_timeout,
            code: None,
            forwarding: false,
        });
        closing.code = Some(code);
        // The answer is with the stream.
        self.unwritten = true;
    }

    fn code_of_peer(&self) -> u16 {
        let closing = self.closing.as_ref();
        closing.and_then(|closing| closing.code).unwrap_or(ABNORMAL)
    }

    // ---- From the application

    /// Does what a reply says to a WebSocket that is open.
    fn apply(&mut self, reply: Reply) {
        if let Some(frame) = reply.frame {
            let (opcode, data) = match frame {
                Frame::Text(text) => (Data::Text, text.into_bytes()),
                Frame::Binary(bytes) => (Data::Binary, bytes),
            };
            self.send(WsMessage::Frame(RawFrame::message(
                data,
                OpCode::Data(opcode),
                true,
            )));
        }
        if let Some(code) = reply.close {
            self.close(code, true);
        }
    }

    /// Sends a close frame, once.
    fn close(&mut self, code: u16, forwarding: bool) {
        if self.closing.is_some() {
            return;
        }
        self.connection.mailbox.close();
        self.send(WsMessage::Close(Some(CloseFrame {
            code: CloseCode::from(code),
            reason: Utf8Bytes::default(),
        })));
        self.closing = Some(Closing {
            deadline: Instant::now() + self.options().websocket_close_timeout,
            code: None,
            forwarding,
        });
    }

    fn send(&mut self, message: WsMessage) {
        if self.closing.is_some() {
            return;
        }
        self.unwritten = true;
        if let Err(failure) = Pin::new(&mut self.stream).start_send(message) {
            debug!(
                channel = %self.presence.reply_channel(),
                error = &failure as &dyn std::error::Error,
                "cannot write to a WebSocket"
            );
            // What cannot be written cannot be made up for.
            self.closing = Some(Closing {
                deadline: Instant::now(),
                code: None,
                forwarding: false,
            });
        }
    }

    // ---- By itself

    /// Does what is due now.
    async fn due(&mut self) -> Option<u16> {
        let now = Instant::now();
        let channel = self.presence.reply_channel();
        let send_timeout = self.options().send_timeout;
        if self
            .blocked_since
            .is_some_and(|since| now >= since + send_timeout)
        {
            debug!(%channel, "the client does not read; giving it up");
            self.connection.shared.counters.slow_client();
            return Some(ABNORMAL);
        }
        if let Some(closing) = &self.closing
            && now >= closing.deadline
        {
            return Some(closing.code.unwrap_or(ABNORMAL));
        }
        if let Some(held) = self.held.take_if(|held| now >= held.next_try()) {
            let shared = &self.connection.shared;
            let forwarded = held.again(shared, &mut self.presence).await;
            self.forwarded(forwarded);
            return None;
        }
        if self.closing.is_some() {
            return None;
        }
        if self.ends.is_some_and(|ends| now >= ends) {
            debug!(%channel, "a WebSocket has been open for as long as it may");
            self.close(NORMAL_CLOSURE, true);
            return None;
        }
        match self.keepalive.due(now) {
            Due::Nothing => {}
            Due::Ping => self.send(WsMessage::Ping(Bytes::from_static(b"ping"))),
            Due::GiveUp => {
                debug!(%channel, "the client does not answer a ping; giving it up");
                return Some(ABNORMAL);
            }
        }
        None
    }

    /// Ends a connection that cannot go on; says with which code.
    async fn fail(&mut self, failure: &WsError) -> u16 {
        let Some(code) = codes::of_failure(failure) else {
            return self.code_of_peer();
        };
        debug!(
            channel = %self.presence.reply_channel(),
            error = failure as &dyn std::error::Error,
            "a client broke the rules of WebSockets; closing with code {code}"
        );
        if self.closing.is_some() {
            return self.code_of_peer();
        }
        self.close(code, false);
        // Until the client has seen the close frame, what it still sends must not reset the
        // connection; there is no way to make sense of it.
        let limit = self.options().websocket_close_timeout;
        let farewell = async {
            let stream = &mut self.stream;
            poll_fn(|context| Pin::new(&mut *stream).poll_flush(context)).await?;
            let socket = stream.get_mut();
            socket.shutdown().await?;
            let mut buffer = [0; 1024];
            let mut left = LINGER_BYTES;
            while left > 0 {
                match socket.read(&mut buffer).await? {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
            Ok::<(), WsError>(())
        };
        // Boxed so that no connection pays for what few need. Whether the client has seen the
        // close frame or not, this is the end.
        let _ = timeout(limit, Box::pin(farewell)).await;
        code
    }

    fn options(&self) -> &Options {
        &self.connection.shared.options
    }
}

fn lifetime(shared: &Shared) -> Option<Duration> {
    match shared.options.websocket_timeout {
        WebsocketTimeout::Never => None,
        WebsocketTimeout::After(lifetime) => Some(lifetime),
        WebsocketTimeout::GroupExpiry => {
            let groups = shared.layer.as_groups();
            Some(groups.map_or(DEFAULT_LIFETIME, Groups::group_expiry))
        }
    }
}
