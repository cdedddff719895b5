//! A client that sends and reads raw bytes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::frames::Frame;
use super::http::{Body, Framing, Head, Response};
use super::within;

/// More than any test reads at once; what goes beyond is a fault of the server.
const MAX_BUFFERED: usize = 16 * 1024 * 1024;

/// A connection and the bytes read from it but not yet looked at.
#[derive(Debug)]
pub struct Client<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
    ended: bool,
    reset: bool,
}

impl Client {
    /// Connects over TCP, without delaying small segments.
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = within("connect", TcpStream::connect(addr))
            .await
            .expect("connection accepted");
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        Self::over(stream)
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket")
    }

    pub fn peer_addr(&self) -> SocketAddr {
        self.stream.peer_addr().expect("a connected socket")
    }

    /// Ends the connection with a reset, as a client does that vanishes.
    pub fn abort(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("SO_LINGER can be set");
    }

    /// Makes the kernel hold no more than about `bytes` of what the server sends.
    pub fn limit_receive_buffer(&self, bytes: usize) {
        socket2::SockRef::from(&self.stream)
            .set_recv_buffer_size(bytes)
            .expect("SO_RCVBUF can be set");
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            ended: false,
            reset: false,
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("the server reads");
    }

    /// Sends to a server that may close the connection meanwhile.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("send", async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Says that nothing more will be sent; reading stays possible.
    pub async fn finish_sending(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Reads some more; false at the end of the connection.
    pub async fn fill(&mut self) -> bool {
        if self.ended {
            return false;
        }
        assert!(
            self.buffer.len() < MAX_BUFFERED,
            "the server sent more than {MAX_BUFFERED} bytes"
        );
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                    ),
                    "reading failed: {error}"
                );
                self.ended = true;
                self.reset = true;
            }
        }
        !self.ended
    }

    /// What was read and not yet looked at.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// Drops the first `length` bytes of what was read.
    pub fn discard(&mut self, length: usize) {
        self.buffer.drain(..length);
    }

    /// Whether the server has closed the connection, as far as it was read.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the connection was reset.
    pub fn was_reset(&self) -> bool {
        self.reset
    }

    /// Reads until `parse` finds what it looks for at the start of what was read, and takes that
    /// away; `parse` is told whether the connection has ended and returns the length in bytes.
    #[track_caller]
    pub fn take<T>(
        &mut self,
        what: &'static str,
        mut parse: impl FnMut(&[u8], bool) -> Option<(T, usize)>,
    ) -> impl Future<Output = T> {
        within(what, async move {
            loop {
                if let Some((found, length)) = parse(&self.buffer, self.ended) {
                    self.buffer.drain(..length);
                    return found;
                }
                assert!(
                    !self.ended,
                    "the connection ended while reading {what}; read so far: \"{}\"",
                    self.buffer.escape_ascii()
                );
                self.fill().await;
            }
        })
    }

    /// The head of the next response.
    pub async fn head(&mut self) -> Head {
        self.take("a response head", |input, _| Head::parse(input))
            .await
    }

    /// The next response, to a request with another method than HEAD.
    pub async fn response(&mut self) -> Response {
        self.response_to("GET").await
    }

    /// The next final response to a request with `method`.
    pub async fn response_to(&mut self, method: &str) -> Response {
        let head = self.head().await;
        let body = self.body(head.framing(method)).await;
        Response { head, body }
    }

    /// A body framed as `framing`, to its end.
    pub async fn body(&mut self, framing: Framing) -> Vec<u8> {
        self.take("a response body", |input, eof| {
            let body = Body::decode(framing, input, eof);
            body.complete.then_some((body.content, body.consumed))
        })
        .await
    }

    /// The next chunk of a chunked body, which must hold exactly `content`.
    #[track_caller]
    pub fn expect_chunk(&mut self, content: &[u8]) -> impl Future<Output = ()> + use<'_, S> {
        let wanted = [
            format!("{:x}\r\n", content.len()).as_bytes(),
            content,
            b"\r\n",
        ]
        .concat();
        self.take("a chunk", move |input, _| {
            let chunk = input.get(..wanted.len())?;
            assert!(
                chunk == wanted,
                "expected the chunk \"{}\", read \"{}\"",
                wanted.escape_ascii(),
                chunk.escape_ascii()
            );
            Some(((), wanted.len()))
        })
    }

    /// Exactly `length` bytes.
    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        self.take("bytes", |input, _| {
            Some((input.get(..length)?.to_vec(), length))
        })
        .await
    }

    /// The next WebSocket frame.
    pub async fn frame(&mut self) -> Frame {
        self.take("a frame", |input, _| Frame::parse(input)).await
    }

    /// Everything up to the end of the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        self.take("the end of the connection", |input, eof| {
            eof.then(|| (input.to_vec(), input.len()))
        })
        .await
    }

    /// Waits for the end of the connection, before which nothing more may come.
    pub async fn expect_end(&mut self) {
        let rest = self.rest().await;
        assert!(
            rest.is_empty(),
            "unexpected before the end of the connection: \"{}\"",
            rest.escape_ascii()
        );
    }
}
