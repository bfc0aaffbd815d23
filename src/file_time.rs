//! Time of a file's last change, according to the file system.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs::Metadata;
use std::path::Path;
use std::time::{Duration, SystemTime};

#[cfg(unix)]
use self::unix as system;
#[cfg(windows)]
use self::windows as system;

/// Maximum lag of file times behind the clock: the system uses the time of its last timer tick.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// Returns the time of the last change of a file or of its inode (ctime on Unix, which a rename updates too); `None` if
/// it does not exist. Reads the file system.
pub(crate) fn changed(file: &Path) -> Option<SystemTime> {
    changed_of(&std::fs::metadata(file).ok()?)
}

/// Returns the time of the last change according to a file's metadata.
pub(crate) fn changed_of(file: &Metadata) -> Option<SystemTime> {
    system::changed(file)
}
