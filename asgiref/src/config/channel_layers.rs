use std::fmt;
use std::path::Path;

use super::nearest::nearest;
use super::settings::LayerSettings;
use crate::error::{Error, Result};
use crate::map::Map;
use crate::value::Value;

/// The table of a configuration file that has one table for each layer.
const TABLE: &str = "channel_layers";

/// The channel layers of a configuration file: its tables `[channel_layers.NAME]`, in order.
///
/// Other tables of the file are left to others. A layer may also be a URL alone:
/// `channel_layers.default = "memory:"`.
///
/// ```
/// use asgiref::InMemoryChannelLayer;
/// use asgiref::config::ChannelLayers;
///
/// let layers = ChannelLayers::from_toml(r#"
///     [channel_layers.default]
///     backend = "memory"
///     capacity = 200
/// "#)?;
/// let layer = InMemoryChannelLayer::from_settings(layers.require("default")?)?;
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct ChannelLayers {
    layers: Vec<(String, LayerSettings)>,
}

impl ChannelLayers {
    /// Reads the text of a TOML file.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: for text that is no TOML with the line and column, for a value that
    /// cannot be used with the name of the table and the option.
    pub fn from_toml(text: &str) -> Result<Self> {
        let document: Map = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let (line, column) = position(text, at);
            Error::config(
                TABLE,
                format_args!("line {line}, column {column}: {}", error.message()),
            )
        })?;
        Self::from_document(document)
    }

    /// Reads a TOML file, which must have channel layers.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the file: if it cannot be read, has no channel layer, or as
    /// [`from_toml`](Self::from_toml).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let fail = |reason: &dyn fmt::Display| {
            Error::config(format!("settings file {}", path.display()), reason)
        };
        let text = std::fs::read_to_string(path).map_err(|error| fail(&error))?;
        let layers = Self::from_toml(&text).map_err(|error| fail(&error))?;
        if layers.is_empty() {
            return Err(fail(&format_args!("has no table `[{TABLE}.NAME]`")));
        }
        Ok(layers)
    }

    /// Reads a document that was read from some other format.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the table and the option.
    pub fn from_document(mut document: Map) -> Result<Self> {
        let tables = match document.remove(TABLE) {
            None => return absent(&document),
            Some(Value::Map(tables)) => tables,
            Some(other) => {
                return Err(Error::config(
                    TABLE,
                    format_args!("must be a table of channel layers, not {}", other.kind()),
                ));
            }
        };
        let mut layers = Vec::with_capacity(tables.len());
        for (name, value) in tables {
            let table_name = format!("{TABLE}.{name}");
            let table = match value {
                Value::Map(table) => table,
                Value::Text(url) => Map::from([("url", url)]),
                other => {
                    return Err(Error::config(
                        table_name,
                        format_args!("must be a table or a URL, not {}", other.kind()),
                    ));
                }
            };
            let settings = LayerSettings::from_table(table, Some(&table_name))?;
            layers.push((name.into(), settings));
        }
        Ok(Self { layers })
    }

    /// The settings of the layer called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&LayerSettings> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, settings)| settings)
    }

    /// The settings of the layer called `name`, for a program that cannot do without.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the layers there are, if there is none of this name.
    pub fn require(&self, name: &str) -> Result<&LayerSettings> {
        self.get(name).ok_or_else(|| {
            let option = format!("{TABLE}.{name}");
            if self.layers.is_empty() {
                return Error::config(option, "is missing: there are no channel layers");
            }
            let names: Vec<&str> = self.iter().map(|(name, _)| name).collect();
            let names = names.join("`, `");
            Error::config(option, format_args!("is missing; there is `{names}`"))
        })
    }

    /// How many layers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The layers' names and settings, in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &LayerSettings)> {
        self.layers
            .iter()
            .map(|(name, settings)| (name.as_str(), settings))
    }
}

impl fmt::Debug for ChannelLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// What it means that a document has no channel layers: nothing, unless there is what was meant to
/// be them.
fn absent(document: &Map) -> Result<ChannelLayers> {
    let likely = document.iter().find_map(|(key, _)| {
        nearest(key, &[TABLE])?;
        Some(key)
    });
    match likely {
        None => Ok(ChannelLayers::default()),
        Some(key) => Err(Error::config(
            key.to_string(),
            format_args!("is not known; did you mean `{TABLE}`?"),
        )),
    }
}

/// Line and column of the byte at `offset`, both counted from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}
