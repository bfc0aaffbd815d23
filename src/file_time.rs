//! When files were changed, as the file system tells.

use std::path::Path;
use std::time::{Duration, SystemTime};

/// How far the times of files lag behind the clock: the system takes them from its last tick.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// When the file was changed last or came to its place; nothing if it is not there. Reads the file system.
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
