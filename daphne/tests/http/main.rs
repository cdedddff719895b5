//! HTTP/1.1 through the server: bytes at one end, messages at the other.

#[path = "../support/mod.rs"]
mod support;

mod connection;
mod gone;
mod malformed;
mod refusals;
mod request;
mod response;
mod slow;
mod timeouts;
mod upload;

/// A request without a body.
fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

/// The head of a POST request with further header lines (`"Name: value"`).
fn post(path: &str, further: &[&str]) -> String {
    let mut head = format!("POST {path} HTTP/1.1\r\nHost: a.example\r\n");
    for line in further {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head
}
