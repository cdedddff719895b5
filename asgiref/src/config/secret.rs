//! Keeping passwords and keys out of texts.

use std::borrow::Cow;

/// What stands for something that must not be shown.
pub(super) const HIDDEN: &str = "***";

/// Whether the value of the option `key` must not be shown.
pub(super) fn is_secret(key: &str) -> bool {
    ["password", "secret", "token", "key"]
        .iter()
        .any(|word| key.contains(word))
}

/// `text` without the password, if it is a URL that has one.
pub(super) fn without_password(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Cow::Borrowed(text);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let Some((user, host)) = authority.rsplit_once('@') else {
        return Cow::Borrowed(text);
    };
    match user.split_once(':') {
        Some((name, _)) => Cow::Owned(format!("{scheme}://{name}:{HIDDEN}@{host}{path}")),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_hidden() {
        for (text, expected) in [
            ("redis://a:b@h:1/0", "redis://a:***@h:1/0"),
            ("redis://:b@h/0", "redis://:***@h/0"),
            ("redis://a:b@c@h", "redis://a:***@h"),
            ("redis://a@h/0", "redis://a@h/0"),
            ("redis://h/0?a=b@c:d", "redis://h/0?a=b@c:d"),
            ("a:b@c", "a:b@c"),
        ] {
            assert_eq!(without_password(text), expected);
        }
    }

    #[test]
    fn secret_options() {
        assert!(is_secret("symmetric_encryption_keys"));
        assert!(is_secret("password"));
        assert!(!is_secret("prefix"));
        assert!(!is_secret("capacity"));
    }
}
