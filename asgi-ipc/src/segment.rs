//! The shared memory segment: the one place of this crate with unsafe code.
