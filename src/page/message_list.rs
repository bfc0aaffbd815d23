//! List of exchanges: a table of the newest, and rows by their position for a script that shows those in sight.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use reqwest::Url;
use serde::Serialize;

use super::layout::{short_name, time};
use super::message_filter::MessageFilter;
use super::message_selection::{PartPlace, select_part};
use super::messages::{Exchange, ExchangeOutcome};
use super::routes::{Site, value};

/// Number of exchanges in the table.
const SHOWN: usize = 200;
/// Maximum number of rows in one response.
const MAX_ROWS: usize = 500;

/// Returns the content of the page.
pub(super) async fn content(site: &Site, url: &Url) -> Markup {
    let filter = MessageFilter::of(url);
    let found = select_part(site, &filter, PartPlace::Newest, SHOWN)
        .await
        .exchanges;
    let buttons = html! {
        button { "Filter" }
        button formaction="/messages.ndjson" { "Save as a recording" }
        button formaction="/messages.html" { "Save as a page" }
    };
    let (choices, forgotten) = {
        let messages = site.data.messages();
        (FilterChoices::of(messages.iter()), messages.forgotten())
    };
    html! {
        h1 { "Messages" }
        (form(&filter, &choices, &buttons))
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

/// Returns the rows from position `from` on, those around the message `near`, or the newest, as JSON.
pub(super) async fn rows(site: &Site, url: &Url) -> Response {
    let number = |name| value(url, name)?.parse::<usize>().ok();
    let near = value(url, "near").and_then(|it| it.parse().ok());
    let place = match (near, number("from")) {
        (Some(near), _) => PartPlace::Around(near),
        (None, Some(from)) => PartPlace::From(from),
        (None, None) => PartPlace::Newest,
    };
    let changes = site.data.messages().changes();
    let count = number("count").unwrap_or(MAX_ROWS).min(MAX_ROWS);
    let found = select_part(site, &MessageFilter::of(url), place, count).await;
    let body = format!(
        r#"{{"changes":{changes},"total":{},"from":{},"rows":{}}}"#,
        found.total,
        found.from,
        json_rows(&found.exchanges)
    );
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, body).into_response()
}

/// Returns exchanges for a script, as a JSON array.
pub(super) fn json_rows(exchanges: &[Arc<Exchange>]) -> String {
    let rows: Vec<_> = exchanges.iter().map(|it| ScriptRow::of(it)).collect();
    serde_json::to_string(&rows).unwrap_or_default()
}

/// Exchange for a script.
#[derive(Debug, Serialize)]
pub(super) struct ScriptRow<'a> {
    n: u64,
    at: u64,
    session: Cow<'a, str>,
    is_open: bool,
    by_page: &'static str,
    server: Cow<'a, str>,
    generation: u64,
    method: Cow<'a, str>,
    name: Cow<'a, str>,
    state: &'static str,
    outcome: Cow<'a, str>,
    took: Option<u64>,
    bytes: u64,
}

impl<'a> ScriptRow<'a> {
    /// Returns the row of an exchange.
    pub(super) fn of(exchange: &'a Exchange) -> Self {
        let (state, outcome) = outcome(exchange);
        Self {
            n: exchange.number,
            at: exchange.at / 1000,
            session: short_name(&exchange.session_name),
            is_open: exchange.outcome == ExchangeOutcome::Open,
            by_page: exchange.by_page,
            server: short_name(&exchange.server),
            generation: exchange.generation,
            method: short_name(&exchange.method),
            name: short_name(&exchange.name),
            state,
            outcome: short_name(&outcome).into_owned().into(),
            took: exchange.took(),
            bytes: exchange.bytes,
        }
    }
}

/// Returns the class of an outcome and its words.
pub(super) fn outcome(exchange: &Exchange) -> (&'static str, String) {
    match &exchange.outcome {
        ExchangeOutcome::Open => ("warn", "… open".to_owned()),
        ExchangeOutcome::Unanswered => ("warn", "– no answer".to_owned()),
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

/// Servers and sessions of a filter's lists, in the order of their first messages.
#[derive(Debug)]
pub(super) struct FilterChoices {
    servers: Vec<Arc<str>>,
    sessions: Vec<Arc<str>>,
}

impl FilterChoices {
    /// Returns those of `exchanges`.
    pub(super) fn of<'a>(exchanges: impl Iterator<Item = &'a Arc<Exchange>> + Clone) -> Self {
        let servers = exchanges.clone().map(|it| &it.server);
        Self {
            servers: distinct(servers.filter(|it| !it.is_empty())),
            sessions: distinct(exchanges.map(|it| &it.session_name)),
        }
    }
}

/// Returns the names without repetitions. An HTTP proxy has thousands of sessions.
fn distinct<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> Vec<Arc<str>> {
    let mut known = HashSet::new();
    names.filter(|it| known.insert(*it)).cloned().collect()
}

/// Returns the filter with its lists, and with these buttons.
pub(super) fn form(filter: &MessageFilter, choices: &FilterChoices, buttons: &Markup) -> Markup {
    html! {
        form #filter role="search" action="/messages" {
            label { "Text " input type="search" name="text" value=(filter.text) size="16"; }
            (choice("Server", "server", &filter.server, &choices.servers))
            (choice("Session", "session", &filter.session, &choices.sessions))
            label { "Tool or method " input name="about" value=(filter.about) size="14"; }
            label { "Slower than " input type="number" name="slower" min="0" value=[filter.slower] size="6"; " ms" }
            label { input type="checkbox" name="errors" checked[filter.only_errors]; " errors only" }
            label { input type="checkbox" name="client" checked[filter.only_client]; " clients only" }
            (buttons)
        }
    }
}

fn choice(label: &str, name: &str, chosen: &str, values: &[Arc<str>]) -> Markup {
    html! {
        label {
            (label) " "
            select name=(name) {
                option value="" { "all" }
                @for value in values { option value=(value) selected[**value == *chosen] { (short_name(value)) } }
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
                tbody { @for exchange in found.iter().rev() { (table_row(exchange)) } }
            }
        }
    }
}

fn table_row(exchange: &Exchange) -> Markup {
    let (class, text) = outcome(exchange);
    html! {
        tr {
            td { (time(&exchange.time())) }
            td { bdi { (short_name(&exchange.session_name)) } }
            td {
                @if exchange.server.is_empty() { "proxy" }
                bdi { (short_name(&exchange.server)) } @if exchange.generation > 0 { " (" (exchange.generation) ")" }
            }
            td {
                a href=(format!("/messages/{}", exchange.number)) {
                    bdi { (short_name(&exchange.method)) " " strong { (short_name(&exchange.name)) } }
                    @if !exchange.by_page.is_empty() { " · " (exchange.by_page) }
                }
            }
            td class=(class) { bdi { (short_name(&text)) } }
            td { @if let Some(time) = exchange.took() { (took(time)) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::{LogLimits, MessageLog};
    use super::*;

    #[test]
    fn a_filter_lists_each_server_and_session_once() {
        let mut log = MessageLog::new(LogLimits::PROXY);
        for (session, server) in [("7-2", "b"), ("7-1", "a"), ("7-2", "a"), ("7-3", "")] {
            let line = format!(
                r#"{{"time_us":1,"from":"server","to":"proxy","session":"{session}","server":"{server}","bytes":1,"message":{{"method":"x"}}}}"#
            );
            log.add(&line).unwrap();
        }
        let FilterChoices { servers, sessions } = FilterChoices::of(log.iter());
        assert_eq!(servers, ["b", "a"].map(Arc::from));
        assert_eq!(sessions, ["2", "1", "3"].map(Arc::from));
    }
}
