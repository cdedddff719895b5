//! A queue in many orders of events, with processes that die between any two steps.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;

use shuttle::rand::Rng as _;
use shuttle::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use shuttle::sync::{Arc, Mutex, MutexGuard};
use shuttle::thread;

use super::*;

const SCHEDULES: usize = 1_000;
/// Few, so that they come round again while others still look at them.
const NODES: usize = 3;
const MESSAGES: u32 = 8;
/// A process that takes, and the process that may die.
const TAKERS: usize = 2;

/// A process that is to die.
struct Death;

/// What is shared.
#[derive(Default)]
struct Memory {
    front: AtomicU64,
    tail: AtomicU32,
    next: [AtomicU32; NODES + 1],
    /// The message in each place.
    message: [AtomicU32; NODES + 1],
    /// The place each taker has noted that it is using it; zero is none.
    noted: [AtomicU32; TAKERS],
    /// The lock, and what is free: numbers of places that are in no queue.
    lock: Mutex<Vec<u32>>,
    taken: std::sync::Mutex<Vec<u32>>,
}

impl Memory {
    fn new() -> Arc<Self> {
        let memory = Self::default();
        *memory.lock.lock().unwrap() = (1..=NODES as u32).collect();
        Arc::new(memory)
    }

    /// Takes the lock, and repairs the queue if somebody died with it.
    fn lock(&self, queue: &Seen) -> MutexGuard<'_, Vec<u32>> {
        match self.lock.lock() {
            Ok(free) => free,
            Err(poisoned) => {
                let mut free = poisoned.into_inner();
                repair(queue, &mut free);
                free
            }
        }
    }

    /// Where the list goes, from the front on.
    fn list(&self) -> Vec<u32> {
        let front = Front::of_word(self.front.load(Ordering::SeqCst));
        let mut node = front.node & !CLOSED;
        let mut list = Vec::new();
        while node != 0 {
            assert!(list.len() < NODES, "it goes in circles");
            list.push(node);
            node = self.next[node as usize].load(Ordering::SeqCst);
        }
        list
    }
}

/// The memory as one process sees it, which dies after some steps if it is to.
struct Seen {
    memory: Arc<Memory>,
    steps: AtomicUsize,
}

impl Seen {
    fn new(memory: &Arc<Memory>, steps: usize) -> Self {
        let memory = Arc::clone(memory);
        let steps = AtomicUsize::new(steps);
        Self { memory, steps }
    }

    fn step(&self) {
        // It is the process's own: no other thread looks at it.
        let left = self.steps.load(Ordering::Relaxed);
        if left == 0 {
            resume_unwind(Box::new(Death));
        }
        self.steps.store(left - 1, Ordering::Relaxed);
    }
}

impl Queue for Seen {
    fn front(&self) -> Checked<Front> {
        self.step();
        Ok(Front::of_word(self.memory.front.load(Ordering::SeqCst)))
    }

    fn exchange_front(&self, seen: Front, new: Front) -> Checked<bool> {
        self.step();
        let front = &self.memory.front;
        let exchanged =
            front.compare_exchange(seen.word(), new.word(), Ordering::SeqCst, Ordering::SeqCst);
        Ok(exchanged.is_ok())
    }

    fn set_front(&self, new: Front) -> Checked<()> {
        self.step();
        self.memory.front.store(new.word(), Ordering::SeqCst);
        Ok(())
    }

    fn next(&self, node: u32) -> Checked<u32> {
        self.step();
        Ok(self.memory.next[node as usize].load(Ordering::SeqCst))
    }

    fn set_next(&self, node: u32, next: u32) -> Checked<()> {
        self.step();
        self.memory.next[node as usize].store(next, Ordering::SeqCst);
        Ok(())
    }

    fn tail(&self) -> Checked<u32> {
        self.step();
        Ok(self.memory.tail.load(Ordering::SeqCst))
    }

    fn set_tail(&self, node: u32) -> Checked<()> {
        self.step();
        self.memory.tail.store(node, Ordering::SeqCst);
        Ok(())
    }
}

/// Appends a message if a place is free; whether one was.
fn send(queue: &Seen, message: u32) -> bool {
    let mut free = queue.memory.lock(queue);
    let Some(node) = free.pop() else {
        return false;
    };
    let at = node as usize;
    queue.memory.message[at].store(message, Ordering::SeqCst);
    queue.memory.next[at].store(0, Ordering::SeqCst);
    append(queue, node).unwrap();
    true
}

/// Takes a message, with the lock if need be.
fn receive(queue: &Seen, taker: usize) -> Option<u32> {
    let memory = &queue.memory;
    let noted = &memory.noted[taker];
    let front = queue.front().unwrap();
    if let Some(node) = front.oldest() {
        let note = || {
            queue.step();
            dawdle();
            noted.store(node, Ordering::SeqCst);
            dawdle();
            Ok(())
        };
        match take_unlocked(queue, front, node, note).unwrap() {
            Attempt::Taken => {
                // Nobody else may use the place until it is given back.
                dawdle();
                let message = memory.message[node as usize].load(Ordering::SeqCst);
                memory.taken.lock().unwrap().push(message);
                let mut free = memory.lock(queue);
                noted.store(0, Ordering::SeqCst);
                free.push(node);
                return Some(message);
            }
            Attempt::TooLate => noted.store(0, Ordering::SeqCst),
            Attempt::Last => {}
        }
    }
    let mut free = memory.lock(queue);
    loop {
        let front = queue.front().unwrap();
        let node = front.oldest()?;
        if take(queue, front, node).unwrap() {
            let message = memory.message[node as usize].load(Ordering::SeqCst);
            memory.taken.lock().unwrap().push(message);
            free.push(node);
            return Some(message);
        }
    }
}

/// Now and then lets others do a lot: all places come round again meanwhile.
fn dawdle() {
    if shuttle::rand::thread_rng().gen_bool(0.2) {
        for _ in 0..60 {
            thread::yield_now();
        }
    }
}

/// As a repair in the store: finds out what is in the queue and in use, and what is free.
fn repair(queue: &Seen, free: &mut Vec<u32>) {
    let memory = &queue.memory;
    let front = close(queue).unwrap();
    let list = memory.list();
    let noted: Vec<_> = memory
        .noted
        .iter()
        .map(|noted| noted.load(Ordering::SeqCst))
        .collect();
    let in_use = |node: &u32| list.contains(node) || noted.contains(node);
    *free = (1..=NODES as u32).filter(|node| !in_use(node)).collect();
    queue.set_tail(list.last().copied().unwrap_or(0)).unwrap();
    let first = list.first().copied().unwrap_or(0);
    queue.set_front(Front::new(first, front.taken)).unwrap();
}

/// Each message that was taken, in the order of its taking as the takers saw it.
fn check(memory: &Memory, sent: u32, lost: usize) {
    let mut taken = memory.taken.lock().unwrap().clone();
    let count = taken.len();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), count, "a message came twice");
    assert!(taken.iter().all(|message| (1..=sent).contains(message)));
    assert!(
        count + lost >= sent as usize,
        "{count} of {sent} messages came, and {lost} may be lost"
    );
}

#[test]
fn each_message_is_taken_once_and_in_order() {
    let run = || {
        let memory = Memory::new();
        let takers: Vec<_> = (0..TAKERS)
            .map(|taker| {
                let queue = Seen::new(&memory, usize::MAX);
                thread::spawn(move || {
                    let mut last = 0;
                    for _ in 0..MESSAGES {
                        if let Some(message) = receive(&queue, taker) {
                            assert!(message > last, "{message} came after {last}");
                            last = message;
                        }
                    }
                })
            })
            .collect();
        let queue = Seen::new(&memory, usize::MAX);
        let sent = (1..=MESSAGES).take_while(|message| send(&queue, *message));
        let sent = sent.count() as u32;
        for taker in takers {
            taker.join().unwrap();
        }
        while receive(&queue, 0).is_some() {}
        check(&memory, sent, 0);
        let free = memory.lock.lock().unwrap().len();
        assert_eq!(free, NODES, "places are lost");
    };
    shuttle::check_random(run, SCHEDULES);
    shuttle::check_pct(run, SCHEDULES, 3);
}

#[test]
fn who_dies_between_any_two_steps_takes_one_message_with_it_at_most() {
    // So many steps a process of this test takes.
    for steps in 0..24 {
        for sender_dies in [false, true] {
            shuttle::check_random(move || with_a_death(steps, sender_dies), SCHEDULES / 16);
        }
    }
}

fn with_a_death(steps: usize, sender_dies: bool) {
    let memory = Memory::new();
    let steps_of = |dies: bool| if dies { steps } else { usize::MAX };
    let receiver = Seen::new(&memory, steps_of(!sender_dies));
    let sender = Seen::new(&memory, steps_of(sender_dies));
    let other = Seen::new(&memory, usize::MAX);
    let sending = thread::spawn(move || {
        let mut sent = 0;
        live(|| {
            while sent < MESSAGES && send(&sender, sent + 1) {
                sent += 1;
            }
        });
        sent
    });
    let dying = thread::spawn(move || {
        live(|| {
            for _ in 0..MESSAGES {
                receive(&receiver, 1);
            }
        });
    });
    for _ in 0..2 {
        receive(&other, 0);
    }
    let sent = sending.join().unwrap();
    dying.join().unwrap();
    // The dead use nothing any more.
    memory.noted[1].store(0, Ordering::SeqCst);
    while receive(&other, 0).is_some() {}
    // What was being sent may have come or not.
    let taken = memory.taken.lock().unwrap().clone();
    let half_sent = u32::from(taken.contains(&(sent + 1)));
    check(&memory, sent + half_sent, usize::from(!sender_dies));
    let mut free = memory.lock.lock().unwrap_or_else(PoisonError::into_inner);
    repair(&other, &mut free);
    assert_eq!(free.len(), NODES, "places are lost");
}

/// Does something until the process dies.
fn live(life: impl FnOnce()) {
    if let Err(end) = catch_unwind(AssertUnwindSafe(life))
        && !end.is::<Death>()
    {
        resume_unwind(end);
    }
}
