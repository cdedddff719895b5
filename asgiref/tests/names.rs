//! Channel and group names: the verdicts of asgiref 1.1.2 on its recorded names, and our rules.

use asgiref::{ChannelKind, ChannelName, ChannelPattern, Error, GroupName, MAX_NAME_LENGTH};
use proptest::prelude::*;
use serde_json::Value as Json;

/// Names the original accepts and we refuse, or the other way round, and why.
fn deviation(name: &str) -> Option<&'static str> {
    if name.len() >= 100 && name.len() <= MAX_NAME_LENGTH {
        return Some("the specification asks for at least 100 bytes; the original stops at 99");
    }
    if name.ends_with('\n') {
        return Some("the original's pattern engine tolerates one trailing newline");
    }
    if !name.is_ascii() {
        return Some("the specification allows ASCII; the original's engine knows other letters");
    }
    None
}

#[test]
fn recorded_verdicts() {
    let vectors: Json = serde_json::from_str(include_str!("vectors/layers_name_validation.json"))
        .expect("the file is JSON");
    let names = vectors["names"]
        .as_array()
        .expect("there is a list of names");
    assert!(names.len() >= 40);
    let mut deviations = 0;
    for case in names {
        let name = case["name"].as_str().expect("a name is text");
        let expected = |operation: &str| case[operation]["ok"].as_bool().unwrap_or(false);
        let channel = ChannelName::new(name);
        let verdicts = [
            ("send", channel.is_ok()),
            (
                "receive",
                channel
                    .as_ref()
                    .is_ok_and(|name| name.check_receivable().is_ok()),
            ),
            ("group", GroupName::new(name).is_ok()),
        ];
        let different: Vec<&str> = verdicts
            .iter()
            .filter(|(operation, verdict)| *verdict != expected(operation))
            .map(|(operation, _)| *operation)
            .collect();
        match deviation(name) {
            None => assert!(different.is_empty(), "{name:?}: {different:?}"),
            Some(_) => deviations += different.len(),
        }
        if let Ok(channel) = channel {
            assert_eq!(
                channel.non_local(),
                case["non_local_name"].as_str().unwrap()
            );
        }
    }
    // Each reason above is needed: 100 and 101 characters, newlines, foreign digits and letters.
    assert_eq!(deviations, 20);
}

#[test]
fn kinds_and_parts() {
    let name = |text: &str| ChannelName::new(text).unwrap();
    let normal = name("http.request");
    assert_eq!(normal.kind(), ChannelKind::Normal);
    assert_eq!(
        (normal.non_local(), normal.local_part()),
        ("http.request", None)
    );
    let single = name("http.request.body?abc");
    assert_eq!(single.kind(), ChannelKind::SingleReader);
    assert_eq!(
        (single.non_local(), single.local_part()),
        ("http.request.body?abc", None)
    );
    let process = name("http.response.AbC!XyZ");
    assert_eq!(process.kind(), ChannelKind::ProcessSpecific);
    assert_eq!(
        (process.non_local(), process.local_part()),
        ("http.response.AbC!", Some("XyZ"))
    );
    let whole = process.to_non_local();
    assert_eq!(whole, "http.response.AbC!");
    assert_eq!(
        (whole.non_local(), whole.local_part()),
        ("http.response.AbC!", Some(""))
    );
    assert_eq!(whole.with_local_part("XyZ").unwrap(), process);
    assert!(whole.with_local_part("X!Z").is_err());
    assert!(normal.with_local_part("XyZ").is_err());
}

#[test]
fn receive_takes_process_specific_names_without_local_part() {
    for (name, receivable) in [("a", true), ("a?b", true), ("a!", true), ("a!b", false)] {
        let name = ChannelName::new(name).unwrap();
        assert_eq!(name.check_receivable().is_ok(), receivable, "{name}");
    }
}

#[test]
fn lengths_up_to_199_bytes() {
    let of_length = |length| "a".repeat(length);
    assert!(ChannelName::new(of_length(1)).is_ok());
    assert!(ChannelName::new(of_length(199)).is_ok());
    assert!(ChannelName::new(of_length(200)).is_err());
    assert!(GroupName::new(of_length(199)).is_ok());
    assert!(GroupName::new(of_length(200)).is_err());
    assert!(GroupName::new("").is_err());
}

#[test]
fn errors_say_what_is_wrong_and_are_short() {
    let message = |name: &str| ChannelName::new(name).unwrap_err().to_string();
    assert_eq!(
        message("a b"),
        "invalid channel name \"a b\": only ASCII letters, digits, `.`, `-` and `_` are allowed"
    );
    assert!(message("a!b!c").ends_with("it has more than one `?` or `!`"));
    assert!(message("a?").ends_with("a single-reader name needs something after the `?`"));
    assert!(message("!a").ends_with("something must come before the `?` or `!`"));
    assert!(message("").ends_with("it is empty"));
    assert!(message(&"é".repeat(1_000_000)).len() < 300);
    assert!(matches!(
        GroupName::new("a!"),
        Err(Error::InvalidName { what: "group", .. })
    ));
}

#[test]
fn patterns_end_in_a_type_character() {
    for good in ["http.request.body?", "http.response!", "a!"] {
        let pattern = ChannelPattern::new(good).unwrap();
        let name = pattern.generate();
        assert!(name.as_str().starts_with(good));
        assert!(name.as_str().len() > good.len());
        assert_eq!(name.kind(), pattern.kind());
        assert_eq!(ChannelName::new(name.as_str()).unwrap().kind(), name.kind());
        assert_ne!(pattern.generate(), name);
    }
    for bad in ["", "a", "?", "!", "a?b", "a!!", "a?!", "a b?", "é?"] {
        assert!(ChannelPattern::new(bad).is_err(), "{bad:?}");
    }
    let longest = format!("{}!", "a".repeat(182));
    assert_eq!(
        ChannelPattern::new(longest)
            .unwrap()
            .generate()
            .as_str()
            .len(),
        199
    );
    assert!(ChannelPattern::new(format!("{}!", "a".repeat(183))).is_err());
}

#[test]
fn generated_names_are_accepted_by_python_peers() {
    let pattern = ChannelPattern::from_static("daphne.response.AbCdEfGhIj!");
    assert!(pattern.generate().as_str().len() < 100);
}

#[test]
fn names_behave_as_their_text() {
    let name = ChannelName::new("a.b").unwrap();
    assert_eq!(name, "a.b");
    assert_eq!("a.b", name);
    assert_eq!(name, "a.b".to_owned());
    assert_eq!(name.to_string(), "a.b");
    assert_eq!(format!("{name:?} {name:>5}"), "\"a.b\"   a.b");
    assert_eq!("a.b".parse::<ChannelName>().unwrap(), name);
    assert!(name < ChannelName::new("a.c").unwrap());
    let set = std::collections::HashSet::from([name]);
    assert!(set.contains("a.b"));
}

proptest! {
    #[test]
    fn what_the_rule_describes_is_accepted(name in "[A-Za-z0-9._-]{1,60}([?][A-Za-z0-9._-]{1,60}|![A-Za-z0-9._-]{0,60})?") {
        let channel = ChannelName::new(name.as_str()).unwrap();
        prop_assert_eq!(channel.as_str(), name.as_str());
        prop_assert_eq!(GroupName::new(name.as_str()).is_ok(), channel.kind() == ChannelKind::Normal);
        let whole: String = [channel.non_local(), channel.local_part().unwrap_or("")].concat();
        prop_assert_eq!(whole, name);
    }

    #[test]
    fn what_has_another_character_is_refused(
        before in "[a-z]{0,5}",
        other in "[^A-Za-z0-9._?!-]",
        after in "[a-z]{0,5}",
    ) {
        let name = format!("{before}{other}{after}");
        prop_assert!(ChannelName::new(name.as_str()).is_err());
        prop_assert!(GroupName::new(name).is_err());
    }

    #[test]
    fn no_text_panics(name in any::<String>()) {
        let _ = ChannelName::new(name.as_str());
        let _ = GroupName::new(name.as_str());
        let _ = ChannelPattern::new(name);
    }
}
