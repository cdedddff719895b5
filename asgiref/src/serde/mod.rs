//! serde for values, maps, messages and names; structs as messages.

mod deserializer;
mod fault;
mod serializer;
mod value;

use ::serde::de::{DeserializeOwned, Error as _};
use ::serde::{Deserialize, Deserializer, Serialize, Serializer};
use bytestring::ByteString;

use crate::error::{Error, Result};
use crate::message::Message;
use crate::name::{ChannelName, ChannelPattern, GroupName};
use crate::value::Value;

use deserializer::ValueDeserializer;
use serializer::ValueSerializer;

impl Message {
    /// Makes a message of a struct, or of anything else that serde takes for a map with text keys.
    ///
    /// Byte strings must be [`Bytes`](bytes::Bytes): serde takes a `Vec<u8>` for a list of
    /// integers. An enum is written as its variant's name, or as a map from that to the content.
    ///
    /// ```
    /// use asgiref::{Message, message};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Thumbnail { picture: u32, sizes: Vec<u16>, caption: Option<String> }
    ///
    /// let thumbnail = Thumbnail { picture: 42, sizes: vec![100, 200], caption: None };
    /// assert_eq!(
    ///     Message::from_serialize(&thumbnail)?,
    ///     message! { "picture" => 42, "sizes" => [100, 200], "caption" => () },
    /// );
    /// # Ok::<(), asgiref::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidMessage`], naming the key, for what a message cannot hold: an integer beyond
    /// the signed 64 bits, a map key that is no text, nesting deeper than [`Value::MAX_DEPTH`].
    /// [`Error::Conversion`] if `content` is no map.
    pub fn from_serialize<T: Serialize + ?Sized>(content: &T) -> Result<Self> {
        match content.serialize(ValueSerializer::new()) {
            Ok(Value::Map(map)) => Ok(Self::from(map)),
            Ok(other) => Err(Error::Conversion {
                reason: format!("a message is a map, and this is {}", other.kind()),
            }),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Reads the message as a struct, the reverse of [`from_serialize`](Self::from_serialize).
    ///
    /// ```
    /// use asgiref::message;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Thumbnail { picture: u32, caption: Option<String> }
    ///
    /// let thumbnail: Thumbnail = message! { "picture" => 42, "caption" => "Sea" }.deserialize()?;
    /// assert_eq!((thumbnail.picture, thumbnail.caption.as_deref()), (42, Some("Sea")));
    ///
    /// let error = message! { "picture" => -1 }.deserialize::<Thumbnail>().err().unwrap();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "message key `picture`: invalid value: integer `-1`, expected u32",
    /// );
    /// # Ok::<(), asgiref::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::MissingKey`] or [`Error::InvalidMessage`], naming the key; [`Error::Conversion`]
    /// if the message as a whole does not fit.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(ValueDeserializer::of_map(self.as_map())).map_err(Error::from)
    }
}

macro_rules! names {
    ($($type:ident)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(ByteString::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    )*};
}

names!(ChannelName ChannelPattern GroupName);
