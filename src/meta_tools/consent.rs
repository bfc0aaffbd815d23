//! Asks a person to approve a model's action: one question, whose response is valid once.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::caller::{Caller, ConsentChannel, ConsentResponse};
use crate::install::{InstallSummary, Removal};
use crate::jsonrpc::{Members, quoted};
use crate::lock::locked;
use crate::quoting;

/// Key of the question in the `inputRequests` of a result.
const CONFIRM: &str = "confirm";
/// Time limit for a response; after it, the question is asked again.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Maximum number of open questions; the oldest is dropped first.
const OPEN: usize = 64;
/// Number of notes shown in full; further notes are only counted.
const NOTES: usize = 12;

/// Questions that were sent in a result and wait for the call that brings the response.
#[derive(Debug, Clone, Default)]
pub(super) struct ConsentQuestions(Arc<Mutex<Vec<ConsentQuestion>>>);

#[derive(Debug)]
struct ConsentQuestion {
    /// Unguessable id of the question.
    state: String,
    about: String,
    asked_at: Instant,
}

/// Decision of the person.
pub(super) enum ConsentDecision {
    Given,
    Refused,
    /// Not yet known: this raw result asks for it.
    Asked(String),
}

impl ConsentQuestions {
    /// Asks the person in front of the caller, where that is possible: `message` is the whole question, `call` the
    /// action. A response is valid only for exactly both.
    pub(super) async fn ask(&self, caller: &Caller, call: &str, message: &str) -> ConsentDecision {
        let params = json!({
            "message": message,
            "requestedSchema": { "type": "object", "properties": {} },
        });
        let given = |accepted| {
            if accepted {
                ConsentDecision::Given
            } else {
                ConsentDecision::Refused
            }
        };
        match &caller.consent {
            ConsentChannel::Impossible => ConsentDecision::Given,
            ConsentChannel::Request(ask) => {
                let response = ask(params.to_string()).await.unwrap_or_default();
                given(is_accepted(
                    Members::of(&response).get("result").unwrap_or("{}"),
                ))
            }
            ConsentChannel::Result(response) => {
                let (about, now) = (format!("{call}\n{message}"), Instant::now());
                match response {
                    Some(response) if self.was_asked(&response.state, &about, now) => {
                        given(response.accepted)
                    }
                    _ => self.put(about, &params.to_string(), now),
                }
            }
        }
    }

    /// Removes the question with this state; returns true if it was open at `now` and about `about`.
    fn was_asked(&self, state: &str, about: &str, now: Instant) -> bool {
        let mut open = locked(&self.0);
        open.retain(|it| now.saturating_duration_since(it.asked_at) < QUESTION_TIMEOUT);
        let Some(at) = open.iter().position(|it| it.state == state) else {
            return false;
        };
        open.remove(at).about == about
    }

    fn put(&self, about: String, params: &str, asked: Instant) -> ConsentDecision {
        // With a guessable state, a response could be forged for any question.
        let Ok(state) = crate::random::id() else {
            return ConsentDecision::Refused;
        };
        let raw = quoted(&state);
        let mut open = locked(&self.0);
        if open.len() >= OPEN {
            open.remove(0);
        }
        open.push(ConsentQuestion {
            state,
            about,
            asked_at: asked,
        });
        ConsentDecision::Asked(format!(
            r#"{{"resultType":"input_required","inputRequests":{{"{CONFIRM}":{{"method":"elicitation/create","params":{params}}}}},"requestState":{raw}}}"#
        ))
    }
}

/// Returns true if a raw response accepts the question.
fn is_accepted(result: &str) -> bool {
    Members::of(result).text("action").as_deref() == Some("accept")
}

/// Returns the response that a modern client's call includes, from its raw params.
pub(crate) fn consent_response(params: &str) -> Option<ConsentResponse> {
    let params = Members::of(params);
    let responses = params.object("inputResponses");
    Some(ConsentResponse {
        state: params.text("requestState")?.into_owned(),
        accepted: is_accepted(responses.get(CONFIRM)?),
    })
}

/// Returns the question before an installation. Text from the repository or the model cannot add a line to it.
pub(super) fn installing(proposal: &InstallSummary) -> String {
    let InstallSummary {
        name,
        source,
        commit,
        command,
        prepare,
        variables,
        replaces,
        notes,
        ..
    } = proposal;
    let source = quoting::command([&**source]);
    let mut text = format!("Install the MCP server `{name}` from {source}?\ncommit: {commit}");
    if let Some(file) = replaces {
        let file = quoting::value(&file.to_string_lossy());
        let _ = write!(
            text,
            "\nreplaces the entry `{name}` in {file} and keeps a backup"
        );
    }
    if !prepare.is_empty() {
        text.push_str("\nsetup commands:");
    }
    for line in prepare {
        let _ = write!(text, "\n  {line}");
    }
    let command = quoting::command(command.iter().map(String::as_str));
    let _ = write!(text, "\nstart command: {command}");
    if !variables.is_empty() {
        text.push_str("\nenvironment variables:");
    }
    // Variables that the repository does not mention come first.
    let (known, unknown): (Vec<_>, Vec<_>) = variables.iter().partition(|it| it.is_mentioned);
    for variable in unknown.into_iter().chain(known) {
        let value = quoting::value(&variable.value);
        let _ = write!(text, "\n  {} = {value}", quoting::sentence(&variable.name));
        if !variable.is_mentioned {
            text.push_str(" (not mentioned in the repository)");
        }
    }
    for note in notes.iter().take(NOTES) {
        let _ = write!(text, "\nnote: {}", quoting::sentence(note));
    }
    if notes.len() > NOTES {
        let _ = write!(
            text,
            "\nnote: {} more notes are not shown",
            notes.len() - NOTES
        );
    }
    text
}

/// Returns the question before a removal.
pub(super) fn removing(name: &str, removal: &Removal) -> String {
    let name = quoting::sentence(name);
    let mut text = format!("Remove the MCP server `{name}`?");
    match removal.installed() {
        Some((source, commit)) => {
            let _ = write!(
                text,
                "\ninstalled from {}, commit {commit}",
                quoting::command([source])
            );
        }
        None => text.push_str("\nnot installed by mcp-proxy: the entry was written by hand"),
    }
    for file in removal.files() {
        let file = quoting::value(&file.to_string_lossy());
        let _ = write!(text, "\nremoves the entry from {file} and keeps a backup");
    }
    if let Some(folder) = removal.deletes() {
        let folder = quoting::value(&folder.to_string_lossy());
        let _ = write!(text, "\ndeletes the folder {folder}");
        if !removal.lost().is_empty() {
            text.push_str("\nlocal changes to its files are lost");
        }
        for line in quoting::files_by_folder(removal.lost()) {
            let _ = write!(text, "\n  in {line}");
        }
    }
    text
}

#[cfg(test)]
mod tests;
