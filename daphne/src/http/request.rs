use asgiref::protocol::http;
use bytes::Bytes;
use bytestring::ByteString;
use hyper::http::request::Parts;
use hyper::{Method, Version};

use crate::head::Head;

use super::exchange::Exchange;
use super::pages::Page;

/// Translates a request, but for its body.
///
/// # Errors
///
/// The page to answer with if the request breaks a rule.
pub(super) fn translate(exchange: &mut Exchange, parts: &Parts) -> Result<http::Request, Page> {
    let head = Head::read(exchange.connection(), parts)?;
    exchange.set_origin(&head);
    Ok(http::Request {
        reply_channel: exchange.reply_channel().clone(),
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
        server: exchange.connection().server.clone(),
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
