//! The channel directory and message storage.
