//! Sockets that were opened by whoever started this process.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use socket2::Socket;

/// The first descriptor systemd passes on.
const FIRST_SYSTEMD_FILENO: i32 = 3;

/// The socket with the file descriptor `fileno`, as a duplicate.
pub(super) fn socket(fileno: i32) -> io::Result<Socket> {
    let descriptor: OwnedFd = match fileno {
        0 => io::stdin().as_fd().try_clone_to_owned()?,
        1 => io::stdout().as_fd().try_clone_to_owned()?,
        2 => io::stderr().as_fd().try_clone_to_owned()?,
        // Taking a number for a descriptor cannot be known to be sound; the kernel can be asked
        // for a duplicate instead.
        _ => {
            let this_process = pidfd_open(getpid(), PidfdFlags::empty())?;
            pidfd_getfd(this_process, fileno, PidfdGetfdFlags::empty())?
        }
    };
    Ok(Socket::from(descriptor))
}

/// The file descriptor of the socket that systemd passed on as number `index`.
pub(super) fn systemd_fileno(index: u32) -> io::Result<i32> {
    let variable = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let not_found = |reason: String| io::Error::new(io::ErrorKind::NotFound, reason);
    let count = variable("LISTEN_FDS")
        .filter(|_| variable("LISTEN_PID") == Some(std::process::id()))
        .ok_or_else(|| {
            not_found(
                "systemd passed no socket on: LISTEN_FDS and LISTEN_PID are not set for this \
                 process"
                    .to_owned(),
            )
        })?;
    if index >= count {
        return Err(not_found(format!("systemd passed only {count} sockets on")));
    }
    i32::try_from(index)
        .ok()
        .and_then(|index| index.checked_add(FIRST_SYSTEMD_FILENO))
        .ok_or_else(|| not_found("the index is out of range".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn an_open_socket_is_found_by_its_number() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = socket(listener.as_raw_fd()).unwrap();
        let address = found.local_addr().unwrap().as_socket();
        assert_eq!(address, Some(listener.local_addr().unwrap()));
    }

    #[test]
    fn a_number_that_is_not_open_is_an_error() {
        assert!(socket(999_999).is_err());
    }
}
