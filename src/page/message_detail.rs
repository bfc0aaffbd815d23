//! One exchange: its messages, its times, and the notifications and the output of the same server meanwhile.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde_json::value::RawValue;

use super::events::PageEvent;
use super::json_tree::{escaped, json_tree};
use super::layout::{lines, time};
use super::message_filter::session_number;
use super::message_list::{outcome, took};
use super::messages::{Exchange, ExchangeOutcome};
use super::routes::Site;
use crate::jsonrpc::Members;
use crate::output::{clean, rfc3339};
use crate::recorder::RecordedLine;

/// Maximum number of notifications, and of lines of output, that are shown.
const MAX_MEANWHILE: usize = 50;
/// Maximum length of the arguments in a command line; systems limit it.
const MAX_ARGUMENTS: usize = 64 * 1024;

/// Returns an exchange; `None` if it is not known any more.
pub(super) fn content(site: &Site, number: u64) -> Option<Markup> {
    let exchange = site.data.messages().get(number)?.clone();
    let (class, outcome) = outcome(&exchange);
    let shown: Vec<RecordedLine<'_>> = parsed(&exchange).collect();
    let command = call_command(&exchange, shown.first());
    Some(html! {
        article.message data-open=[(exchange.outcome == ExchangeOutcome::Open).then_some("open")] {
            h2 { bdi { (clean(&exchange.method)) " " (clean(&exchange.name)) } }
            p.state.(class) { bdi { (clean(&outcome)) } }
            (facts(&exchange))
            p.actions {
                a href=(format!("/messages/{number}/raw")) { "Raw messages" } " "
                button type="button" data-copy-from=(format!("/messages/{number}/raw")) hidden { "Copy as JSON" } " "
                @if let Some(command) = command {
                    button type="button" data-copy=(command) hidden { "Copy as command" }
                }
            }
            @for line in messages(&shown) { (message(line)) }
            (meanwhile(site, &exchange))
        }
    })
}

/// Returns the recorded lines of an exchange as text.
pub(super) fn raw(site: &Site, number: u64) -> Option<Response> {
    let exchange = site.data.messages().get(number)?.clone();
    let mut text = String::new();
    for line in &exchange.lines {
        text += line;
        text.push('\n');
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Some((kind, text).into_response())
}

fn parsed(exchange: &Exchange) -> impl Iterator<Item = RecordedLine<'_>> {
    exchange
        .lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
}

fn facts(exchange: &Exchange) -> Markup {
    html! {
        dl {
            dt { "Time" }
            dd { (time(&exchange.time())) }
            dt { "Session" }
            dd { (session_number(&exchange.session)) ", from the " (exchange.from) }
            @if !exchange.server.is_empty() {
                dt { "Server" }
                dd { bdi { (clean(&exchange.server)) } ", generation " (exchange.generation) }
            }
            @if let Some(whole) = exchange.took() {
                dt { "Took" }
                dd {
                    (took(whole))
                    @if let (Some([gate, server, back]), true) = (exchange.parts(), &*exchange.from == "client") {
                        ": proxy and gate " (took(gate)) ", server " (took(server)) ", way back " (took(back))
                    }
                }
            }
            dt { "Size" }
            dd { (exchange.bytes) " bytes in " (exchange.lines.len()) " messages" }
        }
    }
}

/// Returns the messages to show: those of the client if it has an answer, since the others are the same under other ids.
fn messages<'a>(lines: &'a [RecordedLine<'a>]) -> Vec<&'a RecordedLine<'a>> {
    let is_of_client = |line: &&RecordedLine<'_>| line.from == "client" || line.to == "client";
    let of_client: Vec<_> = lines.iter().filter(is_of_client).collect();
    if of_client.len() > 1 {
        return of_client;
    }
    lines.iter().collect()
}

fn message(line: &RecordedLine<'_>) -> Markup {
    html! {
        section aria-label=(format!("From {} to {}", line.from, line.to)) {
            h3 { (clean(&line.from)) " → " (clean(&line.to)) }
            @if let Some(message) = line.message { (json_tree(message.get())) }
            @if let Some(text) = &line.text { (lines(text.lines())) }
        }
    }
}

/// Returns notifications and output of the server from the request to the response.
fn meanwhile(site: &Site, exchange: &Exchange) -> Markup {
    if exchange.server.is_empty() || exchange.outcome == ExchangeOutcome::Notice {
        return html! {};
    }
    let end = exchange.end.unwrap_or(u64::MAX);
    let notices: Vec<Arc<Exchange>> = {
        let messages = site.data.messages();
        let notices = messages.iter().filter(|it| {
            it.outcome == ExchangeOutcome::Notice
                && it.session == exchange.session
                && it.server == exchange.server
                && (exchange.at..=end).contains(&it.at)
        });
        notices.take(MAX_MEANWHILE).cloned().collect()
    };
    let output = site.data.events().output_between(
        &exchange.server,
        exchange.generation,
        (&exchange.time(), &moment(exchange.end)),
        MAX_MEANWHILE,
    );
    html! {
        @if !notices.is_empty() {
            section aria-label="Notifications meanwhile" {
                h3 { "Notifications meanwhile" }
                ul { @for notice in &notices { (notification(notice)) } }
            }
        }
        @if !output.is_empty() {
            section aria-label="Output meanwhile" {
                h3 { "Output of the server meanwhile" }
                (lines(output.iter().map(text)))
            }
        }
    }
}

fn notification(notice: &Exchange) -> Markup {
    let line = parsed(notice).next();
    html! {
        li {
            (time(&notice.time())) " "
            a href=(format!("/messages/{}", notice.number)) { bdi { (clean(&notice.method)) } }
            @if let Some(message) = line.and_then(|it| it.message) {
                " " bdi { code { (clean(Members::of(message.get()).get("params").unwrap_or_default())) } }
            }
        }
    }
}

fn text(event: &PageEvent) -> &str {
    event["line"].as_str().unwrap_or_default()
}

/// Returns the end of an exchange as in the log, with the whole of its millisecond.
fn moment(end: Option<u64>) -> String {
    end.map_or_else(
        || "9999".to_owned(),
        |end| rfc3339(UNIX_EPOCH + Duration::from_micros(end)),
    )
}

/// Returns the command line that repeats a call of a tool.
fn call_command(exchange: &Exchange, request: Option<&RecordedLine<'_>>) -> Option<String> {
    if exchange.method != "tools/call" || exchange.server.is_empty() {
        return None;
    }
    let message = request?.message.map(RawValue::get)?;
    let params = Members::of(message);
    let params = params.object("params");
    let arguments = escaped(params.get("arguments").unwrap_or("{}"));
    // The name that the server knows is in the message to it.
    let to_server = parsed(exchange).find(|line| line.to == "server");
    let name = to_server.and_then(|line| {
        let message = Members::of(line.message?.get());
        message.object("params").text("name").map(Cow::into_owned)
    });
    let words = [
        "mcp-proxy",
        "call",
        &exchange.server,
        name.as_deref()?,
        &arguments,
    ];
    let is_short = arguments.len() <= MAX_ARGUMENTS;
    shlex::try_join(words).ok().filter(|_| is_short)
}
