//! Normal channels in shared memory on this machine, the others in Redis.
