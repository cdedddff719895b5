use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use asgiref::ChannelName;
use asgiref::protocol::http;
use bytestring::ByteString;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
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
use super::response::{self, Answer};
use super::upload::{FirstPart, RequestBody, UploadGuard};

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
    let (parts, body) = request.into_parts();
    if websocket::is_handshake(&parts) {
        // Boxed so that a request does not pay for what is rare.
        let has_body = !hyper::body::Body::is_end_stream(&body);
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
    let answer = answer(&mut exchange, &parts, body).await;

    // The request's map becomes that of the response, which saves making one.
    let Parts {
        method,
        mut headers,
        ..
    } = parts;
    headers.clear();
    Ok(match answer {
        Ok(reply) => match Answer::read(&exchange, &method, headers, reply) {
            Ok(answer) => answer.into_response(exchange),
            Err(problem) => {
                exchange.connection().shared.counters.bad_reply();
                error!(
                    channel = %exchange.reply_channel(),
                    "the application's message cannot be a response: {problem}"
                );
                response::page(exchange, &method, HeaderMap::new(), pages::BAD_RESPONSE)
            }
        },
        Err(page) => response::page(exchange, &method, headers, page),
    })
}

/// Hands the request to the application and waits for the first message of its response.
async fn answer(
    exchange: &mut Exchange,
    parts: &Parts,
    body: Incoming,
) -> Result<http::Response, Page> {
    let connection = Arc::clone(exchange.connection());
    let shared = &connection.shared;
    let mut request = translate(&connection, parts, exchange.reply_channel().clone())?;

    let rest = if hyper::body::Body::is_end_stream(&body) {
        None
    } else {
        // Boxed so that a request without a body does not pay for one that has.
        Box::pin(receive(&connection, &mut request, body)).await?
    };
    exchange.set_log_client(&request.client);
    let path = request.path.clone();
    match shared.layer.send(&http::REQUEST, request.into()).await {
        Ok(()) => {
            shared.counters.request_sent();
            exchange.announce(path);
        }
        Err(error) => {
            if rest.is_some() {
                connection.watch.linger();
            }
            return Err(not_sent(shared, &error));
        }
    }
    if let Some(rest) = rest {
        exchange.set_upload(rest.body.follow(&connection, rest.channel));
    }
    let reply = first_reply(exchange, &connection).await;
    if reply
        .as_ref()
        .is_err_and(|page| *page != pages::BAD_RESPONSE)
    {
        exchange.abandon();
    }
    reply
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
    connection.expect_within(Instant::now(), Some(shared.options.body_read_timeout));
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
    pages::FAILED
}

/// Waits for the first message of the response.
async fn first_reply(exchange: &Exchange, connection: &Connection) -> Result<http::Response, Page> {
    loop {
        let message = poll_fn(|context| match connection.mailbox.poll_next(context) {
            Poll::Ready(Ok(message)) => Poll::Ready(Ok(message)),
            Poll::Ready(Err(Overflow)) => Poll::Ready(Err(pages::FAILED)),
            Poll::Pending if connection.watch.is_expired() => Poll::Ready(Err(pages::NO_ANSWER)),
            Poll::Pending => match exchange.upload().and_then(UploadGuard::failure) {
                Some(page) => Poll::Ready(Err(page)),
                None => Poll::Pending,
            },
        })
        .await
        .inspect_err(|page| {
            if *page == pages::NO_ANSWER {
                connection.shared.counters.timed_out();
                warn!(channel = %exchange.reply_channel(), "no worker answered in time; answering 503");
            }
        })?;
        if message.contains_key(PUSH) {
            // What the specification asks of a server whose peer cannot be pushed to.
            debug!(channel = %exchange.reply_channel(), "ignored a server push");
            continue;
        }
        return http::Response::try_from(&message).map_err(|failure| {
            connection.shared.counters.bad_reply();
            error!(
                channel = %exchange.reply_channel(),
                error = &failure as &dyn std::error::Error,
                "the application's message is no response; answering 500"
            );
            pages::BAD_RESPONSE
        });
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
