//! Repository in a local folder, read by the worker.

use std::path::{Path, PathBuf};

use git2::Oid;

use super::git_transport::{FetchExtent, GitTransport};
use super::refs::Refs;
use super::worker::{self, WorkerTask};
use super::{CloneContext, CloneError};

/// Path of a working folder or of a bare `repo.git`.
#[derive(Debug)]
pub(super) struct LocalRepository {
    path: PathBuf,
}

impl LocalRepository {
    pub(super) fn new(path: &Path) -> Self {
        let path = path.to_owned();
        Self { path }
    }
}

impl GitTransport for LocalRepository {
    fn refs(&mut self, job: &CloneContext) -> Result<Refs, CloneError> {
        let path = self.path.clone();
        let found = worker::run(WorkerTask::List { path }, Path::new("/"), job)?;
        Ok(found.refs)
    }

    fn fetch(
        &mut self,
        folder: &Path,
        _: &[Oid],
        _: FetchExtent,
        job: &CloneContext,
    ) -> Result<(), CloneError> {
        let path = self.path.clone();
        worker::run(WorkerTask::Fetch { path }, folder, job).map(drop)
    }
}
