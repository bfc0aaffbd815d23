//! Fetches the submodules of a commit on request: each at the commit that its repository pins, and recursively.

use std::path::Path;

use super::worker::PinnedSubmodule;
use super::{CloneContext, CloneError, Cloned, Submodules, UnreferencedCommit, open};
use crate::install::source::{RepositoryAddress, Source, SourceError, SourcePermissions};
use crate::quoting;

/// Fetches the submodules `named` of the repository in `root`, which came from `source` and is checked out, and adds
/// them to `cloned`. All submodules together share the limits.
pub(super) fn fetch(
    named: &[PinnedSubmodule],
    root: &Path,
    source: &Source,
    deeper: Submodules,
    cloned: &mut Cloned,
    job: &CloneContext,
) -> Result<(), CloneError> {
    for PinnedSubmodule { path, commit, url } in named {
        let failed = |reason: String| CloneError::Submodule {
            path: path.display().to_string(),
            reason,
        };
        let mut meant = address(url, source, root).map_err(|error| failed(error.to_string()))?;
        meant.reference = Some(commit.clone());
        let folder = root.join(path);
        let job = CloneContext {
            limits: job.limits.without(cloned.taken),
            ..job.clone()
        };
        let inner = open(&meant, &job)
            .and_then(|it| it.clone_into(&meant, &folder, deeper, UnreferencedCommit::Taken))
            .map_err(|error| match error {
                CloneError::Cancelled => error,
                CloneError::TooLarge(what) => {
                    failed(format!("the remaining limits are exceeded: {what}"))
                }
                error => failed(error.to_string()),
            })?;
        let of = |note: String| format!("{}: {note}", quoting::value(&path.to_string_lossy()));
        cloned.notes.extend(inner.notes.into_iter().map(of));
        cloned.taken += inner.taken;
    }
    Ok(())
}

/// Resolves the address of a submodule: a relative address is relative to that of the repository. Only a local
/// repository may have a local submodule.
fn address(url: &str, source: &Source, root: &Path) -> Result<Source, SourceError> {
    let permit = SourcePermissions {
        insecure: matches!(&source.remote, RepositoryAddress::Http { url, .. } if url.scheme() == "http"),
        local: matches!(source.remote, RepositoryAddress::Local(_)),
    };
    let mut base = source.address().trim_end_matches('/').to_owned();
    let mut rest = url;
    loop {
        if let Some(above) = rest.strip_prefix("../") {
            let end = base.rfind(['/', ':']).unwrap_or(0);
            base.truncate(end);
            rest = above;
        } else if let Some(here) = rest.strip_prefix("./") {
            rest = here;
        } else {
            break;
        }
    }
    let whole = if rest.len() < url.len() {
        format!("{base}/{rest}")
    } else {
        url.to_owned()
    };
    Source::parse(&whole, permit, root)
}
