//! `mcp-proxy status`: lists the running proxies of this user, and those that died.

use std::fmt::Write as _;
use std::time::SystemTime;

use anstyle::Style;
use clap::Args;
use serde_json::{Value, json};

use super::table::TextTable;
use super::{CliError, EXIT_OK, print};
use crate::output::palette::{BAD, DIM};
use crate::output::{clean, rfc3339};
use crate::state::{
    Occurrence, Run, RunRecord, ServerCondition, ServerRecord, StateDirectory, Timestamp, runs,
};

/// The options of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Prints the proxies that run or have died within a day.
pub(crate) fn run(args: &StatusArgs) -> Result<u8, CliError> {
    let runs = StateDirectory::of_user().and_then(|directory| runs(&directory));
    let runs = runs.map_err(|error| CliError::Failure(error.to_string()))?;
    print(&if args.json {
        format!("{}\n", object(&runs))
    } else {
        text(&runs, SystemTime::now())
    })?;
    Ok(EXIT_OK)
}

fn object(runs: &[Run]) -> Value {
    let of = |is_running: bool| {
        let runs = runs.iter().filter(|run| run.is_running == is_running);
        runs.map(run_object).collect::<Vec<_>>()
    };
    json!({ "running": of(true), "died": of(false) })
}

fn run_object(run: &Run) -> Value {
    let record = &run.record;
    let servers = record.servers.iter();
    let servers: Vec<Value> = servers
        .map(|(name, server)| {
            json!({
                "name": name,
                "state": server.condition.word(),
                "generation": server.generation,
                "pid": server.pid,
                "last_reload": server.last_reload.map(time),
                "last_error": server.last_error.as_ref().map(occurrence),
            })
        })
        .collect();
    let client = record.client.as_ref();
    let mut object = json!({
        "pid": record.pid,
        "command": record.subcommand,
        "version": record.version,
        "project": record.project,
        "started": time(record.started),
        "url": record.url,
        "page": record.page,
        "client": client.map(|it| json!({ "name": it.name, "version": it.version })),
        "servers": servers,
        "last_error": record.last_error.as_ref().map(occurrence),
        "last_line": record.last_line,
    });
    if !run.is_running {
        object["reason"] = record.reason_of_death().into();
        object["last_seen"] = rfc3339(run.changed).into();
    }
    object
}

fn time(at: Timestamp) -> String {
    rfc3339(at.time())
}

fn occurrence(it: &Occurrence) -> Value {
    json!({ "time": time(it.at), "text": it.text })
}

fn text(runs: &[Run], now: SystemTime) -> String {
    let (running, died): (Vec<&Run>, Vec<&Run>) = runs.iter().partition(|run| run.is_running);
    let mut text = if running.is_empty() {
        "no proxy of this user is running\n".to_owned()
    } else {
        table(&running, now)
    };
    for run in &running {
        if let Some(page) = &run.record.page {
            let _ = writeln!(text, "pid {}: page {}", run.record.pid, clean(page));
        }
    }
    for run in running {
        if let Some(Occurrence { at, text: error }) = &run.record.last_error {
            let (pid, when) = (run.record.pid, ago(at.time(), now));
            let _ = writeln!(text, "{BAD}pid {pid}:{BAD:#} {} ({when})", clean(error));
        }
    }
    for Run {
        record, changed, ..
    } in died
    {
        let _ = writeln!(
            text,
            "{BAD}died:{BAD:#} pid {} in {}, last seen {}: {}",
            record.pid,
            clean(&record.project),
            ago(*changed, now),
            clean(&record.reason_of_death())
        );
        if let Some(line) = &record.last_line {
            let _ = writeln!(text, "  {DIM}last event:{DIM:#} {}", clean(line));
        }
    }
    text
}

fn table(runs: &[&Run], now: SystemTime) -> String {
    let mut table = TextTable::new([
        "PID",
        "PROJECT",
        "CLIENT",
        "SERVER",
        ">GENERATION",
        "STATE",
        "LAST RELOAD",
        "LAST ERROR",
    ]);
    for Run { record, .. } in runs {
        let mut head = [
            record.pid.to_string(),
            record.project.clone(),
            client(record),
        ];
        for (name, server) in &record.servers {
            let style = match server.condition {
                ServerCondition::Starting | ServerCondition::Ready => Style::new(),
                ServerCondition::Broken | ServerCondition::Exited => BAD,
            };
            let [pid, project, client] = std::mem::take(&mut head);
            let [generation, reload, error] = server_cells(server, now);
            let condition = server.condition.word().to_owned();
            let name = name.clone();
            table.row(
                style,
                [
                    pid, project, client, name, generation, condition, reload, error,
                ],
            );
        }
        if record.servers.is_empty() {
            let [pid, project, client] = head;
            let none = String::new;
            let name = "(none)".to_owned();
            table.row(
                DIM,
                [pid, project, client, name, none(), none(), none(), none()],
            );
        }
    }
    table.text()
}

fn client(record: &RunRecord) -> String {
    let client = record.client.as_ref();
    let client = client.map(|it| format!("{} {}", it.name, it.version));
    match (client, &record.url) {
        (Some(client), Some(url)) => format!("{client} at {url}"),
        (Some(client), None) => client,
        (None, Some(url)) => url.clone(),
        (None, None) => String::new(),
    }
}

fn server_cells(server: &ServerRecord, now: SystemTime) -> [String; 3] {
    let generation = server.generation;
    let generation = (generation > 0).then(|| generation.to_string());
    let reload = server.last_reload.map(|at| ago(at.time(), now));
    let error = server.last_error.as_ref();
    let error = error.map(|it| format!("{} ({})", it.text, ago(it.at.time(), now)));
    [generation, reload, error].map(Option::unwrap_or_default)
}

/// Formats the time since `at`: `5 s ago`, `3 min ago`, `2 h ago`.
fn ago(at: SystemTime, now: SystemTime) -> String {
    let seconds = now.duration_since(at).unwrap_or_default().as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anstream::adapter::strip_str;

    use super::*;
    use crate::event::{Event, Failure, ToolDiff};

    const STARTED: SystemTime = SystemTime::UNIX_EPOCH;

    fn run(is_running: bool, events: &[Event]) -> Run {
        let at = Timestamp::of(STARTED);
        let mut record = RunRecord::new(7, at, "dev", "/project".into());
        for event in events {
            record.apply(event, Some("00:00Z  a  happened"), at);
        }
        Run {
            record,
            is_running,
            changed: STARTED,
        }
    }

    fn shown(run: Run) -> String {
        let now = STARTED + Duration::from_secs(125);
        strip_str(&text(&[run], now)).to_string()
    }

    #[test]
    fn the_link_of_a_page_is_printed() {
        let url = "http://127.0.0.1:1/?token=x";
        let page = Event::Page {
            url: url.into(),
            warning: None,
        };
        let text = shown(run(true, std::slice::from_ref(&page)));
        assert!(text.ends_with(&format!("pid 7: page {url}\n")), "{text}");
        let object = object(&[run(true, &[page])]);
        assert_eq!(object["running"][0]["page"], url);
    }

    fn events() -> Vec<Event> {
        let server = || "weather".to_owned();
        vec![
            Event::ClientConnected {
                name: "inspector".into(),
                version: "1.2".into(),
                era: "legacy",
            },
            Event::Reloaded {
                server: server(),
                generation: 4,
                took: Duration::ZERO,
                diff: ToolDiff::default(),
                rehearsal: None,
            },
            Event::Broken {
                server: server(),
                failure: Failure::new(5, "exited with status 1".into()),
                serving_last_good: false,
            },
        ]
    }

    #[test]
    fn a_running_proxy_has_a_row_for_each_server() {
        assert_eq!(
            shown(run(true, &events())),
            "PID  PROJECT   CLIENT         SERVER   GENERATION  STATE   LAST RELOAD  LAST ERROR\n\
             7    /project  inspector 1.2  weather           4  broken  2 min ago    exited with status 1 (2 min ago)\n"
        );
        assert!(shown(run(true, &[])).contains("(none)"));
        let object = object(&[run(true, &events())]);
        let server = &object["running"][0]["servers"][0];
        assert_eq!(server["last_reload"], "1970-01-01T00:00:00.000Z");
        assert_eq!(server["last_error"]["text"], "exited with status 1");
        assert_eq!(object["died"], json!([]));
    }

    #[test]
    fn a_dead_proxy_is_named_with_the_reason() {
        let text = shown(run(false, &events()));
        let expected = "no proxy of this user is running\n\
                        died: pid 7 in /project, last seen 2 min ago: was killed, or crashed\n  \
                        last event: 00:00Z  a  happened\n";
        assert_eq!(text, expected);
        let failed = Event::Failed {
            reason: "cannot listen".into(),
        };
        assert!(shown(run(false, &[failed])).contains("ago: cannot listen\n"));
        let ending = Event::Ending {
            reason: "received a signal".into(),
        };
        let text = shown(run(false, &[ending]));
        assert!(text.contains("shut down (received a signal)"), "{text}");
    }

    #[test]
    fn ages_are_rounded_down() {
        for (seconds, expected) in [
            (59, "59 s ago"),
            (119, "1 min ago"),
            (7_300, "2 h ago"),
            (90_000, "1 d ago"),
        ] {
            let now = STARTED + Duration::from_secs(seconds);
            assert_eq!(ago(STARTED, now), expected);
        }
    }
}
