use std::time::Duration;

use tokio::time::Instant;

/// Finds out whether a silent client is still there.
///
/// Any frame is a sign of life, not only the answer to a ping.
#[derive(Debug)]
pub(super) struct Keepalive {
    /// How long a client may be silent before it is asked; `None` if it never is.
    interval: Option<Duration>,
    /// How long it may take to answer.
    timeout: Duration,
    /// When the last frame came.
    heard: Instant,
    /// When it was asked, if it has not answered.
    asked: Option<Instant>,
}

/// What is to be done about a silent client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Ask it.
    Ping,
    /// Give it up.
    GiveUp,
}

impl Keepalive {
    pub(super) fn new(interval: Option<Duration>, timeout: Duration, now: Instant) -> Self {
        Self {
            interval,
            timeout,
            heard: now,
            asked: None,
        }
    }

    /// A frame came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// When to ask [`due`](Self::due).
    pub(super) fn deadline(&self) -> Option<Instant> {
        match (self.asked, self.interval) {
            (Some(asked), _) => Some(asked + self.timeout),
            (None, Some(interval)) => Some(self.heard + interval),
            (None, None) => None,
        }
    }

    /// What is to be done now.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Due::Nothing;
        }
        if self.asked.is_some() {
            return Due::GiveUp;
        }
        self.asked = Some(now);
        Due::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_client_is_asked_and_then_given_up() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(Some(20 * SECOND), 30 * SECOND, start);
        assert_eq!(keepalive.due(start + 19 * SECOND), Due::Nothing);
        assert_eq!(keepalive.due(start + 20 * SECOND), Due::Ping);
        assert_eq!(keepalive.due(start + 49 * SECOND), Due::Nothing);
        assert_eq!(keepalive.deadline(), Some(start + 50 * SECOND));
        assert_eq!(keepalive.due(start + 50 * SECOND), Due::GiveUp);
    }

    #[test]
    fn any_frame_is_a_sign_of_life() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(Some(20 * SECOND), 30 * SECOND, start);
        assert_eq!(keepalive.due(start + 20 * SECOND), Due::Ping);
        keepalive.heard(start + 25 * SECOND);
        assert_eq!(keepalive.deadline(), Some(start + 45 * SECOND));
        assert_eq!(keepalive.due(start + 45 * SECOND), Due::Ping);
    }

    #[test]
    fn without_an_interval_nobody_is_asked() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(None, SECOND, start);
        assert_eq!(keepalive.deadline(), None);
        assert_eq!(keepalive.due(start + 100 * SECOND), Due::Nothing);
    }
}
