//! A layer of ours and that of a Python original on the same servers, in both directions.
//!
//! The tests that need nothing of the servers themselves. Each crate with an original includes
//! this file in its `tests/interop`, beside its `support`.

mod encryption;
mod names;
mod values;
