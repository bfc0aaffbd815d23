//! Begins an installation: a person can see and judge the fetched commit before any of its code runs.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::InstallError;
use super::changes::unchanged;
use super::clone::{CloneContext, ListedRepository};
use super::fetched::FetchedServer;
use super::installer::{Installer, open};
use super::progress::StepListener;
use super::request::{InstallRequest, RequestOrigin};
use super::slot_cleanup::SlotCleanup;
use super::source::{Source, SourcePermissions};
use super::store::{InstallRecord, StoreSlot};
use super::variables;
use crate::config::{edit, is_variable_name, written_entry};

/// Maximum number of variables from a model: more would hide one another in one question.
const MOST_VARIABLES: usize = 32;

impl Installer {
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
        self.check_own(&name, request.origin)?;
        let slot = self.store.slot(&source.place, &name)?;
        let attempt = SlotCleanup { slot };
        let known = attempt.slot.record();
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
            let same = is_same(record, &opened, &source, request, &attempt.slot);
            if same && !request.overwrite {
                if let Some(file) = places.first() {
                    self.check_entry(&name, file, request)?;
                }
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
                unchanged(&name, attempt.slot.folders(record), insist)?;
            }
        }
        FetchedServer::clone(self, request.clone(), &source, name, attempt, opened, job)
    }

    /// Checks that the entry of an installed server in `file` has the variables of the request, since it stays as it is.
    fn check_entry(
        &self,
        name: &str,
        file: &Path,
        request: &InstallRequest,
    ) -> Result<(), InstallError> {
        let entry = written_entry(&self.around, name);
        let known = entry.map(|it| it.variables).unwrap_or_default();
        let others = request.env.iter().filter(|it| !known.contains(it));
        let variables: Vec<String> = others.map(|(name, _)| name.clone()).collect();
        if variables.is_empty() {
            return Ok(());
        }
        Err(InstallError::OtherVariables {
            name: name.to_owned(),
            file: file.to_owned(),
            variables,
            tool: request.origin == RequestOrigin::Tool,
        })
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
}

/// Checks that a model may set these variables.
fn check_variables(variables: &[(String, String)]) -> Result<(), InstallError> {
    if variables.len() > MOST_VARIABLES {
        return Err(InstallError::Variables(MOST_VARIABLES));
    }
    for (name, value) in variables {
        if !is_variable_name(name) {
            return Err(InstallError::VariableName(name.clone()));
        }
        if variables::steers(name) {
            return Err(InstallError::Steering(name.clone()));
        }
        if value.contains('\0') {
            return Err(InstallError::VariableValue(name.clone()));
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
