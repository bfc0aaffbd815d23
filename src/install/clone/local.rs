//! A repository in a folder of this machine, read by libgit2.

use std::path::{Path, PathBuf};

use git2::{Direction, FetchOptions, Oid, RemoteCallbacks, Repository};

use super::refs::Refs;
use super::{CloneError, Job, Reach};
use crate::install::progress::Step;

/// A folder, or `repo.git`.
#[derive(Debug)]
pub(super) struct Local {
    path: String,
}

impl Local {
    pub(super) fn new(path: &Path) -> Result<Self, CloneError> {
        // A folder inside of a repository is not what was named.
        let found = Repository::open(path).map_err(|error| match error.code() {
            git2::ErrorCode::NotFound => CloneError::NoRepository,
            _ => error.into(),
        })?;
        let path: PathBuf = found.path().to_owned();
        let path = path.into_os_string().into_string();
        let path = path.map_err(|_| CloneError::NoRepository)?;
        Ok(Self { path })
    }
}

impl Reach for Local {
    fn refs(&mut self, _: &Job) -> Result<Refs, CloneError> {
        let mut remote = git2::Remote::create_detached(self.path.as_str())?;
        remote.connect(Direction::Fetch)?;
        let mut refs = Refs::default();
        for head in remote.list()? {
            let name = head.name().to_owned();
            if name == "HEAD" {
                refs.head = head.symref_target().map(str::to_owned);
            }
            refs.all.push((name, head.oid()));
        }
        Ok(refs)
    }

    fn fetch(
        &mut self,
        repository: &Repository,
        _: &[Oid],
        _: bool,
        job: &Job,
    ) -> Result<(), CloneError> {
        let mut callbacks = RemoteCallbacks::new();
        callbacks.transfer_progress(|stats| {
            job.progress.tell(Step::receiving(&stats));
            !job.cancel.is_cancelled()
                && job
                    .limits
                    .check_download(stats.received_bytes() as u64)
                    .is_ok()
        });
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(callbacks)
            .download_tags(git2::AutotagOption::All);
        let mut remote = repository.remote_anonymous(&self.path)?;
        let all = ["+refs/heads/*:refs/remotes/origin/*"];
        let fetched = remote.fetch(&all, Some(&mut options), None);
        job.limits
            .check_download(remote.stats().received_bytes() as u64)?;
        fetched.map_err(|error| job.or_cancelled(error.into()))
    }
}
