//! Holds everything that installations, updates and removals share: the store, the policy and the background work.

use std::sync::Arc;
use std::time::Instant;

use globset::GlobBuilder;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::InstallError;
use super::clone::{self, CloneContext, Limits, ListedRepository};
use super::progress::StepListener;
use super::request::RequestOrigin;
use super::source::Source;
use super::store::{Store, StoredServer};
use crate::config::{self, ConfigContext};
use crate::transport::reaper::Reaper;

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

    /// Returns true if the entry `name` starts mcp-proxy itself, which a model may neither remove nor replace.
    pub(super) fn check_own(
        &self,
        name: &str,
        origin: RequestOrigin,
    ) -> Result<bool, InstallError> {
        let is_own = config::written_entry(&self.around, name).is_some_and(|it| it.is_own);
        if is_own && origin == RequestOrigin::Tool {
            return Err(InstallError::Own(name.to_owned()));
        }
        Ok(is_own)
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
