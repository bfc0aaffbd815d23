//! Events of all servers, the newest first, and the data of the graph above them, which a script draws.

use std::collections::BTreeSet;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use reqwest::Url;
use serde_json::{Value, json};

use super::events::PageEvent;
use super::layout::time;
use super::message_list::row as message_row;
use super::routes::{Site, value};

/// Maximum number of events on the page.
const SHOWN: usize = 500;
/// Maximum number of calls in the graph.
const MAX_CALLS: usize = 2_000;

/// Returns the content of the page.
pub(super) fn content(site: &Site) -> Markup {
    let events = site.data.events().since(0);
    let is_file = site.data.file.is_some();
    let span = is_file.then(|| site.data.messages().span()).flatten();
    let events = events.iter().rev().take(SHOWN);
    html! {
        h1 { "Time line" }
        @match span {
            // Milliseconds since 1970, up to the whole one after the last message.
            Some((from, to)) => div #graph hidden data-from=(from / 1000) data-to=(to / 1000 + 1) {}
            None => div #graph hidden {}
        }
        div data-refresh {
        @if events.len() == 0 && is_file {
            p { "The recording has no message of a server." }
        } @else if events.len() == 0 {
            p { "Nothing has happened yet: servers start at the first message of a client." }
        } @else {
            (table(events))
        }
        }
    }
}

/// Returns the events from number `since` on as JSON.
pub(super) fn events(site: &Site, url: &Url) -> Response {
    let since = number(url, "since").unwrap_or_default();
    let (next, events) = {
        let log = site.data.events();
        (log.count(), log.since(since))
    };
    let events: Vec<&Value> = events.iter().map(|event| &**event).collect();
    json_response(&json!({ "next": next, "events": events }))
}

/// Returns the newest calls between the times `from` and `to`, in milliseconds since 1970, as JSON.
pub(super) fn calls(site: &Site, url: &Url) -> Response {
    let (from, to) = (number(url, "from"), number(url, "to"));
    let from = from.unwrap_or_default().saturating_mul(1000);
    let to = to.unwrap_or(u64::MAX).saturating_mul(1000);
    let mut found: Vec<_> = {
        let messages = site.data.messages();
        let calls = messages.iter().rev();
        let in_sight = calls.filter(|it| {
            let is_of_server = it.concerns_client && !it.server.is_empty();
            is_of_server && it.at <= to && it.end.unwrap_or(it.at) >= from
        });
        in_sight.take(MAX_CALLS).cloned().collect()
    };
    found.reverse();
    let calls: Vec<Value> = found.iter().map(|it| message_row(it)).collect();
    json_response(&json!({ "calls": calls }))
}

fn number(url: &Url, name: &str) -> Option<u64> {
    value(url, name)?.parse().ok()
}

fn json_response(body: &Value) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

/// Returns a table of events in this order.
fn table<'a>(events: impl Iterator<Item = &'a PageEvent> + Clone) -> Markup {
    let sessions: BTreeSet<_> = events.clone().filter_map(session).collect();
    let has_sessions = sessions.len() > 1;
    html! {
        div.scroll tabindex="0" role="region" aria-label="Events" {
            table.events {
                thead {
                    tr {
                        th scope="col" { "Time" }
                        @if has_sessions { th scope="col" { "Session" } }
                        th scope="col" { "Server" }
                        th scope="col" { "Event" }
                    }
                }
                tbody { @for event in events { (row(event, has_sessions)) } }
            }
        }
    }
}

fn session(event: &PageEvent) -> Option<u64> {
    event["session"].as_u64()
}

fn row(event: &PageEvent, has_sessions: bool) -> Markup {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    html! {
        tr class=(class(text("event"))) {
            td { (time(text("time"))) }
            @if has_sessions { td { @if let Some(session) = session(event) { (session) } } }
            td { bdi { (text("server")) } }
            td { bdi { (text("text")) } }
        }
    }
}

/// Returns the class of an event, for its colour. Its sentence says the same.
fn class(name: &str) -> &'static str {
    match name {
        "broken" | "exited" | "flapping" | "config_fault" | "failed" => "bad",
        "ready" | "reloaded" | "listening" => "good",
        "watch_warning" | "rehearsal_warning" | "restarting" | "drain_abandoned"
        | "tools_rejected" | "tool_left_out" | "result_faulty" | "cold" => "warn",
        "changed" => "saved",
        _ => "plain",
    }
}
