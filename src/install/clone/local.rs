//! Repository in a local folder, read by the worker.

use std::path::{Path, PathBuf};

use git2::Oid;

use super::refs::Refs;
use super::worker::{self, Task};
use super::{CloneError, Extent, Job, Reach};

/// Path of a working folder or of a bare `repo.git`.
#[derive(Debug)]
pub(super) struct Local {
    path: PathBuf,
}

impl Local {
    pub(super) fn new(path: &Path) -> Self {
        let path = path.to_owned();
        Self { path }
    }
}

impl Reach for Local {
    fn refs(&mut self, job: &Job) -> Result<Refs, CloneError> {
        let path = self.path.clone();
        let found = worker::run(Task::List { path }, Path::new("/"), job)?;
        Ok(found.refs)
    }

    fn fetch(&mut self, folder: &Path, _: &[Oid], _: Extent, job: &Job) -> Result<(), CloneError> {
        let path = self.path.clone();
        worker::run(Task::Fetch { path }, folder, job).map(drop)
    }
}
