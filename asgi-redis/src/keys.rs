//! Names of the keys: message bodies, channel lists, group sets, statistics counters.
