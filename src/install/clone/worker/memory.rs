//! Memory limit of this process. Linux enforces the limit; macOS records it and enforces it in part.

/// Limits the memory of this process and disables its core dump.
#[cfg(unix)]
pub(super) fn limit(bytes: u64) {
    use rustix::process::{Resource, Rlimit, setrlimit};

    for (resource, most) in [(Resource::As, bytes), (Resource::Core, 0)] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        if let Err(error) = setrlimit(resource, limit) {
            tracing::debug!(%error, ?resource, "cannot set the limit");
        }
    }
}

/// Does nothing: other systems have no limit that a process can set for itself.
#[cfg(not(unix))]
pub(super) fn limit(_: u64) {}
