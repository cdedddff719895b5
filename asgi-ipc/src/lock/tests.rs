//! The lock with real threads; see `model` for all orders of events.

mod model;

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::*;

#[test]
fn one_holder_at_a_time() {
    let word = AtomicU32::new(0);
    let (inside, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for slot in 1..=4 {
            let (word, inside, done) = (&word, &inside, &done);
            scope.spawn(move || {
                for _ in 0..20_000 {
                    let taken = acquire(word, Owner::new(slot, 7), |_| true, || false).unwrap();
                    assert_eq!(taken, Taken::Free);
                    assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                    done.store(done.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                    inside.fetch_sub(1, Ordering::Relaxed);
                    release(word);
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 80_000);
    assert_eq!(word.into_inner(), 0);
}

#[test]
fn the_lock_of_the_dead_is_taken_over_by_one() {
    let dead = Owner::new(9, 1);
    let word = AtomicU32::new(dead.0);
    let takers = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for slot in 1..=4 {
            let (word, takers) = (&word, &takers);
            scope.spawn(move || {
                let me = Owner::new(slot, 1);
                match acquire(word, me, |holder| holder != dead, || false).unwrap() {
                    Taken::Free => {}
                    Taken::FromTheDead => {
                        takers.fetch_add(1, Ordering::Relaxed);
                    }
                }
                release(word);
            });
        }
    });
    assert_eq!(takers.into_inner(), 1);
}

#[test]
fn nonsense_in_the_word_is_nobody() {
    let word = AtomicU32::new(u32::MAX);
    let me = Owner::new(1, 1);
    let taken = acquire(&word, me, |holder| holder.slot() <= MAX_CLIENTS, || false).unwrap();
    assert_eq!(taken, Taken::FromTheDead);
    release(&word);
    assert_eq!(word.into_inner(), 0);
}

#[test]
fn incarnations_are_told_apart() {
    let owner = Owner::new(256, 5);
    assert_eq!(owner.slot(), 256);
    assert!(owner.is_of(5) && !owner.is_of(6));
    assert!(Owner::new(1, u32::MAX).is_of(u32::MAX));
}

#[test]
fn who_waits_too_long_for_a_live_holder_is_told_whose_it_is() {
    let holder = Owner::new(3, 1);
    let word = AtomicU32::new(holder.0);
    let stuck = acquire(&word, Owner::new(1, 1), |_| true, || true).unwrap_err();
    assert_eq!(stuck.0, holder);
    // It has it still, and whoever comes later gets it from it.
    release(&word);
    let taken = acquire(&word, Owner::new(1, 1), |_| true, || true).unwrap();
    assert_eq!(taken, Taken::Free);
}
