//! Time of a file's last change, according to the file system.

use std::path::Path;
use std::time::{Duration, SystemTime};

/// Maximum lag of file times behind the clock: the system uses the time of its last timer tick.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// Returns the time of the last change of a file or of its inode (ctime on Unix, which a rename updates too); `None` if
/// it does not exist. Reads the file system.
pub(crate) fn changed(file: &Path) -> Option<SystemTime> {
    let metadata = std::fs::metadata(file).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let seconds = u64::try_from(metadata.ctime()).ok()?;
        let nanoseconds = u32::try_from(metadata.ctime_nsec()).ok()?;
        Some(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds))
    }
    #[cfg(not(unix))]
    metadata.modified().ok()
}
