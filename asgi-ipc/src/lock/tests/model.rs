//! The lock in many orders of events, with holders and waiters that die between any two steps.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use shuttle::rand::Rng as _;
use shuttle::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;

use super::super::{Owner, Taken, Word, acquire, release};

const SCHEDULES: usize = 3_000;

/// A process that is to die.
struct Death;

/// The shared word, and where sleepers sleep.
struct Shared {
    word: AtomicU32,
    sleepers: Mutex<()>,
    changed: Condvar,
    /// Whether a sleep may be long. Without that, one that is not woken sleeps for ever, and the
    /// test fails.
    may_be_long: bool,
}

impl Shared {
    fn new(may_be_long: bool) -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU32::new(0),
            sleepers: Mutex::new(()),
            changed: Condvar::new(),
            may_be_long,
        })
    }
}

/// The word as one process sees it, which dies after some steps if it is to.
struct Seen {
    shared: Arc<Shared>,
    steps: AtomicUsize,
}

impl Seen {
    fn step(&self) {
        // It is the process's own: no other thread looks at it.
        let left = self.steps.load(Ordering::Relaxed);
        if left == 0 {
            resume_unwind(Box::new(Death));
        }
        self.steps.store(left - 1, Ordering::Relaxed);
    }
}

impl Word for Seen {
    const TRIES: u32 = 1;

    fn load(&self) -> u32 {
        self.step();
        self.shared.word.load(Ordering::SeqCst)
    }

    fn exchange(&self, current: u32, new: u32) -> bool {
        self.step();
        let word = &self.shared.word;
        word.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    fn clear(&self) -> u32 {
        self.step();
        self.shared.word.swap(0, Ordering::SeqCst)
    }

    fn pause(&self, _: u32) {
        thread::yield_now();
    }

    fn sleep(&self, seen: u32) -> bool {
        self.step();
        // The kernel compares and begins to sleep in one step.
        let asleep = self.shared.sleepers.lock().unwrap();
        if self.shared.word.load(Ordering::SeqCst) != seen {
            return true;
        }
        if self.shared.may_be_long && shuttle::rand::thread_rng().gen_bool(0.5) {
            drop(asleep);
            thread::yield_now();
            return false;
        }
        if self.shared.may_be_long {
            // It is woken, or the time is over.
            drop(asleep);
            thread::yield_now();
            return true;
        }
        drop(self.shared.changed.wait(asleep).unwrap());
        true
    }

    fn wake_one(&self) {
        self.step();
        let _kernel = self.shared.sleepers.lock().unwrap();
        self.shared.changed.notify_one();
    }
}

#[test]
fn nobody_sleeps_on_while_the_lock_is_free_and_one_has_it_at_a_time() {
    let run = || {
        let shared = Shared::new(false);
        let inside = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (1..=3)
            .map(|slot| {
                let (shared, inside) = (Arc::clone(&shared), Arc::clone(&inside));
                thread::spawn(move || {
                    let steps = AtomicUsize::new(usize::MAX);
                    let word = Seen { shared, steps };
                    for _ in 0..2 {
                        let me = Owner::new(slot, 1);
                        let taken = acquire(&word, me, |_| true, || false).unwrap();
                        assert_eq!(taken, Taken::Free);
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        release(&word);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(shared.word.load(Ordering::SeqCst), 0);
    };
    shuttle::check_random(run, SCHEDULES);
    shuttle::check_pct(run, SCHEDULES, 3);
}

/// What those who survive see.
#[derive(Default)]
struct World {
    dead: [AtomicBool; 4],
    /// Who is inside, by slot; zero is nobody.
    inside: AtomicUsize,
    repairs: AtomicUsize,
}

#[test]
fn whoever_dies_between_any_two_steps_keeps_nobody_out_and_lets_one_repair() {
    // So many steps no call takes: some processes do not die.
    for steps in 0..12 {
        shuttle::check_random(move || with_a_death_after(steps), SCHEDULES / 4);
    }
}

fn with_a_death_after(steps: usize) {
    let shared = Shared::new(true);
    let world = Arc::new(World::default());
    let threads: Vec<_> = (1..=3)
        .map(|slot| {
            let steps = if slot == 1 { steps } else { usize::MAX };
            let word = Seen {
                shared: Arc::clone(&shared),
                steps: AtomicUsize::new(steps),
            };
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let life = AssertUnwindSafe(|| use_lock(slot, &word, &world));
                if let Err(end) = catch_unwind(life) {
                    if !end.is::<Death>() {
                        resume_unwind(end);
                    }
                    world.dead[slot].store(true, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    // Who died inside was found by one, and who did not die was not taken for dead.
    let left = world.inside.load(Ordering::SeqCst);
    let word = shared.word.load(Ordering::SeqCst);
    assert!(
        word == 0 || world.dead[1].load(Ordering::SeqCst),
        "{word:x}"
    );
    assert!(left == 0 || left == 1, "{left} is inside although it lives");
    assert!(world.repairs.load(Ordering::SeqCst) <= 1);
}

fn use_lock(slot: usize, word: &Seen, world: &World) {
    let me = Owner::new(slot as u32, 1);
    for _ in 0..2 {
        let is_alive = |owner: Owner| !world.dead[owner.slot() as usize].load(Ordering::SeqCst);
        let taken = acquire(word, me, is_alive, || false).unwrap();
        let before = world.inside.swap(slot, Ordering::SeqCst);
        match taken {
            Taken::Free => assert_eq!(before, 0, "{slot} came in"),
            Taken::FromTheDead => {
                // It died before it came in, inside, or before it cleared the word.
                assert!(before == 0 || before == 1, "{before} was inside");
                assert!(world.dead[1].load(Ordering::SeqCst));
                world.repairs.fetch_add(1, Ordering::SeqCst);
            }
        }
        // Inside, it may die too.
        word.step();
        assert_eq!(world.inside.swap(0, Ordering::SeqCst), slot, "not alone");
        release(word);
    }
}
