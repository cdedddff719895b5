//! Connections: one for commands, one per receive loop for blocking reads, and how each is restored.
