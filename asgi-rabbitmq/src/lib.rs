//! A [RabbitMQ](https://www.rabbitmq.com) channel layer.
//!
//! For sites that already run RabbitMQ, as a single node or as a cluster.
//! Queues and message bodies are those of Python's `asgi_rabbitmq` 0.5, so that Python and Rust
//! processes exchange messages over one broker.
//!
//! # Status
//!
//! This version contains the crate's structure and the URL schemes it will answer to; it does
//! not contain a layer. Use [`asgiref::InMemoryChannelLayer`] within one process.
//!
//! # Structure
//!
//! The three backend crates mirror each other: a file of the same name does the same job in each.
//!
//! * `config`: the builder and what a URL or a TOML table may say; shares its vocabulary with
//!   every layer.
//! * `connection`: connections to the broker and how they are restored.
//! * `dead_letters`: what happens to messages that expire unread.
//! * `error`: the transport's own errors and what they become in [`asgiref::Error`].
//! * `flush`: the flush extension.
//! * `groups`: the groups extension.
//! * `layer`: the ASGI API: send, receive, new channel.
//! * `local`: normal channels in shared memory on this machine, the others in RabbitMQ.
//! * `statistics`: the statistics extension.
//! * `topology`: which queues and exchanges stand for channels and groups.
#![forbid(unsafe_code)]

mod config;
mod connection;
mod dead_letters;
mod error;
mod flush;
mod groups;
mod layer;
mod local;
mod statistics;
mod topology;

/// URL schemes that name this layer.
pub const SCHEMES: &[&str] = &["amqp", "amqps"];
