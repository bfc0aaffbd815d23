//! Formats events as NDJSON: one object per line with `time`, `event` and the fields of the event. The names are a
//! public interface for log readers.

use std::time::SystemTime;

use anstream::adapter::strip_str;
use serde_json::{Map, Value, json};

use super::human::sentence;
use super::text::rfc3339;
use crate::config::HiddenValues;
use crate::event::{ContractChange, Event, Failure, RehearsalReport, SessionEvent, ToolDiff};
use crate::path_text::texts;

/// Returns one line without its line end.
pub(super) fn line(event: &SessionEvent, now: SystemTime, hidden: &HiddenValues) -> String {
    let (name, fields) = fields(&event.event);
    event_object(event, name, fields, now, hidden)
}

/// Returns the line with the sentence for people as `text`.
pub(super) fn described(event: &SessionEvent, now: SystemTime, hidden: &HiddenValues) -> String {
    let (name, mut fields) = fields(&event.event);
    fields["text"] = strip_str(&sentence(&event.event)).to_string().into();
    event_object(event, name, fields, now, hidden)
}

fn event_object(
    event: &SessionEvent,
    name: &str,
    mut fields: Value,
    now: SystemTime,
    hidden: &HiddenValues,
) -> String {
    hidden.hide_in(&mut fields);
    if let Some(session) = event.session {
        fields["session"] = session.into();
    }
    object(name, fields, now)
}

/// Returns the line that reports the number of dropped events.
pub(super) fn dropped(count: u64, now: SystemTime) -> String {
    object("dropped", json!({ "count": count }), now)
}

fn object(name: &str, fields: Value, now: SystemTime) -> String {
    let mut object = Map::new();
    object.insert("time".to_owned(), rfc3339(now).into());
    object.insert("event".to_owned(), name.into());
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    Value::Object(object).to_string()
}

#[rustfmt::skip] // One line per event reads as the table it is.
fn fields(event: &Event) -> (&'static str, Value) {
    match event {
        Event::Watching { server, files, directories, globs } =>
            ("watching", json!({ "server": server, "files": files, "directories": directories, "globs": globs })),
        Event::WatchWarning { server, message } => ("watch_warning", json!({ "server": server, "message": message })),
        Event::WatchNote { server, message } => ("watch_note", json!({ "server": server, "message": message })),
        Event::InputAwaited { server, method, page } => ("input_awaited", json!({ "server": server, "method": method, "page": page })),
        Event::Changed { server, paths } => ("changed", json!({ "server": server, "paths": texts(paths) })),
        Event::Building { server, command } => ("building", json!({ "server": server, "command": command })),
        Event::BuildOutput { server, line } => ("build_output", json!({ "server": server, "line": line })),
        Event::Spawned { server, generation, pid } =>
            ("spawned", json!({ "server": server, "generation": generation, "pid": pid })),
        Event::Connecting { server, generation, url } =>
            ("connecting", json!({ "server": server, "generation": generation, "url": url })),
        Event::Ready { server, generation, took, era, tools, prompts, resources } =>
            ("ready", json!({ "server": server, "generation": generation, "took_ms": millis(*took), "era": era,
                "tools": tools, "prompts": prompts, "resources": resources })),
        Event::Reloaded { server, generation, took, diff, rehearsal } =>
            ("reloaded", with_rehearsal(rehearsal.as_ref(), json!({ "server": server, "generation": generation,
                "took_ms": millis(*took), "diff": self::diff(diff) }))),
        Event::RehearsalWarning { server, message } =>
            ("rehearsal_warning", json!({ "server": server, "message": message })),
        Event::Broken { server, failure, serving_last_good } =>
            ("broken", json!({ "server": server, "serving_last_good": serving_last_good, "failure": self::failure(failure) })),
        Event::Exited { server, generation, status, stderr } =>
            ("exited", json!({ "server": server, "generation": generation, "status": status, "stderr": stderr })),
        Event::Restarting { server, delay } => ("restarting", json!({ "server": server, "delay_ms": millis(*delay) })),
        Event::Flapping { server, exits, within } =>
            ("flapping", json!({ "server": server, "exits": exits, "within_ms": millis(*within) })),
        Event::Standby { server, took, memory } =>
            ("standby", json!({ "server": server, "took_ms": millis(*took), "memory": memory })),
        Event::Cold { server, reason, for_good } =>
            ("cold", json!({ "server": server, "reason": reason, "for_good": for_good })),
        Event::PortMissed { server, line } => ("port_missed", json!({ "server": server, "line": line })),
        Event::DrainAbandoned { server, generation, requests } =>
            ("drain_abandoned", json!({ "server": server, "generation": generation, "requests": requests })),
        Event::Stopped { server, generation } => ("stopped", json!({ "server": server, "generation": generation })),
        Event::Stderr { server, generation, line } =>
            ("stderr", json!({ "server": server, "generation": generation, "line": line })),
        Event::Stray { server, generation, line, count, kind: _ } =>
            ("stray", json!({ "server": server, "generation": generation, "line": line, "count": count })),
        Event::ListsChanged { server, diff } =>
            ("lists_changed", json!({ "server": server, "diff": self::diff(diff) })),
        Event::Progress { server, text } => ("progress", json!({ "server": server, "text": text })),
        Event::LogMessage { server, level, text } =>
            ("log_message", json!({ "server": server, "level": level, "text": text })),
        Event::Unloaded { server } => ("unloaded", json!({ "server": server })),
        Event::Reconfigured { added, changed, removed } =>
            ("reconfigured", json!({ "added": added, "changed": changed, "removed": removed })),
        Event::ConfigFault { text } => ("config_fault", json!({ "text": text })),
        Event::NameTaken { server, kind, name, holder } =>
            ("name_taken", json!({ "server": server, "kind": kind, "name": name, "holder": holder })),
        Event::ToolsRejected { server, client, places } =>
            ("tools_rejected", json!({ "server": server, "client": client, "places": places })),
        Event::ToolLeftOut { server, tool, reason } =>
            ("tool_left_out", json!({ "server": server, "tool": tool, "reason": reason })),
        Event::ResultFaulty { server, tool, reason } =>
            ("result_faulty", json!({ "server": server, "tool": tool, "reason": reason })),
        Event::ListCut { server, method, reason } =>
            ("list_cut", json!({ "server": server, "method": method, "reason": reason })),
        Event::ListUnchanged { server, method } => ("list_unchanged", json!({ "server": server, "method": method })),
        Event::ListedTwice { server, method, name } =>
            ("listed_twice", json!({ "server": server, "method": method, "name": name })),
        Event::ListUndeclared { server, method, capability } =>
            ("list_undeclared", json!({ "server": server, "method": method, "capability": capability })),
        Event::EraUnsuitable { server } => ("era_unsuitable", json!({ "server": server })),
        Event::ListSilent { server, method, waited } =>
            ("list_silent", json!({ "server": server, "method": method, "waited_ms": millis(*waited) })),
        Event::ClientConnected { name, version, era } =>
            ("client_connected", json!({ "name": name, "version": version, "era": era })),
        Event::Listening { url } => ("listening", json!({ "url": url })),
        Event::Page { url, warning } => ("page", json!({ "url": url, "warning": warning })),
        Event::WrongPath { path, endpoint } => ("wrong_path", json!({ "path": path, "endpoint": endpoint })),
        Event::SessionEnded { reason } => ("session_ended", json!({ "reason": reason })),
        Event::Ending { reason } => ("ending", json!({ "reason": reason })),
        Event::Failed { reason } => ("failed", json!({ "reason": reason })),
        Event::NotRecorded { reason } => ("not_recorded", json!({ "reason": reason })),
        Event::RecordingEnded { reason } => ("recording_ended", json!({ "reason": reason })),
    }
}

/// Adds the report about the rehearsed calls, if there are any, to the fields of a reload.
fn with_rehearsal(rehearsal: Option<&RehearsalReport>, mut fields: Value) -> Value {
    if let Some(rehearsal) = rehearsal {
        fields["rehearsal"] = rehearsal.value();
    }
    fields
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn diff(diff: &ToolDiff) -> Value {
    let changed: Vec<Value> = diff
        .changed
        .iter()
        .map(|(tool, members)| json!({ "tool": tool, "members": members }))
        .collect();
    let contract: Vec<Value> = diff.contract.iter().map(ContractChange::value).collect();
    json!({
        "added": diff.added,
        "removed": diff.removed,
        "changed": changed,
        "contract": contract,
        "left_out": diff.left_out,
    })
}

fn failure(failure: &Failure) -> Value {
    json!({
        "generation": failure.generation,
        "reason": failure.reason,
        "advice": failure.advice,
        "stderr": failure.stderr,
        "files": texts(&failure.files),
    })
}
