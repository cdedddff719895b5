//! The flush extension.
