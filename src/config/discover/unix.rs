//! Owners of files on Unix.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::geteuid;

/// Returns the owner of a file or of the symlink to it, if the owner is not among `users`.
pub(super) fn other_owner(file: &Path, users: &[u32]) -> Option<u32> {
    let known = [file.symlink_metadata(), file.metadata()];
    let mut owners = known.into_iter().flatten().map(|it| it.uid());
    owners.find(|owner| !users.contains(owner))
}

/// Returns the ids of users whose files are accepted in any location: the current user and, for root, the user who
/// called sudo. Git applies the same rule to repositories.
pub(in crate::config) fn users() -> Vec<u32> {
    let own = geteuid().as_raw();
    let caller = std::env::var("SUDO_UID").ok().filter(|_| own == 0);
    let caller = caller.and_then(|id| id.parse().ok());
    std::iter::once(own).chain(caller).collect()
}
