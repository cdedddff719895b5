use std::sync::Arc;

use asgiref::ChannelName;
use asgiref::protocol::Address;
use asgiref::protocol::websocket::{Disconnect, Frame, Receive};
use bytestring::ByteString;

use crate::access_log::Action;
use crate::disconnect::send_websocket_disconnect;
use crate::shared::Shared;

/// The close code of a connection that ended without one.
pub(super) const ABNORMAL: u16 = 1006;

/// A WebSocket as the application knows it, from the handshake on.
///
/// Whatever becomes of the connection, dropping this tells the application of its end.
#[derive(Debug)]
pub(super) struct Presence {
    shared: Arc<Shared>,
    reply_channel: ChannelName,
    path: ByteString,
    /// The order of the last message that reached the channel layer.
    order: i64,
    /// The code to be told at the end.
    code: u16,
    is_announced: bool,
    is_open: bool,
    log: Option<Box<LogInfo>>,
}

/// What only a log needs.
#[derive(Debug)]
struct LogInfo {
    client: Option<Address>,
    /// The path as the client wrote it.
    path: Box<str>,
}

impl Presence {
    pub(super) fn new(shared: &Arc<Shared>, reply_channel: ChannelName, path: ByteString) -> Self {
        Self {
            shared: Arc::clone(shared),
            reply_channel,
            path,
            order: 0,
            code: ABNORMAL,
            is_announced: false,
            is_open: false,
            log: None,
        }
    }

    pub(super) fn reply_channel(&self) -> &ChannelName {
        &self.reply_channel
    }

    /// The application was told of the connection.
    pub(super) fn announced(&mut self, client: Option<Address>, raw_path: &str) {
        self.is_announced = true;
        if self.shared.is_logging() {
            self.log = Some(Box::new(LogInfo {
                client,
                path: raw_path.into(),
            }));
        }
        self.log(|client, path| Action::WebsocketConnecting { client, path });
    }

    /// The connection was not accepted.
    pub(super) fn rejected(&self) {
        self.log(|client, path| Action::WebsocketRejected { client, path });
    }

    /// The connection was accepted.
    pub(super) fn opened(&mut self) {
        self.is_open = true;
        self.shared.counters.websocket_opened();
        self.log(|client, path| Action::WebsocketConnected { client, path });
    }

    /// The message that carries the next frame to the application.
    pub(super) fn next(&self, frame: Frame) -> Receive {
        Receive {
            reply_channel: self.reply_channel.clone(),
            path: self.path.clone(),
            frame,
            order: self.order + 1,
        }
    }

    /// The channel layer took that message. One it never took leaves no gap in the order, which
    /// an application would wait to see filled.
    pub(super) fn delivered(&mut self) {
        self.order += 1;
    }

    /// Sets what the application will be told as the reason of the end.
    pub(super) fn set_code(&mut self, code: u16) {
        self.code = code;
    }

    fn log<'a>(&'a self, action: impl FnOnce(Option<&'a Address>, &'a str) -> Action<'a>) {
        if let Some(log) = &self.log {
            self.shared.log(action(log.client.as_ref(), &log.path));
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.is_open {
            self.shared.counters.websocket_closed();
        }
        if self.is_announced {
            let code = self.code;
            self.log(|client, path| Action::WebsocketDisconnected { client, path, code });
            let disconnect = Disconnect {
                reply_channel: self.reply_channel.clone(),
                code,
                path: self.path.clone(),
                order: self.order + 1,
            };
            send_websocket_disconnect(&self.shared, disconnect);
        }
    }
}
