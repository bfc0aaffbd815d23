//! Carries out the tasks of the worker: the only place where libgit2 reads untrusted bytes.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use git2::{Direction, FetchOptions, Indexer, RemoteCallbacks, Repository};

use super::{PinnedSubmodule, WorkerMessage, WorkerRequest, WorkerTask, memory};
use crate::install::clone::{CloneError, Limits, checkout};
use crate::install::containment::has_only_names;
use crate::install::progress::InstallStep;
use crate::quoting;

/// Minimum time between two progress reports.
const BETWEEN_STEPS: Duration = Duration::from_millis(40);

/// Runs the hidden subcommand: carries out one order and reports the result.
pub(crate) fn main(order: &str) {
    let done = match serde_json::from_str(order) {
        Ok(WorkerRequest { task, limits }) => {
            memory::limit(limits.memory);
            perform(task, &limits).map_err(|error| failure(error, &limits))
        }
        Err(error) => Err(CloneError::Git(error.to_string())),
    };
    say(&match done {
        Ok(()) => WorkerMessage::Done,
        Err(error) => WorkerMessage::Failed(error),
    });
}

/// Distinguishes lack of memory from other errors, which libgit2 does not.
fn failure(error: CloneError, limits: &Limits) -> CloneError {
    const LACKS: [&str; 3] = [
        "out of memory",
        "annot allocate memory",
        "unable to create thread",
    ];
    match error {
        CloneError::Git(text) | CloneError::Pack(text) | CloneError::Io(text)
            if LACKS.iter().any(|it| text.contains(it)) =>
        {
            CloneError::Memory(limits.memory >> 20)
        }
        error => error,
    }
}

fn perform(task: WorkerTask, limits: &Limits) -> Result<(), CloneError> {
    let folder = Path::new(".");
    match task {
        WorkerTask::List { path } => list(&path),
        WorkerTask::Fetch { path } => fetch(&Repository::open(folder)?, &path, limits),
        WorkerTask::Index => index(&Repository::open(folder)?),
        WorkerTask::Find { commit } => {
            let repository = Repository::open(folder)?;
            let found = checkout::find(&repository, &commit)?;
            say(&WorkerMessage::Commit(found.id().to_string()));
            Ok(())
        }
        WorkerTask::CheckOut {
            commit,
            branch,
            address,
            submodules,
        } => {
            let repository = Repository::open(folder)?;
            let commit = checkout::find(&repository, &commit)?;
            let branch = branch.as_deref();
            let steps = Steps::default();
            let told = |step| steps.tell(step);
            let (taken, notes) =
                checkout::check_out(&repository, &commit, branch, submodules, limits, told)?;
            checkout::remember(&repository, &address);
            say(&WorkerMessage::Commit(commit.id().to_string()));
            say(&WorkerMessage::Taken(taken));
            for note in notes {
                say(&WorkerMessage::Note(note));
            }
            if submodules {
                report_submodules(&repository)?;
            }
            Ok(())
        }
    }
}

/// Reports each submodule of `repository`, which is checked out, or a note about it.
fn report_submodules(repository: &Repository) -> Result<(), CloneError> {
    for module in repository.submodules()? {
        let path = module.path();
        say(
            &match (module.head_id(), module.url(), has_only_names(path)) {
                (Some(commit), Ok(Some(url)), true) => WorkerMessage::Submodule(PinnedSubmodule {
                    path: path.to_owned(),
                    commit: commit.to_string(),
                    url: url.to_owned(),
                }),
                _ => WorkerMessage::Note(format!(
                    "the submodule {} has no address",
                    quoting::value(&path.to_string_lossy())
                )),
            },
        );
    }
    Ok(())
}

fn list(path: &Path) -> Result<(), CloneError> {
    // `open` does not search parent folders: a folder inside a repository is not that repository.
    let found = Repository::open(path).map_err(|error| match error.code() {
        git2::ErrorCode::NotFound => CloneError::NoRepository,
        _ => error.into(),
    })?;
    let path = found.path().to_str().ok_or(CloneError::NoRepository)?;
    let mut remote = git2::Remote::create_detached(path)?;
    remote.connect(Direction::Fetch)?;
    for head in remote.list()? {
        let (name, id) = (head.name().to_owned(), head.oid().to_string());
        if let Some(target) = head.symref_target().filter(|_| name == "HEAD") {
            say(&WorkerMessage::Head(target.to_owned()));
        }
        say(&WorkerMessage::Reference { name, id });
    }
    Ok(())
}

fn fetch(repository: &Repository, path: &Path, limits: &Limits) -> Result<(), CloneError> {
    let path = path.to_str().ok_or(CloneError::NoRepository)?;
    let steps = Steps::default();
    let mut callbacks = RemoteCallbacks::new();
    callbacks.transfer_progress(|stats| {
        steps.tell(InstallStep::receiving(&stats));
        let bytes = stats.received_bytes() as u64;
        limits.check_download(bytes).is_ok()
    });
    let mut options = FetchOptions::new();
    options
        .remote_callbacks(callbacks)
        .download_tags(git2::AutotagOption::All);
    let mut remote = repository.remote_anonymous(path)?;
    let all = ["+refs/heads/*:refs/remotes/origin/*"];
    let fetched = remote.fetch(&all, Some(&mut options), None);
    limits.check_download(remote.stats().received_bytes() as u64)?;
    Ok(fetched?)
}

fn index(repository: &Repository) -> Result<(), CloneError> {
    let odb = repository.odb()?;
    let folder = repository.path().join("objects/pack");
    let steps = Steps::default();
    let mut indexer = Indexer::new(Some(&odb), &folder, 0, false)?;
    indexer.progress(|stats| {
        steps.tell(InstallStep::receiving(&stats));
        true
    });
    let invalid = |error: git2::Error| match error.into() {
        CloneError::Git(text) => CloneError::Pack(text),
        error => error,
    };
    let mut piece = vec![0; 1 << 16];
    loop {
        let read = io::stdin().read(&mut piece)?;
        if read == 0 {
            indexer.commit().map_err(invalid)?;
            return Ok(());
        }
        indexer
            .write_all(&piece[..read])
            .map_err(|error| invalid(git2::Error::from_str(&error.to_string())))?;
    }
}

/// Reports steps, at most one per [`BETWEEN_STEPS`].
#[derive(Default)]
struct Steps {
    last: Cell<Option<Instant>>,
}

impl Steps {
    fn tell(&self, step: InstallStep) {
        let is_soon = |last: Instant| last.elapsed() < BETWEEN_STEPS;
        if !self.last.get().is_some_and(is_soon) {
            self.last.set(Some(Instant::now()));
            say(&WorkerMessage::Step(step));
        }
    }
}

fn say(said: &WorkerMessage) {
    if let Ok(line) = serde_json::to_string(said) {
        // A write error means that the proxy is gone; this process then ends soon, too.
        let _ = writeln!(io::stdout(), "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "the process of other tests"]
    fn worker() {
        let order = std::env::args().next_back().unwrap_or_default();
        if order.starts_with('{') {
            // The test harness may have begun a line.
            let _ = writeln!(io::stdout());
            main(&order);
        }
    }
}
