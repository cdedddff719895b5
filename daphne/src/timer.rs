use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

pin_project_lite::pin_project! {
    /// A timer for a deadline that moves often and mostly backwards in the queue: it is set again
    /// only when it goes off too early, not every time the deadline moves.
    pub(crate) struct LazyTimer {
        #[pin]
        sleep: Sleep,
        armed: Instant,
        // Whether `sleep` knows whom to wake.
        waiting: bool,
    }
}

impl LazyTimer {
    /// A timer that expects a deadline not much before `at`.
    pub(crate) fn new(at: Instant) -> Self {
        Self {
            sleep: sleep_until(at),
            armed: at,
            waiting: false,
        }
    }

    /// Ready once `deadline` has passed. To be called by one task only, which the timer knows
    /// after the first time.
    pub(crate) fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        deadline: Instant,
    ) -> Poll<()> {
        if deadline < self.armed {
            self.as_mut().arm(deadline);
        }
        loop {
            let mut this = self.as_mut().project();
            if *this.waiting && !this.sleep.is_elapsed() {
                return Poll::Pending;
            }
            if this.sleep.as_mut().poll(context).is_pending() {
                *this.waiting = true;
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                *this.waiting = false;
                return Poll::Ready(());
            }
            self.as_mut().arm(deadline);
        }
    }

    fn arm(self: Pin<&mut Self>, deadline: Instant) {
        let this = self.project();
        this.sleep.reset(deadline);
        *this.armed = deadline;
        *this.waiting = false;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_is_met_in_either_direction() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut timer = pin!(LazyTimer::new(after(10)));

        poll_fn(|context| timer.as_mut().poll(context, after(3))).await;
        assert_eq!(Instant::now(), after(3));
        poll_fn(|context| timer.as_mut().poll(context, after(7))).await;
        assert_eq!(Instant::now(), after(7));

        poll_fn(|context| {
            assert!(timer.as_mut().poll(context, after(20)).is_pending());
            Poll::Ready(())
        })
        .await;
        poll_fn(|context| timer.as_mut().poll(context, after(9))).await;
        assert_eq!(Instant::now(), after(9));
    }
}
