//! Interface of the ways to reach a repository.

use std::path::Path;

use git2::Oid;

use super::CloneError;
use super::refs::Refs;

/// Amount of history and files to fetch for the requested commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FetchExtent {
    /// The commits without their parents.
    Alone,
    Whole,
    /// All ancestors as well, but no files.
    Commits,
}

/// Transport to a repository.
pub(super) trait GitTransport {
    /// Lists the refs of the repository.
    fn refs(&mut self) -> Result<Refs, CloneError>;

    /// Fetches `wants` into the repository in `folder`, possibly more than `extent` requests.
    fn fetch(
        &mut self,
        folder: &Path,
        wants: &[Oid],
        extent: FetchExtent,
    ) -> Result<(), CloneError>;
}
