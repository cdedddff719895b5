//! Locks that survive the death of the process holding them.
