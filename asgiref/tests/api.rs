//! What users of the whole crate rely on: errors, thread safety, statistics as messages.

use std::error::Error as StdError;
use std::time::Duration;

use asgiref::config::{ChannelLayers, LayerConfigBuilder, LayerSettings, Options};
use asgiref::{
    Capacities, ChannelLayer, ChannelName, ChannelStatistics, Error, Glob, GlobalStatistics,
    GroupName, InMemoryChannelLayer, LayerConfig, Map, Message, Value, blocking, message, protocol,
};

#[test]
fn everything_crosses_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<Message>();
    crosses::<Map>();
    crosses::<Value>();
    crosses::<ChannelName>();
    crosses::<GroupName>();
    crosses::<Glob>();
    crosses::<Capacities>();
    crosses::<Error>();
    crosses::<LayerConfig>();
    crosses::<LayerConfigBuilder>();
    crosses::<LayerSettings>();
    crosses::<ChannelLayers>();
    crosses::<Options>();
    crosses::<InMemoryChannelLayer>();
    crosses::<Box<dyn ChannelLayer>>();
    crosses::<blocking::ChannelLayer>();
    crosses::<protocol::http::Request>();
    crosses::<protocol::websocket::Reply>();
}

#[test]
fn an_error_is_small_enough_to_be_returned() {
    assert!(size_of::<Error>() <= 80);
}

#[test]
fn no_text_appears_twice_in_a_chain_of_errors() {
    let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "port 6379 is closed");
    let error = Error::backend("Redis", refused);
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        texts.push(inner.to_string());
        cause = inner.source();
    }
    assert_eq!(texts, ["Redis channel layer failed", "port 6379 is closed"]);
}

#[test]
fn errors_are_of_one_style() {
    let errors = [
        Error::ChannelFull {
            channel: ChannelName::from_static("a"),
        },
        Error::MessageTooLarge { size: 2, limit: 1 },
        Error::MissingKey { key: "a".into() },
        Error::BlockingInAsync,
        Error::config("a", "b"),
        Error::invalid_message("a", "b"),
        message! { "a" => 1 }.text("a").unwrap_err(),
        ChannelName::new("a b").unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(text.starts_with(char::is_lowercase), "{text}");
        assert!(!text.ends_with('.'), "{text}");
    }
}

#[test]
fn statistics_have_the_keys_of_the_specification() {
    let mut channel = ChannelStatistics::default();
    channel.messages_count = 1;
    channel.messages_count_per_second = 2;
    channel.messages_pending = 3;
    channel.messages_max_age = Duration::from_millis(1500);
    channel.channel_full_count = u64::MAX;
    channel.channel_full_count_per_second = 5;
    assert_eq!(
        Message::from(&channel),
        message! {
            "messages_count" => 1, "messages_count_per_second" => 2, "messages_pending" => 3,
            "messages_max_age" => 1.5, "channel_full_count" => i64::MAX,
            "channel_full_count_per_second" => 5,
        }
    );
    assert_eq!(Message::from(&GlobalStatistics::default()).len(), 6);
}
