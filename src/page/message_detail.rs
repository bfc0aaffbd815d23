//! One exchange: its messages, its times, and the notifications and the output of the same server meanwhile.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::curl;
use super::events::{PageEvent, SessionServer};
use super::json_tree::{escaped, json_tree};
use super::layout::{lines, short_name, time};
use super::message_list::{outcome, took};
use super::messages::{Exchange, ExchangeOutcome, sender};
use super::routes::Site;
use crate::jsonrpc::Members;
use crate::output::{clean, count, rfc3339, size};
use crate::recorder::{MAX_LENGTH, RecordedLine};

/// Time in microseconds by which a busy machine may record a start after the answer that it led to. A server that is
/// loaded anew has a start with the same number later.
const LATE_START: u64 = 2_000_000;

/// Maximum number of notifications, and of lines of output, that are shown.
const MAX_MEANWHILE: usize = 50;
/// Maximum length of the arguments in a command line; systems limit it.
pub(super) const MAX_ARGUMENTS: usize = 64 * 1024;

/// Returns an exchange; `None` if it is not known any more.
pub(super) fn content(site: &Site, number: u64) -> Option<Markup> {
    let exchange = site.data.messages().get(number)?.clone();
    let (class, outcome) = outcome(&exchange);
    let shown: Vec<RecordedLine<'_>> = parsed(&exchange).collect();
    let command = call_command(site, &exchange);
    Some(html! {
        article.message data-open=[(exchange.outcome == ExchangeOutcome::Open).then_some("open")] {
            h2 { bdi { (short_name(&exchange.method)) " " (short_name(&exchange.name)) } }
            p.state.(class) { bdi { (clean(&outcome)) } }
            (facts(site, &exchange))
            p.actions {
                a href=(format!("/messages/{number}/raw")) { "Raw messages" } " "
                button type="button" data-copy-from=(format!("/messages/{number}/raw")) hidden { "Copy as JSON" } " "
                @if let Some(command) = command {
                    button type="button" data-copy=(command) hidden { "Copy as command" } " "
                }
                @if let Some(commands) = curl::commands(site, &exchange) {
                    button type="button" data-copy=(commands) hidden { "Copy as curl" }
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

pub(super) fn parsed(exchange: &Exchange) -> impl Iterator<Item = RecordedLine<'_>> {
    exchange
        .lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
}

fn facts(site: &Site, exchange: &Exchange) -> Markup {
    let parts = exchange
        .parts()
        // A client of another recorder has no proxy in between.
        .filter(|_| &*exchange.from == "client" && exchange.lines.len() > 2)
        .map(|parts| (parts, was_held(site, exchange)));
    let name = &exchange.session_name;
    let is_renamed = exchange.session != *name && !exchange.session.ends_with(&format!("-{name}"));
    html! {
        dl {
            dt { "Time" }
            dd { (time(&exchange.time())) }
            dt { "Session" }
            dd {
                bdi { (clean(name)) }
                @if is_renamed { " (process and number " (exchange.session) ")" }
                ", from the " (exchange.from)
            }
            @if !exchange.server.is_empty() {
                dt { "Server" }
                dd { bdi { (short_name(&exchange.server)) } ", generation " (exchange.generation) }
            } @else if exchange.end.is_some() {
                dt { "Server" }
                dd { "none: the proxy answered" }
            }
            @if let Some(whole) = exchange.took() {
                dt { "Took" }
                dd {
                    (took(whole))
                    @if let Some(([to, server, back], is_held)) = parts {
                        ": "
                        @if is_held {
                            "held " (took(to)) " for the start of generation " (exchange.generation)
                        } @else { "proxy " (took(to)) }
                        ", server " (took(server)) ", way back " (took(back))
                    }
                }
            }
            dt { "Size" }
            dd { (size(exchange.bytes)) " in " (count(exchange.lines.len(), "message", "messages")) }
        }
    }
}

/// Returns true if the generation that got a request went live while the request waited.
fn was_held(site: &Site, exchange: &Exchange) -> bool {
    let of = SessionServer {
        session: exchange.session_name.parse().unwrap_or_default(),
        name: &exchange.server,
    };
    let start = site.data.events().start(of, exchange.generation);
    let start = start.as_ref().and_then(|it| it["time"].as_str());
    let latest = moment(exchange.end.map(|end| end.saturating_add(LATE_START)));
    start.is_some_and(|it| *it >= *exchange.time() && *it <= *latest)
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
        @let from = sender(line);
        section aria-label=(format!("From {from} to {}", line.to)) {
            h3 { (clean(from)) " → " (clean(&line.to)) }
            @if let Some(message) = line.message { (json_tree(message.get())) }
            @if let Some(text) = &line.text {
                div.json { (lines(text.lines())) }
                @if line.bytes > MAX_LENGTH as u64 {
                    p.soft { "The message has " (size(line.bytes)) "; its first " (size(text.len() as u64)) " are kept." }
                }
            }
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
                && it.generation == exchange.generation
                && (exchange.at..=end).contains(&it.at)
        });
        notices.take(MAX_MEANWHILE).cloned().collect()
    };
    let of = SessionServer {
        session: exchange.session_name.parse().unwrap_or_default(),
        name: &exchange.server,
    };
    let output = site.data.events().output_between(
        of,
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
            a href=(format!("/messages/{}", notice.number)) { bdi { (short_name(&notice.method)) } }
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

/// Returns the command line that repeats a call of a tool, if the server is known and a person can trust the words.
fn call_command(site: &Site, exchange: &Exchange) -> Option<String> {
    if exchange.method != "tools/call" {
        return None;
    }
    let fleets = site.fleets.all();
    let known = fleets.iter().find_map(|(_, fleet)| {
        let config = fleet.config();
        let spec = config
            .servers
            .iter()
            .find(|it| *it.name == *exchange.server)?;
        // A server from the command line has no name that a command would know.
        let is_configured = !fleet.files().is_empty();
        match (is_configured, &spec.remote) {
            (true, _) => Some(Vec::new()),
            (false, None) => Some(spec.shown.clone()),
            (false, Some(_)) => None,
        }
    });
    let command = known?;
    // The message to the server has the name that the server knows, and the arguments that it got.
    let to_server = parsed(exchange).find(|line| line.to == "server")?;
    command_line(&exchange.server, to_server.message?.get(), &command)
}

/// Returns the command line that repeats `call` at the configured server or, if there is a `command`, at its server.
fn command_line(server: &str, call: &str, command: &[String]) -> Option<String> {
    let call = Members::of(call);
    let params = call.object("params");
    let arguments = escaped(params.get("arguments").unwrap_or("{}"));
    let tool = params.text("name")?;
    let mut words = vec!["mcp-proxy", "call"];
    if command.is_empty() {
        words.push(server);
    }
    words.extend([&*tool, &arguments]);
    if !command.is_empty() {
        words.push("--");
        words.extend(command.iter().map(String::as_str));
    }
    let is_name = |text: &str| !text.starts_with('-') && clean(text) == text;
    let is_harmless = is_name(server) && is_name(&tool) && arguments.starts_with('{');
    let is_harmless = is_harmless && command.iter().all(|word| clean(word) == *word);
    let is_short = arguments.len() <= MAX_ARGUMENTS;
    let line = shlex::try_join(words).ok()?;
    (is_harmless && is_short).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str) -> String {
        let params = serde_json::json!({ "name": name, "arguments": { "city": "Rome" } });
        serde_json::json!({ "params": params }).to_string()
    }

    #[test]
    fn a_call_becomes_a_command() {
        assert_eq!(
            command_line("weather", &call("forecast"), &[]).unwrap(),
            r#"mcp-proxy call weather forecast '{"city":"Rome"}'"#
        );
        let command = ["uv", "run", "my server.py"].map(str::to_owned);
        assert_eq!(
            command_line("weather", &call("forecast"), &command).unwrap(),
            r#"mcp-proxy call forecast '{"city":"Rome"}' -- uv run 'my server.py'"#
        );
    }

    #[test]
    fn a_terminal_gets_no_control_characters_and_no_options() {
        for (server, tool) in [
            ("weather", "--config=/tmp/x"),
            ("weather", "a\nrm -r b"),
            ("weather", "a\u{1b}[201~b"),
            ("-v", "forecast"),
            ("a\rb", "forecast"),
        ] {
            assert_eq!(
                command_line(server, &call(tool), &[]),
                None,
                "{server} {tool}"
            );
        }
        let other = r#"{"params":{"name":"forecast","arguments":"--json"}}"#;
        assert_eq!(command_line("weather", other, &[]), None);
    }
}
