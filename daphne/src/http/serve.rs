use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use asgiref::protocol::http;
use asgiref::{ChannelName, Message};
use bytestring::ByteString;
use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use crate::connection::Connection;
use crate::replies::Overflow;
use crate::shared::Shared;
use crate::websocket;

use super::body::{Abort, ReplyBody};
use super::exchange::{Exchange, LogInfo};
use super::pages::{self, Page};
use super::request::{method_text, translate};
use super::request_body::{FirstPart, RequestBody};
use super::response::{self, Answer};
use super::upload::{UploadGuard, follow};

/// The key of a message that asks for a server push.
const PUSH: &str = "request";

/// Answers one request.
///
/// # Errors
///
/// If the connection has to be broken off instead.
pub(crate) async fn serve(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Abort> {
    let started = Instant::now();
    let (mut parts, body) = request.into_parts();
    if websocket::is_handshake(&parts) {
        // Boxed so that a request does not pay for what is rare.
        let has_body = !body.is_end_stream();
        let response = websocket::connect(connection, parts, has_body, started);
        return Ok(Box::pin(response).await);
    }

    let limit = connection.shared.options.http_timeout;
    let reply_channel = connection.begin(started, Some(limit));
    let mut exchange = Exchange::new(connection, reply_channel);
    if exchange.connection().shared.is_logging() {
        let log = log_info(&exchange, &parts, started);
        exchange.set_log(log);
    }
    let request = translate(&mut exchange, &parts);
    // What hyper keeps of the head is let go, so that its buffer can be used again while the
    // application works; and the emptied map becomes that of the response.
    drop(std::mem::take(&mut parts.uri));
    parts.headers.clear();
    let (method, headers) = (parts.method, parts.headers);

    let answer = match request {
        Ok(request) if body.is_end_stream() => send(&mut exchange, request.into(), None).await,
        // Boxed so that a request without a body does not pay for one that has.
        Ok(request) => Box::pin(upload(&mut exchange, request, body)).await,
        Err(page) => {
            if page.closes && !body.is_end_stream() {
                exchange.connection().watch.linger();
            }
            Err(page)
        }
    };
    let page = match answer {
        Ok(reply) => match Answer::read(&exchange, &method, headers, &reply) {
            Ok(answer) => return Ok(answer.into_response(exchange)),
            Err(failure) => {
                exchange.connection().shared.counters.bad_reply();
                error!(
                    channel = %exchange.reply_channel(),
                    error = &failure as &dyn std::error::Error,
                    "the application's message is no response; answering 500"
                );
                pages::BAD_RESPONSE
            }
        },
        Err(page) => {
            exchange.abandon();
            page
        }
    };
    Ok(response::page(exchange, &method, page))
}

/// Reads the body, or its beginning, and goes on as with a request that has none.
async fn upload(
    exchange: &mut Exchange,
    mut request: http::Request,
    body: Incoming,
) -> Result<Message, Page> {
    let rest = receive(exchange.connection(), &mut request, body).await?;
    send(exchange, request.into(), rest).await
}

/// Hands the request to the application and waits for the first message of its response.
async fn send(
    exchange: &mut Exchange,
    request: Message,
    rest: Option<Rest>,
) -> Result<Message, Page> {
    let shared = &exchange.connection().shared;
    if let Err(error) = shared.layer.send(&http::REQUEST, request).await {
        if rest.is_some() {
            exchange.connection().watch.linger();
        }
        return Err(not_sent(shared, &error));
    }
    shared.counters.request_sent();
    exchange.announce();
    if let Some(rest) = rest {
        let upload = follow(rest.body, exchange.connection(), rest.channel);
        exchange.set_upload(upload);
    }
    first_reply(exchange).await
}

/// What is left of a body once its beginning was read, and where it goes.
struct Rest {
    body: RequestBody,
    channel: ChannelName,
}

/// Reads the body, or its beginning, into `request`; gives the rest back.
async fn receive(
    connection: &Connection,
    request: &mut http::Request,
    body: Incoming,
) -> Result<Option<Rest>, Page> {
    let shared = &connection.shared;
    let refuse = |page: Page| {
        connection.watch.linger();
        page
    };
    let mut body = RequestBody::new(body, shared.options.max_request_body).map_err(refuse)?;
    let first_part = body.first_part(connection).await.map_err(refuse)?;
    connection.expect_within(Instant::now(), Some(shared.options.http_timeout));
    match first_part {
        FirstPart::Whole(content) => {
            request.body = content;
            Ok(None)
        }
        FirstPart::Beginning(content) => {
            let channel = shared.layer.new_channel(&http::BODY_PATTERN).await;
            let channel = channel.map_err(|error| refuse(not_sent(shared, &error)))?;
            request.body = content;
            request.body_channel = Some(channel.clone());
            Ok(Some(Rest { body, channel }))
        }
    }
}

/// The page that says that the channel layer did not take a request.
fn not_sent(shared: &Shared, error: &asgiref::Error) -> Page {
    if error.is_channel_full() {
        shared.counters.channel_full();
        warn!("http.request is full; answering 503");
        return pages::QUEUE_FULL;
    }
    shared.counters.layer_failed();
    error!(
        error = error as &dyn std::error::Error,
        "cannot send a request to the channel layer"
    );
    pages::not_taken(error)
}

/// Waits for the first message of the response.
async fn first_reply(exchange: &Exchange) -> Result<Message, Page> {
    let connection = exchange.connection();
    let channel = exchange.reply_channel();
    loop {
        let message = poll_fn(|context| match connection.mailbox.poll_next(context) {
            Poll::Ready(Ok(message)) => Poll::Ready(Ok(message)),
            Poll::Ready(Err(Overflow)) => Poll::Ready(Err(pages::FAILED)),
            Poll::Pending if connection.watch.is_expired() => Poll::Ready(Err(pages::NO_ANSWER)),
            Poll::Pending => match exchange.upload().and_then(UploadGuard::failure) {
                Some(page) => Poll::Ready(Err(page)),
                None => Poll::Pending,
            },
        });
        let message = message.await.inspect_err(|page| {
            if *page == pages::NO_ANSWER {
                connection.shared.counters.timed_out();
                warn!(%channel, "no worker answered in time; answering 503");
            }
        })?;
        if message.contains_key(PUSH) {
            // What the specification asks of a server whose peer cannot be pushed to.
            debug!(%channel, "ignored a server push");
            continue;
        }
        return Ok(message);
    }
}

fn log_info(exchange: &Exchange, parts: &Parts, started: Instant) -> LogInfo {
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    LogInfo {
        started,
        client: exchange.connection().client.clone(),
        method: method_text(&parts.method),
        target: ByteString::from(target),
    }
}
