use std::sync::Arc;

use asgiref::ChannelName;
use asgiref::protocol::{Address, http};
use bytestring::ByteString;
use tokio::time::Instant;

use crate::access_log::Action;
use crate::connection::Connection;
use crate::disconnect::send_http_disconnect;
use crate::head::Head;
use crate::options::DisconnectMessages;

use super::upload::UploadGuard;

/// One request and its response.
///
/// Whoever holds it answers for the request; dropping it ends the request. If the response was not
/// complete by then the client has left, and the application is told.
#[derive(Debug)]
pub(crate) struct Exchange {
    connection: Arc<Connection>,
    reply_channel: ChannelName,
    path: ByteString,
    /// Whether the application knows of the request.
    announced: bool,
    complete: bool,
    status: u16,
    size: u64,
    log: Option<Box<LogInfo>>,
    upload: Option<UploadGuard>,
}

/// What only a log needs.
#[derive(Debug)]
pub(crate) struct LogInfo {
    pub(crate) started: Instant,
    pub(crate) client: Option<Address>,
    pub(crate) method: ByteString,
    pub(crate) target: ByteString,
}

impl Exchange {
    pub(crate) fn new(connection: Arc<Connection>, reply_channel: ChannelName) -> Self {
        Self {
            connection,
            reply_channel,
            path: ByteString::new(),
            announced: false,
            complete: false,
            status: 0,
            size: 0,
            log: None,
            upload: None,
        }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(crate) fn reply_channel(&self) -> &ChannelName {
        &self.reply_channel
    }

    pub(crate) fn set_log(&mut self, log: LogInfo) {
        self.log = Some(Box::new(log));
    }

    /// The request is known to be for this path, and to come from this client.
    pub(super) fn set_origin(&mut self, head: &Head) {
        self.path = head.path.clone();
        if let Some(log) = &mut self.log {
            log.client.clone_from(&head.client);
        }
    }

    /// The application knows of the request.
    pub(super) fn announce(&mut self) {
        self.announced = true;
    }

    pub(crate) fn set_upload(&mut self, upload: UploadGuard) {
        self.upload = Some(upload);
    }

    pub(crate) fn upload(&self) -> Option<&UploadGuard> {
        self.upload.as_ref()
    }

    pub(crate) fn set_status(&mut self, status: u16) {
        self.status = status;
    }

    /// So many bytes more of the response were handed on.
    pub(crate) fn add_size(&mut self, bytes: usize) {
        self.size += bytes as u64;
    }

    /// The application's response would come too late; it is told, and the server answers.
    pub(super) fn abandon(&mut self) {
        self.disconnect();
        self.announced = false;
    }

    /// The response is complete.
    pub(crate) fn complete(&mut self) {
        if self.complete {
            return;
        }
        self.complete = true;
        if let Some(log) = &self.log {
            self.connection.shared.log(Action::HttpComplete {
                client: log.client.as_ref(),
                method: &log.method,
                target: &log.target,
                status: self.status,
                size: self.size,
                duration: log.started.elapsed(),
            });
        }
        if self.connection.shared.options.disconnect_messages == DisconnectMessages::Always {
            self.disconnect();
        }
    }

    fn disconnect(&self) {
        if self.announced {
            let disconnect = http::Disconnect {
                reply_channel: self.reply_channel.clone(),
                path: self.path.clone(),
            };
            send_http_disconnect(&self.connection.shared, disconnect);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.complete {
            self.disconnect();
        }
        if self.upload.take().is_some_and(|upload| !upload.is_done()) {
            self.connection.watch.linger();
        }
        self.connection.end();
    }
}
