//! The URI a service sees, made from a message's decoded `path` and raw `query_string`.

use std::borrow::Cow;

use asgiref::{ByteString, Bytes};
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode, utf8_percent_encode};

use super::error::RequestError;

/// What may not stand in a path segment as it is ([RFC 3986], `pchar`), `/` apart. Bytes beyond
/// ASCII are always encoded.
///
/// [RFC 3986]: https://www.rfc-editor.org/rfc/rfc3986#section-3.3
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What [`http::Uri`] refuses in a query, and `#`, where it would cut the query off. The query is
/// in its encoded form already, so `%` stays.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

/// The longest target [`http::Uri`] carries, in bytes.
const LONGEST_TARGET: usize = u16::MAX as usize - 1;

/// The part of `path` below the mount point `root_path`, or all of it when it lies elsewhere.
///
/// The mount point ends where a segment ends: `/app` contains `/app` and `/app/x`, not `/apple`.
pub(super) fn below_root<'a>(path: &'a str, root_path: &str) -> &'a str {
    match path.strip_prefix(root_path.trim_end_matches('/')) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

/// Path (below `root_path`, percent-encoded) and query of a request.
///
/// Shares the message's memory if there is nothing to encode and no query.
///
/// # Errors
///
/// [`RequestError::Path`], [`RequestError::Query`], [`RequestError::TargetTooLong`].
pub(super) fn request_target(
    path: &ByteString,
    root_path: &str,
    query: &[u8],
) -> Result<PathAndQuery, RequestError> {
    let below = match below_root(path, root_path) {
        "" => "/",
        below => below,
    };
    if !below.starts_with('/') && below != "*" {
        return Err(RequestError::Path);
    }
    // `*` is what `OPTIONS *` asks for; it takes no query.
    let encoded = Cow::from(utf8_percent_encode(below, PATH));
    let target = if query.is_empty() {
        match encoded {
            Cow::Borrowed("/") => return Ok(PathAndQuery::from_static("/")),
            Cow::Borrowed(plain) => path.slice_ref(plain).into_bytes(),
            Cow::Owned(encoded) => Bytes::from(encoded),
        }
    } else {
        let query = encode_query(query)?;
        let mut target = String::with_capacity(encoded.len() + 1 + query.len());
        target.push_str(&encoded);
        target.push('?');
        target.push_str(&query);
        Bytes::from(target)
    };
    if target.len() > LONGEST_TARGET {
        return Err(RequestError::TargetTooLong { size: target.len() });
    }
    PathAndQuery::from_maybe_shared(target).map_err(|_| RequestError::Path)
}

/// The query as text; bytes a URI may not hold are percent-encoded, so a service that decodes the
/// query sees exactly what the client sent.
fn encode_query(query: &[u8]) -> Result<Cow<'_, str>, RequestError> {
    std::str::from_utf8(query).map_err(RequestError::Query)?;
    Ok(Cow::from(percent_encode(query, QUERY)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &'static str, root_path: &str, query: &'static str) -> String {
        request_target(&ByteString::from_static(path), root_path, query.as_bytes())
            .expect("a valid target")
            .to_string()
    }

    #[test]
    fn the_mount_point_is_cut_at_a_segment_boundary() {
        for (path, root_path, below) in [
            ("/app/x", "/app", "/x"),
            ("/app/x", "/app/", "/x"),
            ("/app/", "/app", "/"),
            ("/app", "/app", ""),
            ("/apple", "/app", "/apple"),
            ("/x", "/app", "/x"),
            ("/x", "", "/x"),
            ("/x", "/", "/x"),
            ("/a/b/c", "/a/b", "/c"),
        ] {
            assert_eq!(
                below_root(path, root_path),
                below,
                "{path} below {root_path:?}"
            );
        }
    }

    #[test]
    fn the_path_is_encoded_again() {
        assert_eq!(target("/te st-à/", "", ""), "/te%20st-%C3%A0/");
        assert_eq!(target("/100%/?a#b", "", ""), "/100%25/%3Fa%23b");
        assert_eq!(target("/a:@!$&'()*+,;=~-._", "", ""), "/a:@!$&'()*+,;=~-._");
        assert_eq!(target("/app", "/app", ""), "/");
        assert_eq!(target("", "", ""), "/");
        assert_eq!(target("*", "", ""), "*");
        assert_eq!(target("//a/../b", "", ""), "//a/../b");
    }

    #[test]
    fn a_plain_path_is_not_copied() {
        let path = ByteString::from(String::from("/app/some/where"));
        let target = request_target(&path, "/app", b"").expect("valid");
        assert_eq!(
            target.as_str().as_ptr(),
            path["/app".len()..].as_ptr(),
            "the target lies in the message's own memory"
        );
    }

    #[test]
    fn the_query_keeps_what_a_uri_can_hold() {
        assert_eq!(
            target("/", "", "a=%26x+y&b=?/:@{}|"),
            "/?a=%26x+y&b=?/:@{}|"
        );
        assert_eq!(target("/é", "", "a"), "/%C3%A9?a");
        assert_eq!(target("/", "", "a=<b> \"#é"), "/?a=%3Cb%3E%20%22%23%C3%A9");
    }

    #[test]
    fn what_is_no_target_is_refused() {
        let refused = |path: &'static str, query: &'static [u8]| {
            request_target(&ByteString::from_static(path), "", query).expect_err("not a target")
        };
        assert!(matches!(refused("x", b""), RequestError::Path));
        assert!(matches!(refused("http://a/x", b""), RequestError::Path));
        assert!(matches!(refused("*", b"a"), RequestError::Path));
        assert!(matches!(refused("/", b"\xff"), RequestError::Query(_)));
        let long = ByteString::from(format!("/{}", "x".repeat(LONGEST_TARGET)));
        assert!(matches!(
            request_target(&long, "", b""),
            Err(RequestError::TargetTooLong { size: 65535 })
        ));
    }
}
