//! Servers found, and followed through failover, by Redis Sentinel.
