//! The statistics extension.
