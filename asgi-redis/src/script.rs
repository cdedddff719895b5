//! Server-side scripts: the steps that must be atomic.
