//! How much memory this process may take. Linux keeps to it; macOS takes note of it, and enforces it in part.

/// Limits the memory of this process, and keeps it from leaving an image of it behind when it dies.
#[cfg(unix)]
pub(super) fn limit(bytes: u64) {
    use rustix::process::{Resource, Rlimit, setrlimit};

    for (resource, most) in [(Resource::As, bytes), (Resource::Core, 0)] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        if let Err(error) = setrlimit(resource, limit) {
            tracing::debug!(%error, ?resource, "there is no limit");
        }
    }
}

/// Other systems have no limit that a process sets itself.
#[cfg(not(unix))]
pub(super) fn limit(_: u64) {}
