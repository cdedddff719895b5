//! Encryption of messages, for layers that store them outside the process.
//!
//! Messages become [Fernet] tokens: AES-128 in CBC mode, authenticated with HMAC-SHA256, with the
//! time they were written. This is what the Python layers of the ASGI draft do with the same
//! secrets. Only what is in a message is encrypted; the names of channels and groups are not.
//!
//! [Fernet]: https://github.com/fernet/spec/blob/master/Spec.md

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use fernet::Fernet;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// How much longer than a message lives its token is accepted, in seconds: clocks differ, and a
/// message may be received at its last moment.
const GRACE: u64 = 10;

/// How far a token's time may be in the future, in seconds, because clocks differ.
const MAX_CLOCK_SKEW: u64 = 60;

/// Bytes of a token beside the encrypted text: version, time, initialisation vector, signature.
const OVERHEAD: usize = 1 + 8 + 16 + 32;

/// The block size of AES in bytes; texts are padded to the next multiple.
const BLOCK: usize = 16;

/// Encrypts messages with the first of several secrets and decrypts with any of them.
///
/// To change a secret without losing messages, first add the new one behind the old one in every
/// process, then put it in front, then remove the old one.
///
/// ```
/// use std::time::Duration;
/// use asgiref::crypto::Encryption;
///
/// let before = Encryption::new(["first secret"], Duration::from_secs(60))?;
/// let after = Encryption::new(["second secret", "first secret"], Duration::from_secs(60))?;
///
/// let token = before.encrypt(b"hello");
/// assert_eq!(after.decrypt(&token)?, "hello");
/// assert!(before.decrypt(&after.encrypt(b"hello")).is_err());
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone)]
pub struct Encryption {
    first: Fernet,
    others: Vec<Fernet>,
    /// How old a token may be, in seconds.
    time_to_live: u64,
}

impl Encryption {
    /// Encryption with `secrets`, of any length and content, for messages that live as long as
    /// `expiry`. A token is accepted for ten seconds more.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is no secret, or an empty one.
    pub fn new<S: AsRef<[u8]>>(
        secrets: impl IntoIterator<Item = S>,
        expiry: Duration,
    ) -> Result<Self> {
        let mut keys = Vec::new();
        for secret in secrets {
            if secret.as_ref().is_empty() {
                return Err(Error::config(OPTION, "a key is empty"));
            }
            keys.push(key(secret.as_ref()));
        }
        let mut keys = keys.into_iter();
        let Some(first) = keys.next() else {
            return Err(Error::config(OPTION, "there is no key"));
        };
        let begun_second = u64::from(expiry.subsec_nanos() > 0);
        Ok(Self {
            first,
            others: keys.collect(),
            time_to_live: expiry.as_secs().saturating_add(begun_second + GRACE),
        })
    }

    /// The token of `plain`: ASCII text, by a third longer and 100 bytes.
    #[must_use]
    pub fn encrypt(&self, plain: &[u8]) -> Bytes {
        self.first.encrypt(plain).into()
    }

    /// What a token was made of.
    ///
    /// # Errors
    ///
    /// [`Error::Decrypt`] if it is not a token, was made with another secret, was altered, or is
    /// too old.
    pub fn decrypt(&self, token: &[u8]) -> Result<Bytes> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.decrypt_at(token, now.map_or(0, |now| now.as_secs()))
    }

    /// How large the token of `plain` bytes is.
    #[must_use]
    pub const fn encrypted_size(plain: usize) -> usize {
        let padded = (plain / BLOCK + 1) * BLOCK;
        (OVERHEAD + padded).div_ceil(3) * 4
    }

    /// `now` is in seconds of Unix time.
    fn decrypt_at(&self, token: &[u8], now: u64) -> Result<Bytes> {
        let not_encrypted = || {
            refused(
                "it is not encrypted, or cut off; every process needs the same `symmetric_encryption_keys`",
            )
        };
        let token = str::from_utf8(token).map_err(|_| not_encrypted())?;
        let time = time_of(token).ok_or_else(not_encrypted)?;
        // The times are compared here because the other crate's sum of a token's time and its
        // time to live can overflow, and before anyone has vouched for the token.
        if now > time.saturating_add(self.time_to_live) {
            return Err(refused("it is older than messages live"));
        }
        if time > now.saturating_add(MAX_CLOCK_SKEW) {
            return Err(refused("it is from the future; a clock is wrong"));
        }
        std::iter::once(&self.first)
            .chain(&self.others)
            .find_map(|key| key.decrypt(token).ok())
            .map(Bytes::from)
            .ok_or_else(|| {
                refused("none of the `symmetric_encryption_keys` is its key, or it was altered")
            })
    }
}

impl fmt::Debug for Encryption {
    /// Shows no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryption")
            .field("keys", &(1 + self.others.len()))
            .field("time_to_live", &self.time_to_live)
            .finish()
    }
}

/// The option of layers that holds the secrets.
const OPTION: &str = "symmetric_encryption_keys";

/// Fernet's key is the SHA-256 hash of the secret: half of it signs, half encrypts.
fn key(secret: &[u8]) -> Fernet {
    let key = URL_SAFE.encode(Sha256::digest(secret));
    Fernet::new(&key).expect("a hash of 32 bytes in base64 is a Fernet key")
}

/// When a token was made, in seconds of Unix time, if it looks like a token.
fn time_of(token: &str) -> Option<u64> {
    // The version, which is 0x80, and the time are nine bytes, which are twelve characters.
    let head = URL_SAFE.decode(token.get(..12)?).ok()?;
    let (version, time) = head.split_first()?;
    (*version == 0x80).then_some(u64::from_be_bytes(time.try_into().ok()?))
}

const fn refused(reason: &'static str) -> Error {
    Error::Decrypt { reason }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../tests/vectors/layers_fernet_tokens.json")).unwrap()
    }

    fn unhex(value: &Value) -> Vec<u8> {
        let digits = value.as_str().unwrap().as_bytes();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn text(value: &Value) -> &str {
        value.as_str().unwrap()
    }

    fn encryption<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Encryption {
        Encryption::new(secrets, Duration::from_secs(60)).unwrap()
    }

    fn reason(result: Result<Bytes>) -> &'static str {
        match result.unwrap_err() {
            Error::Decrypt { reason } => reason,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn keys_are_derived_as_the_python_layers_do() {
        let vectors = vectors();
        for vector in vectors["keys"].as_array().unwrap() {
            let digest = Sha256::digest(text(&vector["key"]));
            assert_eq!(URL_SAFE.encode(digest), text(&vector["fernet_key_b64"]));
        }
    }

    #[test]
    fn tokens_of_the_python_layers_are_read() {
        let vectors = vectors();
        for vector in vectors["tokens"].as_array().unwrap() {
            let encryption = encryption([text(&vector["key"])]);
            let time = vector["timestamp"].as_u64().unwrap();
            let token = text(&vector["token"]);
            assert_eq!(time_of(token), Some(time));
            let plain = encryption.decrypt_at(token.as_bytes(), time).unwrap();
            assert_eq!(plain, unhex(&vector["plaintext_hex"]));
            assert_eq!(Encryption::encrypted_size(plain.len()), token.len());
        }
    }

    #[test]
    fn any_of_several_keys_decrypts() {
        let vectors = vectors();
        for vector in vectors["multi"].as_array().unwrap() {
            let keys = vector["keys"].as_array().unwrap().iter().map(text);
            let token = text(&vector["token"]);
            let time = time_of(token).unwrap();
            let plain = encryption(keys).decrypt_at(token.as_bytes(), time).unwrap();
            assert_eq!(plain, unhex(&vector["decrypts_to"]));
        }
    }

    #[test]
    fn a_token_is_accepted_for_ten_seconds_more_than_a_message_lives() {
        let vectors = vectors();
        let token = text(&vectors["tokens"][0]["token"]).as_bytes();
        for vector in vectors["ttl_with_expiry_60_(ttl=expiry+10)"]
            .as_array()
            .unwrap()
        {
            let result = encryption(["test"]).decrypt_at(token, vector["now"].as_u64().unwrap());
            match text(&vector["result"]) {
                "InvalidToken" => assert!(result.is_err(), "{vector}"),
                _ => assert_eq!(result.unwrap(), unhex(&vector["result"]), "{vector}"),
            }
        }
    }

    #[test]
    fn fractions_of_a_second_of_expiry_count_as_one() {
        let time_to_live = |expiry| Encryption::new(["a"], expiry).unwrap().time_to_live;
        assert_eq!(time_to_live(Duration::from_millis(1)), 11);
        assert_eq!(time_to_live(Duration::from_millis(2_500)), 13);
        assert_eq!(time_to_live(Duration::MAX), u64::MAX);
    }

    #[test]
    fn what_is_no_token_of_ours_is_refused() {
        let vectors = vectors();
        let time = vectors["tokens"][0]["timestamp"].as_u64().unwrap();
        for vector in vectors["bad"].as_array().unwrap() {
            let token = text(&vector["token"]).as_bytes();
            assert!(
                encryption(["test"]).decrypt_at(token, time).is_err(),
                "{vector}"
            );
        }
    }

    #[test]
    fn times_that_overflow_are_refused() {
        for time in [u64::MAX, u64::MAX - 70, i64::MAX as u64] {
            let mut bytes = vec![0x80];
            bytes.extend(time.to_be_bytes());
            bytes.extend([0; 64]);
            let token = URL_SAFE.encode(bytes);
            let result = encryption(["test"]).decrypt(token.as_bytes());
            assert_eq!(reason(result), "it is from the future; a clock is wrong");
        }
    }

    #[test]
    fn every_altered_character_is_noticed() {
        let encryption = encryption(["test"]);
        let token = encryption.encrypt(b"hello");
        for at in 0..token.len() {
            for other in [b'A', b'z', b'=', b' ', 0, 0xff] {
                let mut altered = token.to_vec();
                if altered[at] != other {
                    altered[at] = other;
                    assert!(encryption.decrypt(&altered).is_err(), "{at}: {other}");
                }
            }
            // Padding says nothing that the length does not.
            if token[at] != b'=' {
                assert!(encryption.decrypt(&token[..at]).is_err(), "cut at {at}");
            }
        }
    }

    #[test]
    fn reasons_are_constant_and_secrets_are_never_shown() {
        let encryption = encryption(["correct horse", "battery staple"]);
        let shown = format!("{encryption:?}");
        assert_eq!(shown, "Encryption { keys: 2, time_to_live: 70 }");
        let other = Encryption::new(["another"], Duration::from_secs(60)).unwrap();
        let other = other.encrypt(b"hello");
        assert_eq!(
            reason(encryption.decrypt(&other)),
            "none of the `symmetric_encryption_keys` is its key, or it was altered"
        );
        assert_eq!(
            reason(encryption.decrypt(b"\x81\xa1a\x01")),
            "it is not encrypted, or cut off; every process needs the same `symmetric_encryption_keys`"
        );
        let long_ago = text(&vectors()["tokens"][0]["token"]).to_owned();
        assert_eq!(
            reason(encryption.decrypt(long_ago.as_bytes())),
            "it is older than messages live"
        );
    }

    /// The token is taken to pieces by hand: the signature is HMAC-SHA256 over all before it.
    #[test]
    fn tokens_are_made_as_fernet_prescribes() {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let encryption = encryption(["test"]);
        let tokens = [encryption.encrypt(b"hello"), encryption.encrypt(b"hello")];
        let raw = tokens
            .each_ref()
            .map(|token| URL_SAFE.decode(token).unwrap());
        for raw in &raw {
            let (signed, signature) = raw.split_at(raw.len() - 32);
            assert_eq!(signed[0], 0x80);
            let time = u64::from_be_bytes(signed[1..9].try_into().unwrap());
            assert!((now..now + 60).contains(&time));
            assert_eq!(signed.len(), 1 + 8 + 16 + 16);

            let mut pads = [[0x36_u8; 64], [0x5c; 64]];
            for (at, byte) in Sha256::digest("test")[..16].iter().enumerate() {
                pads.iter_mut().for_each(|pad| pad[at] ^= byte);
            }
            let inner = Sha256::new()
                .chain_update(pads[0])
                .chain_update(signed)
                .finalize();
            let outer = Sha256::new()
                .chain_update(pads[1])
                .chain_update(inner)
                .finalize();
            assert_eq!(signature, outer.as_slice());
        }
        assert_ne!(
            raw[0][9..25],
            raw[1][9..25],
            "the initialisation vector is random"
        );
    }

    #[test]
    fn sizes_are_known_beforehand() {
        let encryption = encryption(["test"]);
        for size in (0..100).chain([1_000, 1_048_576]) {
            let token = encryption.encrypt(&vec![7; size]);
            assert_eq!(token.len(), Encryption::encrypted_size(size));
            assert_eq!(encryption.decrypt(&token).unwrap(), vec![7; size]);
        }
    }

    #[test]
    fn secrets_must_be_there() {
        let none: [&str; 0] = [];
        for secrets in [none.to_vec(), vec![""], vec!["a", ""]] {
            let error = Encryption::new(secrets, Duration::from_secs(60)).unwrap_err();
            assert!(error.to_string().contains("symmetric_encryption_keys"));
        }
    }
}
