//! Requests to messages, messages to responses.

mod body;
mod exchange;
mod pace;
pub(crate) mod pages;
mod part;
mod request;
mod request_body;
mod response;
mod serve;
mod upload;

pub(crate) use body::ReplyBody;
pub(crate) use serve::serve;
