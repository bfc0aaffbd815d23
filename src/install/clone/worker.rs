//! Process that reads repositories: this program again, with a memory limit, as leader of a process group that is
//! killed at the deadline and when the installation is cancelled. libgit2 handles untrusted bytes only there, so that
//! the worst result of such bytes is an error.
//!
//! The order is an argument, a pack comes on stdin, and each line of stdout is one [`WorkerMessage`].

mod memory;
mod work;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use git2::Oid;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;

use super::refs::Refs;
use super::{CloneContext, CloneError, Limits, ResourceUsage};
use crate::install::progress::InstallStep;
use crate::lock::locked;
use crate::transport::run_command;

pub(crate) use work::main;

/// Name of the hidden subcommand.
pub(crate) const SUBCOMMAND: &str = "__git";

/// Task of the worker, in the repository folder that is its working directory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum WorkerTask {
    /// Lists the refs of another local repository.
    List { path: PathBuf },
    /// Fetches all branches and tags of another local repository.
    Fetch { path: PathBuf },
    /// Indexes the pack on stdin.
    Index,
    /// Checks that a commit exists.
    Find { commit: String },
    /// Writes the files of a commit.
    CheckOut {
        /// Full or abbreviated id.
        commit: String,
        /// Full name of the branch that led to the commit.
        branch: Option<String>,
        /// Address of the repository, for a person who uses git in the folder.
        address: String,
        /// True if the submodules will be fetched.
        submodules: bool,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct WorkerRequest {
    task: WorkerTask,
    limits: Limits,
}

/// One line of the worker's output.
#[derive(Debug, Serialize, Deserialize)]
enum WorkerMessage {
    Step(InstallStep),
    Head(String),
    Reference { name: String, id: String },
    Commit(String),
    Taken(ResourceUsage),
    Note(String),
    Submodule(PinnedSubmodule),
    Failed(CloneError),
    Done,
}

/// Submodule as its repository declares it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PinnedSubmodule {
    pub(super) path: PathBuf,
    pub(super) commit: String,
    pub(super) url: String,
}

/// Results of a task.
#[derive(Debug, Default)]
pub(super) struct WorkerResults {
    pub(super) refs: Refs,
    /// Full id.
    pub(super) commit: Option<String>,
    pub(super) notes: Vec<String>,
    pub(super) submodules: Vec<PinnedSubmodule>,
    pub(super) taken: ResourceUsage,
    end: Option<Result<(), CloneError>>,
}

impl WorkerResults {
    fn take(&mut self, said: WorkerMessage) {
        match said {
            WorkerMessage::Step(_) => {}
            WorkerMessage::Head(name) => self.refs.head = Some(name),
            WorkerMessage::Reference { name, id } => self
                .refs
                .all
                .extend(Oid::from_str(&id).map(|id| (name, id))),
            WorkerMessage::Commit(id) => self.commit = Some(id),
            WorkerMessage::Taken(taken) => self.taken = taken,
            WorkerMessage::Note(note) => self.notes.push(note),
            WorkerMessage::Submodule(pinned) => self.submodules.push(pinned),
            WorkerMessage::Failed(error) => self.end = Some(Err(error)),
            WorkerMessage::Done => self.end = Some(Ok(())),
        }
    }
}

/// Runs `task` in `folder` in a worker.
pub(super) fn run(
    task: WorkerTask,
    folder: &Path,
    job: &CloneContext,
) -> Result<WorkerResults, CloneError> {
    let work = work(task, folder, Stdio::null(), job);
    job.runtime.block_on(work)
}

/// Runs `task` in `folder` in a worker that reads `input`. Dropping the future kills the worker.
pub(super) async fn work(
    task: WorkerTask,
    folder: &Path,
    input: Stdio,
    job: &CloneContext,
) -> Result<WorkerResults, CloneError> {
    let limits = job.limits;
    let order = serde_json::to_string(&WorkerRequest { task, limits });
    let order = order.map_err(|error| CloneError::Git(error.to_string()))?;
    let mut command = command(&order);
    command.current_dir(folder);
    let findings = Arc::new(Mutex::new(WorkerResults::default()));
    let (found, progress) = (Arc::clone(&findings), job.progress.clone());
    let tell = move |line: String| match serde_json::from_str(&line) {
        Ok(WorkerMessage::Step(step)) => progress.report(step),
        Ok(said) => locked(&found).take(said),
        Err(_) => tracing::debug!(line, "the process that reads repositories"),
    };
    let running = run_command::run_on(input, command, &job.reaper, tell);
    let ended = tokio::select! {
        () = job.cancel.cancelled() => return Err(CloneError::Cancelled),
        ended = timeout(job.left(), running) => ended.map_err(|_| CloneError::Slow(limits.whole))??,
    };
    let mut findings = std::mem::take(&mut *locked(&findings));
    match findings.end.take() {
        Some(end) => end.map(|()| findings),
        None => Err(CloneError::Worker {
            status: ended.status.to_string(),
            mebibytes: limits.memory >> 20,
        }),
    }
}

#[cfg(not(test))]
fn command(order: &str) -> Command {
    let mut command = crate::transport::resolve::this_program();
    command.args([SUBCOMMAND, order]);
    command.into()
}

/// The test binary has no subcommands; an ignored test acts as the worker.
#[cfg(test)]
fn command(order: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let test = "install::clone::worker::work::tests::worker";
    command.args(["--ignored", "--exact", test, order]);
    command
}
