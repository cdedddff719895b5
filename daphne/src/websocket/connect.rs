use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use asgiref::Message;
use asgiref::protocol::websocket::{self, Connect, Reply};
use bytestring::ByteString;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, SERVER,
    UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::{debug, error, warn};

use crate::connection::Connection;
use crate::head::Head;
use crate::http::ReplyBody;
use crate::http::pages::{self, Page};
use crate::shared::Stage;

use super::Accepted;
use super::handshake::{Offer, Refusal};
use super::presence::Presence;

/// What the application, or the lack of it, decided.
enum Decision {
    Accept(Reply),
    Reject,
    TimedOut,
    /// The server stops.
    Stopping,
    /// More replies came at once than there is room for.
    Overflow,
}

/// Answers a handshake once the application has decided.
pub(crate) async fn connect(
    connection: Arc<Connection>,
    parts: Parts,
    has_body: bool,
    started: Instant,
) -> Response<ReplyBody> {
    let offer = match Offer::read(&parts, has_body) {
        Ok(offer) => offer,
        Err(refusal) => return refused(refusal),
    };
    let head = match Head::read(&connection, &parts) {
        Ok(head) => head,
        Err(page) => return answer(page),
    };
    let shared = &connection.shared;
    let options = &shared.options;
    let limits = [
        options.websocket_connect_timeout,
        options.websocket_handshake_timeout,
    ];
    let reply_channel = connection.begin(started, limits.into_iter().flatten().min());

    // From here on, whatever happens, the application is told of the end.
    // The path is a part of the whole head, which is not to be kept for as long as the connection.
    let path = ByteString::from(&*head.path);
    let mut presence = Presence::new(shared, reply_channel.clone(), path);
    let client = head.client.clone();
    let connect = Connect {
        reply_channel,
        scheme: ByteString::from_static(if head.is_secure { "wss" } else { "ws" }),
        path: head.path,
        query_string: head.query_string,
        root_path: head.root_path,
        headers: head.headers,
        client: head.client,
        server: connection.server.clone(),
        order: 0,
    };
    match shared.layer.send(&websocket::CONNECT, connect.into()).await {
        Ok(()) => presence.announced(client, parts.uri.path()),
        Err(error) if error.is_channel_full() => {
            shared.counters.channel_full();
            warn!("websocket.connect is full; answering 503");
            return answer(pages::QUEUE_FULL);
        }
        Err(error) => {
            shared.counters.layer_failed();
            error!(
                error = &error as &dyn std::error::Error,
                "cannot send a WebSocket's connection to the channel layer"
            );
            return answer(pages::not_taken(&error));
        }
    }

    let page = match decide(&connection, &presence).await {
        Decision::Accept(reply) => {
            presence.opened();
            let response = switch(&connection, &offer, &reply, &presence);
            connection.upgrade(Box::new(Accepted { presence, reply }));
            return response;
        }
        Decision::Reject => pages::ACCESS_DENIED,
        Decision::TimedOut => {
            shared.counters.timed_out();
            warn!(
                channel = %presence.reply_channel(),
                "no worker accepted a WebSocket in time; answering 403"
            );
            pages::ACCESS_DENIED
        }
        Decision::Stopping => pages::STOPPING,
        Decision::Overflow => pages::FAILED,
    };
    presence.rejected();
    answer(page)
}

/// Waits for the message that decides.
async fn decide(connection: &Connection, presence: &Presence) -> Decision {
    loop {
        let message = poll_fn(|context| match connection.mailbox.poll_next(context) {
            Poll::Ready(Ok(message)) => Poll::Ready(Ok(message)),
            Poll::Ready(Err(_)) => Poll::Ready(Err(Decision::Overflow)),
            Poll::Pending if connection.watch.is_expired() => Poll::Ready(Err(Decision::TimedOut)),
            Poll::Pending if connection.shared.stage() != Stage::Running => {
                Poll::Ready(Err(Decision::Stopping))
            }
            Poll::Pending => Poll::Pending,
        });
        let message = match message.await {
            Ok(message) => message,
            Err(decision) => return decision,
        };
        let Some(reply) = read_reply(connection, presence, &message) else {
            continue;
        };
        // The order of the rules is that of the specification.
        let has_data = reply.frame.as_ref().is_some_and(|frame| !frame.is_empty());
        if reply.accept == Some(false) {
            return Decision::Reject;
        }
        if reply.accept == Some(true) || has_data {
            return Decision::Accept(reply);
        }
        if reply.close.is_some() {
            return Decision::Reject;
        }
    }
}

/// Reads a reply; one that breaks the format is logged, and ignored as a whole.
pub(super) fn read_reply(
    connection: &Connection,
    presence: &Presence,
    message: &Message,
) -> Option<Reply> {
    Reply::try_from(message)
        .inspect_err(|failure| {
            connection.shared.counters.bad_reply();
            error!(
                channel = %presence.reply_channel(),
                error = failure as &dyn std::error::Error,
                "a message is no reply to a WebSocket; ignored"
            );
        })
        .ok()
}

/// The response that makes a WebSocket of the connection.
fn switch(
    connection: &Connection,
    offer: &Offer,
    reply: &Reply,
    presence: &Presence,
) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    if let Some(name) = &connection.shared.options.server_name {
        headers.insert(SERVER, name.clone());
    }
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Some(protocol) = choose_protocol(connection, offer, reply, presence)
        && let Ok(protocol) = HeaderValue::from_str(protocol)
    {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(offer.key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// The application's choice, or else the first offered one that the server knows.
fn choose_protocol<'a>(
    connection: &Connection,
    offer: &'a Offer,
    reply: &Reply,
    presence: &Presence,
) -> Option<&'a str> {
    let offered = offer.protocols.iter().map(String::as_str);
    if let Some(chosen) = &reply.subprotocol {
        let protocol = offered.clone().find(|protocol| *protocol == &**chosen);
        if protocol.is_some() {
            return protocol;
        }
        error!(
            channel = %presence.reply_channel(),
            "the application chose a subprotocol the client did not offer; ignored"
        );
    }
    let known = &connection.shared.options.ws_protocols;
    offered
        .into_iter()
        .find(|protocol| known.iter().any(|known| known == protocol))
}

/// A page, after which the connection is closed.
fn answer(page: Page) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::plain(page.html().into()));
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, pages::HTML);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn refused(refusal: Refusal) -> Response<ReplyBody> {
    debug!(reason = refusal.text, "refused a WebSocket handshake");
    let mut response = answer(Page {
        status: refusal.status,
        text: refusal.text,
        closes: true,
    });
    if let Some((name, value)) = refusal.hint {
        response.headers_mut().insert(name, value);
    }
    response
}
