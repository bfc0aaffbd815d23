//! `install_mcp_server_from_git`, `install_and_load_mcp_server`, `uninstall_mcp_server`.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::arguments::{load_error, text};
use super::caller::{Caller, ConsentChannel, Progress};
use super::consent::{self, ConsentDecision};
use super::{INSTALL, InstallResources, LOAD, UNINSTALL};
use crate::fleet::Fleet;
use crate::install::{
    InstallError, InstallOutcome, InstallRequest, InstallStep, Installed, Installer, RequestOrigin,
    StartSettings, StepListener,
};
use crate::jsonrpc::{Members, unquoted};
use crate::path_text::texts;

/// Minimum time between two reports of a step with continuous progress.
const SHOWN_EVERY: Duration = Duration::from_millis(200);

/// Outcome of an installing tool.
pub(super) enum InstallToolOutcome {
    Done(Value),
    /// Raw result that asks the person; the client repeats the call with the response.
    Question(String),
}

/// Installs a server; with `load`, also loads it.
pub(super) async fn install(
    fleet: &Fleet,
    resources: &InstallResources,
    arguments: &Members<'_>,
    caller: &Caller,
    load: bool,
) -> Result<InstallToolOutcome, Value> {
    let request = request(arguments)?;
    let url = request.source.clone();
    // The install policy may have changed.
    fleet.reread().await;
    let installer = resources.installer(fleet).map_err(|error| failed(&error))?;
    if let ConsentChannel::Impossible = caller.consent {
        let unasked = installer.check_unasked("`mcp-proxy install`");
        unasked.map_err(|error| failed(&error))?;
    }
    let (listener, cancel) = (listener(caller.progress()), CancellationToken::new());
    // Dropped with the call, which cancels the work.
    let _stop = cancel.clone().drop_guard();
    let fetched = installer.fetch(request, &listener, &cancel).await;
    let fetched = fetched.map_err(|error| failed(&error))?;
    if let Some(proposal) = fetched.proposal() {
        let call = format!("{INSTALL} {load} {arguments}");
        let question = consent::installing(&proposal);
        match resources.questions.ask(caller, &call, &question).await {
            ConsentDecision::Given => {}
            ConsentDecision::Refused => {
                let error = "Installation failed: the user declined it";
                return Err(json!({ "error": error }));
            }
            ConsentDecision::Asked(result) => return Ok(InstallToolOutcome::Question(result)),
        }
    }
    let installed = fetched
        .finish(&cancel)
        .await
        .map_err(|error| failed(&error))?;
    fleet.reread().await;
    let mut value = described(&installed);
    if !load {
        value["message"] = format!("Successfully installed MCP server from {url}").into();
        value["next_step"] =
            format!("Use {LOAD}(server_name='{}') to load it", installed.name).into();
        return Ok(InstallToolOutcome::Done(value));
    }
    let name = &installed.name;
    let (server, _) = fleet.load(name).await.map_err(|error| {
        let reason = load_error(name, &error);
        let text = reason["error"].as_str().unwrap_or_default();
        let mut value = json!({
            "error": format!("Installation succeeded but loading failed: {text}"),
            "server_name": name,
        });
        if let Some(stderr) = reason.get("stderr") {
            value["stderr"] = stderr.clone();
        }
        value
    })?;
    let snapshot = server.snapshot();
    let tools = snapshot.tool_names();
    value["message"] = format!("Installed and loaded '{name}' successfully").into();
    value["tool_count"] = tools.len().into();
    value["tools"] = json!(tools);
    value["note"] = "Server is ready to use immediately - no restart required!".into();
    Ok(InstallToolOutcome::Done(value))
}

/// Stops a server, removes it from the configuration and, on request, deletes the installed files.
pub(super) async fn uninstall(
    fleet: &Fleet,
    resources: &InstallResources,
    arguments: &Members<'_>,
    caller: &Caller,
) -> Result<InstallToolOutcome, Value> {
    let name = text(arguments, "server_name", "the name of a server")?;
    let delete_files = flag(arguments, "delete_files", false)?;
    let force = flag(arguments, "force", false)?;
    let uninstalling =
        |error: InstallError| json!({ "error": format!("Failed to uninstall '{name}': {error}") });
    // The install policy may have changed.
    fleet.reread().await;
    let installer = resources.installer(fleet).map_err(uninstalling)?;
    if let ConsentChannel::Impossible = caller.consent {
        let unasked = installer.check_unasked("`mcp-proxy uninstall`");
        unasked.map_err(uninstalling)?;
    }
    let removal = installer.removal(&name, delete_files, force, RequestOrigin::Tool);
    let removal = removal.await.map_err(uninstalling)?;
    let call = format!("{UNINSTALL} {arguments}");
    let question = consent::removing(&name, &removal);
    match resources.questions.ask(caller, &call, &question).await {
        ConsentDecision::Given => {}
        ConsentDecision::Refused => {
            let error = format!("Failed to uninstall '{name}': the user declined it");
            return Err(json!({ "error": error }));
        }
        ConsentDecision::Asked(result) => return Ok(InstallToolOutcome::Question(result)),
    }
    let was_loaded = fleet.unload(&name).await;
    let removed = match removal.finish().await {
        Ok(removed) => removed,
        Err(error) => {
            if was_loaded {
                let _ = fleet.load(&name).await;
            }
            return Err(uninstalling(error));
        }
    };
    fleet.reread().await;
    Ok(InstallToolOutcome::Done(json!({
        "message": format!("Successfully uninstalled '{name}'"),
        "files_deleted": removed.deleted.is_some(),
        "stopped": was_loaded,
        "config_files": texts(&removed.unregistered),
        "backups": texts(&removed.backups),
        "deleted": removed.deleted.as_deref().map(Path::to_string_lossy),
        "kept": removed.kept.as_deref().map(Path::to_string_lossy),
        "notes": removed.notes,
    })))
}

fn request(arguments: &Members<'_>) -> Result<InstallRequest, Value> {
    let source = text(arguments, "git_url", "the URL of the server's repository")?;
    let given = |name: &str, what: &str| match arguments.get(name) {
        None | Some("null") => Ok(None),
        Some(_) => text(arguments, name, what).map(|text| Some(text.into_owned())),
    };
    let choices = StartSettings {
        server_file: given("server_file", "a file of the repository")?,
        requirements_file: given("requirements_file", "a file of the repository")?,
        ..StartSettings::default()
    };
    Ok(InstallRequest {
        source: source.into_owned(),
        name: given("server_name", "the server's new name")?,
        choices,
        env: variables(arguments)?,
        auto_detect: flag(arguments, "auto_detect", true)?,
        overwrite: flag(arguments, "overwrite", false)?,
        origin: RequestOrigin::Tool,
    })
}

fn variables(arguments: &Members<'_>) -> Result<Vec<(String, String)>, Value> {
    let raw = match arguments.get("env_vars") {
        None | Some("null") => return Ok(Vec::new()),
        Some(raw) => raw,
    };
    let variables = Members::of(raw);
    let pairs: Option<Vec<_>> = variables
        .iter()
        .map(|(name, raw)| {
            let value = match raw.as_bytes().first()? {
                b'"' => unquoted(raw)?.into_owned(),
                // Variables are text: a JSON number or boolean is used as it is written.
                b'-' | b'0'..=b'9' | b't' | b'f' => raw.to_owned(),
                _ => return None,
            };
            Some((name.into_owned(), value))
        })
        .collect();
    pairs.filter(|_| raw.starts_with('{')).ok_or_else(|| {
        json!({ "error": "`env_vars` must be an object of strings: names and values of variables" })
    })
}

fn flag(arguments: &Members<'_>, name: &str, default: bool) -> Result<bool, Value> {
    match arguments.get(name) {
        None | Some("null") => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(json!({ "error": format!("`{name}` must be true or false") })),
    }
}

fn failed(error: &InstallError) -> Value {
    let mut value = json!({ "error": format!("Installation failed: {error}") });
    if !error.output().is_empty() {
        value["output"] = json!(error.output());
    }
    value
}

fn described(installed: &Installed) -> Value {
    json!({
        "server_name": installed.name,
        "outcome": match installed.outcome {
            InstallOutcome::New => "installed",
            InstallOutcome::Same => "was installed already",
            InstallOutcome::Updated => "replaced",
        },
        "source": installed.source,
        "commit": installed.commit,
        "folder": installed.folder.to_string_lossy(),
        "config_files": texts(&installed.registered),
        "backups": texts(&installed.backups),
        "command": installed.command,
        "reason": installed.reason,
        "considered": installed.considered,
        "notes": installed.notes,
    })
}

/// Returns a listener that reports the steps to the caller.
fn listener(progress: Option<Progress>) -> StepListener {
    let Some(progress) = progress else {
        return StepListener::silent();
    };
    let last = Mutex::new(None::<Instant>);
    StepListener::new(move |step| {
        let moving = matches!(
            step,
            InstallStep::Receiving { .. }
                | InstallStep::CheckingOut { .. }
                | InstallStep::Output(_)
        );
        let mut last = crate::lock::locked(&last);
        if moving && last.is_some_and(|last| last.elapsed() < SHOWN_EVERY) {
            return;
        }
        *last = Some(Instant::now());
        progress(&sentence(&step));
    })
}

fn sentence(step: &InstallStep) -> String {
    match step {
        InstallStep::Connecting(repository) => format!("connecting to {repository}"),
        InstallStep::Resolved { commit, reference } => match reference {
            Some(reference) => format!("{reference} is commit {commit}"),
            None => format!("commit {commit}"),
        },
        InstallStep::Receiving { objects, total, .. } => {
            format!("received {objects} of {total} objects")
        }
        InstallStep::CheckingOut { files, total } => format!("wrote {files} of {total} files"),
        InstallStep::Running(command) => format!("running {command}"),
        InstallStep::Output(line) | InstallStep::Note(line) => line.clone(),
    }
}

impl InstallResources {
    fn installer(&self, fleet: &Fleet) -> Result<Installer, InstallError> {
        let policy = fleet.config().install.clone();
        let installer = Installer::new(self.around.clone(), policy, fleet.reaper())?;
        Ok(installer.counted_by(self.tasks.clone()))
    }

    /// Returns the name, source and commit of each installed server in this configuration.
    pub(super) fn installed(&self, fleet: &Fleet) -> Vec<(String, String, String)> {
        let Ok(installer) = self.installer(fleet) else {
            return Vec::new();
        };
        let here = |file: &std::path::PathBuf| fleet.files().contains(file);
        let found = installer.installed().into_iter().map(|found| found.record);
        found
            .filter(|record| record.registered.iter().any(here))
            .map(|record| (record.name, record.source, record.commit))
            .collect()
    }
}

#[cfg(test)]
mod tests;
