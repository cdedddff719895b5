//! The transport's own errors and what they become in [`asgiref::Error`].
