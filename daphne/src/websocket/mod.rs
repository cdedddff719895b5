//! WebSockets.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use hyper::http::request::Parts;
use tokio::time::Instant;

use crate::connection::{Connection, Entered};
use crate::http::{Abort, ReplyBody};
use crate::io::Socket;

#[derive(Debug)]
pub(crate) enum Accepted {}

pub(crate) fn is_handshake(_parts: &Parts) -> bool {
    false
}

pub(crate) async fn handshake(
    _connection: Arc<Connection>,
    _parts: Parts,
    _started: Instant,
) -> Result<Response<ReplyBody>, Abort> {
    Err(Abort::BadReply)
}

pub(crate) async fn run(_entered: Entered, _socket: Socket, _rest: Bytes, accepted: Box<Accepted>) {
    match *accepted {}
}
