//! What happens to messages that expire unread.
