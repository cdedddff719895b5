use std::net::IpAddr;
use std::time::Duration;

use asgiref::Message;
use asgiref::protocol::Address;

use crate::context::Context;
use crate::http::reply::HttpReplyChannel;

/// What HTTP does not say about a request: the message it came in, its connection, and where the
/// answer goes. [`AsgiHandler`](super::AsgiHandler) puts it among the request's extensions.
///
/// In axum, take it with `Extension<AsgiRequest>`, or as an argument of its own with this crate's
/// feature `axum`:
///
/// ```
/// use axum::{Extension, Router, routing::get};
/// use channels::http::AsgiRequest;
///
/// async fn whoami(Extension(request): Extension<AsgiRequest>) -> String {
///     match request.client() {
///         Some(client) => format!("{} by {}", client, request.scheme()),
///         None => "somebody nearby".to_owned(),
///     }
/// }
///
/// let app: Router = Router::new().route("/whoami", get(whoami));
/// ```
///
/// Middleware made for axum that asks for its `ConnectInfo` gets it this way:
///
/// ```
/// use axum::{Router, extract::{ConnectInfo, Request}, middleware::map_request};
/// use channels::http::AsgiRequest;
///
/// async fn connect_info(mut request: Request) -> Request {
///     let client = request.extensions().get().and_then(AsgiRequest::client_addr);
///     if let Some(client) = client {
///         request.extensions_mut().insert(ConnectInfo(client));
///     }
///     request
/// }
///
/// let app: Router = Router::new().layer(map_request(connect_info));
/// ```
#[derive(Clone, Debug)]
pub struct AsgiRequest {
    context: Context,
    send_timeout: Duration,
}

impl AsgiRequest {
    /// For a call that has a reply channel.
    pub(super) const fn new(context: Context, send_timeout: Duration) -> Self {
        Self {
            context,
            send_timeout,
        }
    }

    /// The call of the consumer that the service runs in: its channel layers and groups. As in
    /// any consumer, what is sent through it waits until the service has answered.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// The `http.request` message.
    #[must_use]
    pub fn message(&self) -> &Message {
        self.context.message()
    }

    /// Where the response goes, for a service that answers [later](super::ResponseLater).
    #[must_use]
    pub fn reply_channel(&self) -> HttpReplyChannel {
        let name = self.context.known_reply_channel();
        let name = name.expect("it is made for calls that have a reply channel, and only there");
        HttpReplyChannel::of(&self.context, name.clone()).send_timeout(self.send_timeout)
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.text("scheme").unwrap_or("http")
    }

    /// The path the application is mounted at, empty for `/`. The request's URI is what lies
    /// below it; put this in front of links.
    #[must_use]
    #[doc(alias = "script_name")]
    pub fn root_path(&self) -> &str {
        self.text("root_path").unwrap_or("")
    }

    /// The whole path, percent-decoded, with the part that is also in
    /// [`root_path`](Self::root_path).
    #[must_use]
    pub fn path(&self) -> &str {
        self.text("path").unwrap_or("/")
    }

    /// The remote end of the connection. None if the protocol server does not know it, as with a
    /// UNIX socket.
    #[must_use]
    pub fn client(&self) -> Option<Address> {
        self.address("client")
    }

    /// The local end of the connection.
    #[must_use]
    pub fn server(&self) -> Option<Address> {
        self.address("server")
    }

    /// [`client`](Self::client) if its host is an IP address.
    #[must_use]
    pub fn client_addr(&self) -> Option<std::net::SocketAddr> {
        let client = self.client()?;
        let ip: IpAddr = client.host.parse().ok()?;
        Some((ip, client.port).into())
    }

    fn text(&self, key: &str) -> Option<&str> {
        Some(self.message().opt_text(key).ok()??)
    }

    fn address(&self, key: &str) -> Option<Address> {
        Address::try_from(self.message().get(key)?).ok()
    }
}
