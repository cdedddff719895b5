//! The word of the lock, and sleeping until it changes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long the holder is trusted to be alive.
const TRUST: Duration = Duration::from_millis(10);

/// What the lock needs of its word. That of tests lets all orders of events be tried.
pub(crate) trait Word {
    /// How often is tried before sleeping: a holder is done within a microsecond, and being woken
    /// takes many.
    const TRIES: u32;

    fn load(&self) -> u32;

    /// Writes `new` if the word is `current`; whether it was. Who succeeds sees what was done
    /// before the word was cleared.
    fn exchange(&self, current: u32, new: u32) -> bool;

    /// Zeroes the word; what it was.
    fn clear(&self) -> u32;

    /// Waits a moment.
    fn pause(&self, turns: u32);

    /// Sleeps while the word is `seen`; false if the sleep was long.
    fn sleep(&self, seen: u32) -> bool;

    /// Wakes one that sleeps, if there is one.
    fn wake_one(&self);
}

impl Word for AtomicU32 {
    const TRIES: u32 = 12;

    fn load(&self) -> u32 {
        Self::load(self, Ordering::Relaxed)
    }

    fn exchange(&self, current: u32, new: u32) -> bool {
        self.compare_exchange(current, new, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    fn clear(&self) -> u32 {
        self.swap(0, Ordering::Release)
    }

    fn pause(&self, turns: u32) {
        for _ in 0..turns {
            std::hint::spin_loop();
        }
    }

    #[cfg(target_os = "linux")]
    fn sleep(&self, seen: u32) -> bool {
        use rustix::io::Errno;
        use rustix::thread::futex;

        let timeout = futex::Timespec {
            tv_sec: 0,
            tv_nsec: TRUST.as_nanos() as _,
        };
        // Not private: the word is in memory of several processes.
        let slept = futex::wait(self, futex::Flags::empty(), seen, Some(&timeout));
        slept != Err(Errno::TIMEDOUT)
    }

    #[cfg(target_os = "linux")]
    fn wake_one(&self) {
        use rustix::thread::futex;

        // Fails only for words that are not there.
        let _ = futex::wake(self, futex::Flags::empty(), 1);
    }

    /// Elsewhere there is no portable way to sleep on a word that processes share; the holder is
    /// done within microseconds, so little is lost by looking again later.
    #[cfg(not(target_os = "linux"))]
    #[expect(
        clippy::disallowed_methods,
        reason = "the wait for a lock is a blocking one"
    )]
    fn sleep(&self, seen: u32) -> bool {
        let start = std::time::Instant::now();
        while Word::load(self) == seen {
            if start.elapsed() > TRUST {
                return false;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        true
    }

    #[cfg(not(target_os = "linux"))]
    fn wake_one(&self) {}
}
