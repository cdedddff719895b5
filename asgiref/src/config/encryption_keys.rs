//! The option `symmetric_encryption_keys`.

use std::fmt;

use super::{LayerConfig, Options};
use crate::Result;
use crate::codec::Codec;

/// The secrets that a layer encrypts its messages with, for layers that keep them outside the
/// process: the option `symmetric_encryption_keys`.
///
/// The first encrypts, any of them decrypts, so that they can be changed while processes run.
/// Without any, messages are not encrypted. They are not shown by `Debug`.
///
/// ```
/// use asgiref::LayerConfig;
/// use asgiref::config::EncryptionKeys;
///
/// let keys = EncryptionKeys::default();
/// let codec = keys.codec(&LayerConfig::default())?;
/// # let _ = codec;
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct EncryptionKeys(Vec<Vec<u8>>);

impl EncryptionKeys {
    /// Takes the option out of `options`; no keys if it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) if it is not a list of texts.
    pub fn take_from(options: &mut Options) -> Result<Self> {
        let keys = options.take_texts("symmetric_encryption_keys")?;
        Ok(keys.into_iter().flatten().collect())
    }

    /// The codec that messages go through.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) if a key cannot be used, or if there are keys and
    /// the feature `encryption` is off.
    pub fn codec(&self, config: &LayerConfig) -> Result<Codec> {
        if self.0.is_empty() {
            return Ok(Codec::new());
        }
        self.encrypting(config)
    }

    #[cfg(feature = "encryption")]
    fn encrypting(&self, config: &LayerConfig) -> Result<Codec> {
        let encryption = crate::crypto::Encryption::new(&self.0, config.message_expiry())?;
        Ok(Codec::new().encryption(encryption))
    }

    #[cfg(not(feature = "encryption"))]
    #[expect(
        clippy::unused_self,
        reason = "the keys are used where there is the feature"
    )]
    fn encrypting(&self, _config: &LayerConfig) -> Result<Codec> {
        Err(crate::Error::config(
            "symmetric_encryption_keys",
            "needs the feature `encryption`, which this build does not have",
        ))
    }
}

impl<K: AsRef<[u8]>> FromIterator<K> for EncryptionKeys {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| key.as_ref().to_vec()).collect())
    }
}

impl fmt::Debug for EncryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_shown() {
        let keys: EncryptionKeys = ["hush", "hush too"].into_iter().collect();
        assert_eq!(format!("{keys:?}"), "2 keys");
    }
}
