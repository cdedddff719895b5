//! Connections to the broker and how they are restored.
