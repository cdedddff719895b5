//! How many messages a channel may hold ([ASGI: Capacity]).
//!
//! [ASGI: Capacity]: https://channels.readthedocs.io/en/1.x/asgi.html#capacity

use regex::Regex;

use crate::error::Result;
use crate::glob::{compile, glob_to_regex};

/// What the option is called in error messages.
const OPTION: &str = "channel_capacity";

/// A capacity for all channels, and exceptions from it for channels whose name matches a glob or
/// a regular expression; the first match wins.
///
/// Process-specific channels are looked up by their [non-local
/// part](crate::ChannelName::non_local), where their capacity is counted: a glob for daphne's
/// reply channels is `daphne.response.*!`.
///
/// ```
/// use asgiref::Capacities;
///
/// let mut capacities = Capacities::new(100);
/// capacities.glob("http.*", 200)?;
/// capacities.regex("^websocket\\.(connect|receive)$", 500)?;
/// assert_eq!(capacities.of("http.request"), 200);
/// assert_eq!(capacities.of("websocket.receive"), 500);
/// assert_eq!(capacities.of("thumbnails"), 100);
/// assert!(!capacities.is_uniform());
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Capacities {
    default: usize,
    rules: Vec<(Regex, usize)>,
}

impl Capacities {
    /// `default` messages for every channel.
    #[must_use]
    pub const fn new(default: usize) -> Self {
        Self {
            default,
            rules: Vec::new(),
        }
    }

    /// Changes the capacity of channels that no rule matches.
    pub const fn set_default(&mut self, default: usize) {
        self.default = default;
    }

    /// Adds a rule for channels whose whole name matches a shell glob: `*` any run of characters,
    /// `?` any one, `[abc]`, `[a-c]`, `[!abc]` one of (or none of) those. `?` matches a literal
    /// `?` too.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) if the glob is longer than 1000 bytes.
    pub fn glob(&mut self, pattern: &str, capacity: usize) -> Result<()> {
        let regex = compile(OPTION, pattern, glob_to_regex)?;
        self.rules.push((regex, capacity));
        Ok(())
    }

    /// Adds a rule for channels whose name matches a regular expression from its start.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) if the expression cannot be parsed, needs too much
    /// memory or is longer than 1000 bytes.
    pub fn regex(&mut self, pattern: &str, capacity: usize) -> Result<()> {
        let regex = compile(OPTION, pattern, |pattern| format!("^(?:{pattern})"))?;
        self.rules.push((regex, capacity));
        Ok(())
    }

    /// The capacity of channels that no rule matches.
    #[must_use]
    pub const fn default_capacity(&self) -> usize {
        self.default
    }

    /// Whether there are no rules, so that all channels have the same capacity.
    #[must_use]
    pub const fn is_uniform(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many messages the channel `name` may hold; `name` is a non-local part.
    #[must_use]
    pub fn of(&self, name: &str) -> usize {
        self.rules
            .iter()
            .find(|(pattern, _)| pattern.is_match(name))
            .map_or(self.default, |(_, capacity)| *capacity)
    }
}

impl Default for Capacities {
    /// 100 messages for every channel.
    fn default() -> Self {
        Self::new(100)
    }
}
