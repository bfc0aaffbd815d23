//! The build before a start, and the author of changes during the build.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::super::build_outputs::{ChangeAuthor, FileChange};
use super::super::report::{ProxyResources, Report, SharedBuild};
use super::super::state::Input;
use super::{Generation, Supervisor};
use crate::config::shown_line;
use crate::event::{Event, Failure};
use crate::file_time::{self, TICK};
use crate::lock::locked;
use crate::transport::build::{self, BuildFailure};

/// Running build. Dropping this records its end.
struct BuildGuard<'a> {
    build: &'a SharedBuild,
    is_complete: bool,
}

impl<'a> BuildGuard<'a> {
    async fn begin(build: &'a SharedBuild) -> Self {
        let last_end = locked(&build.outputs).last_end();
        // The pause makes file times unambiguous about the run in which a file was written.
        if let Some(pause) =
            last_end.and_then(|end| (end + TICK).duration_since(SystemTime::now()).ok())
        {
            tokio::time::sleep(pause.min(TICK)).await;
        }
        locked(&build.outputs).record_start(SystemTime::now());
        Self {
            build,
            is_complete: false,
        }
    }
}

impl Drop for BuildGuard<'_> {
    fn drop(&mut self) {
        locked(&self.build.outputs).record_end(SystemTime::now(), self.is_complete);
    }
}

impl Supervisor {
    pub(super) fn start_build(&mut self, number: u64) {
        self.record_start();
        self.build_again = false;
        self.build_asked = SystemTime::now();
        let token = CancellationToken::new();
        let started = Generation::Starting(token.clone());
        self.generations.insert(number, started);
        let (context, command) = (
            self.context.clone(),
            self.context.spec.build.clone().unwrap_or_default(),
        );
        self.context.resources.events.send(Event::Building {
            server: self.name(),
            command: shown_line(&command),
        });
        self.tasks.spawn(async move {
            // Dropping the build kills all processes that it started.
            let run = async {
                let build = context.resources.shared_build(&context.spec.cwd, &command);
                let _turn = build.running.lock().await;
                let mut run = BuildGuard::begin(&build).await;
                let ProxyResources { events, reaper, .. } = &context.resources;
                let result = build::run(&context.spec, &command, events, reaper).await;
                run.is_complete = true;
                result
            };
            if let Some(result) = token.run_until_cancelled(run).await {
                context.reports.send(Report::Built { number, result });
            }
        });
    }

    pub(super) fn on_built(&mut self, number: u64, result: Result<(), BuildFailure>) {
        if !self.machine.is_building(number) {
            return;
        }
        if std::mem::take(&mut self.build_again) {
            // The build may have missed files that were saved meanwhile.
            return self.step(Input::Changed);
        }
        self.generations.remove(&number);
        let ok = result.is_ok();
        if let Err(error) = result {
            let command = shown_line(self.context.spec.build.as_deref().unwrap_or_default());
            let (reason, stderr) = match &error {
                BuildFailure::Start(error) => (format!("cannot be built: {error}"), vec![]),
                BuildFailure::Failed { status, tail, .. } => (
                    format!("cannot be built: `{command}` exited with {status}"),
                    tail.last(20),
                ),
            };
            self.fail(Failure {
                stderr,
                ..Failure::new(number, reason)
            });
        }
        self.step(Input::Built { ok });
    }

    /// Returns the shared state of the server's build, if it has one.
    fn shared_build(&self) -> Option<Arc<SharedBuild>> {
        let spec = &self.context.spec;
        let command = spec.build.as_deref()?;
        Some(self.context.resources.shared_build(&spec.cwd, command))
    }

    /// Returns the author of changes to these files.
    pub(super) async fn author_of(&mut self, paths: &[PathBuf]) -> ChangeAuthor {
        let Some(build) = self.shared_build() else {
            return ChangeAuthor::User;
        };
        let (cwd, paths) = (self.context.spec.cwd.clone(), paths.to_vec());
        // Not on the thread that serves clients: a checkout may have changed thousands of files.
        let changes = spawn_blocking(move || {
            let changes = paths.into_iter().map(|path| {
                let looked = SystemTime::now();
                // Time and length from one look at the file: a shell empties it before the build's command fills it.
                let metadata = std::fs::metadata(cwd.join(&path)).ok();
                FileChange {
                    path,
                    time: metadata.as_ref().and_then(file_time::changed_of),
                    is_empty: metadata.is_some_and(|it| it.len() == 0),
                    looked,
                }
            });
            changes.collect()
        });
        // A panic or a shutdown of the runtime leaves no changes to attribute.
        let changes = changes.await.unwrap_or_default();
        locked(&build.outputs).author_of(changes, self.build_asked)
    }

    /// Returns the reason for holding requests while the build runs.
    pub(super) fn build_hold_reason(&self) -> Cow<'static, str> {
        let build = self.shared_build();
        let looping_file = build.and_then(|site| {
            let outputs = locked(&site.outputs);
            outputs
                .looping_file()
                .map(|path| path.display().to_string())
        });
        looping_file.map_or("its build".into(), |path| {
            format!(
                "its build, which repeats because {path} changes during the build; if the build writes this file, add \
                 --watch '!{path}'"
            )
            .into()
        })
    }
}
