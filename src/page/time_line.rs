//! Events of all servers, the newest first.

use maud::{Markup, html};
use serde_json::Value;

use super::events::PageEvent;
use super::layout::time;
use super::routes::Site;

/// Maximum number of events on the page.
const SHOWN: usize = 500;

/// Returns the content of the page.
pub(super) fn content(site: &Site) -> Markup {
    let events = site.data.events().since(0);
    html! {
        h1 { "Time line" }
        @if events.is_empty() {
            p { "Nothing has happened yet: servers start at the first message of a client." }
        } @else {
            (table(events.iter().rev().take(SHOWN)))
        }
    }
}

/// Returns a table of events in this order.
pub(super) fn table<'a>(events: impl Iterator<Item = &'a PageEvent>) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Events" {
            table.events {
                thead { tr { th scope="col" { "Time" } th scope="col" { "Server" } th scope="col" { "Event" } } }
                tbody { @for event in events { (row(event)) } }
            }
        }
    }
}

fn row(event: &Value) -> Markup {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    html! {
        tr class=(class(text("event"))) {
            td { (time(text("time"))) }
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
