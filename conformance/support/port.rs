//! Ports for servers.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

use rand::Rng as _;

/// Below the ports Linux gives to outgoing connections, so that nobody takes the port of a server
/// that is down for a moment.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port of 127.0.0.1 that nobody listens on; no other call of this program returns it too.
pub fn free_port() -> u16 {
    for _ in 0..1_000 {
        let port = rand::rng().random_range(RANGE);
        let is_new = TAKEN.lock().expect("nobody panics here").insert(port);
        if is_new && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port in {RANGE:?} is free");
}
