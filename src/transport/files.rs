//! How many files may be open. Many connections need more than the system grants unasked, which is no affair of the
//! servers: they get what there was before.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};

static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Asks for `wanted` files, or as many as the system grants; gives how many that are.
pub(crate) fn raise(wanted: u64) -> u64 {
    let before = getrlimit(Resource::Nofile);
    let wanted = before.maximum.map_or(wanted, |most| most.min(wanted));
    if before.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            ..before
        };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => drop(BEFORE.set(before)),
            Err(error) => tracing::debug!(%error, "no more files than before"),
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(wanted)
}

/// Gives a process that was just started what there was before [`raise`].
pub(super) fn grant_as_before(process: Pid) {
    #[cfg(target_os = "linux")]
    if let Some(before) = BEFORE.get()
        && let Err(error) = rustix::process::prlimit(Some(process), Resource::Nofile, *before)
    {
        tracing::debug!(%error, "a process may open as many files as the proxy");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = process;
}
