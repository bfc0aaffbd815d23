//! Memory limit of Unix. Linux enforces the limit; macOS records it and enforces it in part.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Limits the memory of this process and disables its core dump.
pub(crate) fn limit(bytes: u64) {
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
