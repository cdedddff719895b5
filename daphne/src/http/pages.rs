//! The pages a server answers with by itself.

use hyper::StatusCode;
use hyper::header::HeaderValue;

/// The type of all pages.
pub(crate) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// A status with the sentence that explains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) text: &'static str,
    /// Whether the connection is closed afterwards.
    pub(crate) closes: bool,
}

const fn page(status: StatusCode, text: &'static str) -> Page {
    Page {
        status,
        text,
        closes: false,
    }
}

const fn last_page(status: StatusCode, text: &'static str) -> Page {
    Page {
        status,
        text,
        closes: true,
    }
}

pub(crate) const BAD_PATH: Page = page(StatusCode::BAD_REQUEST, "Invalid characters in path.");
pub(crate) const BAD_HOST: Page = last_page(
    StatusCode::BAD_REQUEST,
    "The request needs exactly one Host header, which names a host.",
);
pub(crate) const AMBIGUOUS_LENGTH: Page = last_page(
    StatusCode::BAD_REQUEST,
    "The request has both a Content-Length and a Transfer-Encoding header.",
);
pub(crate) const BAD_ROOT_PATH: Page = page(
    StatusCode::BAD_REQUEST,
    "The Daphne-Root-Path header is not a path.",
);
pub(crate) const BAD_TARGET: Page = last_page(
    StatusCode::BAD_REQUEST,
    "The target of the request is neither a path nor a URL.",
);
pub(crate) const BAD_CODINGS: Page = last_page(
    StatusCode::BAD_REQUEST,
    "The Transfer-Encoding header names `chunked` more than once.",
);
pub(crate) const UNKNOWN_CODING: Page = last_page(
    StatusCode::NOT_IMPLEMENTED,
    "The only transfer coding this server knows is `chunked`.",
);
pub(crate) const NO_HTTP2: Page = last_page(
    StatusCode::HTTP_VERSION_NOT_SUPPORTED,
    "This server speaks version 1.1 of HTTP.",
);
pub(crate) const HEAD_TIMEOUT: Page = last_page(
    StatusCode::REQUEST_TIMEOUT,
    "The request did not arrive in time.",
);
pub(crate) const NO_CONNECT: Page = last_page(
    StatusCode::METHOD_NOT_ALLOWED,
    "This server is not a proxy.",
);
pub(crate) const BODY_TIMEOUT: Page = last_page(
    StatusCode::REQUEST_TIMEOUT,
    "The rest of the request did not arrive in time.",
);
pub(crate) const BODY_TOO_LARGE: Page = last_page(
    StatusCode::PAYLOAD_TOO_LARGE,
    "The request body is larger than this server accepts.",
);
pub(crate) const BAD_BODY: Page =
    last_page(StatusCode::BAD_REQUEST, "The request body is malformed.");
pub(crate) const FAILED: Page = page(
    StatusCode::INTERNAL_SERVER_ERROR,
    "The request could not be processed.",
);
pub(crate) const BAD_RESPONSE: Page = page(
    StatusCode::INTERNAL_SERVER_ERROR,
    "The application gave no usable response.",
);
pub(crate) const NO_LAYER: Page = page(
    StatusCode::SERVICE_UNAVAILABLE,
    "The request could not be passed on at the moment.",
);
// The specification asks for the connection to be closed.
pub(crate) const QUEUE_FULL: Page =
    last_page(StatusCode::SERVICE_UNAVAILABLE, "Request queue full.");
pub(crate) const NO_ANSWER: Page = page(
    StatusCode::SERVICE_UNAVAILABLE,
    "Worker server failed to respond within time limit.",
);

pub(crate) const ACCESS_DENIED: Page = last_page(
    StatusCode::FORBIDDEN,
    "The application did not accept the connection.",
);
pub(crate) const STOPPING: Page =
    last_page(StatusCode::SERVICE_UNAVAILABLE, "The server is stopping.");

/// The page for what the channel layer did not take, other than because it is full: a layer that
/// cannot be reached may be there again soon.
pub(crate) const fn not_taken(error: &asgiref::Error) -> Page {
    match error {
        asgiref::Error::Backend { .. } => NO_LAYER,
        _ => FAILED,
    }
}

impl Page {
    /// The page in HTML.
    pub(crate) fn html(&self) -> String {
        let Self { status, text, .. } = self;
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
             <title>{status}</title></head>\n<body>\n<h1>{status}</h1>\n<p>{text}</p>\n\
             <footer>Daphne</footer>\n</body>\n</html>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_its_status_and_says_what_happened() {
        let html = QUEUE_FULL.html();
        assert!(
            html.contains("<title>503 Service Unavailable</title>"),
            "{html}"
        );
        assert!(html.contains("Request queue full."), "{html}");
    }
}
