//! The servers of all sessions: state, reason if one does not run, last reload, findings, files, standby.

use std::sync::atomic::Ordering;

use maud::{Markup, html};
use serde_json::Value;

use super::events::{PageEvent, SessionServer};
use super::layout::{lines, milliseconds, time};
use super::routes::Site;
use crate::config::{HiddenValues, ServerSpec};
use crate::contract::{ClientVersion, LintFinding, LintLevel, lint};
use crate::event::Failure;
use crate::fleet::Fleet;
use crate::lock::locked;
use crate::mcp::ListKind;
use crate::output::{clean, count, duration};
use crate::server::ServerHandle;

/// Number of lines of a server's output that are shown.
const OUTPUT_LINES: usize = 30;
/// Maximum number of findings of one server that are shown.
const MAX_FINDINGS: usize = 50;

/// Returns the content of the page.
pub(super) fn content(site: &Site) -> Markup {
    let fleets = site.fleets.all();
    // The lock is also that of the protocol's thread.
    let hidden = locked(&site.hidden).clone();
    html! {
        h1 { "Servers" }
        @if fleets.is_empty() { p { "No client has a session now." } }
        @for (session, fleet) in &fleets {
            section aria-label=(format!("Session {session}")) {
                @if fleets.len() > 1 { h2 { "Session " (session) } }
                (faults(fleet, &hidden))
                div.cards {
                    @for spec in &fleet.config().servers {
                        (card(site, *session, spec, fleet.loaded(&spec.name), &hidden))
                    }
                }
            }
        }
    }
}

fn faults(fleet: &Fleet, hidden: &HiddenValues) -> Markup {
    let faults = fleet.faults();
    html! {
        @for fault in faults {
            div.fault { h2.bad { "Fault in the configuration" } (lines(hidden.hide(fault).lines())) }
        }
    }
}

fn card(
    site: &Site,
    session: u64,
    spec: &ServerSpec,
    server: Option<ServerHandle>,
    hidden: &HiddenValues,
) -> Markup {
    let name = clean(&spec.name);
    let Some(server) = server else {
        return html! {
            article aria-label=(name) { h3 { bdi { (name) } } p.state { "○ not loaded" } (actions(session, &spec.name, &[("load", "Load")])) }
        };
    };
    let (reload, output) = {
        let generation = server.snapshot().generation;
        let name = &*spec.name;
        let of = SessionServer { session, name };
        let events = site.data.events();
        let reload = events.reload(of, generation);
        (reload, events.last_output(of, OUTPUT_LINES))
    };
    let reload = reload.map(|event| {
        let mut event = Value::clone(&event);
        hidden.hide_in(&mut event);
        event
    });
    let failure = server.refusal().map(|failure| {
        let mut failure = Failure::clone(&failure);
        failure.hide(hidden);
        failure
    });
    let status = server.status();
    let (class, mark) = mark(status.state);
    html! {
        article aria-label=(name) {
            h3 { bdi { (name) } }
            p.state.(class) { (mark) " " (status.state) }
            (actions(session, &spec.name, &[("reload", "Reload"), ("unload", "Unload")]))
            @if let Some(failure) = &failure { (failed(failure)) }
            @if let Some(hint) = &status.hint { p.warn { bdi { (clean(&hidden.hide(hint.clone()))) } } }
            (facts(&server, spec))
            @if let Some(reload) = &reload { (reloaded(reload)) }
            (findings(&server, hidden))
            @if !output.is_empty() { (shown_output(&output)) }
        }
    }
}

/// Returns a form with buttons for these actions and their labels.
fn actions(session: u64, server: &str, actions: &[(&str, &str)]) -> Markup {
    html! {
        form.actions method="post" action="/act" {
            input type="hidden" name="session" value=(session);
            input type="hidden" name="server" value=(server);
            @for (action, label) in actions { button name="do" value=(action) { (label) } " " }
        }
    }
}

/// Returns the colour of a state, and a shape that says the same.
fn mark(state: &str) -> (&'static str, &'static str) {
    match state {
        "running" => ("good", "●"),
        "broken" | "unreachable" => ("bad", "✕"),
        "not started" | "stopped" => ("plain", "○"),
        _ => ("warn", "◐"),
    }
}

fn failed(failure: &Failure) -> Markup {
    let files: Vec<_> = failure
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    html! {
        section.failure aria-label="Failure" {
            p { strong { "Generation " (failure.generation) } " " bdi { (clean(&failure.reason)) } "." }
            @if !files.is_empty() { p { "Changed: " bdi { (clean(&files.join(", "))) } } }
            @if !failure.stderr.is_empty() {
                h4 { "Last lines of stderr" }
                (lines(failure.stderr.iter().map(String::as_str)))
            }
            @if let Some(advice) = &failure.advice { p { bdi { (clean(advice)) } } }
        }
    }
}

fn facts(server: &ServerHandle, spec: &ServerSpec) -> Markup {
    let snapshot = server.snapshot();
    let number_of = |kind| snapshot.list(kind).map_or(0, |list| list.entries.len());
    let [tools, prompts, resources] =
        [ListKind::Tools, ListKind::Prompts, ListKind::Resources].map(number_of);
    let watched = server.watched_files();
    html! {
        dl {
            @if let Some(since) = snapshot.since {
                dt { "Generation" }
                dd { (snapshot.generation) ", started in " (duration(snapshot.took)) ", live for " (duration(since.elapsed())) }
            }
            dt { "Offers" }
            dd {
                (count(tools, "tool", "tools")) ", " (count(prompts, "prompt", "prompts")) ", "
                (count(resources, "resource", "resources"))
            }
            @if let Some(standby) = server.standby_cost() {
                dt { "Standby" }
                dd {
                    "ready in " (duration(standby.took))
                    @if let Some(memory) = standby.memory { ", " (memory >> 20) " MiB" }
                }
            }
            dt { "Watches" }
            dd {
                @match watched {
                    Some(watched) => {
                        (count(watched.count.load(Ordering::Relaxed), "file", "files")) ": "
                        bdi { code { (clean(&locked(&watched.globs).join(" "))) } }
                    }
                    None => "no files",
                }
            }
            @if !spec.shown.is_empty() {
                dt { "Command" }
                dd { bdi { code { (clean(&spec.shown.join(" "))) } } }
            }
        }
    }
}

fn reloaded(event: &Value) -> Markup {
    let took = event["took_ms"].as_u64().unwrap_or_default();
    html! {
        section aria-label="Last reload" {
            h4 { "Last reload" }
            p {
                (time(event["time"].as_str().unwrap_or_default())) ": generation " (event["generation"])
                " in " (milliseconds(took))
            }
            (difference(&event["diff"]))
            (rehearsal(&event["rehearsal"]))
        }
    }
}

/// Returns the changes of the lists, from the event of the reload.
fn difference(diff: &Value) -> Markup {
    let names = |names: &Value| {
        let names: Vec<String> = items(names).iter().map(text).collect();
        names.join(", ")
    };
    let lists = diff.as_object().into_iter().flatten();
    let is_empty = lists.map(|(_, list)| items(list)).all(<[Value]>::is_empty);
    html! {
        @if is_empty {
            p { "The lists are the same as before." }
        } @else {
            ul {
                @for list in ["added", "removed"] {
                    @if !items(&diff[list]).is_empty() { li { (list) ": " bdi { (names(&diff[list])) } } }
                }
                @for it in items(&diff["changed"]) {
                    li { "changed: " bdi { (text(&it["tool"])) } " (" bdi { (names(&it["members"])) } ")" }
                }
                @for change in items(&diff["contract"]) {
                    @let class = text(&change["class"]);
                    li class=(if class == "breaking" { "bad" } else { "warn" }) {
                        (class) ": " (text(&change["kind"])) " " bdi { (text(&change["name"])) } ": "
                        bdi { (text(&change["text"])) }
                    }
                }
            }
        }
    }
}

/// Returns a text of an event for the page.
fn text(value: &Value) -> String {
    clean(value.as_str().unwrap_or_default()).into_owned()
}

/// Returns the elements of a list of an event.
fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Returns the answers to rehearsed calls, from the event of the reload.
fn rehearsal(report: &Value) -> Markup {
    html! {
        @for call in items(&report["calls"]) {
            p {
                "Rehearsed " bdi { code { (text(&call["call"])) } } ": "
                (text(&call["outcome"]).replace('_', " "))
            }
            @let differences = items(&call["differences"]);
            @if !differences.is_empty() {
                ul {
                    @for it in differences {
                        li {
                            bdi { code { (text(&it["place"])) } } ": "
                            del { bdi { (text(&it["before"])) } } " → " ins { bdi { (text(&it["after"])) } }
                        }
                    }
                }
            }
        }
    }
}

fn findings(server: &ServerHandle, hidden: &HiddenValues) -> Markup {
    let (snapshot, spec) = (server.snapshot(), server.spec());
    let Some(tools) = snapshot.list(ListKind::Tools) else {
        return html! {};
    };
    let mut findings = lint(&spec.name, tools, &ClientVersion::defaults());
    findings.retain(|it| it.level > LintLevel::Hint);
    html! {
        @if !findings.is_empty() {
            details {
                summary { (count(findings.len(), "finding", "findings")) " about tools" }
                ul { @for finding in findings.iter().take(MAX_FINDINGS) { (found(finding, hidden)) } }
                @if findings.len() > MAX_FINDINGS {
                    p { (findings.len() - MAX_FINDINGS) " more: " code { "mcp-proxy check --lint" } }
                }
            }
        }
    }
}

fn found(finding: &LintFinding, hidden: &HiddenValues) -> Markup {
    let shown = |text: &str| clean(&hidden.hide(text.to_owned())).into_owned();
    let clients = finding
        .clients
        .iter()
        .map(|(client, _, _)| client.to_string());
    let clients: Vec<String> = clients.collect();
    let class = if finding.level == LintLevel::Error {
        "bad"
    } else {
        "warn"
    };
    html! {
        li {
            strong class=(class) { (finding.level.name()) } " "
            bdi { code { (shown(&finding.tool)) } } " " bdi { (shown(&finding.place())) }
            " (" (clients.join(", ")) "). " (finding.rule.advice)
        }
    }
}

fn shown_output(output: &[PageEvent]) -> Markup {
    let texts = output
        .iter()
        .map(|event| event["line"].as_str().unwrap_or_default());
    html! {
        details {
            summary { "Last lines of output" }
            (lines(texts))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_of_a_reload_are_listed() {
        let none =
            json!({ "added": [], "removed": [], "changed": [], "contract": [], "left_out": [] });
        assert!(
            difference(&none)
                .into_string()
                .contains("the same as before")
        );
        let diff = json!({
            "added": ["a", "b"], "removed": [], "changed": [{ "tool": "c", "members": ["title"] }],
            "contract": [{ "class": "breaking", "kind": "tool", "name": "d", "text": "gone" }], "left_out": [],
        });
        assert_eq!(
            difference(&diff).into_string(),
            "<ul><li>added: <bdi>a, b</bdi></li><li>changed: <bdi>c</bdi> (<bdi>title</bdi>)</li>\
             <li class=\"bad\">breaking: tool <bdi>d</bdi>: <bdi>gone</bdi></li></ul>"
        );
    }
}
