use asgiref::ChannelName;
use asgiref::protocol::http;
use bytes::Bytes;
use bytestring::ByteString;
use hyper::http::request::Parts;
use hyper::{Method, Version};

use crate::connection::Connection;
use crate::head::Head;

use super::pages::Page;

/// Translates a request, but for its body.
///
/// # Errors
///
/// The page to answer with if the request breaks a rule.
pub(super) fn translate(
    connection: &Connection,
    parts: &Parts,
    reply_channel: ChannelName,
) -> Result<http::Request, Page> {
    let head = Head::read(connection, parts)?;
    Ok(http::Request {
        reply_channel,
        http_version: http_version(parts.version),
        method: method_text(&parts.method),
        scheme: ByteString::from_static(if head.is_secure { "https" } else { "http" }),
        path: head.path,
        query_string: head.query_string,
        root_path: head.root_path,
        headers: head.headers,
        body: Bytes::new(),
        body_channel: None,
        client: head.client,
        server: connection.server.clone(),
    })
}

/// The method as text; shared for the usual ones.
pub(super) fn method_text(method: &Method) -> ByteString {
    macro_rules! text {
        ($($known:ident)*) => {
            match *method {
                $(Method::$known => ByteString::from_static(stringify!($known)),)*
                _ => method.as_str().into(),
            }
        };
    }
    text!(GET POST PUT DELETE HEAD OPTIONS PATCH TRACE)
}

fn http_version(version: Version) -> ByteString {
    ByteString::from_static(match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    })
}
