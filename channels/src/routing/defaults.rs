use std::fmt;
use std::sync::Arc;

use asgiref::protocol::{http, websocket};
use asgiref::{ChannelName, Message};

use crate::consumer::Consumer;
use crate::context::Context;
use crate::routing::route::{Endpoint, endpoint};
use crate::routing::table::RoutingTable;

/// What happens to messages of protocol servers that no route takes.
///
/// | channel | default |
/// |---|---|
/// | `http.request` | the consumer given to [`http`](Self::http); without one, 404 |
/// | `websocket.connect` | accepted if a route for `websocket.receive` or `websocket.disconnect` could take the connection's messages, rejected otherwise |
/// | `http.disconnect` | ignored, apart from ending the response if it is being streamed |
/// | `websocket.receive`, `websocket.disconnect` | ignored |
///
/// Whether a route could take a connection's messages is judged by those of its filters whose
/// key the `websocket.connect` message has, the path above all. (Channels for Django accepted
/// every path.)
///
/// A worker has no default routes unless it is [given](crate::WorkerBuilder::default_routes)
/// them; the commands in [`management`](crate::management) always have them.
#[derive(Clone)]
pub struct DefaultRoutes {
    http: Arc<dyn Endpoint>,
    accept: Arc<dyn Endpoint>,
    reject: Arc<dyn Endpoint>,
    ignore: Arc<dyn Endpoint>,
}

impl DefaultRoutes {
    /// The defaults, with 404 for HTTP requests.
    #[must_use]
    pub fn new() -> Self {
        Self {
            http: endpoint(not_found),
            accept: endpoint(accept),
            reject: endpoint(reject),
            ignore: endpoint(ignore),
        }
    }

    /// Gives HTTP requests that no route takes to `consumer`, usually an
    /// [`AsgiHandler`](crate::http::AsgiHandler).
    #[must_use]
    pub fn http<C, Args>(mut self, consumer: C) -> Self
    where
        C: Consumer<Args>,
        Args: 'static,
    {
        self.http = endpoint(consumer);
        self
    }

    /// The channels for which there is a default.
    pub(super) fn channel_names() -> [ChannelName; 5] {
        [
            http::REQUEST,
            http::DISCONNECT,
            websocket::CONNECT,
            websocket::RECEIVE,
            websocket::DISCONNECT,
        ]
    }

    /// What deals with a message that no route of `table` took.
    pub(super) fn find(
        &self,
        table: &RoutingTable,
        channel: &ChannelName,
        message: &Message,
    ) -> Option<&dyn Endpoint> {
        if *channel == http::REQUEST {
            Some(&*self.http)
        } else if *channel == websocket::CONNECT {
            let wanted = table.could_take(&websocket::RECEIVE, message)
                || table.could_take(&websocket::DISCONNECT, message);
            Some(if wanted { &*self.accept } else { &*self.reject })
        } else if [http::DISCONNECT, websocket::RECEIVE, websocket::DISCONNECT].contains(channel) {
            Some(&*self.ignore)
        } else {
            None
        }
    }
}

async fn not_found(cx: Context) {
    let mut response = http::Response::new(404, "Not Found");
    response.headers.push("content-type", "text/plain");
    cx.reply(response);
}

async fn accept(cx: Context) {
    cx.accept();
}

async fn reject(cx: Context) {
    cx.reply(websocket::Reply::reject());
}

async fn ignore() {}

impl Default for DefaultRoutes {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DefaultRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DefaultRoutes")
            .field("http", &self.http.name())
            .finish_non_exhaustive()
    }
}
