//! Configuration: the same words in builders, URLs and tables, and errors that help.

use std::time::Duration;

use asgiref::config::{ChannelLayers, Host, LayerSettings, Options};
use asgiref::{Error, InMemoryChannelLayer, LayerConfig, Map, Value};
use proptest::prelude::*;

fn settings(url: &str) -> LayerSettings {
    url.parse().unwrap()
}

/// The layer configuration of `url`, all of whose options must be known.
fn config(url: &str) -> LayerConfig {
    let mut options = settings(url).options().clone();
    let config = LayerConfig::from_options(&mut options).unwrap();
    options.finish().unwrap();
    config
}

#[track_caller]
fn refused<T>(result: Result<T, Error>, expected: &str) {
    match result {
        Ok(_) => panic!("must be refused: {expected}"),
        Err(error) => assert_eq!(
            error.to_string(),
            format!("configuration option {expected}")
        ),
    }
}

fn host(name: &str, port: Option<u16>) -> Host {
    Host {
        name: name.into(),
        port,
    }
}

#[test]
fn parts_of_a_url() {
    let all = settings("REDIS+Sentinel://us%40er:p%3Aw@h1:1,h2,[::1]:3/a%20b/c?x=1&y=%26");
    assert_eq!(all.scheme(), "redis+sentinel");
    assert_eq!(all.username(), Some("us@er"));
    assert_eq!(all.password(), Some("p:w"));
    assert_eq!(
        all.hosts(),
        [host("h1", Some(1)), host("h2", None), host("::1", Some(3))]
    );
    assert_eq!(all.path(), "/a b/c");
    let mut options = all.options().clone();
    assert_eq!(options.take_text("x").unwrap().as_deref(), Some("1"));
    assert_eq!(options.take_text("y").unwrap().as_deref(), Some("&"));
    options.finish().unwrap();

    let bare = settings("memory:");
    assert_eq!(
        (bare.scheme(), bare.hosts().len(), bare.path()),
        ("memory", 0, "")
    );
    assert_eq!(settings("ipc:name").path(), "name");
    assert_eq!(
        settings("redis+unix:///run/redis.sock").path(),
        "/run/redis.sock"
    );
    assert_eq!(settings("amqp://h/%2F").path(), "//");
    assert_eq!(settings("redis://:secret@h").password(), Some("secret"));
    assert_eq!(settings("redis://:secret@h").username(), None);
    assert_eq!(settings("redis://user@h").password(), None);
}

#[test]
fn what_is_no_url() {
    let parse = |url: &str| url.parse::<LayerSettings>();
    let scheme =
        "`url`: it must begin with a scheme and a colon, as in `memory:` or `redis://localhost`";
    for url in ["", "memory", ":x", "1a://h", "re dis://h", "\u{e9}://h"] {
        refused(parse(url), scheme);
    }
    refused(parse("redis://h#1"), "`url`: a `#` must be written `%23`");
    for url in [
        "redis://h:",
        "redis://h:x",
        "redis://h:65536",
        "redis://[::1]x",
        "redis://::1",
    ] {
        assert!(parse(url).is_err(), "{url}");
    }
    refused(parse("redis://h,"), "`url`: the name of a host is empty");
    refused(
        parse("redis://[::1"),
        "`url`: the `]` after an IPv6 address is missing",
    );
    refused(
        parse("redis://h/%ff"),
        "`url`: what is percent-encoded is not UTF-8",
    );
    refused(
        parse("memory:?capacity"),
        "`capacity`: needs a value, after a `=`",
    );
}

#[test]
fn layer_options_in_a_url() {
    let config = config(
        "memory:?expiry=500ms&group_expiry=2h&capacity=7\
         &channel_capacity=http.*:200&channel_capacity=re:^ws\\.(a|b)$:50&channel_capacity=*:9",
    );
    assert_eq!(config.message_expiry(), Duration::from_millis(500));
    assert_eq!(config.membership_expiry(), Duration::from_secs(7200));
    let capacities = config.capacities();
    assert_eq!(capacities.default_capacity(), 7);
    assert_eq!(capacities.of("http.request"), 200);
    assert_eq!(capacities.of("ws.a"), 50);
    assert_eq!(capacities.of("ws.c"), 9);
}

#[test]
fn defaults() {
    let config = config("memory:");
    assert_eq!(config.message_expiry(), Duration::from_secs(60));
    assert_eq!(config.membership_expiry(), Duration::from_secs(86_400));
    assert_eq!(config.capacities().of("any"), 100);
}

#[test]
fn bad_options_are_named() {
    let make = InMemoryChannelLayer::from_url;
    refused(
        make("memory:?capcity=1"),
        "`capcity`: is not known; did you mean `capacity`?",
    );
    refused(
        make("memory:?x=1"),
        "`x`: is not known; known are `expiry`, `group_expiry`, `capacity`, `channel_capacity`",
    );
    refused(
        make("memory:?capacity=many"),
        "`capacity`: must be a whole number",
    );
    refused(
        make("memory:?capacity=-1"),
        "`capacity`: -1 is out of range",
    );
    refused(
        make("memory:?capacity=1&capacity=2"),
        "`capacity`: must be a whole number",
    );
    refused(
        make("memory:?expiry=0"),
        "`expiry`: must be longer than zero seconds",
    );
    refused(
        make("memory:?group_expiry=1y"),
        "`group_expiry`: must be a number of seconds, or a number with one of the units `ms`, `s`, `m`, `h` and `d`",
    );
    refused(
        make("memory:?channel_capacity=http.*"),
        "`channel_capacity`: must be a pattern with a number, as in `http.*:200`",
    );
    assert!(make("memory:?channel_capacity=re:(:1").is_err());
    refused(
        make("redis://h"),
        "`url`: the scheme is `redis`, and must be `memory`",
    );
    refused(
        make("memory://host"),
        "`url`: `memory:` takes no user, host or path, only options after `?`",
    );
}

#[test]
fn layer_options_in_a_builder() {
    let build = || {
        InMemoryChannelLayer::builder()
            .expiry(Duration::from_secs(1))
            .group_expiry(Duration::from_secs(2))
            .capacity(3)
            .channel_capacity("http.*", 4)
            .channel_capacity("re:^ws", 5)
    };
    assert!(build().build().is_ok());
    refused(
        build().expiry(Duration::ZERO).build(),
        "`expiry`: must be longer than zero seconds",
    );
    let error = build()
        .channel_capacity("re:(", 1)
        .channel_capacity("re:[", 1)
        .build();
    assert!(error.unwrap_err().to_string().contains("pattern \"(\""));
    assert!(build().expiry(Duration::MAX).build().is_ok());
}

#[test]
fn tables() {
    let layers = ChannelLayers::from_toml(
        r#"
        [server]
        port = 8000

        [channel_layers.default]
        url = "redis://h1,h2/0?prefix=site:"
        password = "secret"
        expiry = "2m"
        group_expiry = 3600
        capacity = 50

        [channel_layers.default.channel_capacity]
        "z.*" = 1
        "a.*" = 2
        "*" = 3

        [channel_layers.pairs]
        backend = "memory"
        expiry = 0.5
        channel_capacity = [["z.*", 1], "re:^a:2", ["*", 3]]

        [channel_layers]
        short = "memory:?capacity=1"
        "#,
    )
    .unwrap();
    let names: Vec<&str> = layers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["default", "pairs", "short"]);

    let default = layers.require("default").unwrap();
    assert_eq!(default.hosts().len(), 2);
    assert_eq!(default.password(), Some("secret"));
    let mut options = default.options().clone();
    assert_eq!(
        options.take_text("prefix").unwrap().as_deref(),
        Some("site:")
    );
    let config = LayerConfig::from_options(&mut options).unwrap();
    options.finish().unwrap();
    assert_eq!(config.message_expiry(), Duration::from_secs(120));
    assert_eq!(config.membership_expiry(), Duration::from_secs(3600));
    assert_eq!(config.capacities().default_capacity(), 50);
    for (channel, capacity) in [("z.a", 1), ("a.z", 2), ("b", 3)] {
        assert_eq!(config.capacities().of(channel), capacity);
        let pairs = &mut layers.require("pairs").unwrap().options().clone();
        let pairs = LayerConfig::from_options(pairs).unwrap();
        assert_eq!(pairs.capacities().of(channel), capacity);
        assert_eq!(pairs.message_expiry(), Duration::from_millis(500));
    }
    for name in ["pairs", "short"] {
        InMemoryChannelLayer::from_settings(layers.require(name).unwrap()).unwrap();
    }
}

#[test]
fn bad_tables_are_named() {
    let read = ChannelLayers::from_toml;
    let make = |text: &str| {
        let layers = read(text)?;
        InMemoryChannelLayer::from_settings(layers.require("default")?)
    };
    let table = |text: &str| make(&format!("[channel_layers.default]\n{text}"));
    refused(
        make("[channel_layer.default]\nbackend = 'memory'"),
        "`channel_layer`: is not known; did you mean `channel_layers`?",
    );
    refused(
        table("backend = 'memory'\ncapcity = 1"),
        "`channel_layers.default.capcity`: is not known; did you mean `capacity`?",
    );
    refused(
        table("backend = 'memory'\ncapacity = 'x'"),
        "`channel_layers.default.capacity`: must be a whole number",
    );
    refused(
        table("backend = 'memory'\nexpiry = -1"),
        "`channel_layers.default.expiry`: must not be negative",
    );
    refused(
        table("backend = 'memory'\nexpiry = 0"),
        "`channel_layers.default.expiry`: must be longer than zero seconds",
    );
    refused(
        table(""),
        "`channel_layers.default.url`: is missing; `backend` may take its place",
    );
    refused(
        table("backend = 'memory'\nurl = 'memory:'"),
        "`channel_layers.default.backend`: is given by `url` already",
    );
    refused(
        table("capacity = 1\nurl = 'memory:?capacity=2'"),
        "`channel_layers.default.capacity`: is given by `url` already",
    );
    refused(
        table("url = 'nothing'"),
        "`channel_layers.default.url`: it must begin with a scheme and a colon, as in `memory:` or `redis://localhost`",
    );
    refused(
        table("url = 'amqp://h'"),
        "`channel_layers.default.url`: the scheme is `amqp`, and must be `memory`",
    );
    refused(
        table("url = 1"),
        "`channel_layers.default.url`: must be text",
    );
    refused(
        make("channel_layers = 1"),
        "`channel_layers`: must be a table of channel layers, not an integer",
    );
    refused(
        make("channel_layers.default = 1"),
        "`channel_layers.default`: must be a table or a URL, not an integer",
    );
    refused(
        make("[server]"),
        "`channel_layers.default`: is missing: there are no channel layers",
    );
    refused(
        make("channel_layers.other = 'memory:'"),
        "`channel_layers.default`: is missing; there is `other`",
    );
    let error = read("[channel_layers.default]\n  url = =")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("configuration option `channel_layers`: line 2, column "),
        "{error}"
    );
}

#[test]
fn secrets_are_not_shown() {
    let secret = "hunter2";
    let url = format!(
        "redis://user:{secret}@h/0?prefix=a&symmetric_encryption_keys={secret}&hosts=redis://u:{secret}@h2"
    );
    let from_url = settings(&url);
    let from_table = ChannelLayers::from_toml(&format!(
        "[channel_layers.a]\nurl = 'redis://h'\npassword = '{secret}'\n\
         symmetric_encryption_keys = ['{secret}']\nhosts = [['h', 1], 'redis://:{secret}@h2']"
    ))
    .unwrap();
    assert_eq!(
        from_url.to_string(),
        "redis://user:***@h/0?prefix=a&symmetric_encryption_keys=***&hosts=redis://u:***@h2"
    );
    for text in [
        format!("{from_url} {from_url:?} {:?}", from_url.options()),
        format!("{from_table:?}"),
    ] {
        assert!(!text.contains(secret), "{text}");
        assert!(text.contains("prefix") || text.contains("h2"), "{text}");
    }
}

#[test]
fn settings_from_any_format() {
    let read =
        |json: &str| serde_json::from_str::<LayerSettings>(json).map_err(|it| it.to_string());
    assert_eq!(
        read("\"memory:?capacity=1\"").unwrap(),
        settings("memory:?capacity=1")
    );
    assert_eq!(
        read(r#"{"backend": "memory"}"#).unwrap(),
        settings("memory:")
    );
    assert!(
        read("1")
            .unwrap_err()
            .contains("must be a URL or a table, not an integer")
    );
    let table = Map::from([("url", "memory:")]);
    assert_eq!(LayerSettings::try_from(table).unwrap(), settings("memory:"));
}

#[test]
fn typed_options() {
    let mut options = Options::from_iter([
        ("yes", Value::from("on")),
        ("no", false.into()),
        ("port", "6379".into()),
        ("list", ["a", "b"].into()),
        ("one", "a".into()),
        ("null", ().into()),
        ("wrong", 1.into()),
    ]);
    assert_eq!(options.take_bool("yes").unwrap(), Some(true));
    assert_eq!(options.take_bool("no").unwrap(), Some(false));
    assert_eq!(options.take_bool("absent").unwrap(), None);
    assert_eq!(options.take_integer::<u16>("port").unwrap(), Some(6379));
    assert_eq!(
        options.take_texts("list").unwrap(),
        Some(vec!["a".into(), "b".into()])
    );
    assert_eq!(options.take_texts("one").unwrap(), Some(vec!["a".into()]));
    assert_eq!(options.take_text("null").unwrap(), None);
    refused(options.clone().take_text("wrong"), "`wrong`: must be text");
    refused(
        options.clone().take_bool("wrong"),
        "`wrong`: must be `true` or `false`",
    );
    refused(
        options.clone().take_texts("wrong"),
        "`wrong`: must be a list of texts",
    );
    assert!(options.contains("wrong"));
    assert_eq!(options.take("wrong"), Some(Value::Int(1)));
    options.finish().unwrap();
}

proptest! {
    #[test]
    fn a_url_is_read_back_from_its_text_form(
        user in prop::option::of("[a-z@:/%é]{1,8}"),
        hosts in prop::collection::vec(("[a-z0-9.-]{1,10}", any::<Option<u16>>()), 1..4),
        path in "(/[a-z #?%é]{0,8}){0,2}",
        options in prop::collection::btree_map("[a-j]{1,5}", "[a-z&=#% é:]{0,8}", 0..5),
    ) {
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let mut url = "redis://".to_owned();
        if let Some(user) = &user {
            url += &format!("{}@", encode(user));
        }
        let names: Vec<String> = hosts
            .iter()
            .map(|(name, port)| host(name, *port).to_string())
            .collect();
        url += &names.join(",");
        url += &encode(&path).replace("%2F", "/");
        for (at, (option, value)) in options.iter().enumerate() {
            url += &format!("{}{option}={}", if at == 0 { '?' } else { '&' }, encode(value));
        }
        let first = settings(&url);
        prop_assert_eq!(first.username(), user.as_deref());
        prop_assert_eq!(first.path(), path);
        let mut left = first.options().clone();
        for (option, value) in options {
            let option: &'static str = option.leak();
            prop_assert_eq!(left.take_text(option).unwrap(), Some(value));
        }
        prop_assert_eq!(settings(&first.to_string()), first);
    }

    #[test]
    fn no_url_panics(url in any::<String>(), rest in "[a-z:/@?&=,%\\[\\]#0-9]{0,30}") {
        let _ = url.parse::<LayerSettings>().map(|settings| settings.to_string());
        let _ = format!("a:{rest}").parse::<LayerSettings>().map(|settings| settings.to_string());
    }

    #[test]
    fn no_toml_panics(text in "[a-z\\[\\]\"'=.\n 0-9{}]{0,60}") {
        let _ = ChannelLayers::from_toml(&text);
        let _ = ChannelLayers::from_toml(&format!("[channel_layers.a]\n{text}"));
    }
}
