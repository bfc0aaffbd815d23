//! Limit of open files on Unix. Servers keep the original limit.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};

static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Raises the limit of open files to `limit`, or as far as the system allows; returns the resulting limit.
pub(crate) fn raise(limit: u64) -> u64 {
    let before = getrlimit(Resource::Nofile);
    let limit = before.maximum.map_or(limit, |most| most.min(limit));
    if before.current.is_some_and(|current| current < limit) {
        let raised = Rlimit {
            current: Some(limit),
            ..before
        };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => drop(BEFORE.set(before)),
            Err(error) => tracing::debug!(%error, "no more files than before"),
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(limit)
}

/// Sets the limit of a newly started process to its value before [`raise`].
pub(crate) fn grant_as_before(process: Pid) {
    #[cfg(target_os = "linux")]
    if let Some(before) = BEFORE.get()
        && let Err(error) = rustix::process::prlimit(Some(process), Resource::Nofile, *before)
    {
        tracing::debug!(%error, "a process may open as many files as the proxy");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = process;
}
