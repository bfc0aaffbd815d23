//! Events of all servers, the newest first, and the data of the graph above them, which a script draws.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use reqwest::Url;
use serde_json::Value;

use super::events::PageEvent;
use super::last_reload::difference;
use super::layout::{milliseconds, time};
use super::message_list::json_rows;
use super::messages::{Exchange, ExchangeOutcome, MessageLog, PAGE};
use super::routes::{Site, value};
use super::traceback::traceback;

/// Maximum number of events on the page.
const SHOWN: usize = 500;
/// Maximum number of calls in the graph.
const MAX_CALLS: usize = 2_000;

/// Returns the content of the page.
pub(super) fn content(site: &Site) -> Markup {
    let events = site.data.events().since(0);
    let is_file = site.data.file.is_some();
    let span = is_file.then(|| site.data.messages().span()).flatten();
    let durations = durations(&events);
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
            (table(events, &durations))
        }
        }
    }
}

/// Returns what the graph needs as JSON: the events from number `event` on, and the calls in sight, or, after the change
/// `change`, those that have changed.
pub(super) fn news(site: &Site, url: &Url) -> Response {
    let (next, events) = {
        let log = site.data.events();
        let first = number(url, "event").unwrap_or_default();
        (log.count(), log.since(first))
    };
    let events: Vec<&Value> = events.iter().map(|event| &**event).collect();
    let events = serde_json::to_string(&events).unwrap_or_default();
    let microseconds = |name| Some(number(url, name)?.saturating_mul(1000));
    let sight = (microseconds("from").unwrap_or_default(), microseconds("to"));
    let (change, last, (is_whole, calls)) = {
        let log = site.data.messages();
        let last = log.iter().next_back().map_or(0, |it| it.at / 1000);
        let calls = calls(&log, sight, number(url, "change"));
        (log.changes(), last, calls)
    };
    let body = format!(
        r#"{{"next":{next},"events":{events},"change":{change},"last":{last},"isWhole":{is_whole},"calls":{}}}"#,
        json_rows(&calls)
    );
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Returns the newest calls that began before the second time and changed after the change `since`. If it is not known
/// which those are, returns true and the newest calls between both times, in microseconds since 1970.
fn calls(
    log: &MessageLog,
    (from, to): (u64, Option<u64>),
    since: Option<u64>,
) -> (bool, Vec<Arc<Exchange>>) {
    let is_shown = |it: &&Arc<Exchange>| is_in_lane(it) && to.is_none_or(|to| it.at <= to);
    let changed = since.and_then(|since| log.changed_since(since));
    let is_whole = changed.is_none();
    let mut calls: Vec<_> = if let Some(changed) = changed {
        let calls = changed.into_iter().rev().filter(is_shown);
        calls.take(MAX_CALLS).cloned().collect()
    } else {
        let calls = log.iter().rev().filter(is_shown);
        let is_open = |it: &Exchange| it.outcome == ExchangeOutcome::Open;
        let in_sight = calls.filter(|it| is_open(it) || it.end.unwrap_or(it.at) >= from);
        in_sight.take(MAX_CALLS).cloned().collect()
    };
    calls.reverse();
    (is_whole, calls)
}

/// Returns true for an exchange with a server that a lane shows, and for a request of a client that no server got and
/// that failed: not for those of the proxy itself.
fn is_in_lane(exchange: &Exchange) -> bool {
    if exchange.server.is_empty() {
        let is_failed = matches!(exchange.outcome, ExchangeOutcome::Failed(_));
        return is_failed && &*exchange.from == "client";
    }
    // Notifications of a server have other lines on their way to the client.
    exchange.concerns_client || matches!(&*exchange.from, "server" | PAGE)
}

fn number(url: &Url, name: &str) -> Option<u64> {
    value(url, name)?.parse().ok()
}

/// Returns a table of events in this order.
fn table<'a>(
    events: impl Iterator<Item = &'a PageEvent> + Clone,
    durations: &HashMap<u64, String>,
) -> Markup {
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
                        th scope="col" { "Took" }
                        th scope="col" { "Event" }
                    }
                }
                tbody { @for event in events { (row(event, durations, has_sessions)) } }
            }
        }
    }
}

/// Returns the name of the session of an event: a number, or one of a recording of several proxies.
fn session(event: &PageEvent) -> Option<String> {
    match &event["session"] {
        Value::Null => None,
        Value::String(name) => Some(name.clone()),
        number => Some(number.to_string()),
    }
}

fn row(event: &PageEvent, durations: &HashMap<u64, String>, has_sessions: bool) -> Markup {
    let number = number_of(event);
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    html! {
        tr #(format!("event-{number}")) class=(class(event)) {
            td { (time(text("time"))) }
            @if has_sessions { td { @if let Some(session) = session(event) { (session) } } }
            td { bdi { (text("server")) } }
            td { @if let Some(took) = durations.get(&number) { (took) } }
            td { bdi { (text("text")) } (output(event)) (changes(event)) }
        }
    }
}

/// Returns the output of a start that failed: the server's card loses it with the next save.
fn output(event: &PageEvent) -> Markup {
    let lines = event["failure"]["stderr"].as_array();
    let lines: Vec<String> = lines
        .into_iter()
        .flatten()
        .filter_map(|line| line.as_str().map(str::to_owned))
        .collect();
    html! {
        @if !lines.is_empty() {
            details { summary { "Last lines of stderr" } (traceback(&lines)) }
        }
    }
}

/// Returns the changes of the lists at a reload: the server's card has those of the last one only.
fn changes(event: &PageEvent) -> Markup {
    let lists = event["diff"].as_object().into_iter().flatten();
    let mut lists = lists.filter_map(|(_, list)| list.as_array());
    html! {
        @if lists.any(|list| !list.is_empty()) {
            details { summary { "Changes" } (difference(&event["diff"])) }
        }
    }
}

fn number_of(event: &PageEvent) -> u64 {
    event["n"].as_u64().unwrap_or_default()
}

/// Times of one server's processes, in milliseconds of the day.
#[derive(Default)]
struct Running {
    build: Option<u64>,
    starts: HashMap<u64, u64>,
    live: Option<u64>,
    drains: HashMap<u64, u64>,
}

/// Returns the durations of builds, starts and drains, by the number of the event that ends each.
fn durations(events: &[PageEvent]) -> HashMap<u64, String> {
    let mut servers = HashMap::<(Option<String>, &str), Running>::new();
    let mut durations = HashMap::new();
    for event in events {
        let server = event["server"].as_str().unwrap_or_default();
        let running = servers.entry((session(event), server)).or_default();
        let now = time_of_day(event["time"].as_str().unwrap_or_default());
        let generation = event["generation"].as_u64();
        let generation = generation.or(event["failure"]["generation"].as_u64());
        let generation = generation.unwrap_or_default();
        let mut ended = Vec::new();
        match event["event"].as_str().unwrap_or_default() {
            "building" => running.build = Some(now),
            "spawned" | "connecting" => {
                ended.extend(running.build.take().map(|it| ("build", it)));
                running.starts.insert(generation, now);
            }
            "ready" | "reloaded" => {
                ended.extend(running.build.take().map(|it| ("build", it)));
                ended.extend(running.starts.remove(&generation).map(|it| ("start", it)));
                let former = running.live.replace(generation);
                running.drains.extend(former.map(|former| (former, now)));
            }
            "broken" => {
                ended.extend(running.build.take().map(|it| ("build", it)));
                ended.extend(running.starts.remove(&generation).map(|it| ("start", it)));
            }
            "stopped" | "exited" => {
                ended.extend(running.drains.remove(&generation).map(|it| ("drain", it)));
            }
            _ => {}
        }
        let day = 24 * 3_600_000;
        let texts = ended
            .into_iter()
            .map(|(what, since)| format!("{what} {}", milliseconds((now + day - since) % day)));
        let texts: Vec<_> = texts.collect();
        if !texts.is_empty() {
            durations.insert(number_of(event), texts.join(", "));
        }
    }
    durations
}

/// Returns the milliseconds since midnight of a time of the log.
fn time_of_day(rfc3339: &str) -> u64 {
    let part = |at| rfc3339.get(at).and_then(|it: &str| it.parse::<u64>().ok());
    let parts = [part(11..13), part(14..16), part(17..19), part(20..23)];
    let [hours, minutes, seconds, ms] = parts.map(Option::unwrap_or_default);
    ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms
}

/// Returns the class of an event, for its colour. Its sentence says the same.
fn class(event: &PageEvent) -> &'static str {
    let changes = event["diff"]["contract"].as_array();
    let is_breaking = |change: &Value| change["class"] == "breaking";
    match event["event"].as_str().unwrap_or_default() {
        "reloaded" if changes.is_some_and(|it| it.iter().any(is_breaking)) => "warn",
        "broken" | "exited" | "flapping" | "config_fault" | "failed" => "bad",
        "ready" | "reloaded" | "listening" => "good",
        "watch_warning" | "rehearsal_warning" | "restarting" | "drain_abandoned"
        | "tools_rejected" | "tool_left_out" | "result_faulty" | "cold" => "warn",
        "changed" => "saved",
        _ => "plain",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::messages::LogLimits;
    use super::*;

    #[test]
    fn calls_of_clients_and_of_the_page_are_in_the_lanes() {
        let call = |id: &str| {
            format!(
                r#"{{"time_us":1,"from":"proxy","to":"server","session":"7-1","server":"weather","generation":1,"client_id":{id},"bytes":1,"message":{{"id":2,"method":"tools/call"}}}}"#
            )
        };
        let of_client = r#"{"time_us":1,"from":"client","to":"proxy","session":"7-1","bytes":1,"message":{"id":1,"method":"tools/call"}}"#;
        let mut log = MessageLog::new(LogLimits::PROXY);
        for line in [
            of_client,
            &call("1"),
            &call(r#""mcp-proxy-page-1""#),
            &call("null"),
        ] {
            log.add(line).unwrap();
        }
        // Requests of a client that the proxy answers.
        for (id, answer) in [(5, r#""result":{}"#), (6, r#""error":{}"#)] {
            for (from, to, rest) in [
                ("client", "proxy", r#""method":"x""#),
                ("proxy", "client", answer),
            ] {
                let message = format!(r#"{{"id":{id},{rest}}}"#);
                let line = format!(
                    r#"{{"time_us":1,"from":"{from}","to":"{to}","session":"7-1","bytes":1,"message":{message}}}"#
                );
                log.add(&line).unwrap();
            }
        }
        let shown: Vec<_> = log.iter().map(|it| is_in_lane(it)).collect();
        assert_eq!(shown, [true, true, false, false, true]);
    }

    #[test]
    fn a_tab_gets_only_the_calls_that_have_changed() {
        let line = |at: u64, id: u64, from: &str, rest: &str| {
            let to = if from == "client" { "proxy" } else { "client" };
            format!(
                r#"{{"time_us":{at},"from":"{from}","to":"{to}","session":"7-1","server":"a","bytes":1,"message":{{"id":{id},{rest}}}}}"#
            )
        };
        let call = |at, id| line(at, id, "client", r#""method":"tools/call""#);
        let mut log = MessageLog::new(LogLimits::PROXY);
        let numbers = |log: &MessageLog, sight, since| {
            let (is_whole, calls) = calls(log, sight, since);
            (
                is_whole,
                calls.iter().map(|it| it.number).collect::<Vec<_>>(),
            )
        };
        let all = (0, None);
        log.add(&call(10, 1)).unwrap();
        log.add(&call(20, 2)).unwrap();
        assert_eq!(numbers(&log, all, None), (true, vec![0, 1]));
        assert_eq!(numbers(&log, (15, Some(15)), None), (true, vec![0]));
        let change = log.changes();
        assert_eq!(numbers(&log, all, Some(change)), (false, vec![]));
        log.add(&call(30, 3)).unwrap();
        log.add(&line(40, 1, "proxy", r#""result":{}"#)).unwrap();
        assert_eq!(numbers(&log, all, Some(change)), (false, vec![0, 2]));
        assert_eq!(numbers(&log, (45, None), None), (true, vec![1, 2]));
        // The end of a call reaches the tab also if it is not in sight any more.
        assert_eq!(numbers(&log, (50, None), Some(change)), (false, vec![0, 2]));
        assert_eq!(numbers(&log, (0, Some(25)), Some(change)), (false, vec![0]));
        for id in 0..MAX_CALLS as u64 {
            log.add(&call(50, id)).unwrap();
        }
        let (is_whole, newest) = numbers(&log, all, Some(change));
        assert_eq!((is_whole, newest.len(), newest[0]), (false, MAX_CALLS, 3));
        // Too many changes for the journal.
        for _ in 0..5_000 {
            log.add(&call(60, 1)).unwrap();
        }
        assert_eq!(numbers(&log, all, Some(change)).1.len(), MAX_CALLS);
        assert!(numbers(&log, all, Some(change)).0);
    }

    #[test]
    fn builds_starts_and_drains_have_durations() {
        let events = [
            (1, "23:59:59.500", "building", 0),
            (1, "00:00:01.000", "spawned", 2),
            (2, "00:00:01.100", "spawned", 1),
            (1, "00:00:01.400", "reloaded", 2),
            (1, "00:00:02.000", "spawned", 3),
            (1, "00:00:02.300", "reloaded", 3),
            (2, "00:00:03.100", "ready", 1),
            (1, "00:00:05.300", "stopped", 2),
        ];
        let events = events.iter().zip(0..).map(|((session, time, name, generation), n)| {
            let time = format!("2026-11-30T{time}Z");
            Arc::new(json!({
                "time": time, "event": name, "server": "a", "session": session, "generation": generation, "n": n
            }))
        });
        let found = durations(&events.collect::<Vec<_>>());
        let found: BTreeMap<u64, String> = found.into_iter().collect();
        let found: Vec<_> = found.into_iter().collect();
        let expected = [
            (1, "build 1.5 s"),
            (3, "start 400 ms"),
            (5, "start 300 ms"),
            (6, "start 2.0 s"),
            (7, "drain 3.0 s"),
        ];
        assert_eq!(found, expected.map(|(n, text)| (n, text.to_owned())));
    }
}
