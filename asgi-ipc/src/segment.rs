//! A segment mapped into this process: the one place of this crate with unsafe code.
//!
//! What is mapped can be changed by other processes at any time, so no reference to plain memory
//! is ever made of it: every access is a load or store of an atomic whole word, at an offset that
//! was checked, and bytes are copied word by word. Whatever others write there, the worst that can
//! be read is a wrong number.
#![expect(unsafe_code, reason = "mapping memory and reaching into it")]

use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

/// Something in a segment points out of its table or out of the segment: another program wrote
/// there, or a process was killed half-way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage(pub(crate) &'static str);

/// What reading a segment gives.
pub(crate) type Checked<T> = Result<T, Damage>;

/// A mapped segment. Offsets are in bytes from its start; those of whole words must be multiples
/// of the word's size.
pub(crate) struct Segment {
    base: NonNull<u8>,
    len: usize,
    /// How many words are stored until the process "dies": later ones are not.
    #[cfg(test)]
    life: AtomicU64,
}

// SAFETY: the mapping belongs to the process, not to a thread, and stays until the value is
// dropped; everything in it is reached by atomic operations only.
unsafe impl Send for Segment {}
// SAFETY: as for `Send`: shared access is atomic.
unsafe impl Sync for Segment {}

impl Segment {
    /// Maps the first `len` bytes of `file`, which must be that long: what lies behind the end of
    /// a file cannot be read, the process would be ended by a signal.
    pub(crate) fn map(file: &File, len: usize) -> io::Result<Self> {
        let flags = MapFlags::SHARED;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: no address is asked for, so the kernel chooses one where nothing is mapped, and
        // no existing memory of the process changes.
        let base = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, access, flags, file, 0)? };
        let base = NonNull::new(base.cast::<u8>())
            .ok_or_else(|| io::Error::other("the segment was mapped at address zero"))?;
        Ok(Self {
            base,
            len,
            #[cfg(test)]
            life: AtomicU64::new(u64::MAX),
        })
    }

    /// Lets what is stored after so many words be lost, as if the process were killed then.
    #[cfg(test)]
    pub(crate) fn die_after(&self, stores: u64) {
        self.life.store(stores, Ordering::Relaxed);
    }

    #[cfg(test)]
    fn is_alive(&self) -> bool {
        let one_less = |life: u64| life.checked_sub(1);
        let life = self
            .life
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        life.is_ok()
    }

    #[cfg(not(test))]
    #[expect(
        clippy::unused_self,
        reason = "a process that is not tested lives until it is killed"
    )]
    const fn is_alive(&self) -> bool {
        true
    }

    /// The word at `at`, for what is done without the lock.
    pub(crate) fn word(&self, at: usize) -> Checked<&AtomicU32> {
        let pointer = self.pointer::<4>(at)?;
        // SAFETY: `pointer` checked that four bytes at this offset are inside the mapping and that
        // the offset is a multiple of four, and mappings begin at a page; the mapping is readable
        // and writable and lives as long as `self`, to which the reference is bound. All access of
        // this process is by atomics of this size or by those of `long` at other offsets.
        Ok(unsafe { AtomicU32::from_ptr(pointer.cast::<u32>()) })
    }

    pub(crate) fn load(&self, at: usize) -> Checked<u32> {
        Ok(self.word(at)?.load(Ordering::Acquire))
    }

    /// What was stored before is in memory before this is: an owner that dies leaves a beginning
    /// of what it did, never a later part without an earlier one.
    pub(crate) fn store(&self, at: usize, value: u32) -> Checked<()> {
        let word = self.word(at)?;
        if self.is_alive() {
            word.store(value, Ordering::Release);
        }
        Ok(())
    }

    pub(crate) fn load_long(&self, at: usize) -> Checked<u64> {
        Ok(self.long(at)?.load(Ordering::Acquire))
    }

    pub(crate) fn store_long(&self, at: usize, value: u64) -> Checked<()> {
        let long = self.long(at)?;
        if self.is_alive() {
            long.store(value, Ordering::Release);
        }
        Ok(())
    }

    /// Writes `new` if there is `current`; whether there was. What was stored before is in memory
    /// before this is, and whoever reads it sees that.
    pub(crate) fn exchange_long(&self, at: usize, current: u64, new: u64) -> Checked<bool> {
        let long = self.long(at)?;
        if !self.is_alive() {
            return Ok(true);
        }
        let exchanged = long.compare_exchange(current, new, Ordering::AcqRel, Ordering::Relaxed);
        Ok(exchanged.is_ok())
    }

    /// Copies `bytes` to `at`, a multiple of eight. What remains of the last eight is zeroed.
    pub(crate) fn write(&self, at: usize, bytes: &[u8]) -> Checked<()> {
        let (chunks, rest) = bytes.as_chunks::<8>();
        let longs = self.longs(at, bytes.len().div_ceil(8))?;
        if !self.is_alive() {
            return Ok(());
        }
        for (long, chunk) in longs.iter().zip(chunks) {
            long.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
        }
        if let Some(last) = longs.get(chunks.len()) {
            last.store(to_long(rest), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Appends the `count` bytes at `at`, a multiple of eight, to `bytes`.
    pub(crate) fn read(&self, at: usize, count: usize, bytes: &mut Vec<u8>) -> Checked<()> {
        let longs = self.longs(at, count.div_ceil(8))?;
        let start = bytes.len();
        bytes.resize(start + count, 0);
        let (chunks, rest) = bytes[start..].as_chunks_mut::<8>();
        let last = longs.get(chunks.len());
        for (chunk, long) in chunks.iter_mut().zip(longs) {
            *chunk = long.load(Ordering::Relaxed).to_ne_bytes();
        }
        if let Some(last) = last {
            let count = rest.len();
            rest.copy_from_slice(&last.load(Ordering::Relaxed).to_ne_bytes()[..count]);
        }
        Ok(())
    }

    /// Lets the processor fetch what is at `at` into its cache while something else is done.
    pub(crate) fn prefetch(&self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        if let Ok(pointer) = self.pointer::<1>(at) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

            // SAFETY: the instruction changes nothing and needs no valid address; this one is
            // inside the mapping. Every processor of this architecture has it.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(pointer.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    /// The same for what is going to be written: others have it in their caches no more afterwards.
    pub(crate) fn prefetch_to_write(&self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        if let Ok(pointer) = self.pointer::<1>(at) {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};

            // SAFETY: as in `prefetch`; a processor that does not know this form does nothing.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(pointer.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    /// Whether `bytes` were written at `at`.
    pub(crate) fn holds(&self, at: usize, bytes: &[u8]) -> Checked<bool> {
        let (chunks, rest) = bytes.as_chunks::<8>();
        let longs = self.longs(at, bytes.len().div_ceil(8))?;
        let same = |long: &AtomicU64, value: u64| long.load(Ordering::Relaxed) == value;
        let whole = longs
            .iter()
            .zip(chunks)
            .all(|(long, chunk)| same(long, u64::from_ne_bytes(*chunk)));
        let last = longs.get(chunks.len());
        Ok(whole && last.is_none_or(|last| same(last, to_long(rest))))
    }

    /// Zeroes `count` bytes from `at`, both multiples of eight.
    pub(crate) fn clear(&self, at: usize, count: usize) -> Checked<()> {
        for long in self.longs(at, count / 8)? {
            if self.is_alive() {
                long.store(0, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn long(&self, at: usize) -> Checked<&AtomicU64> {
        let pointer = self.pointer::<8>(at)?;
        // SAFETY: as in `word`, for eight bytes.
        Ok(unsafe { AtomicU64::from_ptr(pointer.cast::<u64>()) })
    }

    /// `count` words of eight bytes each.
    fn longs(&self, at: usize, count: usize) -> Checked<&[AtomicU64]> {
        if count == 0 {
            return Ok(&[]);
        }
        let end = count.checked_mul(8).and_then(|size| at.checked_add(size));
        if end.is_none_or(|end| end > self.len) {
            return Err(Damage("a length points out of the segment"));
        }
        let first = self.pointer::<8>(at)?;
        // SAFETY: as in `word`, for `count` words that follow each other; the end of the last was
        // just checked. A slice of atomics may be changed by others while it is shared.
        Ok(unsafe { std::slice::from_raw_parts(first.cast::<AtomicU64>(), count) })
    }

    /// The address of `SIZE` bytes at the offset `at`.
    fn pointer<const SIZE: usize>(&self, at: usize) -> Checked<*mut u8> {
        if !at.is_multiple_of(SIZE) || at > self.len || self.len - at < SIZE {
            return Err(Damage("an offset points out of the segment"));
        }
        // SAFETY: the offset is inside the mapping, which is one object of `len` bytes.
        Ok(unsafe { self.base.as_ptr().add(at) })
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: this is the mapping `map` made; references to it are bound to `self`, so there
        // are none left. Should it fail, memory stays mapped that nobody uses.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Less than eight bytes as a whole word, zeroes after them. Not by way of an array: reading one
/// at once that was just written in parts makes the processor wait.
fn to_long(bytes: &[u8]) -> u64 {
    let long = bytes
        .iter()
        .rev()
        .fold(0, |long, byte| long << 8 | u64::from(*byte));
    // The first byte comes first in memory, however the machine writes numbers.
    long.to_le()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(len: usize) -> Segment {
        let file = tempfile::tempfile().unwrap();
        file.set_len(len as u64).unwrap();
        Segment::map(&file, len).unwrap()
    }

    #[test]
    fn offsets_are_checked() {
        let segment = segment(4096);
        assert!(segment.load(4092).is_ok());
        assert!(segment.load_long(4088).is_ok());
        for at in [1, 2, 4094, 4096, 4100, usize::MAX - 3, usize::MAX] {
            assert!(segment.load(at).is_err(), "{at}");
            assert!(segment.store(at, 1).is_err(), "{at}");
        }
        for at in [4, 4092, 4096, usize::MAX - 7] {
            assert!(segment.load_long(at).is_err(), "{at}");
            assert!(segment.holds(at, b"a").is_err(), "{at}");
        }
        assert!(segment.write(4088, b"12345678").is_ok());
        assert!(segment.write(4088, b"123456789").is_err());
        assert!(segment.read(4088, 9, &mut Vec::new()).is_err());
    }

    #[test]
    fn bytes_come_back() {
        let segment = segment(4096);
        for len in 0..40 {
            let written: Vec<u8> = (1..=len).collect();
            segment.write(64, &written).unwrap();
            let mut read = vec![99];
            segment.read(64, written.len(), &mut read).unwrap();
            assert_eq!(read[1..], written);
            assert!(segment.holds(64, &written).unwrap());
        }
        assert!(!segment.holds(64, b"x").unwrap());
        segment.clear(64, 64).unwrap();
        assert!(segment.holds(64, &[0; 64]).unwrap());
    }
}
