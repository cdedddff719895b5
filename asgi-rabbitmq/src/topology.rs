//! Which queues and exchanges stand for channels and groups.
