//! A layer of ours and that of a Python original on the same servers, in both directions.
//!
//! What such tests have in common. Each crate with an original includes this file in its
//! `tests/interop`, beside its `support`.

pub(crate) mod encryption;
pub(crate) mod names;
pub(crate) mod values;
