//! Together with the Python original on the same broker, in both directions.
//!
//! The original is not on `PyPI`. With `ASGI_RABBITMQ_ORIGINAL` set to the folder of its sources,
//! version 0.5.2, it takes part itself; otherwise `tests/python/peer.py` does, which was written
//! from records of it and is compared with them in `vectors.rs`.

#[path = "../support/mod.rs"]
mod support;

#[path = "../../../conformance/support/interop/mod.rs"]
mod interop;

mod capacity;
mod groups;
mod memberships;
mod names;
