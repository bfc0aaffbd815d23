//! Updates an installed server to the newest commit of its source.

use tokio_util::sync::CancellationToken;

use super::InstallError;
use super::changes::unchanged;
use super::clone::CloneContext;
use super::detect::is_literal;
use super::fetched::FetchedServer;
use super::installer::{Installer, open};
use super::progress::StepListener;
use super::request::{InstallRequest, RequestOrigin};
use super::slot_cleanup::SlotCleanup;
use super::store::{InstallRecord, StoredServer};
use crate::config::edit;
use crate::config::shown_words;
use crate::quoting;

impl Installer {
    /// Fetches the newest commit of an installed server into a folder of its own. After [`finish`](FetchedServer::finish),
    /// the configuration files name that folder, and the process that runs the server reloads it. The old folder stays
    /// until the next update, since the server may still run from it for a while. Files that were changed or added are
    /// an error unless `force` is set.
    pub(crate) async fn update(
        &self,
        name: &str,
        origin: RequestOrigin,
        force: bool,
        progress: &StepListener,
        cancel: &CancellationToken,
    ) -> Result<FetchedServer, InstallError> {
        let cancel = cancel.child_token();
        let _stop = cancel.clone().drop_guard();
        let job = self.job(progress, &cancel);
        let (installer, name) = (self.clone(), name.to_owned());
        self.in_background(move || installer.update_blocking(&name, origin, force, job))
            .await
    }

    fn update_blocking(
        &self,
        name: &str,
        origin: RequestOrigin,
        force: bool,
        job: CloneContext,
    ) -> Result<FetchedServer, InstallError> {
        if origin == RequestOrigin::Tool {
            self.check_enabled()?;
        }
        let found = self.find(name)?;
        let attempt = SlotCleanup {
            slot: found.hold()?,
        };
        let gone = || InstallError::Unknown(name.to_owned());
        // The record may have changed before the slot was locked.
        let record = attempt.slot.record().ok_or_else(gone)?;
        let source = record.source()?;
        if origin == RequestOrigin::Tool {
            self.check_allowed(&source)?;
        }
        let opened = open(&source, &job)?;
        let request = InstallRequest {
            source: record.source.clone(),
            name: Some(record.name.clone()),
            choices: record.choices.clone(),
            env: Vec::new(),
            auto_detect: true,
            overwrite: true,
            origin,
        };
        if record.commit.starts_with(&opened.resolved.commit) {
            let command = record.command.clone();
            let same = FetchedServer::same(self, &request, attempt, record, job);
            return Ok(same.replacing(command));
        }
        if !force {
            let folder = attempt.slot.folder(&record.folder);
            unchanged(&record.name, [folder], "repeat with --force")?;
        }
        let name = record.name.clone();
        let fetched = FetchedServer::clone(self, request, &source, name, attempt, opened, job)?;
        let command = started_alike(&record, &fetched)?;
        Ok(fetched.replacing(command))
    }

    /// Finds the installed server of a name: the one that this configuration has, or the only one.
    pub(super) fn find(&self, name: &str) -> Result<StoredServer, InstallError> {
        let mut found = self.store.installed();
        found.retain(|it| it.record.name == name);
        let files = edit::places_of(&self.around, name);
        if let Some(at) = found.iter().position(|it| it.is_in(&files)) {
            return Ok(found.swap_remove(at));
        }
        if found.len() > 1 {
            let sources = found.into_iter().map(|it| it.record.source).collect();
            let name = name.to_owned();
            return Err(InstallError::Ambiguous { name, sources });
        }
        found
            .pop()
            .ok_or_else(|| InstallError::Unknown(name.to_owned()))
    }
}

/// Returns the registered command with the new folder. The user may have edited the entry, so that the rest of it
/// stays. Returns an error if the new commit is started in another way.
fn started_alike(
    before: &InstallRecord,
    fetched: &FetchedServer,
) -> Result<Vec<String>, InstallError> {
    let after = fetched.record();
    let (from, to) = (
        before.folder.to_string_lossy(),
        after.folder.to_string_lossy(),
    );
    let moved: Vec<String> = before
        .command
        .iter()
        .map(|it| it.replace(&*from, &to))
        .collect();
    // Examples in a README may change: the registered arguments stay.
    let certain = fetched.certain_command();
    if moved
        .strip_prefix(certain)
        .is_some_and(|rest| rest.iter().all(|word| is_literal(word)))
    {
        return Ok(moved);
    }
    let line = |words: &[String]| quoting::command(shown_words(words));
    Err(InstallError::StartsDifferently {
        name: before.name.clone(),
        commit: after.commit.clone(),
        new: line(&after.command),
        old: line(&moved),
        source_text: before.source.clone(),
    })
}
