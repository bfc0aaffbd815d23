//! List of exchanges: a table of the newest, and rows by their position for a script that shows those in sight.

use std::sync::Arc;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use reqwest::Url;
use serde_json::{Value, json};

use super::layout::time;
use super::message_filter::MessageFilter;
use super::message_selection::select;
use super::messages::{Exchange, ExchangeOutcome, PAGE};
use super::routes::Site;
use crate::output::clean;

/// Number of exchanges in the table.
const SHOWN: usize = 200;
/// Maximum number of rows in one response.
const MAX_ROWS: usize = 500;
/// Length to which a name is cut in a row, in characters.
const MAX_NAME: usize = 200;

/// Returns the content of the page.
pub(super) async fn content(site: &Site, url: &Url) -> Markup {
    let filter = MessageFilter::of(url);
    let found = select(site, &filter).await;
    let buttons = html! {
        button { "Filter" }
        button formaction="/messages.ndjson" { "Save as a recording" }
        button formaction="/messages.html" { "Save as a page" }
    };
    let (form, forgotten) = {
        let messages = site.data.messages();
        (
            form(&filter, messages.iter(), &buttons),
            messages.forgotten(),
        )
    };
    html! {
        h1 { "Messages" }
        (form)
        @if let Some(file) = &site.data.file { (faults(&file.faults)) }
        @if forgotten > 0 { p.soft { "Older messages are no longer kept: " (forgotten) "." } }
        div.split {
            div #list {
                @if found.is_empty() {
                    p { "No message." }
                } @else {
                    (table(&found))
                }
            }
            section #detail aria-label="Message" tabindex="-1" { p.soft { "Select a message." } }
        }
    }
}

/// Returns a list of the lines of a file that cannot be read.
fn faults(faults: &[String]) -> Markup {
    html! {
        @if !faults.is_empty() {
            section.fault aria-label="Lines that cannot be read" {
                strong.bad { "✕ Lines of the file that cannot be read" }
                ul { @for fault in faults { li { (fault) } } }
            }
        }
    }
}

/// Returns the rows from position `from` on as JSON.
pub(super) async fn rows(site: &Site, url: &Url) -> Response {
    let number = |name| {
        let value = url.query_pairs().find(|(it, _)| it == name);
        value.and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let changes = site.data.messages().changes();
    let found = select(site, &MessageFilter::of(url)).await;
    let count = number("count").unwrap_or(MAX_ROWS).min(MAX_ROWS);
    let last = found.len().saturating_sub(count);
    let from = number("from").unwrap_or(last).min(found.len());
    let rows = found.iter().skip(from).take(count).map(|it| row(it));
    let body = json!({
        "changes": changes,
        "total": found.len(),
        "from": from,
        "rows": rows.collect::<Vec<_>>(),
    });
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, body.to_string()).into_response()
}

/// Returns an exchange for a script.
pub(super) fn row(exchange: &Exchange) -> Value {
    let short = |text: &str| clean(text).chars().take(MAX_NAME).collect::<String>();
    let (state, text) = outcome(exchange);
    json!({
        "n": exchange.number,
        "at": exchange.at / 1000,
        "session": &*exchange.session_name,
        "from": &*exchange.from,
        "server": short(&exchange.server),
        "generation": exchange.generation,
        "method": short(&exchange.method),
        "name": short(&exchange.name),
        "state": state,
        "outcome": short(&text),
        "took": exchange.took(),
        "bytes": exchange.bytes,
    })
}

/// Returns the class of an outcome and its words.
pub(super) fn outcome(exchange: &Exchange) -> (&'static str, String) {
    match &exchange.outcome {
        ExchangeOutcome::Open => ("warn", "… open".to_owned()),
        ExchangeOutcome::Notice => ("plain", "notification".to_owned()),
        ExchangeOutcome::Done => ("good", "✓ result".to_owned()),
        ExchangeOutcome::Failed(text) => ("bad", format!("✕ {text}")),
    }
}

/// Returns a duration in milliseconds with its unit.
pub(super) fn took(microseconds: u64) -> String {
    let (ms, rest) = (microseconds / 1000, microseconds % 1000 / 100);
    if ms < 100 {
        format!("{ms}.{rest} ms")
    } else {
        format!("{ms} ms")
    }
}

/// Returns the filter with the servers and sessions of `exchanges`, and with these buttons.
pub(super) fn form<'a>(
    filter: &MessageFilter,
    exchanges: impl Iterator<Item = &'a Arc<Exchange>>,
    buttons: &Markup,
) -> Markup {
    let (mut servers, mut sessions) = (Vec::new(), Vec::new());
    for exchange in exchanges {
        if !exchange.server.is_empty() && !servers.contains(&exchange.server) {
            servers.push(exchange.server.clone());
        }
        if !sessions.contains(&exchange.session_name) {
            sessions.push(exchange.session_name.clone());
        }
    }
    html! {
        form #filter role="search" action="/messages" {
            label { "Text " input type="search" name="text" value=(filter.text) size="16"; }
            (choice("Server", "server", &filter.server, servers.iter().map(|it| &**it)))
            (choice("Session", "session", &filter.session, sessions.iter().map(|it| &**it)))
            label { "Tool or method " input name="about" value=(filter.about) size="14"; }
            label { "Slower than " input type="number" name="slower" min="0" value=[filter.slower] size="6"; " ms" }
            label { input type="checkbox" name="errors" checked[filter.only_errors]; " errors" }
            label { input type="checkbox" name="client" checked[filter.only_client]; " only of clients" }
            (buttons)
        }
    }
}

fn choice<'a>(
    label: &str,
    name: &str,
    chosen: &str,
    values: impl Iterator<Item = &'a str>,
) -> Markup {
    html! {
        label {
            (label) " "
            select name=(name) {
                option value="" { "all" }
                @for value in values { option value=(value) selected[value == chosen] { (clean(value)) } }
            }
        }
    }
}

fn table(found: &[Arc<Exchange>]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Messages" {
            table.messages {
                thead {
                    tr {
                        @for head in ["Time", "Session", "Server", "Message", "Outcome", "Took"] {
                            th scope="col" { (head) }
                        }
                    }
                }
                tbody { @for exchange in found.iter().rev().take(SHOWN) { (table_row(exchange)) } }
            }
        }
    }
}

fn table_row(exchange: &Exchange) -> Markup {
    let (class, text) = outcome(exchange);
    html! {
        tr {
            td { (time(&exchange.time())) }
            td { (exchange.session_name) }
            td { bdi { (clean(&exchange.server)) } @if exchange.generation > 0 { " (" (exchange.generation) ")" } }
            td {
                a href=(format!("/messages/{}", exchange.number)) {
                    bdi { (clean(&exchange.method)) " " strong { (clean(&exchange.name)) } }
                    @if *exchange.from == *PAGE { " · by the page" }
                }
            }
            td class=(class) { bdi { (clean(&text)) } }
            td { @if let Some(time) = exchange.took() { (took(time)) } }
        }
    }
}
