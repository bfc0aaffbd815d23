//! How a person agrees to what a model wants to do: one question, whose answer counts once.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::caller::{Brought, Caller, Question};
use crate::install::{Proposal, Removal};
use crate::jsonrpc::{Members, quoted};
use crate::lock::locked;
use crate::shown;

/// What the question is called among those of one result.
const CONFIRM: &str = "confirm";
/// An answer that takes longer is asked for again.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// So many questions can be open; the oldest goes first.
const OPEN: usize = 64;
/// Further notes are only counted.
const NOTES: usize = 12;

/// The questions that were put into a result and wait for the call that brings the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Questions(Arc<Mutex<Vec<Open>>>);

#[derive(Debug)]
struct Open {
    /// Names the question, and cannot be guessed.
    state: String,
    about: String,
    asked: Instant,
}

/// What a person said.
pub(super) enum Agreement {
    Given,
    Refused,
    /// It is being asked for by this raw result.
    Asked(String),
}

impl Questions {
    /// Asks the person in front of the caller, where that is possible: `message` is the whole question, `call` what is
    /// to be done, and an answer is one to exactly both.
    pub(super) async fn ask(&self, caller: &Caller, call: &str, message: &str) -> Agreement {
        let params = json!({
            "message": message,
            "requestedSchema": { "type": "object", "properties": {} },
        });
        let given = |accepted| {
            if accepted {
                Agreement::Given
            } else {
                Agreement::Refused
            }
        };
        match &caller.question {
            Question::Impossible => Agreement::Given,
            Question::Request(ask) => {
                let answer = ask(params.to_string()).await.unwrap_or_default();
                given(is_accepted(
                    Members::of(&answer).get("result").unwrap_or("{}"),
                ))
            }
            Question::Result(brought) => {
                let about = format!("{call}\n{message}");
                match brought {
                    Some(brought) if self.was_asked(&brought.state, &about) => {
                        given(brought.accepted)
                    }
                    _ => self.put(about, &params.to_string()),
                }
            }
        }
    }

    /// Whether this was the question of that state, which is answered by that.
    fn was_asked(&self, state: &str, about: &str) -> bool {
        let mut open = locked(&self.0);
        open.retain(|it| it.asked.elapsed() < PATIENCE);
        let Some(at) = open.iter().position(|it| it.state == state) else {
            return false;
        };
        open.remove(at).about == about
    }

    fn put(&self, about: String, params: &str) -> Agreement {
        // Without randomness an answer would be one to any question.
        let Ok(state) = crate::random::id() else {
            return Agreement::Refused;
        };
        let raw = quoted(&state);
        let mut open = locked(&self.0);
        if open.len() >= OPEN {
            open.remove(0);
        }
        open.push(Open {
            state,
            about,
            asked: Instant::now(),
        });
        Agreement::Asked(format!(
            r#"{{"resultType":"input_required","inputRequests":{{"{CONFIRM}":{{"method":"elicitation/create","params":{params}}}}},"requestState":{raw}}}"#
        ))
    }
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

/// The question before an installation. What comes from the repository or the model cannot add a line to it.
pub(super) fn installing(proposal: &Proposal) -> String {
    let Proposal {
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
    let source = shown::sentence(source);
    let mut text = format!("Install the MCP server `{name}` from {source}?\ncommit: {commit}");
    if let Some(file) = replaces {
        let file = shown::value(&file.to_string_lossy());
        let _ = write!(text, "\nit replaces the entry `{name}` in {file}");
    }
    if !prepare.is_empty() {
        text.push_str("\nto make it ready, this is run:");
    }
    for line in prepare {
        let _ = write!(text, "\n  {line}");
    }
    let command = shown::command(command.iter().map(String::as_str));
    let _ = write!(text, "\nit is started by: {command}");
    if !variables.is_empty() {
        text.push_str("\nthese variables are set for it:");
    }
    // Those that nothing speaks of come first.
    let (known, unknown): (Vec<_>, Vec<_>) = variables.iter().partition(|it| it.is_mentioned);
    for variable in unknown.into_iter().chain(known) {
        let value = shown::value(&variable.value);
        let _ = write!(text, "\n  {} = {value}", shown::sentence(&variable.name));
        if !variable.is_mentioned {
            text.push_str(" (nothing in the repository mentions it)");
        }
    }
    for note in notes.iter().take(NOTES) {
        let _ = write!(text, "\nnote: {}", shown::sentence(note));
    }
    if notes.len() > NOTES {
        let _ = write!(text, "\nnote: and {} more of these", notes.len() - NOTES);
    }
    text
}

/// The question before a removal.
pub(super) fn removing(name: &str, removal: &Removal) -> String {
    let name = shown::sentence(name);
    let mut text = format!("Remove the MCP server `{name}`?");
    match removal.installed() {
        Some((source, commit)) => {
            let _ = write!(
                text,
                "\nit was installed from {}, commit {commit}",
                shown::sentence(source)
            );
        }
        None => text.push_str("\nit was written by hand and never installed by mcp-proxy"),
    }
    for file in removal.files() {
        let file = shown::value(&file.to_string_lossy());
        let _ = write!(
            text,
            "\nits entry is taken out of {file}, of which a backup is kept"
        );
    }
    if let Some(folder) = removal.deletes() {
        let folder = shown::value(&folder.to_string_lossy());
        let _ = write!(text, "\nits folder is deleted: {folder}");
        if removal.is_forced() {
            text.push_str("\nwhat somebody changed in its files is lost with them");
        }
    }
    text
}
