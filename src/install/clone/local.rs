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
    pub(super) path: PathBuf,
    pub(super) job: CloneContext,
}

impl GitTransport for LocalRepository {
    fn refs(&mut self) -> Result<Refs, CloneError> {
        let path = self.path.clone();
        let found = worker::run(WorkerTask::List { path }, Path::new("/"), &self.job)?;
        Ok(found.refs)
    }

    fn fetch(&mut self, folder: &Path, _: &[Oid], _: FetchExtent) -> Result<(), CloneError> {
        let path = self.path.clone();
        worker::run(WorkerTask::Fetch { path }, folder, &self.job).map(drop)
    }
}
