//! A fetched commit, none of whose code has run yet: it is shown, then prepared and registered, or discarded.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::InstallError;
use super::changes;
use super::clone::{ALL_SUBMODULES, CloneContext, Cloned, ListedRepository, UnreferencedCommit};
use super::dependencies::{CommandInputs, PrepareCommand, PrepareContext};
use super::installer::Installer;
use super::plan::Plan;
use super::progress::InstallStep;
use super::registration::{command, entry, home, missing, plan, repath, replacement};
use super::request::{InstallOutcome, InstallRequest, Installed, RequestOrigin};
use super::slot_cleanup::SlotCleanup;
use super::source::{Source, subdir_of};
use super::store::InstallRecord;
use super::variables;
use crate::config::edit::{self, KeepText};
use crate::config::{shown_words, written_entry};

/// Information for the person who decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstallSummary {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) commit: String,
    /// Command that will start the server.
    pub(crate) command: Vec<String>,
    pub(crate) reason: String,
    pub(crate) considered: Vec<String>,
    /// Commands that will prepare the server, one line each.
    pub(crate) prepare: Vec<String>,
    /// Additional variables for the server.
    pub(crate) variables: Vec<RequestedVariable>,
    /// File whose entry of that name will be replaced.
    pub(crate) replaces: Option<PathBuf>,
    pub(crate) notes: Vec<String>,
}

/// Variable from the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestedVariable {
    pub(crate) name: String,
    pub(crate) value: String,
    /// True if a file of the repository contains the name.
    pub(crate) is_mentioned: bool,
}

/// Commit in its folder, none of whose code has run. Dropping it discards the commit.
#[derive(Debug)]
pub(crate) struct FetchedServer {
    installer: Installer,
    request: InstallRequest,
    attempt: SlotCleanup,
    job: CloneContext,
    record: InstallRecord,
    way: RegistrationMode,
    /// `None` if this configuration already has the commit.
    fresh: Option<NewInstallation>,
}

/// Final change to the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RegistrationMode {
    /// Writes the server into the file of this configuration.
    Register,
    /// Does the same for a commit that was prepared before.
    Again,
    /// Keeps the entry of the server and changes its folder.
    Replace,
}

#[derive(Debug)]
struct NewInstallation {
    plan: Plan,
    /// Working directory of the server: the folder of the commit or one in it.
    home: PathBuf,
    prepare: Vec<PrepareCommand>,
    /// Variables of the request that the repository mentions.
    mentioned: Vec<String>,
    notes: Vec<String>,
}

impl NewInstallation {
    /// Returns the command that rebuilds the server, if it is compiled.
    fn build(&self) -> Option<String> {
        let lines: Vec<String> = self.prepare.iter().map(PrepareCommand::shell).collect();
        self.plan.compiled.then(|| lines.join(" && "))
    }
}

/// Returns a note if a tag now points at another commit than before: tags are not meant to move.
fn moved(before: &InstallRecord, source: &str, commit: &str) -> Option<String> {
    let tag = before.reference.as_deref()?.strip_prefix("refs/tags/")?;
    let short = |it: &str| it.chars().take(12).collect::<String>();
    (before.source == source && before.commit != commit).then(|| {
        format!(
            "the tag {tag} moved from {} to {} since the installation",
            short(&before.commit),
            short(commit)
        )
    })
}

impl FetchedServer {
    /// Wraps a commit that is already installed.
    pub(super) fn same(
        installer: &Installer,
        request: &InstallRequest,
        attempt: SlotCleanup,
        record: InstallRecord,
        job: CloneContext,
    ) -> Self {
        Self {
            installer: installer.clone(),
            request: request.clone(),
            attempt,
            job,
            record,
            way: RegistrationMode::Again,
            fresh: None,
        }
    }

    /// Adds the data to register the commit, unless this configuration has the server.
    pub(super) fn known(mut self) -> Result<Self, InstallError> {
        if !edit::places_of(&self.installer.around, &self.record.name).is_empty() {
            return Ok(self);
        }
        let folder = self.attempt.slot.folder(&self.record.folder);
        let subdir = subdir_of(&self.record.source);
        let home = home(&folder, subdir.as_deref())?;
        let plan = plan(&folder, subdir.as_deref(), &self.request)?;
        // These commands only become the build command of the entry.
        let prepare = if plan.compiled {
            self.site(&folder, &home).commands(&plan.prepare)?
        } else {
            Vec::new()
        };
        self.fresh = Some(NewInstallation {
            mentioned: mentioned(&folder, &self.request),
            plan,
            home,
            prepare,
            notes: Vec::new(),
        });
        Ok(self)
    }

    /// Fetches the commit and detects how it is started.
    pub(super) fn clone(
        installer: &Installer,
        request: InstallRequest,
        source: &Source,
        name: String,
        attempt: SlotCleanup,
        opened: ListedRepository,
        job: CloneContext,
    ) -> Result<Self, InstallError> {
        let slot = &attempt.slot;
        let reference = opened.resolved.reference.clone();
        let submodules = if request.choices.submodules {
            ALL_SUBMODULES
        } else {
            0
        };
        let unnamed = match request.origin {
            RequestOrigin::Person { .. } => UnreferencedCommit::Told,
            RequestOrigin::Tool => UnreferencedCommit::Proven,
        };
        let cloned = opened.clone_into(source, &slot.partial(), submodules, unnamed);
        let Cloned {
            commit, mut notes, ..
        } = cloned.map_err(|error| InstallError::Clone {
            repository: source.repository(),
            source: error,
        })?;
        let folder = slot.settle(&commit)?;
        let home = home(&folder, source.subdir.as_deref())?;
        let plan = plan(&folder, source.subdir.as_deref(), &request)?;
        let before = slot.record();
        notes.extend(
            before
                .as_ref()
                .and_then(|it| moved(it, &source.to_string(), &commit)),
        );
        let record = InstallRecord {
            name,
            source: source.to_string(),
            commit,
            reference,
            choices: request.choices.clone(),
            command: command(&plan, &home),
            folder: slot.name_of(&folder),
            previous: before.as_ref().map(|it| it.folder.clone()),
            registered: before.map(|it| it.registered).unwrap_or_default(),
        };
        for note in &notes {
            job.progress.report(InstallStep::Note(note.clone()));
        }
        let mut fetched = Self {
            installer: installer.clone(),
            request,
            attempt,
            job,
            record,
            way: RegistrationMode::Register,
            fresh: None,
        };
        let prepare = fetched.site(&folder, &home).commands(&plan.prepare)?;
        fetched.fresh = Some(NewInstallation {
            mentioned: mentioned(&folder, &fetched.request),
            plan,
            home,
            prepare,
            notes,
        });
        Ok(fetched)
    }

    /// Changes this to an update that keeps the entry, with this command.
    pub(super) fn replacing(mut self, command: Vec<String>) -> Self {
        self.record.command = command;
        self.way = RegistrationMode::Replace;
        self
    }

    fn site<'a>(&self, root: &'a Path, home: &'a Path) -> CommandInputs<'a> {
        CommandInputs {
            root,
            folder: home,
            scripts: self.installer.scripts(self.request.origin),
            locks: !self.request.choices.ignore_lock,
        }
    }

    fn workshop<'a>(&'a self, home: &'a Path, log: Option<PathBuf>) -> PrepareContext<'a> {
        PrepareContext {
            folder: home,
            scripts: self.installer.scripts(self.request.origin),
            log,
            progress: &self.job.progress,
            cancel: &self.job.cancel,
            reaper: &self.job.reaper,
        }
    }

    /// Returns the proposal to decide on; `None` if no new code will run.
    pub(crate) fn proposal(&self) -> Option<InstallSummary> {
        let fresh = self.fresh.as_ref()?;
        let (plan, record) = (&fresh.plan, &self.record);
        let prepare = if self.way == RegistrationMode::Again {
            &[][..]
        } else {
            &fresh.prepare
        };
        let variable = |(name, value): &(String, String)| RequestedVariable {
            name: name.clone(),
            value: value.clone(),
            is_mentioned: fresh.mentioned.contains(name),
        };
        let file = edit::choose(&self.installer.around, &record.name);
        Some(InstallSummary {
            name: record.name.clone(),
            source: record.source.clone(),
            commit: record.commit.clone(),
            command: record.command.clone(),
            reason: plan.reason.clone(),
            considered: plan.considered.clone(),
            prepare: prepare.iter().map(PrepareCommand::line).collect(),
            variables: self.request.env.iter().map(variable).collect(),
            replaces: edit::has(&file, &record.name).then_some(file),
            notes: fresh.notes.clone(),
        })
    }

    /// Returns the command without the arguments from examples.
    pub(super) fn certain_command(&self) -> &[String] {
        let examples = self.fresh.as_ref().map_or(0, |fresh| fresh.plan.examples);
        let command = &self.record.command;
        &command[..command.len() - examples]
    }

    /// Returns the record of the commit to install.
    pub(super) fn record(&self) -> &InstallRecord {
        &self.record
    }

    /// Prepares and registers the server.
    pub(crate) async fn finish(
        mut self,
        cancel: &CancellationToken,
    ) -> Result<Installed, InstallError> {
        self.job.cancel = cancel.child_token();
        if let Some(NewInstallation { home, prepare, .. }) = self
            .fresh
            .as_ref()
            .filter(|_| self.way != RegistrationMode::Again)
        {
            let log = self.installer.store.log(&self.record.name);
            self.workshop(home, log).prepare(prepare).await?;
            changes::begin(&self.attempt.slot.folder(&self.record.folder));
        }
        let installer = self.installer.clone();
        installer
            .in_background(move || {
                let Some(fresh) = self.fresh.take() else {
                    return Ok(self.installed(InstallOutcome::Same, None));
                };
                match self.way {
                    RegistrationMode::Register => self.register(fresh),
                    RegistrationMode::Again => self.register_again(&fresh),
                    RegistrationMode::Replace => self.replace(fresh),
                }
            })
            .await
    }

    /// Writes the record and the configuration entry, both or neither.
    fn register(mut self, fresh: NewInstallation) -> Result<Installed, InstallError> {
        let slot = &self.attempt.slot;
        let before = slot.record();
        let file = edit::choose(&self.installer.around, &self.record.name);
        let build = fresh.build();
        let server = entry(&self.record, &fresh.plan, build, &fresh.home, &self.request);
        let mut notes = fresh.notes;
        let known = &self.installer.around.variables;
        notes.extend(missing(&server, |name| known.get(name).is_some()));
        let others: Vec<PathBuf> = self
            .record
            .registered
            .iter()
            .filter(|it| **it != file)
            .cloned()
            .collect();
        self.record.registered = others.iter().chain([&file]).cloned().collect();
        slot.write(&self.record)?;
        let replaced = written_entry(&self.installer.around, &self.record.name);
        let mut backup = None;
        let mut keep = |text: &str| {
            let store = &self.installer.store;
            backup = Some(store.back_up(&self.record.name, &file, text)?);
            Ok(())
        };
        let overwrite: Option<KeepText<'_>> = if self.request.overwrite {
            Some(&mut keep)
        } else {
            None
        };
        if let Err(error) = edit::add(&file, &self.record.name, &server, overwrite) {
            // Dropping the attempt removes folders that are no longer recorded.
            slot.restore(before.as_ref())?;
            return Err(error.into());
        }
        if let (Some(replaced), Some(backup)) = (replaced, &backup) {
            let now = written_entry(&self.installer.around, &self.record.name);
            notes.push(replacement(&self.record.name, &replaced, now, backup));
        }
        if let Some(before) = &before {
            notes.extend(repath(slot, before, &self.record, &others));
        }
        let outcome = if before.is_some() {
            InstallOutcome::Updated
        } else {
            InstallOutcome::New
        };
        Ok(Installed {
            reason: fresh.plan.reason,
            considered: fresh.plan.considered,
            backups: backup.into_iter().collect(),
            notes,
            ..self.installed(outcome, before.as_ref())
        })
    }

    /// Registers an installed commit in this configuration if its entry is missing.
    fn register_again(mut self, fresh: &NewInstallation) -> Result<Installed, InstallError> {
        let name = &self.record.name;
        let file = edit::choose(&self.installer.around, name);
        let (plan, build) = (&fresh.plan, fresh.build());
        let server = entry(&self.record, plan, build, &fresh.home, &self.request);
        edit::add(&file, name, &server, None)?;
        if !self.record.registered.contains(&file) {
            self.record.registered.push(file);
        }
        self.attempt.slot.write(&self.record)?;
        Ok(self.installed(InstallOutcome::Same, None))
    }

    /// Activates an update: replaces the old folder with the new one in the configuration files.
    fn replace(self, fresh: NewInstallation) -> Result<Installed, InstallError> {
        let slot = &self.attempt.slot;
        let before = slot.record();
        slot.write(&self.record)?;
        let mut notes = fresh.notes;
        if let Some(before) = &before {
            notes.extend(repath(slot, before, &self.record, &self.record.registered));
        }
        Ok(Installed {
            reason: fresh.plan.reason,
            considered: fresh.plan.considered,
            notes,
            ..self.installed(InstallOutcome::Updated, before.as_ref())
        })
    }

    /// Returns the result of the installation, without notes; `before` is the record that it replaced.
    fn installed(&self, outcome: InstallOutcome, before: Option<&InstallRecord>) -> Installed {
        let record = &self.record;
        Installed {
            outcome,
            name: record.name.clone(),
            source: record.source.clone(),
            commit: record.commit.clone(),
            before: before.map(|it| it.commit.clone()),
            reference: record.reference.clone(),
            folder: self.attempt.slot.folder(&record.folder),
            registered: record.registered.clone(),
            backups: Vec::new(),
            command: shown_words(&record.command),
            reason: String::new(),
            considered: Vec::new(),
            notes: Vec::new(),
        }
    }
}

fn mentioned(folder: &Path, request: &InstallRequest) -> Vec<String> {
    let names = request.env.iter().map(|(name, _)| &**name);
    variables::mentioned(folder, names)
        .into_iter()
        .map(ToOwned::to_owned)
        .collect()
}
