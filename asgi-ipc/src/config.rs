//! The builder and what a URL or a TOML table may say.

use std::path::{Path, PathBuf};

use asgiref::config::{LayerConfigBuilder, LayerSettings, Options};
use asgiref::{Error, LayerConfig, Result, Value};

use crate::SCHEMES;
use crate::file;
use crate::layer::IpcChannelLayer;
use crate::layout::{MAX_MEMORY, MIN_GROUP_MEMORY, MIN_MESSAGE_MEMORY};

const PREFIX: &str = "prefix";
const DIRECTORY: &str = "directory";
const MESSAGE_MEMORY: &str = "message_memory";
const GROUP_MEMORY: &str = "group_memory";
const FILE_MODE: &str = "file_mode";

/// The longest prefix, in bytes: the names of files made of it stay within 255.
const MAX_PREFIX: usize = 100;

/// Which segment, and how it is made if it is not there.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) prefix: String,
    pub(crate) directory: PathBuf,
    /// Bytes.
    pub(crate) message_memory: u64,
    /// Bytes.
    pub(crate) group_memory: u64,
    pub(crate) file_mode: u32,
}

impl Default for Place {
    /// Together the two memories fit into the 64 MB that containers have for segments unless told
    /// otherwise.
    fn default() -> Self {
        Self {
            prefix: "asgi".to_owned(),
            directory: file::default_directory(),
            message_memory: 40 << 20,
            group_memory: 8 << 20,
            file_mode: 0o600,
        }
    }
}

impl Place {
    pub(crate) fn path(&self) -> PathBuf {
        file::path(&self.directory, &self.prefix)
    }

    /// What the layer is called in texts.
    pub(crate) fn layer_name(&self) -> String {
        format!("IpcChannelLayer(prefix={})", self.prefix)
    }

    fn validate(&self) -> Result<()> {
        check_prefix(&self.prefix).map_err(|reason| Error::config(PREFIX, reason))?;
        for (option, least, value) in [
            (MESSAGE_MEMORY, MIN_MESSAGE_MEMORY, self.message_memory),
            (GROUP_MEMORY, MIN_GROUP_MEMORY, self.group_memory),
        ] {
            if !(least..=MAX_MEMORY).contains(&value) {
                return Err(Error::config(
                    option,
                    format_args!("must be {least} to {MAX_MEMORY} bytes"),
                ));
            }
        }
        if self.file_mode & !0o666 != 0 || self.file_mode & 0o600 != 0o600 {
            return Err(Error::config(
                FILE_MODE,
                "must let the owner read and write, and nobody execute, such as 0600 or 0660",
            ));
        }
        Ok(())
    }
}

/// Checks the name of a segment.
pub(crate) fn check_prefix(prefix: &str) -> std::result::Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if prefix.is_empty() || prefix.len() > MAX_PREFIX {
        return Err("must have 1 to 100 characters");
    }
    if !prefix.bytes().all(allowed) {
        return Err("may contain letters, digits, `-` and `_`, and nothing else");
    }
    Ok(())
}

/// A prefix made of a text: the text, if it can be one; otherwise what can be used of it, and a
/// number that tells it from others.
fn prefix_of(text: &str) -> String {
    if check_prefix(text).is_ok() {
        return text.to_owned();
    }
    let usable = text.chars().filter(char::is_ascii_alphanumeric);
    let usable: String = usable.take(MAX_PREFIX / 2).collect();
    // FNV-1a, which every build computes alike.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{usable}-{hash:016x}")
}

/// Makes an [`IpcChannelLayer`].
///
/// ```no_run
/// use std::time::Duration;
/// use asgi_ipc::IpcChannelLayer;
///
/// let layer = IpcChannelLayer::builder()
///     .prefix("shop")
///     .message_memory(256 << 20)
///     .expiry(Duration::from_secs(30))
///     .channel_capacity("daphne.response.*!", 10_000)
///     .build()?;
/// # let _ = layer;
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct IpcChannelLayerBuilder {
    config: LayerConfigBuilder,
    place: Place,
}

impl IpcChannelLayerBuilder {
    asgiref::layer_config_setters!(config);

    /// The name of the segment: programs with the same prefix share a layer. 1 to 100 letters,
    /// digits, `-` and `_`; `asgi` unless set.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.place.prefix = prefix.into();
        self
    }

    /// Names the segment after something: any text gives a name, and different texts different
    /// ones.
    ///
    /// ```
    /// use asgi_ipc::IpcChannelLayer;
    ///
    /// let builder = IpcChannelLayer::builder().named_after("shop on host:6380");
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn named_after(self, text: &str) -> Self {
        self.prefix(prefix_of(text))
    }

    /// How much memory there is for messages and channels, in bytes; 40 MiB unless set. All
    /// programs that share a segment must say the same.
    #[must_use]
    pub fn message_memory(mut self, bytes: u64) -> Self {
        self.place.message_memory = bytes;
        self
    }

    /// How much memory there is for groups, in bytes; 8 MiB unless set. All programs that share a
    /// segment must say the same.
    #[must_use]
    pub fn group_memory(mut self, bytes: u64) -> Self {
        self.place.group_memory = bytes;
        self
    }

    /// Who may use the segment, as file permissions; `0o600`, this user alone, unless set. Only
    /// the program that makes the segment sets them.
    #[must_use]
    pub fn file_mode(mut self, mode: u32) -> Self {
        self.place.file_mode = mode;
        self
    }

    /// The directory the segment is in; `/dev/shm` unless set, outside Linux the directory for
    /// temporary files. It should be in memory (a `tmpfs`).
    #[must_use]
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        directory.as_ref().clone_into(&mut self.place.directory);
        self
    }

    /// Opens the segment, or makes it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the option that cannot be used, and [`Error::Backend`] with an
    /// [`Error`](crate::Error) of this crate if the segment cannot be made, is of another size or
    /// is no segment.
    pub fn build(self) -> Result<IpcChannelLayer> {
        let config = self.config.build()?;
        self.place.validate()?;
        IpcChannelLayer::open(config, self.place)
    }
}

impl IpcChannelLayer {
    /// The schemes of the URLs that mean this layer.
    pub const SCHEMES: &[&str] = SCHEMES;

    /// Sets a layer up option by option.
    #[must_use]
    pub fn builder() -> IpcChannelLayerBuilder {
        IpcChannelLayerBuilder::default()
    }

    /// The layer a URL describes: `ipc://PREFIX` or `ipc:PREFIX`, with the options of the
    /// [builder](IpcChannelLayerBuilder) after `?`. Memory is in bytes or with a unit (`64MiB`),
    /// the file mode octal.
    ///
    /// ```no_run
    /// use asgi_ipc::IpcChannelLayer;
    ///
    /// let layer = IpcChannelLayer::from_url("ipc://shop?message_memory=256MiB&file_mode=0660")?;
    /// # let _ = layer;
    /// # Ok::<(), asgiref::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`IpcChannelLayerBuilder::build`].
    pub fn from_url(url: &str) -> Result<Self> {
        Self::from_settings(&url.parse()?)
    }

    /// The layer that a URL or a TOML table describes.
    ///
    /// # Errors
    ///
    /// As [`IpcChannelLayerBuilder::build`].
    pub fn from_settings(settings: &LayerSettings) -> Result<Self> {
        settings.require_scheme(SCHEMES)?;
        let (config, place) = read(settings)?;
        Self::open(config, place)
    }
}

fn read(settings: &LayerSettings) -> Result<(LayerConfig, Place)> {
    let mut options = settings.options().clone();
    let config = LayerConfig::from_options(&mut options)?;
    let mut place = Place::default();
    let written = options.take_text(PREFIX)?;
    if let Some(prefix) = located(settings)? {
        if written.is_some() {
            return Err(options.error(PREFIX, "is given by `url` already"));
        }
        place.prefix = prefix;
    } else if let Some(prefix) = written {
        place.prefix = prefix;
    }
    if let Some(directory) = options.take_text(DIRECTORY)? {
        place.directory = directory.into();
    }
    if let Some(bytes) = take_size(&mut options, MESSAGE_MEMORY)? {
        place.message_memory = bytes;
    }
    if let Some(bytes) = take_size(&mut options, GROUP_MEMORY)? {
        place.group_memory = bytes;
    }
    if let Some(mode) = take_mode(&mut options)? {
        place.file_mode = mode;
    }
    let valid = place.validate().map_err(|error| match error {
        Error::Config { option, reason } => options.error(&option, reason),
        other => other,
    });
    options.finish()?;
    valid.map(|()| (config, place))
}

/// The prefix in a URL.
fn located(settings: &LayerSettings) -> Result<Option<String>> {
    let wrong = |reason| Err(settings.options().error("url", reason));
    if settings.username().is_some() || settings.password().is_some() {
        return wrong("`ipc:` takes no user and no password");
    }
    match (settings.hosts(), settings.path()) {
        ([], "") => Ok(None),
        ([], prefix) if !prefix.starts_with('/') => Ok(Some(prefix.to_owned())),
        ([host], "" | "/") if host.port.is_none() => Ok(Some(host.name.clone())),
        _ => wrong("must be `ipc://PREFIX`: one name, without port or path"),
    }
}

fn take_size(options: &mut Options, option: &'static str) -> Result<Option<u64>> {
    let size = match options.take(option) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Int(bytes)) => u64::try_from(bytes).ok(),
        Some(Value::Text(text)) => parse_size(&text),
        Some(_) => None,
    };
    size.map(Some).ok_or_else(|| {
        options.error(
            option,
            "must be a number of bytes, or a whole number with one of the units `KiB`, `MiB` and \
             `GiB`",
        )
    })
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit_at = text
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A text is octal, as everywhere in the shell; TOML has octal numbers of its own (`0o660`).
fn take_mode(options: &mut Options) -> Result<Option<u32>> {
    let mode = match options.take(FILE_MODE) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Int(mode)) => u32::try_from(mode).ok(),
        Some(Value::Text(text)) => u32::from_str_radix(text.trim_start_matches("0o"), 8).ok(),
        Some(_) => None,
    };
    mode.map(Some)
        .ok_or_else(|| options.error(FILE_MODE, "must be an octal number such as 0660"))
}

#[cfg(test)]
mod tests {
    use asgiref::config::ChannelLayers;

    use super::*;

    fn place(url: &str) -> Place {
        read(&url.parse().unwrap()).unwrap().1
    }

    fn fault(url: &str) -> String {
        read(&url.parse().unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn any_text_makes_a_prefix_of_its_own() {
        assert_eq!(prefix_of("shop-1"), "shop-1");
        let texts = [
            "",
            "a:b",
            "a.b",
            "ab:",
            "/",
            "é",
            &"x".repeat(300),
            &"x".repeat(301),
        ];
        let made: std::collections::BTreeSet<String> = texts.map(prefix_of).into();
        assert_eq!(made.len(), texts.len());
        for prefix in made {
            assert!(check_prefix(&prefix).is_ok(), "{prefix}");
        }
    }

    #[test]
    fn a_url_names_the_segment_and_its_sizes() {
        assert_eq!(place("ipc:").prefix, "asgi");
        assert_eq!(place("ipc:shop").prefix, "shop");
        assert_eq!(place("ipc://shop").prefix, "shop");
        assert_eq!(place("ipc://shop/").prefix, "shop");
        assert_eq!(place("ipc:?prefix=shop").prefix, "shop");
        let place = place(
            "ipc://shop?message_memory=64MiB&group_memory=1048576&file_mode=0660&directory=/run/x",
        );
        assert_eq!(place.message_memory, 64 << 20);
        assert_eq!(place.group_memory, 1 << 20);
        assert_eq!(place.file_mode, 0o660);
        assert_eq!(place.path(), Path::new("/run/x/asgi-ipc.shop"));
    }

    #[test]
    fn a_table_says_the_same() {
        let layers = ChannelLayers::from_toml(
            r#"
            [channel_layers.default]
            backend = "ipc"
            prefix = "shop"
            message_memory = "64MiB"
            file_mode = 0o660
            "#,
        )
        .unwrap();
        let (_, place) = read(layers.require("default").unwrap()).unwrap();
        assert_eq!(place.prefix, "shop");
        assert_eq!(place.message_memory, 64 << 20);
        assert_eq!(place.file_mode, 0o660);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (url, option) in [
            ("ipc://a/b", "url"),
            ("ipc://a:80", "url"),
            ("ipc://u@a", "url"),
            ("ipc:a?prefix=b", "prefix"),
            ("ipc:a.b", "prefix"),
            ("ipc:..", "prefix"),
            ("ipc:?prefix=", "prefix"),
            ("ipc:?message_memory=1", "message_memory"),
            ("ipc:?message_memory=1e9", "message_memory"),
            ("ipc:?message_memory=99999999999GiB", "message_memory"),
            ("ipc:?group_memory=-1", "group_memory"),
            ("ipc:?file_mode=rw", "file_mode"),
            ("ipc:?file_mode=0777", "file_mode"),
            ("ipc:?file_mode=0066", "file_mode"),
            ("ipc:?expiry=0", "expiry"),
            ("ipc:?nosuch=1", "nosuch"),
        ] {
            let text = fault(url);
            assert!(text.contains(&format!("`{option}`")), "{url}: {text}");
        }
    }
}
