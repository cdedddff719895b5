use std::collections::HashSet;

use asgiref::{ChannelKind, ChannelName, ChannelPattern, message};

use crate::client::{client, clients};
use crate::harness::Harness;

/// A pattern ending in `?` gives a single-reader name that begins with the pattern; what is sent
/// to one such name is not received from another ([ASGI: Specification Details]). Python:
/// `test_new_channel_single_reader`.
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn new_channel_single_reader<H: Harness>(h: &H) {
    let client = client(h).await;
    let first = client.new_channel("fresh.pattern?").await;
    expect_made_from("fresh.pattern?", &first);
    let message = message! { "value" => "v1" };
    client.send(first.as_str(), message.clone()).await;
    let second = client.new_channel("fresh.pattern?").await;
    assert_ne!(first, second, "a name in use must not be made again");
    let rule = "nothing was sent to the second name";
    client.expect_nothing(&[second.as_str()], rule).await;
    let both = [first.as_str(), second.as_str()];
    let rule = "the message sent to the first name comes from it";
    client.expect(&both, first.as_str(), &message, rule).await;
}

/// A pattern ending in `!` gives a process-specific name; who made it receives from it, others
/// send to it ([ASGI: Specification Details]).
///
/// The Python layers refuse such patterns; the specification does not.
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn new_channel_process_specific<H: Harness>(h: &H) {
    let [owner, other] = clients(h).await;
    let made = owner.new_channel("fresh.process!").await;
    expect_made_from("fresh.process!", &made);
    let message = message! { "value" => "v1" };
    other.send(made.as_str(), message.clone()).await;
    let rule = "the maker of a process-specific name receives from it";
    owner
        .expect(&[made.non_local()], made.as_str(), &message, rule)
        .await;
}

/// Any pattern works, from the shortest to the longest, and those that are none are refused
/// ([ASGI: Specification Details]). Python: `test_new_channel_failures`.
///
/// Patterns without `?` or `!` at the end are refused when a [`ChannelPattern`] is made, so no
/// layer can meet them.
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn new_channel_patterns<H: Harness>(h: &H) {
    for text in [
        "fresh.pattern",
        "?",
        "!",
        "",
        "fresh?tail",
        "fresh!tail",
        "a b?",
        "a??",
    ] {
        assert!(ChannelPattern::new(text).is_err(), "{text:?} is no pattern");
    }
    let client = client(h).await;
    let longest = "p".repeat(182);
    for text in ["a?", "a!", "http.request.body?", "0.-_?"] {
        let made = client.new_channel(text).await;
        expect_made_from(text, &made);
        assert!(
            made.as_str().len() < 100,
            "a name made from a short pattern stays below 100 bytes: {made}"
        );
    }
    for kind in ['?', '!'] {
        let text = format!("{longest}{kind}");
        expect_made_from(&text, &client.new_channel(&text).await);
    }
}

/// Names made at the same time, by one client or by several, all differ ([ASGI: Specification
/// Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn new_channel_is_unique<H: Harness>(h: &H) {
    const EACH: usize = 250;
    let makers = clients::<H, 4>(h).await.map(|client| {
        tokio::spawn(async move {
            let mut made = Vec::with_capacity(EACH);
            for _ in 0..EACH {
                made.push(client.new_channel("unique?").await);
            }
            made
        })
    });
    let mut all = HashSet::new();
    for maker in makers {
        let made = maker
            .await
            .unwrap_or_else(|error| panic!("new_channel must work for several clients: {error}"));
        for name in made {
            expect_made_from("unique?", &name);
            assert!(all.insert(name.clone()), "the name {name} was made twice");
        }
    }
}

fn expect_made_from(pattern: &str, name: &ChannelName) {
    let kind = if pattern.ends_with('!') {
        ChannelKind::ProcessSpecific
    } else {
        ChannelKind::SingleReader
    };
    assert_eq!(
        name.kind(),
        kind,
        "{name} is of the kind {pattern:?} asks for"
    );
    assert!(
        name.as_str().starts_with(pattern) && name.as_str().len() > pattern.len(),
        "a new name is the pattern and something after it, {name} is not {pattern:?} and more"
    );
}
