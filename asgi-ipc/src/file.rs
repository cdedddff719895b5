//! Files of segments: made without races, checked before they are mapped.
//!
//! Whoever opens a segment holds a lock on its file while it looks, so one makes the segment and
//! the others find it made. A maker that dies leaves a file without the mark that it is ready,
//! which the next one makes anew; the kernel has released the lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rand::Rng as _;
use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;

use crate::error::Error;
use crate::layout::{
    HEADER_SIZE, IDENTITY, Layout, MAGIC, MAX_MEMORY, MIN_GROUP_MEMORY, MIN_MESSAGE_MEMORY,
    VERSION, header,
};
use crate::segment::Segment;

/// What the name of a segment's file begins with.
const FILE_PREFIX: &str = "asgi-ipc.";
/// How long a segment may be in the making.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where segments are unless configured: the directory `shm_open` uses on Linux.
pub(crate) fn default_directory() -> PathBuf {
    if cfg!(target_os = "linux") {
        PathBuf::from("/dev/shm")
    } else {
        std::env::temp_dir()
    }
}

/// The file of the segment called `prefix`.
pub(crate) fn path(directory: &Path, prefix: &str) -> PathBuf {
    directory.join(format!("{FILE_PREFIX}{prefix}"))
}

/// The prefix in the name of a segment's file. Names of files that only go with a segment have
/// more dots.
pub(crate) fn prefix_of(file_name: &str) -> Option<&str> {
    let prefix = file_name.strip_prefix(FILE_PREFIX)?;
    (!prefix.is_empty() && !prefix.contains('.')).then_some(prefix)
}

/// The file over which the client of `slot` is woken, and whose lock says that it is alive.
pub(crate) fn wake_path(segment: &Path, id: u64, slot: u32) -> PathBuf {
    let mut name = segment.as_os_str().to_owned();
    name.push(format!(".{id:016x}.{slot}"));
    PathBuf::from(name)
}

/// A segment that was checked, and its map.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) layout: Layout,
    pub(crate) id: u64,
    /// Milliseconds since 1970.
    pub(crate) created: u64,
}

impl Opened {
    /// What the system says of the file.
    pub(crate) fn metadata(&self, path: &Path) -> Result<fs::Metadata, Error> {
        metadata(&self.file, path)
    }

    /// The permissions of the segment, for files that go with it.
    pub(crate) fn mode(&self, path: &Path) -> Result<u32, Error> {
        Ok(metadata(&self.file, path)?.mode() & 0o666)
    }

    /// The user and the group the segment belongs to.
    pub(crate) fn owner(&self, path: &Path) -> Result<(u32, u32), Error> {
        let metadata = metadata(&self.file, path)?;
        Ok((metadata.uid(), metadata.gid()))
    }

    pub(crate) fn map(&self, path: &Path) -> Result<Segment, Error> {
        Segment::map(&self.file, self.layout.total).map_err(|source| Error::io("map", path, source))
    }
}

/// Opens the segment at `path`, or makes it if there is none.
pub(crate) fn open_or_create(
    path: &Path,
    mode: u32,
    message_memory: u64,
    group_memory: u64,
) -> Result<Opened, Error> {
    let layout = Layout::new(message_memory, group_memory);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let file = open_or_make(path, mode, deadline)?;
        lock_within(&file, path, deadline)?;
        if !is_at(&file, path)? {
            // It was removed while we waited.
            continue;
        }
        check_owner(&file, path, mode)?;
        let opened = match read_header(&file, path)? {
            None => create(file, path, mode, layout)?,
            Some(opened) => {
                let (found, wanted) = (&opened.layout, &layout);
                for (option, found, wanted) in [
                    (
                        "message_memory",
                        found.message_memory,
                        wanted.message_memory,
                    ),
                    ("group_memory", found.group_memory, wanted.group_memory),
                ] {
                    if found != wanted {
                        let path = path.to_owned();
                        return Err(Error::OtherSize {
                            path,
                            option,
                            found,
                            wanted,
                        });
                    }
                }
                opened
            }
        };
        unlock(&opened.file, path)?;
        return Ok(opened);
    }
}

/// Opens the segment at `path`, of whatever size.
pub(crate) fn open_existing(path: &Path) -> Result<Opened, Error> {
    let file = check_is_file(try_open(path, None), path)?;
    lock_within(&file, path, Instant::now() + PATIENCE)?;
    let opened = read_header(&file, path)?.ok_or_else(|| foreign(path, "it is empty"))?;
    unlock(&opened.file, path)?;
    Ok(opened)
}

/// Removes a segment, damaged or not, and the files that go with it.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::io("remove", path, source);
    fs::remove_file(path).map_err(failed)?;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let mut beside = name.to_owned();
    beside.push(".");
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name
            .as_encoded_bytes()
            .starts_with(beside.as_encoded_bytes())
        {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
    }
    Ok(())
}

/// The prefixes of the segments in `directory`, in alphabetical order.
pub(crate) fn list(directory: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::io("list", directory, source);
    let mut prefixes = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        prefixes.extend(name.to_str().and_then(prefix_of).map(str::to_owned));
    }
    prefixes.sort_unstable();
    Ok(prefixes)
}

/// Opens the file, or makes an empty one. A file that is there is not opened for making: systems
/// refuse that for the files of others in directories such as this.
fn open_or_make(path: &Path, mode: u32, deadline: Instant) -> Result<File, Error> {
    loop {
        let opened = match try_open(path, None) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => try_open(path, Some(mode)),
            opened => opened,
        };
        match opened {
            // Somebody else made it meanwhile.
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && Instant::now() < deadline => {}
            opened => return check_is_file(opened, path),
        }
    }
}

fn try_open(path: &Path, make: Option<u32>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    // Others may make files in this directory too: a link would lead anywhere, and opening a pipe
    // would wait for its other end.
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
    if let Some(mode) = make {
        options.create_new(true).mode(mode);
    }
    options.open(path)
}

fn check_is_file(opened: io::Result<File>, path: &Path) -> Result<File, Error> {
    let file = opened.map_err(|source| Error::io("open", path, source))?;
    if !metadata(&file, path)?.is_file() {
        return Err(foreign(path, "it is not a file"));
    }
    Ok(file)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a layer is made before anything asynchronous begins; another program is making the \
              segment, which takes milliseconds"
)]
fn lock_within(file: &File, path: &Path, deadline: Instant) -> Result<(), Error> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", path, source)),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                return Err(Error::io("lock", path, io::ErrorKind::TimedOut.into()));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn unlock(file: &File, path: &Path) -> Result<(), Error> {
    file.unlock()
        .map_err(|source| Error::io("unlock", path, source))
}

fn metadata(file: &File, path: &Path) -> Result<fs::Metadata, Error> {
    file.metadata()
        .map_err(|source| Error::io("look at", path, source))
}

/// Whether the file is still the one called `path`.
fn is_at(file: &File, path: &Path) -> Result<bool, Error> {
    let ours = metadata(file, path)?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::io("look at", path, source)),
    }
}

/// Refuses the file of another user, who could have put anything there, unless the configuration
/// says that users share.
fn check_owner(file: &File, path: &Path, mode: u32) -> Result<(), Error> {
    let owner = metadata(file, path)?.uid();
    if mode & 0o066 == 0 && owner != rustix::process::geteuid().as_raw() {
        let path = path.to_owned();
        return Err(Error::OtherUser { path, owner });
    }
    Ok(())
}

fn create(file: File, path: &Path, mode: u32, layout: Layout) -> Result<Opened, Error> {
    let made = try_create(&file, path, mode, layout);
    if made.is_err() {
        // Nobody has opened it: we hold its lock.
        let _ = fs::remove_file(path);
    }
    made.map(|(layout, id, created)| Opened {
        file,
        layout,
        id,
        created,
    })
}

fn try_create(
    file: &File,
    path: &Path,
    mode: u32,
    layout: Layout,
) -> Result<(Layout, u64, u64), Error> {
    let failed = |source| Error::io("make", path, source);
    // Whatever a maker that died has left.
    file.set_len(0).map_err(failed)?;
    file.set_permissions(fs::Permissions::from_mode(mode))
        .map_err(failed)?;
    let total = layout.total as u64;
    // All memory is taken now: a segment with holes would end the process that finds no memory
    // for one, by a signal, at any time later.
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, total) {
        Ok(()) => {}
        Err(Errno::NOSPC | Errno::DQUOT) => {
            let available = rustix::fs::fstatvfs(file)
                .map(|there| there.f_bavail.saturating_mul(there.f_frsize))
                .unwrap_or_default();
            return Err(Error::NoSpace {
                path: path.to_owned(),
                needed: total,
                available,
            });
        }
        Err(errno) => return Err(failed(errno.into())),
    }
    let id: u64 = rand::rng().random();
    let created = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |now| now.as_millis() as u64);
    let mut page = [0; header::READY];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    put(header::MAGIC, &MAGIC.to_ne_bytes());
    put(header::VERSION, &VERSION.to_ne_bytes());
    put(header::IDENTITY, &IDENTITY.to_ne_bytes());
    put(header::MESSAGE_MEMORY, &layout.message_memory.to_ne_bytes());
    put(header::GROUP_MEMORY, &layout.group_memory.to_ne_bytes());
    put(header::TOTAL, &total.to_ne_bytes());
    put(header::ID, &id.to_ne_bytes());
    put(header::CREATED, &created.to_ne_bytes());
    let sum = checksum(&page[..header::CHECKSUM]);
    page[header::CHECKSUM..].copy_from_slice(&sum.to_ne_bytes());
    file.write_all_at(&page, 0).map_err(failed)?;
    file.write_all_at(&1u32.to_ne_bytes(), header::READY as u64)
        .map_err(failed)?;
    Ok((layout, id, created))
}

/// What the header says; nothing if the segment is not made yet. The file is locked.
fn read_header(file: &File, path: &Path) -> Result<Option<Opened>, Error> {
    let size = metadata(file, path)?.len();
    let mut page = vec![0; HEADER_SIZE.min(size as usize)];
    file.read_exact_at(&mut page, 0)
        .map_err(|source| Error::io("read", path, source))?;
    if page.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if page.len() < HEADER_SIZE {
        return Err(foreign(path, format_args!("it has {size} bytes only")));
    }
    let word = |at: usize| u32::from_ne_bytes(array(&page, at));
    let long = |at: usize| u64::from_ne_bytes(array(&page, at));
    if long(header::MAGIC) != MAGIC {
        return Err(foreign(path, "it does not begin as one"));
    }
    if word(header::READY) != 1 {
        return Ok(None);
    }
    if word(header::VERSION) != VERSION {
        let version = word(header::VERSION);
        return Err(foreign(
            path,
            format_args!(
                "its layout has version {version}, and this program knows {VERSION}; stop the \
                 programs that use it and remove it with `asgi-ipc remove`"
            ),
        ));
    }
    if word(header::IDENTITY) != IDENTITY {
        return Err(foreign(path, "its numbers are written in another order"));
    }
    if long(header::CHECKSUM) != checksum(&page[..header::CHECKSUM]) {
        return Err(foreign(path, "its header is damaged"));
    }
    let (message_memory, group_memory) = (long(header::MESSAGE_MEMORY), long(header::GROUP_MEMORY));
    if !(MIN_MESSAGE_MEMORY..=MAX_MEMORY).contains(&message_memory)
        || !(MIN_GROUP_MEMORY..=MAX_MEMORY).contains(&group_memory)
    {
        return Err(foreign(path, "its sizes are out of range"));
    }
    let layout = Layout::new(message_memory, group_memory);
    let total = layout.total as u64;
    if long(header::TOTAL) != total || size != total {
        return Err(foreign(
            path,
            format_args!("it has {size} bytes and should have {total}"),
        ));
    }
    Ok(Some(Opened {
        layout,
        id: long(header::ID),
        created: long(header::CREATED),
        file: file
            .try_clone()
            .map_err(|source| Error::io("open", path, source))?,
    }))
}

fn foreign(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::Foreign {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn array<const SIZE: usize>(bytes: &[u8], at: usize) -> [u8; SIZE] {
    let mut array = [0; SIZE];
    array.copy_from_slice(&bytes[at..at + SIZE]);
    array
}

/// FNV-1a, 64 bits. It finds accidents; whoever writes there on purpose can write a sum too.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
