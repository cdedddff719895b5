use std::collections::HashMap;

use asgiref::ChannelName;

use super::event::Event;

/// The members of a group, as its events have it.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    /// When each joined last, in seconds of Unix time.
    joined: HashMap<ChannelName, f64>,
}

impl Members {
    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Joined { channel, time } => {
                self.joined.insert(channel.clone(), *time);
            }
            Event::Left { channel } => {
                self.joined.remove(channel);
            }
            Event::Expired { channel, time } => {
                if self.joined.get(channel).is_some_and(|joined| joined < time) {
                    self.joined.remove(channel);
                }
            }
            Event::Flushed => self.joined.clear(),
            Event::Named { .. } | Event::Mark { .. } => {}
        }
    }

    /// Those who joined after `oldest`; forgets the others.
    pub(super) fn since(&mut self, oldest: f64) -> Vec<ChannelName> {
        self.joined.retain(|_, joined| *joined > oldest);
        self.joined.keys().cloned().collect()
    }

    /// Which of these events, in the order of the log, still say something.
    pub(super) fn keep(events: &[Event], oldest: f64) -> Vec<bool> {
        let mut members = Self::default();
        for event in events {
            members.apply(event);
        }
        events
            .iter()
            .map(|event| match event {
                Event::Joined { channel, time } => {
                    *time > oldest && members.joined.get(channel) == Some(time)
                }
                _ => false,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(channel: &'static str, time: f64) -> Event {
        Event::Joined {
            channel: ChannelName::from_static(channel),
            time,
        }
    }

    #[test]
    fn an_expired_message_ends_older_memberships_only() {
        let mut members = Members::default();
        let expired = Event::Expired {
            channel: ChannelName::from_static("a"),
            time: 5.0,
        };
        members.apply(&joined("a", 6.0));
        members.apply(&expired);
        assert_eq!(members.joined.len(), 1);
        members.apply(&joined("a", 4.0));
        members.apply(&expired);
        assert_eq!(members.joined.len(), 0);
    }

    #[test]
    fn of_a_log_the_last_word_of_each_member_is_kept() {
        let left = Event::Left {
            channel: ChannelName::from_static("b"),
        };
        let events = [
            joined("a", 1.0),
            joined("b", 2.0),
            joined("a", 3.0),
            left,
            joined("c", 0.5),
        ];
        let kept = Members::keep(&events, 0.7);
        assert_eq!(kept, [false, false, true, false, false]);
    }

    #[test]
    fn a_flush_ends_all_memberships() {
        let events = [joined("a", 1.0), Event::Flushed, joined("b", 2.0)];
        assert_eq!(Members::keep(&events, 0.0), [false, false, true]);
    }
}
