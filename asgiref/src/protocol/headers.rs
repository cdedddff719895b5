use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use crate::error::{Error, Result};
use crate::map::Map;
use crate::message::{Field, Message};
use crate::protocol::fields::HEADERS;
use crate::value::Value;

/// The header fields of a request or a response, in order, repeated names kept apart.
///
/// In a message they are a list of `[name, value]` pairs of byte strings. Names are written in
/// lower case, as the specification asks; when read they stay as they are, and are found in
/// either case. Names and values given as text are read as their Latin-1 encoding, and a map from
/// names to values is read as a list of its entries: Python peers send both.
///
/// ```
/// use asgiref::protocol::Headers;
///
/// let mut headers = Headers::new();
/// headers.push("content-type", "text/html");
/// headers.push("set-cookie", "a=1");
/// headers.push("set-cookie", "b=2");
/// assert_eq!(headers.get("Content-Type").unwrap(), "text/html");
/// assert_eq!(headers.get_all("set-cookie").count(), 2);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    fields: Vec<(Bytes, Bytes)>,
}

impl Headers {
    /// No header fields.
    #[must_use]
    pub const fn new() -> Self {
        Self { fields: Vec::new() }
    }

    /// No header fields, with room for `capacity` of them.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            fields: Vec::with_capacity(capacity),
        }
    }

    /// How many fields there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The value of the first field called `name`, in upper or lower case.
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&Bytes> {
        let name = name.as_ref();
        self.fields
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The values of all fields called `name`, in upper or lower case, in order.
    pub fn get_all<'a, N>(&'a self, name: N) -> impl Iterator<Item = &'a Bytes> + use<'a, N>
    where
        N: AsRef<[u8]>,
    {
        self.fields
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name.as_ref()))
            .map(|(_, value)| value)
    }

    /// Whether there is a field called `name`, in upper or lower case.
    #[must_use]
    pub fn contains(&self, name: impl AsRef<[u8]>) -> bool {
        self.get(name).is_some()
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.fields.push((name.into(), value.into()));
    }

    /// Keeps the fields for which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&Bytes, &Bytes) -> bool) {
        self.fields.retain(|(name, value)| keep(name, value));
    }

    /// The fields in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (Bytes, Bytes)> {
        self.fields.iter()
    }

    /// The fields in order.
    #[must_use]
    pub fn as_slice(&self) -> &[(Bytes, Bytes)] {
        &self.fields
    }

    /// Checks what a server writes to the wire as it is: names must be HTTP tokens, values must
    /// not hold a control character other than the tab. A line break in a value would let an
    /// application's input add header fields, or a whole response.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidMessage`], naming the field.
    pub fn check(&self) -> Result<()> {
        for (name, value) in &self.fields {
            if name.is_empty() {
                return Err(Error::invalid_message(HEADERS, "a name is empty"));
            }
            if !name.iter().all(|byte| is_token_byte(*byte)) {
                return Err(Error::invalid_message(
                    HEADERS,
                    format_args!("{} is not a header name", Quoted(name)),
                ));
            }
            if let Some(byte) = value.iter().find(|byte| is_forbidden_in_value(**byte)) {
                return Err(Error::invalid_message(
                    HEADERS,
                    format_args!("the value of {} holds the byte 0x{byte:02x}", Quoted(name)),
                ));
            }
        }
        Ok(())
    }

    /// Writes all names in lower case, as they stand in messages.
    pub(super) fn make_lower_case(&mut self) {
        for (name, _) in &mut self.fields {
            if name.iter().any(u8::is_ascii_uppercase) {
                *name = name.to_ascii_lowercase().into();
            }
        }
    }

    /// Reads the value at the key `headers`.
    pub(super) fn read(value: &Value) -> Result<Self> {
        let fields = HeadersRef::try_from(value)?;
        let mut headers = Self::with_capacity(fields.len());
        fields.visit(|name, value| {
            headers.push(name.clone(), value.clone());
            Ok::<_, Error>(())
        })?;
        Ok(headers)
    }
}

/// The value at the key `headers` of a message, read without copying it: [`Headers`] for programs
/// that turn the fields into something else at once.
///
/// ```
/// use asgiref::protocol::HeadersRef;
/// use asgiref::{Error, message};
///
/// let message = message! { "headers" => [[b"host".as_slice(), b"example.com"]] };
/// let mut host = None;
/// HeadersRef::of(&message)?.visit(|name, value| {
///     if name == "host" {
///         host = Some(value.clone());
///     }
///     Ok::<_, Error>(())
/// })?;
/// assert_eq!(host.unwrap(), "example.com");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct HeadersRef<'m> {
    /// Of these three two are empty.
    fields: &'m [(Bytes, Bytes)],
    list: &'m [Value],
    map: Option<&'m Map>,
}

impl<'m> HeadersRef<'m> {
    const NONE: Self = Self {
        fields: &[],
        list: &[],
        map: None,
    };

    /// The header fields of `message`; none if it does not have the key.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidMessage`] if there is neither a list nor a map.
    pub fn of(message: &'m Message) -> Result<Self> {
        match message.field(HEADERS) {
            Field::Headers(headers) => Ok(Self {
                fields: headers.as_slice(),
                ..Self::NONE
            }),
            _ => message.get(HEADERS).map_or(Ok(Self::NONE), Self::try_from),
        }
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len() + self.list.len() + self.map.map_or(0, Map::len)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `visitor` with name and value of each field, in order and as they are in the
    /// message.
    ///
    /// # Errors
    ///
    /// The first error of the visitor, or [`Error::InvalidMessage`] for a field that is not a
    /// pair of byte strings, or of text that Latin-1 can express.
    pub fn visit<E>(
        &self,
        mut visitor: impl FnMut(&Bytes, &Bytes) -> Result<(), E>,
    ) -> Result<(), E>
    where
        E: From<Error>,
    {
        for (name, value) in self.fields {
            visitor(name, value)?;
        }
        for (at, item) in self.list.iter().enumerate() {
            let Value::List(pair) = item else {
                return Err(not_a_pair(at, item).into());
            };
            match pair.as_slice() {
                [Value::Bytes(name), Value::Bytes(value)] => visitor(name, value)?,
                [name, value] => visitor(&read_bytes(at, name)?, &read_bytes(at, value)?)?,
                _ => return Err(not_a_pair(at, item).into()),
            }
        }
        for (at, (name, value)) in self.map.into_iter().flatten().enumerate() {
            visitor(&latin1(at, name)?, &read_bytes(at, value)?)?;
        }
        Ok(())
    }
}

impl<'m> TryFrom<&'m Value> for HeadersRef<'m> {
    type Error = Error;

    fn try_from(value: &'m Value) -> Result<Self> {
        match value {
            Value::Null => Ok(Self::NONE),
            Value::List(list) => Ok(Self { list, ..Self::NONE }),
            Value::Map(map) => Ok(Self {
                map: Some(map),
                ..Self::NONE
            }),
            other => Err(Error::invalid_message(
                HEADERS,
                format_args!("must be a list of pairs, and is {}", other.kind()),
            )),
        }
    }
}

impl fmt::Debug for HeadersRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadersRef")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl From<Headers> for Value {
    fn from(mut headers: Headers) -> Self {
        headers.make_lower_case();
        let pair = |(name, value)| Self::List(vec![Self::Bytes(name), Self::Bytes(value)]);
        Self::List(headers.fields.into_iter().map(pair).collect())
    }
}

impl TryFrom<&Value> for Headers {
    type Error = Error;

    fn try_from(value: &Value) -> Result<Self> {
        Self::read(value)
    }
}

impl<N: Into<Bytes>, V: Into<Bytes>> Extend<(N, V)> for Headers {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, fields: I) {
        self.fields.extend(
            fields
                .into_iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
    }
}

impl<N: Into<Bytes>, V: Into<Bytes>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let mut headers = Self::new();
        headers.extend(fields);
        headers
    }
}

impl<N: Into<Bytes>, V: Into<Bytes>, const LEN: usize> From<[(N, V); LEN]> for Headers {
    fn from(fields: [(N, V); LEN]) -> Self {
        Self::from_iter(fields)
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a (Bytes, Bytes);
    type IntoIter = std::slice::Iter<'a, (Bytes, Bytes)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Headers {
    type Item = (Bytes, Bytes);
    type IntoIter = std::vec::IntoIter<(Bytes, Bytes)>;

    fn into_iter(self) -> Self::IntoIter {
        self.fields.into_iter()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Value::from(self.clone()), f)
    }
}

/// Bytes of a name shown in an error before it is cut.
const MAX_SHOWN: usize = 64;

/// A header name in an error: quoted, escaped and short.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(MAX_SHOWN)];
        write!(f, "`{}`", shown.escape_ascii())
    }
}

fn read_bytes(at: usize, value: &Value) -> Result<Bytes> {
    match value {
        Value::Bytes(bytes) => Ok(bytes.clone()),
        Value::Text(text) => latin1(at, text),
        other => Err(Error::invalid_message(
            HEADERS,
            format_args!("item {at} holds {}, not a byte string", other.kind()),
        )),
    }
}

/// The Latin-1 encoding of `text`; shares it if it is ASCII.
fn latin1(at: usize, text: &ByteString) -> Result<Bytes> {
    if text.is_ascii() {
        return Ok(text.as_bytes().clone());
    }
    let encoded: Option<Vec<u8>> = text.chars().map(|char| u8::try_from(char).ok()).collect();
    encoded.map(Bytes::from).ok_or_else(|| {
        Error::invalid_message(
            HEADERS,
            format_args!("item {at} holds text that Latin-1 cannot express"),
        )
    })
}

fn not_a_pair(at: usize, item: &Value) -> Error {
    Error::invalid_message(
        HEADERS,
        format_args!("item {at} must be a [name, value] pair, not {item}"),
    )
}

/// The characters of an HTTP token (RFC 9110, section 5.6.2).
pub(in crate::protocol) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

const fn is_forbidden_in_value(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}
