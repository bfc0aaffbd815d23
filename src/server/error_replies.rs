//! Responses of the proxy in place of a server that cannot answer: the event, the server and the remedy.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::call::Call;
use crate::bridge;
use crate::event::Failure;
use crate::jsonrpc::{ErrorObject, INTERNAL_ERROR, Reply};
use crate::mcp::Method;

/// Maximum number of changed files that an error lists by name.
const SHOWN_FILES: usize = 10;

/// Answers `call` with the reason why the saved code does not run.
pub(crate) fn refuse(call: &Call, server: &str, failure: &Failure) {
    answer(call, &explain(server, failure), "server_broken");
}

/// Answers `call` that was held longer than `max_wait`; the message names the reason for the hold.
pub(crate) fn hold_timed_out(call: &Call, server: &str, what: &str, max_wait: Duration) {
    answer(
        call,
        &explain_hold(server, what, max_wait),
        "reload_timeout",
    );
}

/// Returns the explanation for a call that `server` could not take within `max_wait`; it names the reason for the hold.
pub(crate) fn explain_hold(server: &str, what: &str, max_wait: Duration) -> String {
    format!(
        "`{server}` was not ready within {} s: the call waited for {what}. The call was not sent; retry it.",
        max_wait.as_secs_f64()
    )
}

/// Answers `call` that was rejected because more than `limit` bytes of requests were queued before it.
pub(crate) fn backlog_full(call: &Call, server: &str, limit: usize) {
    let message = format!(
        "`{server}` is reloading, and its backlog exceeds {} MiB of requests. This request was not sent; retry it \
         later.",
        limit / 1024 / 1024
    );
    answer(call, &message, "too_many_waiting");
}

/// Answers `call` whose generation ended first; `how` is the reason.
pub(crate) fn ended(call: &Call, server: &str, how: &str, stderr: &[String]) {
    let mut message = format!(
        "`{server}` {how}. This request got no response; it may have been executed in part, and was not retried."
    );
    append_stderr(&mut message, stderr);
    answer(call, &message, "server_restarted");
}

/// Answers `call` that a remote server did not accept; `how` is the reason.
pub(crate) fn refused(call: &Call, server: &str, how: &str) {
    let message = format!("`{server}` {how}. This request was not executed.");
    answer(call, &message, "server_refused");
}

/// Answers `call` to a server that is not run any more.
pub(crate) fn unloaded(call: &Call, server: &str) {
    let message = format!(
        "`{server}` is no longer loaded. This request was not executed; load the server and retry."
    );
    answer(call, &message, "server_unloaded");
}

/// Answers `call` that was held when the server was stopped.
pub(crate) fn unsent(call: &Call, server: &str) {
    let message = format!(
        "`{server}` was stopped, by the end of the client's input or on request, before this request could be sent. The \
         request was not executed."
    );
    answer(call, &message, "server_restarted");
}

/// Returns an explanation why the saved code of `server` does not run.
pub(crate) fn explain(server: &str, failure: &Failure) -> String {
    let subject = if failure.remote || failure.may_pass() {
        format!("`{server}`")
    } else if failure.held {
        format!("the saved code of `{server}` is held back: it")
    } else {
        format!("the saved code of `{server}` does not run: it")
    };
    let mut message = format!("{subject} {}", failure.reason);
    if !failure.files.is_empty() {
        let files: Vec<_> = failure
            .files
            .iter()
            .map(|file| Path::display(file).to_string())
            .collect();
        let shown = files.len().min(SHOWN_FILES);
        let _ = write!(message, "\nchanged: {}", files[..shown].join(", "));
        if files.len() > shown {
            let _ = write!(message, " and {} more", files.len() - shown);
        }
    }
    append_stderr(&mut message, &failure.stderr);
    let advice = failure
        .advice
        .as_deref()
        .unwrap_or("fix the code, save it and call again; the session stays open");
    let _ = write!(message, "\n{advice}");
    message
}

fn append_stderr(message: &mut String, stderr: &[String]) {
    if !stderr.is_empty() {
        message.push_str("\nlast lines of its output:");
    }
    for line in stderr {
        let _ = write!(message, "\n  | {line}");
    }
}

/// Answers a tool call with a result that a model can read, any other call with an error.
fn answer(call: &Call, message: &str, reason: &str) {
    if call.method == Method::CallTool {
        call.reply(Reply::Result(&bridge::tool_error(message, call.era)));
    } else {
        let data = json!({ "reason": reason });
        let error = ErrorObject {
            code: INTERNAL_ERROR,
            message: message.to_owned(),
            data: Some(data),
        };
        call.reply(Reply::Error(&error.to_string()));
    }
}
