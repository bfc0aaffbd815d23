//! Clones one commit of a repository into a folder: resolves the reference, fetches only that commit where the server
//! supports it, and writes its files. Runs on a thread that may block, ends soon after cancellation, and leaves the
//! cleanup of a folder after a failure to the caller.
//!
//! No code of a repository is run: no hooks and no filters. Submodules are fetched only on request. libgit2 reads
//! untrusted data in a separate process, the `worker`. Its code (`checkout` and a part of `submodules`) reaches this
//! process only through the lines that the worker writes.

mod checkout;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod git_program;
mod git_transport;
mod http;
mod limits;
mod local;
mod packets;
mod refs;
mod submodules;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use git2::Oid;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::progress::{InstallStep, StepListener};
use super::source::{RepositoryAddress, Source};
use crate::quoting;
use crate::transport::reaper::Reaper;
use git_program::ProgramRepository;
use git_transport::{FetchExtent, GitTransport};
use http::HttpRepository;
use limits::ResourceUsage;
use local::LocalRepository;
use refs::{RefLookup, Refs};
use worker::WorkerTask;

pub(crate) use limits::Limits;
pub(crate) use worker::{SUBCOMMAND as WORKER_SUBCOMMAND, main as worker_main};

/// Reason why a clone failed. The text is for a person.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub(crate) enum CloneError {
    #[error("cancelled")]
    Cancelled,
    #[error("the server sent nothing for {} s", .0.as_secs_f32())]
    Silent(Duration),
    #[error("timeout after {} s", .0.as_secs_f32())]
    Slow(Duration),
    #[error("cannot reach the server: {0}")]
    Connection(String),
    #[error("connection lost: {0}")]
    Broken(String),
    #[error(
        "the server requires authentication or denies access; is the repository private, or its name misspelt?"
    )]
    Denied,
    #[error("repository not found")]
    Missing,
    #[error("not a git repository that can be cloned")]
    NoRepository,
    #[error("the server answered with HTTP status {0}")]
    Status(u16),
    #[error("the server redirects to {0}; if you trust that address, install from it")]
    Redirected(String),
    #[error(transparent)]
    Garbled(#[from] packets::ProtocolError),
    #[error("the server sent an invalid pack: {0}")]
    Pack(String),
    #[error("the repository is empty")]
    Empty,
    #[error("the repository has no branch, tag or commit `{name}`{}", did_you_mean(.near))]
    NoReference { name: String, near: Vec<String> },
    #[error(
        "no branch or tag of the repository has the commit {0}, which may belong to a fork; only a person may install \
         such a commit, with `mcp-proxy install`"
    )]
    Foreign(String),
    #[error("the server sent the commit {commit}, not {wanted}")]
    OtherCommit { wanted: String, commit: String },
    #[error("the repository is too large: {0}")]
    TooLarge(String),
    #[error(
        "the repository has a file or folder named {}, which may resolve to another path or to git's own files",
        quoting::value(.0)
    )]
    Name(String),
    #[error(
        "the repository has a duplicate name {}, perhaps in another letter case, which this file system ignores",
        quoting::value(.0)
    )]
    Twice(String),
    #[error("reading the repository takes more than {0} MiB of memory")]
    Memory(u64),
    #[error(
        "the process that reads the repository ended with {status}, perhaps because it needs more than {mebibytes} MiB \
         of memory"
    )]
    Worker { status: String, mebibytes: u64 },
    #[error("this address requires git, which is not in PATH")]
    NoProgram,
    #[error("git failed: {0}")]
    Program(String),
    #[error("submodule {}: {reason}", quoting::value(.path))]
    Submodule { path: String, reason: String },
    #[error("{0}")]
    Git(String),
    #[error("{0}")]
    Io(String),
}

fn did_you_mean(near: &[String]) -> String {
    match near {
        [] => String::new(),
        near => format!("; did you mean `{}`?", near.join("` or `")),
    }
}

impl From<git2::Error> for CloneError {
    fn from(error: git2::Error) -> Self {
        // The message may contain paths that are longer than a line of the worker.
        Self::Git(error.message().chars().take(1000).collect())
    }
}

impl From<std::io::Error> for CloneError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// Everything that cloning depends on besides the source.
#[derive(Debug, Clone)]
pub(super) struct CloneContext {
    pub(super) limits: Limits,
    /// Start time of the whole clone, submodules included.
    pub(super) started: Instant,
    pub(super) progress: StepListener,
    pub(super) cancel: CancellationToken,
    pub(super) runtime: Handle,
    pub(super) reaper: Reaper,
    /// Root certificates that replace those of the system, unless empty.
    pub(super) roots: Arc<[reqwest::Certificate]>,
}

impl CloneContext {
    /// Returns the rest of the overall time limit.
    fn left(&self) -> Duration {
        self.limits.whole.saturating_sub(self.started.elapsed())
    }
}

/// Commit that a source currently resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvedCommit {
    /// Full id, or the digits of an abbreviated id in the source.
    pub(super) commit: String,
    /// Full name of the branch or tag that led to the commit.
    pub(super) reference: Option<String>,
}

/// Repository whose refs were listed.
pub(super) struct ListedRepository {
    reach: Box<dyn GitTransport>,
    refs: Refs,
    job: CloneContext,
    pub(super) resolved: ResolvedCommit,
}

/// Connects to a repository and resolves the commit that `source` names.
pub(super) fn open(source: &Source, job: &CloneContext) -> Result<ListedRepository, CloneError> {
    job.progress
        .report(InstallStep::Connecting(source.repository()));
    let (reach, refs) = connect(&source.remote, job)?;
    let resolved = resolve(&refs, source.reference.as_deref())?;
    job.progress.report(InstallStep::Resolved {
        commit: resolved.commit.clone(),
        reference: resolved.reference.clone(),
    });
    Ok(ListedRepository {
        reach,
        refs,
        job: job.clone(),
        resolved,
    })
}

/// Lists the refs of the repository at `address`; returns them with the transport that reached it.
fn connect(
    address: &RepositoryAddress,
    job: &CloneContext,
) -> Result<(Box<dyn GitTransport>, Refs), CloneError> {
    match address {
        RepositoryAddress::Http { url, credentials } => {
            connect_over_http(url, credentials.as_ref(), job)
        }
        RepositoryAddress::Program(url) => listed(ProgramRepository::new(url, job)?),
        RepositoryAddress::Local(path) => listed(LocalRepository {
            path: path.clone(),
            job: job.clone(),
        }),
    }
}

fn connect_over_http(
    url: &Url,
    credentials: Option<&(String, String)>,
    job: &CloneContext,
) -> Result<(Box<dyn GitTransport>, Refs), CloneError> {
    let mut http = HttpRepository::new(url, credentials, job)?;
    match http.refs() {
        Ok(refs) => Ok((Box::new(http), refs)),
        // git may have credentials of the user; it is run without a prompt.
        Err(CloneError::Denied) if credentials.is_none() && url.scheme() == "https" => {
            let program = ProgramRepository::new(http.base().as_str(), job);
            let listed = program.and_then(listed);
            listed.map_err(|_| CloneError::Denied)
        }
        Err(error) => Err(error),
    }
}

fn listed(
    mut transport: impl GitTransport + 'static,
) -> Result<(Box<dyn GitTransport>, Refs), CloneError> {
    let refs = transport.refs()?;
    Ok((Box::new(transport), refs))
}

fn resolve(refs: &Refs, name: Option<&str>) -> Result<ResolvedCommit, CloneError> {
    match refs.find(name) {
        RefLookup::Known { commit, reference } => Ok(ResolvedCommit {
            commit: commit.to_string(),
            reference,
        }),
        RefLookup::Commit(commit) => Ok(ResolvedCommit {
            commit,
            reference: None,
        }),
        RefLookup::Unknown(near) => Err(match name {
            Some(name) => CloneError::NoReference {
                name: name.to_owned(),
                near,
            },
            None => CloneError::Empty,
        }),
    }
}

/// Nesting depth of submodules to fetch; `0` fetches none.
pub(super) type Submodules = u8;

/// Depth that covers every nesting of submodules found in practice.
pub(super) const ALL_SUBMODULES: Submodules = 8;

/// Handling of a commit that no branch or tag points at: an ancestor of one, or a commit of a fork, which some hosts
/// serve under the address of the original repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnreferencedCommit {
    /// Refused unless it is proven to be an ancestor of a branch or tag.
    Proven,
    /// Fetched, with a note to the user.
    Told,
    /// Fetched: the source that names the commit is trusted.
    Taken,
}

/// Commit whose files are in its folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cloned {
    /// Full id.
    pub(super) commit: String,
    /// Notes for the user.
    pub(super) notes: Vec<String>,
    taken: ResourceUsage,
}

impl ListedRepository {
    /// Fetches the commit into `folder`, which must be empty, and writes its files and those of its submodules down to
    /// the depth `submodules`.
    pub(super) fn clone_into(
        mut self,
        source: &Source,
        folder: &Path,
        submodules: Submodules,
        unnamed: UnreferencedCommit,
    ) -> Result<Cloned, CloneError> {
        checkout::init(folder)?;
        let note = self.fetch(folder, unnamed)?;
        let wanted = self.resolved.commit.clone();
        let branch = self.resolved.reference;
        let task = WorkerTask::CheckOut {
            commit: self.resolved.commit,
            branch: branch.filter(|it| it.starts_with("refs/heads/")),
            address: source.address(),
            submodules: submodules > 0,
        };
        let found = worker::run(task, folder, &self.job);
        let found = found.map_err(|error| foreign(error, unnamed))?;
        let commit = found.commit.unwrap_or_default();
        if !commit.starts_with(&wanted) {
            return Err(CloneError::OtherCommit { wanted, commit });
        }
        let mut cloned = Cloned {
            commit,
            notes: found.notes,
            taken: found.taken,
        };
        cloned.notes.extend(note);
        if submodules > 0 {
            let named = &found.submodules;
            submodules::fetch(
                named,
                folder,
                source,
                submodules - 1,
                &mut cloned,
                &self.job,
            )?;
        }
        Ok(cloned)
    }

    /// Fetches the commit into `folder` and returns a note about it, if any.
    fn fetch(
        &mut self,
        folder: &Path,
        unnamed: UnreferencedCommit,
    ) -> Result<Option<String>, CloneError> {
        let name = self.resolved.commit.clone();
        let whole = Oid::from_str(&name).ok().filter(|_| name.len() == 40);
        let advertised = whole.is_some_and(|id| self.refs.stands_for(id));
        let is_tip = whole.is_some_and(|id| self.refs.is_tip(id));
        let prove = unnamed == UnreferencedCommit::Proven && !is_tip;
        let served = whole.filter(|_| advertised || self.refs.any_commit);
        // The full fetch of all branches and tags below is a proof by itself, except for a local repository, which only
        // a person may name.
        if let Some(id) = served.filter(|_| !prove || self.refs.filter) {
            if prove {
                self.find_in_history(&name, folder)?;
            }
            let extent = if self.refs.shallow {
                FetchExtent::Alone
            } else {
                FetchExtent::Whole
            };
            match self.reach.fetch(folder, &[id], extent) {
                // The server refused an unadvertised commit; the full fetch below finds it in a branch or tag.
                Err(CloneError::Garbled(_)) if !advertised => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    let told = unnamed == UnreferencedCommit::Told && !is_tip;
                    return Ok(told.then(|| unnamed_note(&name)));
                }
            }
        }
        let wants = self.refs.branches_and_tags();
        self.reach.fetch(folder, &wants, FetchExtent::Whole)?;
        Ok(None)
    }

    /// Proves that `commit` is in the history of the branches and tags. Fetches that history into a separate folder,
    /// which is removed afterwards.
    fn find_in_history(&mut self, commit: &str, folder: &Path) -> Result<(), CloneError> {
        let history = folder.join(".git/history");
        checkout::init(&history)?;
        let wants = self.refs.branches_and_tags();
        self.reach.fetch(&history, &wants, FetchExtent::Commits)?;
        let commit = commit.to_owned();
        let found = worker::run(WorkerTask::Find { commit }, &history, &self.job);
        found.map_err(|error| foreign(error, UnreferencedCommit::Proven))?;
        std::fs::remove_dir_all(&history)?;
        Ok(())
    }
}

/// Turns "not found" into [`CloneError::Foreign`] if the commit had to be in a branch or tag.
fn foreign(error: CloneError, unnamed: UnreferencedCommit) -> CloneError {
    match error {
        CloneError::NoReference { name, .. } if unnamed == UnreferencedCommit::Proven => {
            CloneError::Foreign(name)
        }
        error => error,
    }
}

fn unnamed_note(commit: &str) -> String {
    format!(
        "no branch or tag of the repository points at {}: the commit is an earlier one of a branch, or one of a fork, \
         which some hosts serve under this address",
        &commit[..12]
    )
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
