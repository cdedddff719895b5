//! Requests to messages, messages to responses.

mod body;
mod exchange;
pub(crate) mod pages;
mod part;
mod request;
mod response;
mod serve;
mod upload;

pub(crate) use body::ReplyBody;
pub(crate) use serve::serve;
