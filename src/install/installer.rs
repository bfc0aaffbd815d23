//! Runs the steps of an installation in two halves: a person can see and judge the fetched commit before any of its
//! code runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use globset::GlobBuilder;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::InstallError;
use super::changes::unchanged;
use super::clone::{self, CloneContext, Limits, ListedRepository};
use super::fetched::{FetchedServer, SlotCleanup};
use super::progress::StepListener;
use super::request::{InstallRequest, RequestOrigin};
use super::source::{Source, SourcePermissions};
use super::store::{InstallRecord, Store, StoreSlot, StoredServer};
use super::variables;
use crate::config::edit;
use crate::config::{self, ConfigContext, is_variable_name};
use crate::transport::reaper::Reaper;

/// Maximum number of variables from a model: more would hide one another in one question.
const MOST_VARIABLES: usize = 32;

/// Installs servers for one configuration.
#[derive(Debug, Clone)]
pub(crate) struct Installer {
    pub(super) store: Store,
    pub(super) around: ConfigContext,
    pub(super) policy: config::InstallPolicy,
    pub(super) reaper: Reaper,
    pub(super) limits: Limits,
    pub(super) roots: Arc<[reqwest::Certificate]>,
    /// Tracks the work on blocking threads, so that a caller can wait for its end.
    pub(super) tasks: TaskTracker,
}

impl Installer {
    /// Creates an installer that writes to the user's data folder and to the configuration found by `around`.
    pub(crate) fn new(
        around: ConfigContext,
        policy: config::InstallPolicy,
        reaper: Reaper,
    ) -> Result<Self, InstallError> {
        Ok(Self {
            store: Store::of_user()?,
            around,
            policy,
            reaper,
            limits: Limits::default(),
            roots: [].into(),
            tasks: TaskTracker::new(),
        })
    }

    /// Tracks all blocking work in `tasks`, because cancelled work still has to clean up.
    pub(crate) fn counted_by(mut self, tasks: TaskTracker) -> Self {
        self.tasks = tasks;
        self
    }

    /// Returns all installed servers, whether or not this configuration has them.
    pub(crate) fn installed(&self) -> Vec<StoredServer> {
        self.store.installed()
    }

    /// Fetches the commit and detects how the server is started. No code of the repository has run yet, and dropping
    /// the result discards everything.
    pub(crate) async fn fetch(
        &self,
        request: InstallRequest,
        progress: &StepListener,
        cancel: &CancellationToken,
    ) -> Result<FetchedServer, InstallError> {
        // Dropping this future cancels the work.
        let cancel = cancel.child_token();
        let _stop = cancel.clone().drop_guard();
        let (installer, job) = (self.clone(), self.job(progress, &cancel));
        self.in_background(move || installer.fetch_blocking(&request, job))
            .await
    }

    /// Runs blocking work on a thread for it.
    pub(super) async fn in_background<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, InstallError> + Send + 'static,
    ) -> Result<T, InstallError> {
        match self.tasks.spawn_blocking(work).await {
            Ok(done) => done,
            Err(gone) if gone.is_panic() => std::panic::resume_unwind(gone.into_panic()),
            // The runtime is shutting down.
            Err(_) => Err(InstallError::Cancelled),
        }
    }

    pub(super) fn job(&self, progress: &StepListener, cancel: &CancellationToken) -> CloneContext {
        CloneContext {
            limits: self.limits,
            started: Instant::now(),
            progress: progress.clone(),
            cancel: cancel.clone(),
            runtime: Handle::current(),
            reaper: self.reaper.clone(),
            roots: Arc::clone(&self.roots),
        }
    }

    fn fetch_blocking(
        &self,
        request: &InstallRequest,
        job: CloneContext,
    ) -> Result<FetchedServer, InstallError> {
        let source = self.permitted(request)?;
        let name = request
            .name
            .clone()
            .unwrap_or_else(|| source.default_name());
        let slot = self.store.slot(&source.place, &name)?;
        let attempt = SlotCleanup::new(slot);
        let known = attempt.slot().record();
        let places = edit::places_of(&self.around, &name);
        let ours = |file: &PathBuf| {
            known
                .as_ref()
                .is_some_and(|it| it.registered.contains(file))
        };
        let foreign = places.iter().find(|file| !ours(file));
        if let Some(file) = foreign.filter(|_| !request.overwrite) {
            return Err(taken(&name, file, request));
        }
        edit::check(&edit::choose(&self.around, &name))?;
        let opened = open(&source, &job)?;
        if let Some(record) = &known {
            let same = is_same(record, &opened, &source, request, attempt.slot());
            if same && !request.overwrite {
                return FetchedServer::same(self, request, attempt, record.clone(), job).known();
            }
            if let Some(file) = places.first().filter(|_| !request.overwrite) {
                return Err(taken(&name, file, request));
            }
            // A person says so with --overwrite, a model by a removal with `force`.
            if request.origin == RequestOrigin::Tool || !request.overwrite {
                let insist = match request.origin {
                    RequestOrigin::Tool => "remove the server with `delete_files` and `force`",
                    RequestOrigin::Person { .. } => "repeat with --overwrite",
                };
                unchanged(record, &attempt.slot().folder(&record.folder), insist)?;
            }
        }
        FetchedServer::clone(self, request.clone(), &source, name, attempt, opened, job)
    }

    /// Returns the parsed source if the requester may install it.
    fn permitted(&self, request: &InstallRequest) -> Result<Source, InstallError> {
        let permit = match request.origin {
            RequestOrigin::Person { insecure, .. } => SourcePermissions {
                insecure,
                local: true,
            },
            RequestOrigin::Tool => SourcePermissions::default(),
        };
        if request.origin == RequestOrigin::Tool {
            self.check_enabled()?;
            check_variables(&request.env)?;
        }
        let source = Source::parse(&request.source, permit, &self.around.cwd)?;
        if request.origin == RequestOrigin::Tool {
            self.check_allowed(&source)?;
        }
        Ok(source)
    }

    /// Checks that a model may install and uninstall at all.
    pub(super) fn check_enabled(&self) -> Result<(), InstallError> {
        if self.policy.enabled {
            Ok(())
        } else {
            Err(InstallError::Disabled)
        }
    }

    /// Checks that a model may continue if no person can be asked; the error suggests `command` for a person.
    pub(crate) fn check_unasked(&self, command: &str) -> Result<(), InstallError> {
        if self.policy.consent_required {
            return Err(InstallError::NoConsent(command.to_owned()));
        }
        Ok(())
    }

    /// Checks that a model may install this source.
    pub(super) fn check_allowed(&self, source: &Source) -> Result<(), InstallError> {
        let repository = source.repository();
        if allows(&self.policy.allow, &repository) {
            return Ok(());
        }
        Err(InstallError::NotAllowed(repository))
    }

    /// Returns true if packages may run scripts for this request.
    pub(super) fn scripts(&self, origin: RequestOrigin) -> bool {
        self.policy.scripts || matches!(origin, RequestOrigin::Person { scripts: true, .. })
    }
}

pub(super) fn open(source: &Source, job: &CloneContext) -> Result<ListedRepository, InstallError> {
    clone::open(source, job).map_err(|error| InstallError::Clone {
        repository: source.repository(),
        source: error,
    })
}

/// Checks that a model may set these variables.
fn check_variables(variables: &[(String, String)]) -> Result<(), InstallError> {
    if variables.len() > MOST_VARIABLES {
        return Err(InstallError::Variables(MOST_VARIABLES));
    }
    for (name, _) in variables {
        if !is_variable_name(name) {
            return Err(InstallError::VariableName(name.clone()));
        }
        if variables::steers(name) {
            return Err(InstallError::Steering(name.clone()));
        }
    }
    Ok(())
}

fn taken(name: &str, file: &Path, request: &InstallRequest) -> InstallError {
    InstallError::Taken {
        name: name.to_owned(),
        file: file.to_owned(),
        tool: request.origin == RequestOrigin::Tool,
    }
}

/// Returns true if the requested installation already exists.
fn is_same(
    record: &InstallRecord,
    opened: &ListedRepository,
    source: &Source,
    request: &InstallRequest,
    slot: &StoreSlot,
) -> bool {
    let before = record.source();
    record.commit.starts_with(&opened.resolved.commit)
        && before.is_ok_and(|it| it.subdir == source.subdir)
        && record.choices == request.choices
        && slot.folder(&record.folder).is_dir()
}

/// Returns true if one of `globs` matches a repository, or if there are none. `*` does not match `/`.
fn allows(globs: &[String], repository: &str) -> bool {
    let matches = |glob: &String| {
        let glob = GlobBuilder::new(glob).literal_separator(true).build();
        glob.is_ok_and(|it| it.compile_matcher().is_match(repository))
    };
    globs.is_empty() || globs.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_permit_repositories() {
        let allows = |glob: &str, repository: &str| allows(&[glob.to_owned()], repository);
        let mine = "https://github.com/me/*";
        assert!(allows(mine, "https://github.com/me/weather"));
        for other in [
            "https://github.com/you/weather",
            "https://github.com/me/a/b",
            "https://github.com.evil.example/me/weather",
            "ssh://git@github.com/me/weather",
        ] {
            assert!(!allows(mine, other), "{other}");
        }
        assert!(allows(
            "https://github.com/**",
            "https://github.com/me/weather"
        ));
        assert!(super::allows(&[], "https://github.com/me/weather"));
    }
}
