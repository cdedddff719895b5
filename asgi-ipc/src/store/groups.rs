//! Groups, indexed by their members.
