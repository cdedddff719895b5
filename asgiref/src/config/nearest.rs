/// Which of `known` is most like `word`, if any is like enough to have been meant.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(MAX_COMPARED).collect();
    // Up to a third of the letters may be wrong.
    let tolerated = (word.len() / 3).max(1);
    known
        .iter()
        .map(|candidate| (distance(&word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters of a word that are looked at: no option's name is longer.
const MAX_COMPARED: usize = 64;

/// How many letters must be added, removed or replaced to turn `word` into `other`.
fn distance(word: &[char], other: &str) -> usize {
    // `row[at]`: the distance of what was read of `other` from the first `at` letters of `word`.
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (line, letter) in other.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for at in 1..row.len() {
            let replaced = diagonal + usize::from(word[at - 1] != letter);
            diagonal = row[at];
            row[at] = replaced.min(row[at] + 1).min(row[at - 1] + 1);
        }
    }
    row[word.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_found() {
        let known = [
            "capacity",
            "channel_capacity",
            "expiry",
            "group_expiry",
            "prefix",
            "db",
        ];
        for (word, expected) in [
            ("capcity", Some("capacity")),
            ("Capacity", Some("capacity")),
            ("channel-capacity", Some("channel_capacity")),
            ("groupexpiry", Some("group_expiry")),
            ("prefx", Some("prefix")),
            ("b", Some("db")),
            ("something_else", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(1_000_000), &known), None);
    }
}
