//! `install_mcp_server_from_git`, `install_and_load_mcp_server`, `uninstall_mcp_server`.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::arguments::{load_error, text};
use super::caller::{Brought, Caller, Progress, Question};
use super::{LOAD, Workshop};
use crate::fleet::Fleet;
use crate::install::{
    Choices, Fetched, InstallError, Installed, Installer, Listener, Origin, Outcome, Proposal,
    Request, Step,
};
use crate::jsonrpc::{Members, quoted, unquoted};

/// What moves all the time is shown this often.
const SHOWN_EVERY: Duration = Duration::from_millis(200);
/// What the question is called among those of one result.
const CONFIRM: &str = "confirm";

/// What an installing tool has to say.
pub(super) enum Said {
    Done(Value),
    /// A raw result by which the person is asked; the client calls once more with the answer.
    Question(String),
}

/// Installs a server; with `load` its tools are there as well.
pub(super) async fn install(
    fleet: &Fleet,
    workshop: &Workshop,
    arguments: &Members<'_>,
    caller: &Caller,
    load: bool,
) -> Result<Said, Value> {
    let request = request(arguments)?;
    let url = request.source.clone();
    // What it permits may have changed.
    fleet.reread(&[]);
    let installer = workshop.installer(fleet).map_err(|error| failed(&error))?;
    let (listener, cancel) = (listener(caller.progress()), CancellationToken::new());
    // Dropped with the call, which ends the work.
    let _stop = cancel.clone().drop_guard();
    let fetched = installer.fetch(request, &listener, &cancel).await;
    let fetched = fetched.map_err(|error| failed(&error))?;
    match agreed(&fetched, caller).await {
        Agreement::Given => {}
        Agreement::Refused => {
            let error = "Installation failed: it was declined by the person who was asked";
            return Err(json!({ "error": error }));
        }
        Agreement::Asked(result) => return Ok(Said::Question(result)),
    }
    let installed = fetched
        .finish(&cancel)
        .await
        .map_err(|error| failed(&error))?;
    fleet.reread(&[]);
    let mut value = described(&installed);
    if !load {
        value["message"] = format!("Successfully installed MCP server from {url}").into();
        value["next_step"] =
            format!("Use {LOAD}(server_name='{}') to load it", installed.name).into();
        return Ok(Said::Done(value));
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
    Ok(Said::Done(value))
}

/// Stops a server, takes it out of the configuration and, if that is wanted, deletes what was installed.
pub(super) async fn uninstall(
    fleet: &Fleet,
    workshop: &Workshop,
    arguments: &Members<'_>,
) -> Result<Value, Value> {
    let name = text(arguments, "server_name", "the name of a server")?;
    let delete_files = flag(arguments, "delete_files", false)?;
    let uninstalling =
        |error: InstallError| json!({ "error": format!("Failed to uninstall '{name}': {error}") });
    let installer = workshop.installer(fleet).map_err(uninstalling)?;
    let was_loaded = fleet.unload(&name).await;
    let removed = match installer.uninstall(&name, delete_files).await {
        Ok(removed) => removed,
        Err(error) => {
            if was_loaded {
                let _ = fleet.load(&name).await;
            }
            return Err(uninstalling(error));
        }
    };
    fleet.reread(&[]);
    Ok(json!({
        "message": format!("Successfully uninstalled '{name}'"),
        "files_deleted": removed.deleted.is_some(),
        "stopped": was_loaded,
        "config_files": removed.unregistered,
        "deleted": removed.deleted,
        "kept": removed.kept,
        "notes": removed.notes,
    }))
}

fn request(arguments: &Members<'_>) -> Result<Request, Value> {
    let source = text(arguments, "git_url", "where the server's repository is")?;
    let given = |name: &str, what: &str| match arguments.get(name) {
        None | Some("null") => Ok(None),
        Some(_) => text(arguments, name, what).map(|text| Some(text.into_owned())),
    };
    let choices = Choices {
        server_file: given("server_file", "a file of the repository")?,
        requirements_file: given("requirements_file", "a file of the repository")?,
        ..Choices::default()
    };
    Ok(Request {
        source: source.into_owned(),
        name: given("server_name", "the server's new name")?,
        choices,
        env: variables(arguments)?,
        auto_detect: flag(arguments, "auto_detect", true)?,
        overwrite: flag(arguments, "overwrite", false)?,
        origin: Origin::Tool,
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
                // Variables are text: a JSON number or boolean is passed on as it is written.
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

/// Whether what was fetched may be made ready and run.
enum Agreement {
    Given,
    Refused,
    /// It is being asked for by this raw result.
    Asked(String),
}

async fn agreed(fetched: &Fetched, caller: &Caller) -> Agreement {
    let Some(proposal) = fetched.proposal() else {
        // Nothing new is going to be run.
        return Agreement::Given;
    };
    let params = json!({
        "message": question(&proposal),
        "requestedSchema": { "type": "object", "properties": {} },
    });
    match &caller.question {
        Question::Impossible => Agreement::Given,
        Question::Request(ask) => {
            let answer = ask(params.to_string()).await.unwrap_or_default();
            let accepted = is_accepted(Members::of(&answer).get("result").unwrap_or("{}"));
            if accepted {
                Agreement::Given
            } else {
                Agreement::Refused
            }
        }
        Question::Result(Some(Brought { state, accepted })) if *state == state_of(&proposal) => {
            if *accepted {
                Agreement::Given
            } else {
                Agreement::Refused
            }
        }
        // It has not been asked, or about another commit.
        Question::Result(_) => {
            let state = quoted(&state_of(&proposal));
            Agreement::Asked(format!(
                r#"{{"resultType":"input_required","inputRequests":{{"{CONFIRM}":{{"method":"elicitation/create","params":{params}}}}},"requestState":{state}}}"#
            ))
        }
    }
}

/// What the person agrees to: another commit, or another way to start it, is another question.
fn state_of(proposal: &Proposal) -> String {
    let parts = [&proposal.command[..], &proposal.prepare[..]].concat();
    format!("{} {} {}", proposal.name, proposal.commit, parts.join(" "))
}

/// Whether a raw answer to a question agrees.
fn is_accepted(result: &str) -> bool {
    Members::of(result).text("action").as_deref() == Some("accept")
}

/// What the call of a modern client brought along, of its raw params.
pub(crate) fn brought(params: &str) -> Option<Brought> {
    let params = Members::of(params);
    let responses = params.object("inputResponses");
    Some(Brought {
        state: params.text("requestState")?.into_owned(),
        accepted: is_accepted(responses.get(CONFIRM)?),
    })
}

fn question(proposal: &Proposal) -> String {
    let Proposal {
        name,
        source,
        commit,
        command,
        prepare,
        notes,
        ..
    } = proposal;
    let mut text = format!("Install the MCP server `{name}` from {source}?\ncommit: {commit}");
    if !prepare.is_empty() {
        text.push_str("\nto make it ready, this is run:");
    }
    for line in prepare {
        let _ = write!(text, "\n  {line}");
    }
    let _ = write!(text, "\nit is started by: {}", command.join(" "));
    for note in notes {
        let _ = write!(text, "\nnote: {note}");
    }
    text
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
            Outcome::New => "installed",
            Outcome::Same => "was installed already",
            Outcome::Updated => "replaced",
        },
        "source": installed.source,
        "commit": installed.commit,
        "folder": installed.folder,
        "config_files": installed.registered,
        "command": installed.command,
        "reason": installed.reason,
        "considered": installed.considered,
        "notes": installed.notes,
    })
}

/// Shows the steps to the caller.
fn listener(progress: Option<Progress>) -> Listener {
    let Some(progress) = progress else {
        return Listener::silent();
    };
    let last = Mutex::new(None::<Instant>);
    Listener::new(move |step| {
        let moving = matches!(
            step,
            Step::Receiving { .. } | Step::CheckingOut { .. } | Step::Output(_)
        );
        let mut last = crate::lock::locked(&last);
        if moving && last.is_some_and(|last| last.elapsed() < SHOWN_EVERY) {
            return;
        }
        *last = Some(Instant::now());
        progress(&sentence(&step));
    })
}

fn sentence(step: &Step) -> String {
    match step {
        Step::Connecting(repository) => format!("connecting to {repository}"),
        Step::Resolved { commit, reference } => match reference {
            Some(reference) => format!("{reference} is commit {commit}"),
            None => format!("commit {commit}"),
        },
        Step::Receiving { objects, total, .. } => format!("received {objects} of {total} objects"),
        Step::CheckingOut { files, total } => format!("wrote {files} of {total} files"),
        Step::Running(command) => format!("running {command}"),
        Step::Output(line) | Step::Note(line) => line.clone(),
    }
}

impl Workshop {
    fn installer(&self, fleet: &Fleet) -> Result<Installer, InstallError> {
        let policy = fleet.config().install.clone();
        let installer = Installer::new(self.around.clone(), policy, fleet.reaper())?;
        Ok(installer.counted_by(self.tasks.clone()))
    }

    /// What was installed of the servers of this configuration: name, source and commit.
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
