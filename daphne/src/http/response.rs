use asgiref::Message;
use bytes::Bytes;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SERVER,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Response, StatusCode};
use tracing::warn;

use super::body::ReplyBody;
use super::exchange::Exchange;
use super::pages::{self, Page};
use super::part::{Part, read_headers};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// The beginning of a response, ready to be written.
pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    content: Bytes,
    more: bool,
}

impl Answer {
    /// Makes it of the application's first message, with the emptied `headers` for its own.
    ///
    /// # Errors
    ///
    /// What is wrong with the message.
    pub(super) fn read(
        exchange: &Exchange,
        method: &Method,
        mut headers: HeaderMap,
        message: &Message,
    ) -> asgiref::Result<Self> {
        let part = Part::read(message)?;
        let Some(status) = part.status else {
            return Err(asgiref::Error::MissingKey {
                key: "status".to_owned(),
            });
        };
        if part.closed {
            return Err(asgiref::Error::invalid_message(
                "closed",
                "the response cannot be completed",
            ));
        }
        let has_body = *method != Method::HEAD
            && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);

        let mut length = Length::Absent;
        read_headers(message, |name, value| match name {
            CONTENT_LENGTH => length = length.and(&value),
            // How the response is framed is the server's business.
            TRANSFER_ENCODING | UPGRADE => {}
            CONNECTION => {
                if asks_to_close(&value) {
                    headers.insert(CONNECTION, CLOSE);
                }
            }
            name if name == KEEP_ALIVE || name == PROXY_CONNECTION => {}
            name => {
                headers.append(name, value);
            }
        })?;
        add_server(exchange, &mut headers);
        match length {
            Length::Absent if *method == Method::HEAD => {
                // What a GET would have got, as far as it can be known.
                if !part.more_content && !part.content.is_empty() {
                    headers.insert(CONTENT_LENGTH, part.content.len().into());
                }
            }
            Length::Absent => {}
            _ if status == StatusCode::NO_CONTENT => {}
            Length::Known(length) if fits(length, &part, has_body) => {
                // The length of a body that is here is written by hyper.
                if !has_body || part.more_content {
                    headers.insert(CONTENT_LENGTH, length.into());
                }
            }
            Length::Known(_) | Length::Unusable => {
                // A wrong length would make the client wait for what never comes, or take the
                // rest for another response.
                warn!(
                    channel = %exchange.reply_channel(),
                    "the content-length of a response is not its length; left out"
                );
            }
        }
        Ok(Self {
            status,
            headers,
            content: if has_body { part.content } else { Bytes::new() },
            more: has_body && part.more_content,
        })
    }

    pub(super) fn into_response(self, mut exchange: Exchange) -> Response<ReplyBody> {
        exchange.set_status(self.status.as_u16());
        let body = if self.more {
            ReplyBody::stream(exchange, self.content)
        } else {
            ReplyBody::whole(exchange, self.content)
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// Makes a response of one of the server's own pages.
pub(super) fn page(mut exchange: Exchange, method: &Method, page: Page) -> Response<ReplyBody> {
    let html = page.html();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, pages::HTML);
    if page.closes {
        headers.insert(CONNECTION, CLOSE);
    }
    add_server(&exchange, &mut headers);
    exchange.set_status(page.status.as_u16());
    let content = if *method == Method::HEAD {
        headers.insert(CONTENT_LENGTH, html.len().into());
        Bytes::new()
    } else {
        html.into()
    };
    let mut response = Response::new(ReplyBody::whole(exchange, content));
    *response.status_mut() = page.status;
    *response.headers_mut() = headers;
    response
}

fn add_server(exchange: &Exchange, headers: &mut HeaderMap) {
    if let Some(name) = &exchange.connection().shared.options.server_name
        && !headers.contains_key(SERVER)
    {
        headers.insert(SERVER, name.clone());
    }
}

fn asks_to_close(value: &HeaderValue) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// What the application says about the length of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Absent,
    Known(u64),
    /// Not a number, or several different ones.
    Unusable,
}

impl Length {
    fn and(self, value: &HeaderValue) -> Self {
        let digits = value.as_bytes();
        let number = std::str::from_utf8(digits)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok());
        match (self, number) {
            (Self::Absent, Some(number)) => Self::Known(number),
            (Self::Known(known), Some(number)) if known == number => self,
            _ => Self::Unusable,
        }
    }
}

/// Whether a response can have the length its header says, as far as it can be known.
fn fits(length: u64, part: &Part, has_body: bool) -> bool {
    !has_body || part.more_content || length == part.content.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_lengths_must_agree() {
        let value = HeaderValue::from_static;
        let one = Length::Absent.and(&value("5"));
        assert_eq!(one, Length::Known(5));
        assert_eq!(one.and(&value("5")), Length::Known(5));
        assert_eq!(one.and(&value("6")), Length::Unusable);
        for text in ["", "-1", "+1", "1,1", "abc", "99999999999999999999"] {
            let length = Length::Absent.and(&value(text));
            assert!(matches!(length, Length::Unusable), "{text}: {length:?}");
        }
    }

    #[test]
    fn only_the_token_close_closes() {
        for (text, closes) in [
            ("close", true),
            ("Keep-Alive, Close", true),
            ("keep-alive", false),
            ("closed", false),
        ] {
            assert_eq!(
                asks_to_close(&HeaderValue::from_static(text)),
                closes,
                "{text}"
            );
        }
    }
}
