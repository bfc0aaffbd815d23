//! The servers of all sessions: state, reason if one does not run, last reload, findings, files, standby.

use std::sync::atomic::Ordering;

use maud::{Markup, html};
use serde_json::Value;

use super::events::{PageEvent, SessionServer};
use super::last_reload::reloaded;
use super::layout::{lines, short_name};
use super::routes::Site;
use super::traceback::traceback;
use super::watched_files::{question, watched_address};
use crate::config::{HiddenValues, ServerSpec};
use crate::contract::{ClientVersion, LintFinding, LintLevel, lint};
use crate::event::Failure;
use crate::fleet::Fleet;
use crate::lock::locked;
use crate::mcp::ListKind;
use crate::output::{clean, count, duration};
use crate::server::{ServerHandle, WatchedFiles};

/// Number of lines of a server's output that are shown.
const OUTPUT_LINES: usize = 30;
/// Maximum number of findings of one server that are shown.
const MAX_FINDINGS: usize = 50;

/// Maximum number of globs of one server that are shown.
const MAX_GLOBS: usize = 12;

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
                    @for (position, spec) in fleet.config().servers.iter().enumerate() {
                        @let id = card_id(*session, position);
                        (card(site, *session, (&id, spec), fleet.loaded(&spec.name), &hidden))
                    }
                }
            }
        }
    }
}

/// Returns the id of the card at a position of a session.
pub(super) fn card_id(session: u64, position: usize) -> String {
    format!("server-{session}-{position}")
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
    (id, spec): (&str, &ServerSpec),
    server: Option<ServerHandle>,
    hidden: &HiddenValues,
) -> Markup {
    let name = short_name(&spec.name);
    let Some(server) = server else {
        return html! {
            article id=(id) aria-label=(name) { h3 { bdi { (name) } } p.state { "○ not loaded" } (actions(session, &spec.name, &[("load", "Load")])) }
        };
    };
    let (reload, output) = {
        let generation = server.snapshot().generation;
        let name = &*spec.name;
        let of = SessionServer { session, name };
        let events = site.data.events();
        let reload = events.start(of, generation);
        let reload = reload.filter(|it| it["event"] == "reloaded");
        let reload = reload.map(|it| (events.saved_files(of, &it), it));
        (reload, events.last_output(of, OUTPUT_LINES))
    };
    let reload = reload.map(|(saved, event)| {
        let mut event = Value::clone(&event);
        event["saved"] = saved.into();
        hidden.hide_in(&mut event);
        event
    });
    let status = server.status();
    let refusal = status.last_error.as_ref().and_then(|_| server.refusal());
    let failure = refusal.map(|failure| {
        let mut failure = Failure::clone(&failure);
        failure.hide(hidden);
        failure
    });
    let (class, mark) = mark(status.state);
    html! {
        article id=(id) aria-label=(name) {
            h3 { bdi { (name) } }
            p.state.(class) { (mark) " " (status.state) }
            (actions(session, &spec.name, &[("reload", "Reload"), ("unload", "Unload")]))
            @if let Some(failure) = &failure { (failed(failure)) }
            @if let Some(hint) = &status.hint { p.warn { bdi { (clean(&hidden.hide(hint.clone()))) } } }
            (facts(session, &server, spec, hidden))
            @if let Some(reload) = &reload { (reloaded(reload, &server.snapshot(), hidden)) }
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
                (traceback(&failure.stderr))
            }
            @if let Some(advice) = &failure.advice { p { bdi { (clean(advice)) } } }
        }
    }
}

fn facts(session: u64, server: &ServerHandle, spec: &ServerSpec, hidden: &HiddenValues) -> Markup {
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
                    "process for the next save, ready in " (duration(standby.took))
                    @if let Some(memory) = standby.memory { ", " (memory >> 20) " MiB" }
                }
            }
            dt { "Watches" }
            dd {
                @match watched {
                    Some(watched) => (watches(session, &spec.name, &watched, hidden)),
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

/// Returns the number of watched files, the globs with their reasons, and the question for one file.
fn watches(session: u64, server: &str, watched: &WatchedFiles, hidden: &HiddenValues) -> Markup {
    let globs = locked(&watched.globs).clone();
    html! {
        a href=(watched_address(session, server)) {
            (count(watched.count.load(Ordering::Relaxed), "file", "files"))
        }
        ul.plain {
            @for (glob, reason) in globs.iter().take(MAX_GLOBS) {
                li { bdi { code { (clean(&hidden.hide(glob.clone()))) } } " " span.soft { (reason) } }
            }
            @if globs.len() > MAX_GLOBS { li { (globs.len() - MAX_GLOBS) " more" } }
        }
        (question(session, server, ""))
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
            div.tail { (lines(texts)) }
        }
    }
}
