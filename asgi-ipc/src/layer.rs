//! The ASGI API: send, receive, new channel.
