use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tracing::debug;

use crate::http;
use crate::http::pages::{self, Page};
use crate::io::{Socket, Watched};
use crate::shared::Stage;
use crate::timer::LazyTimer;
use crate::websocket;

use super::farewell::{dismiss, linger};
use super::{Connection, Entered};

/// Why a connection's HTTP part ended.
enum End {
    /// It was closed by either side, or became a WebSocket.
    Closed,
    /// What came was no request; the client was told.
    Refused,
    /// What came was no request, or no whole one; the client is yet to be told.
    Dismissed(Page),
    /// There is nobody to tell anything: the client is gone, or was idle for too long.
    Gone,
    /// It had to be broken off in the middle of a response.
    Broken,
}

impl End {
    fn of(error: &hyper::Error) -> Self {
        if error.is_parse_version_h2() {
            Self::Dismissed(pages::NO_HTTP2)
        } else if error.is_parse() {
            Self::Refused
        } else if error.is_user() {
            Self::Broken
        } else {
            Self::Gone
        }
    }
}

/// Drives a connection to its end.
pub(crate) async fn drive(entered: Entered, socket: Socket) {
    let connection = Arc::clone(entered.connection());
    let service = service_fn({
        let connection = Arc::clone(&connection);
        move |request| http::serve(Arc::clone(&connection), request)
    });
    let io = TokioIo::new(Watched::new(socket, Arc::clone(&connection)));
    let mut http = builder(&connection).serve_connection(io, service);

    let end = {
        let mut timer = pin!(Timer::new(&connection));
        let (mut told, mut attending) = (false, false);
        poll_fn(|context| {
            // The task stays the same, so once is enough.
            if !std::mem::replace(&mut attending, true) {
                connection.mailbox.attend(context);
            }
            loop {
                match connection.shared.stage() {
                    Stage::Running => {}
                    Stage::Draining if told => {}
                    Stage::Draining => {
                        told = true;
                        Pin::new(&mut http).graceful_shutdown();
                    }
                    Stage::Stopping => return Poll::Ready(End::Broken),
                }
                match Pin::new(&mut http).poll(context) {
                    Poll::Ready(Ok(())) => return Poll::Ready(End::Closed),
                    Poll::Ready(Err(error)) => {
                        debug!(
                            client = ?connection.client,
                            error = &error as &dyn std::error::Error,
                            "connection ended"
                        );
                        return Poll::Ready(End::of(&error));
                    }
                    Poll::Pending => {}
                }
                // Nobody looks into the mailbox while nothing can be written.
                if connection.watch.is_write_blocked() && connection.mailbox.has_overflowed() {
                    return Poll::Ready(End::Broken);
                }
                match timer.as_mut().poll_overdue(context, &connection) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Overdue::Client) => {
                        debug!(client = ?connection.client, "the client was idle for too long");
                        return Poll::Ready(if connection.watch.is_mid_head() {
                            End::Dismissed(pages::HEAD_TIMEOUT)
                        } else {
                            End::Gone
                        });
                    }
                    Poll::Ready(Overdue::Write) => {
                        connection.shared.counters.slow_client();
                        debug!(client = ?connection.client, "the client does not read; giving it up");
                        return Poll::Ready(End::Broken);
                    }
                    Poll::Ready(Overdue::Request) => {
                        if !connection.watch.expire() {
                            // The service was told and could do nothing about it.
                            return Poll::Ready(End::Broken);
                        }
                    }
                }
            }
        })
        .await
    };

    let parts = http.into_parts();
    let socket = parts.io.into_inner();
    match end {
        End::Closed => {
            if let Some(accepted) = connection.take_accepted() {
                let start = Box::new(websocket::Start {
                    socket,
                    early: parts.read_buf,
                    accepted,
                });
                // A task of its own, as small as a WebSocket needs it.
                let shared = Arc::clone(&connection.shared);
                drop(connection);
                shared.tasks.spawn(websocket::run(entered, start));
            } else if connection.watch.is_lingering() {
                linger(socket.into_inner()).await;
            }
        }
        End::Refused => linger(socket.into_inner()).await,
        End::Dismissed(page) => {
            let server_name = connection.shared.options.server_name.as_ref();
            dismiss(socket.into_inner(), page, server_name).await;
        }
        End::Gone => {}
        End::Broken => socket.into_inner().reset_on_close(),
    }
}

fn builder(connection: &Connection) -> http1::Builder {
    let options = &connection.shared.options;
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(options.max_header_size)
        .header_read_timeout(None);
    if options.max_headers != crate::options::HYPER_MAX_HEADERS {
        builder.max_headers(options.max_headers);
    }
    builder
}

/// Who is late.
enum Overdue {
    /// The client, with a request.
    Client,
    /// The client, in reading the response.
    Write,
    /// The application, with the response.
    Request,
}

pin_project_lite::pin_project! {
    /// The one timer of a connection, and what it remembers about the client.
    struct Timer {
        #[pin]
        timer: LazyTimer,
        // When an incomplete request was first noticed.
        head_since: Option<Instant>,
        // When the client stopped taking what is written.
        blocked_since: Option<Instant>,
        // When it last went on after that.
        unblocked_at: Option<Instant>,
    }
}

impl Timer {
    fn new(connection: &Connection) -> Self {
        let first = connection
            .watch
            .deadline()
            .map_or_else(Instant::now, |ticks| connection.shared.instant(ticks));
        Self {
            timer: LazyTimer::new(first),
            head_since: None,
            blocked_since: None,
            unblocked_at: None,
        }
    }

    /// Ready once somebody is late.
    fn poll_overdue(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        connection: &Connection,
    ) -> Poll<Overdue> {
        match self.as_mut().next(connection) {
            None => Poll::Pending,
            Some((deadline, overdue)) => {
                let timer = self.project().timer;
                timer.poll(context, deadline).map(|()| overdue)
            }
        }
    }

    /// The next deadline, and who is late if it passes.
    fn next(self: Pin<&mut Self>, connection: &Connection) -> Option<(Instant, Overdue)> {
        let this = self.project();
        let (watch, options) = (&connection.watch, &connection.shared.options);

        if watch.take_progress() && this.blocked_since.take().is_some() {
            *this.unblocked_at = Some(Instant::now());
        }
        if watch.is_write_blocked() {
            // Nobody can get on before the client reads, so nobody else is late.
            let since = *this.blocked_since.get_or_insert_with(Instant::now);
            return Some((since + options.send_timeout, Overdue::Write));
        }
        if watch.is_mid_head() {
            let since = *this.head_since.get_or_insert_with(Instant::now);
            let limit = since + options.header_read_timeout;
            let last_moment = connection.shared.last_moment();
            return Some((
                last_moment.map_or(limit, |last_moment| last_moment.min(limit)),
                Overdue::Client,
            ));
        }
        *this.head_since = None;

        let deadline = connection.shared.instant(watch.deadline()?);
        let (limit, overdue) = if watch.is_idle() {
            (Some(options.keep_alive_timeout), Overdue::Client)
        } else {
            (options.response_idle_timeout, Overdue::Request)
        };
        // The time a client took to read is not held against what comes after.
        let extended = this.unblocked_at.zip(limit).map(|(at, limit)| at + limit);
        Some((
            extended.map_or(deadline, |extended| extended.max(deadline)),
            overdue,
        ))
    }
}
