//! Which server holds a single-reader channel, a process-specific channel or a group.
