//! Locks of folders between processes. The system releases them with the process.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs::TryLockError;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

#[cfg(unix)]
pub(crate) use unix::FolderLock;
#[cfg(windows)]
pub(crate) use windows::FolderLock;

impl FolderLock {
    /// Locks an existing folder as soon as no other process does; `None` if one still does after `limit`. Does not lock
    /// where the file system has no locks. Blocks.
    pub(crate) fn wait(folder: &Path, limit: Duration) -> io::Result<Option<Self>> {
        let lock = Self::open(folder)?;
        Ok(wait_for_lock(|| lock.try_lock(), limit).then_some(lock))
    }
}

/// Calls `try_lock` until no other process holds the lock; returns false if one still does after `limit`. Returns true
/// as well where the file system has no locks. Blocks: systems send no event when another process unlocks.
pub(crate) fn wait_for_lock(
    try_lock: impl Fn() -> Result<(), TryLockError>,
    limit: Duration,
) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        match try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => return false,
            Ok(()) | Err(TryLockError::Error(_)) => return true,
        }
    }
}
