//! Capacities by pattern: what asgiref 1.1.2 matches, and that a pattern cannot do harm.

use asgiref::{Capacities, Error, Glob};
use proptest::prelude::*;
use serde_json::Value as Json;

fn vectors() -> Json {
    serde_json::from_str(include_str!("vectors/layers_capacity_patterns.json"))
        .expect("the file is JSON")
}

fn list(value: &Json) -> &Vec<Json> {
    value.as_array().expect("there is a list")
}

fn text(value: &Json) -> &str {
    value.as_str().expect("there is text")
}

fn number(value: &Json) -> usize {
    usize::try_from(value.as_u64().expect("there is a number")).expect("it is small")
}

/// All names that any pattern of this kind matches: what the recording was made with.
fn names<'a>(vectors: &'a Json, kind: &str) -> Vec<&'a str> {
    let mut names: Vec<&str> = list(&vectors[kind])
        .iter()
        .flat_map(|case| list(&case["matches"]))
        .map(text)
        .collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 5);
    names
}

#[test]
fn recorded_globs() {
    let vectors = vectors();
    for case in list(&vectors["globs"]) {
        let glob = Glob::new(text(&case["pattern"])).unwrap();
        for name in names(&vectors, "globs") {
            let expected = list(&case["matches"]).iter().any(|it| text(it) == name);
            assert_eq!(glob.matches(name), expected, "{glob} {name}");
        }
    }
}

#[test]
fn recorded_regexes() {
    let vectors = vectors();
    for case in list(&vectors["regexes"]) {
        let mut capacities = Capacities::new(1);
        capacities.regex(text(&case["regex"]), 2).unwrap();
        for name in names(&vectors, "regexes") {
            let expected = list(&case["matches"]).iter().any(|it| text(it) == name);
            assert_eq!(
                capacities.of(name) == 2,
                expected,
                "{} {name}",
                case["regex"]
            );
        }
    }
}

#[test]
fn recorded_first_match() {
    for case in list(&vectors()["first_match"]) {
        let mut capacities = Capacities::new(number(&case["default"]));
        for pair in list(&case["ordered_patterns"]) {
            capacities.glob(text(&pair[0]), number(&pair[1])).unwrap();
        }
        assert_eq!(
            capacities.of(text(&case["channel"])),
            number(&case["capacity"])
        );
    }
}

#[test]
fn recorded_example_of_the_documentation() {
    let vectors = vectors();
    let example = &vectors["readme_example"];
    let mut capacities = Capacities::new(number(&example["default"]));
    for pair in list(&example["patterns"]) {
        match text(&pair[0]).strip_prefix("re:") {
            Some(regex) => capacities.regex(regex, number(&pair[1])),
            None => capacities.glob(text(&pair[0]), number(&pair[1])),
        }
        .unwrap();
    }
    for result in list(&example["results"]) {
        assert_eq!(
            capacities.of(text(&result[0])),
            number(&result[1]),
            "{result}"
        );
    }
}

#[test]
fn defaults_to_a_hundred() {
    assert_eq!(Capacities::default().of("any"), 100);
}

#[test]
fn bad_patterns_are_errors_that_name_the_option_and_the_pattern() {
    let error = |pattern: &str| {
        let mut capacities = Capacities::default();
        let error = capacities.regex(pattern, 1).unwrap_err();
        assert!(matches!(&error, Error::Config { option, .. } if option == "channel_capacity"));
        error.to_string()
    };
    for pattern in ["(", "(?=a)", "a{1000}{1000}{1000}"] {
        assert!(error(pattern).contains(pattern));
    }
    let long = "a".repeat(1_000_000);
    assert!(error(&long).ends_with("a pattern of 1000000 bytes is longer than 1000"));
    assert!(Capacities::default().glob(&long, 1).is_err());
    assert!(Glob::new(&long).is_err());
}

proptest! {
    #[test]
    fn a_glob_without_special_characters_matches_itself_alone(name in "[^*?\\[]{0,20}", other in any::<String>()) {
        let glob = Glob::new(&name).unwrap();
        prop_assert!(glob.matches(&name));
        prop_assert_eq!(glob.matches(&other), name == other);
    }

    #[test]
    fn star_is_any_run(before in "[a-z.!]{0,10}", middle in any::<String>(), after in "[a-z.!]{0,10}") {
        let glob = Glob::new(&format!("{before}*{after}")).unwrap();
        let whole = format!("{before}{middle}{after}");
        prop_assert!(glob.matches(&whole));
    }

    #[test]
    fn no_pattern_panics(pattern in any::<String>(), name in any::<String>()) {
        let _ = Glob::new(&pattern).map(|glob| glob.matches(&name));
        let _ = Capacities::default().regex(&pattern, 1);
    }

    #[test]
    fn sets_hold_what_they_list(set in "[a-z^&~|-]{1,6}", name in "[a-z^&~|-]") {
        // A `-` in the middle makes a range, which is for the recorded cases.
        prop_assume!(!set.contains('-'));
        let glob = Glob::new(&format!("[{set}]")).unwrap();
        prop_assert_eq!(glob.matches(&name), set.contains(&name));
    }
}
