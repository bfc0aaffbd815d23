//! File times of Windows.

use std::fs::Metadata;
use std::time::SystemTime;

/// Returns the time of the last write to a file, or of its creation if that is later, as after a copy that keeps the
/// time of its original. No stable function gives the time of a rename.
pub(super) fn changed(file: &Metadata) -> Option<SystemTime> {
    file.modified().ok().max(file.created().ok())
}
