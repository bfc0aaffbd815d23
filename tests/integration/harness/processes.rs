//! Tags of a test's processes: the value of an environment variable that all of them inherit.

use std::sync::atomic::{AtomicU32, Ordering};

/// Returns a tag that no other test, and no other run of the tests, uses.
pub(crate) fn new_tag() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since_epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{}-{count}", std::process::id(), since_epoch.as_nanos())
}
