//! What the three types have in common.

/// The traits of a name: it behaves as its text.
macro_rules! text_traits {
    ($type:ident) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.as_str() == other.as_str()
            }
        }

        impl Eq for $type {}

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl PartialEq<String> for $type {
            fn eq(&self, other: &String) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<$type> for str {
            fn eq(&self, other: &$type) -> bool {
                self == other.as_str()
            }
        }

        impl PartialEq<$type> for &str {
            fn eq(&self, other: &$type) -> bool {
                *self == other.as_str()
            }
        }

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $type {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.as_str().cmp(other.as_str())
            }
        }

        // Hashes as `str` does, so that a map keyed by names can be asked with a `&str`.
        impl std::hash::Hash for $type {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::Error;

            fn from_str(text: &str) -> $crate::Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $type {
            type Error = $crate::Error;

            fn try_from(text: &str) -> $crate::Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = $crate::Error;

            fn try_from(text: String) -> $crate::Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<bytestring::ByteString> for $type {
            type Error = $crate::Error;

            fn try_from(text: bytestring::ByteString) -> $crate::Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<&String> for $type {
            type Error = $crate::Error;

            fn try_from(text: &String) -> $crate::Result<Self> {
                Self::new(text.as_str())
            }
        }

        impl TryFrom<&bytestring::ByteString> for $type {
            type Error = $crate::Error;

            fn try_from(text: &bytestring::ByteString) -> $crate::Result<Self> {
                Self::new(text.clone())
            }
        }

        impl From<&$type> for $type {
            fn from(name: &$type) -> Self {
                name.clone()
            }
        }

        impl From<&$type> for bytestring::ByteString {
            fn from(name: &$type) -> Self {
                name.text.clone()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.text.into()
            }
        }

        impl From<$type> for bytestring::ByteString {
            fn from(name: $type) -> Self {
                name.text
            }
        }
    };
}

pub(super) use text_traits;
