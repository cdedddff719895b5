//! The builder and what a URL or a TOML table may say; shares its vocabulary with every layer.
