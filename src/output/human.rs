//! Formats events for people: the server's name in a coloured column, a sentence beside it, indented details below.
//! Always coloured; the caller strips the colour if necessary.

mod lists;
mod rehearsal;

use std::collections::VecDeque;
use std::fmt::Write;
use std::path::PathBuf;

use anstyle::{AnsiColor, Effects, Style};

use self::lists::lists;
use self::rehearsal::reloaded_text;
use super::Verbosity;
use super::classify::{PROXY, least_verbosity, server};
use super::diff_text::{diff_text, names_text};
use super::palette::{BAD, DIM, GOOD, WARN};
use super::text::{clean, count, duration, list};
use crate::event::{Event, Failure, StrayKind};

/// Colours of server names; red, green and yellow are reserved for results.
const NAMES: [AnsiColor; 4] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
];

const NARROWEST: usize = 7;
const WIDEST: usize = 24;
/// Number of shown stderr lines that are remembered, to avoid repeating them as the tail of a failure.
const REMEMBERED: usize = 64;
const CURE: &str = "stdout is reserved for JSON-RPC messages; log to stderr: print(..., file=sys.stderr) in Python, \
                    console.error(...) in JavaScript";

/// Formatter with the state it needs for alignment and against repetition.
#[derive(Debug)]
pub(super) struct HumanFormatter {
    verbosity: Verbosity,
    width: usize,
    /// Last stderr lines that were shown.
    shown: VecDeque<String>,
}

impl HumanFormatter {
    pub(super) fn new(verbosity: Verbosity) -> Self {
        Self {
            verbosity,
            width: NARROWEST,
            shown: VecDeque::new(),
        }
    }

    /// Returns the lines for an event, each with its line end; `None` if the verbosity does not show it.
    pub(super) fn entry(&mut self, event: &Event) -> Option<String> {
        if least_verbosity(event) > self.verbosity {
            return None;
        }
        let mut entry = self.line(server(event), &sentence(event));
        match event {
            Event::Stderr { line, .. } => {
                if self.shown.len() == REMEMBERED {
                    self.shown.pop_front();
                }
                self.shown.push_back(line.clone());
            }
            Event::Broken { failure, .. } => {
                self.tail(&mut entry, &failure.stderr);
                failure_details(&mut entry, failure);
            }
            Event::Exited { stderr, .. } => self.tail(&mut entry, stderr),
            Event::ConfigFault { text } => {
                for line in text.lines() {
                    let _ = writeln!(entry, "  {}", clean(line));
                }
            }
            _ => {}
        }
        Some(entry)
    }

    /// Returns the line that reports the number of dropped events.
    pub(super) fn dropped(&mut self, dropped: u64) -> String {
        let sentence =
            format!("{WARN}… {dropped} messages dropped (stderr is read too slowly){WARN:#}");
        self.line(PROXY, &sentence)
    }

    fn line(&mut self, name: &str, sentence: &str) -> String {
        let name = clean(name);
        self.width = self.width.max(name.chars().count().min(WIDEST));
        let style = name_style(&name);
        format!(
            "{style}{name}{style:#}{:gap$}{sentence}\n",
            "",
            gap = self.width.saturating_sub(name.chars().count()) + 2
        )
    }

    /// Adds the stderr tail, unless exactly these lines were the last ones shown.
    fn tail(&self, entry: &mut String, stderr: &[String]) {
        let just_shown = self
            .shown
            .len()
            .checked_sub(stderr.len())
            .is_some_and(|start| self.shown.range(start..).eq(stderr));
        if !just_shown {
            for line in stderr {
                let _ = writeln!(entry, "{DIM}  | {DIM:#}{}", clean(line));
            }
        }
    }
}

/// Returns true if the stray line number `count` is shown: the first five, then the 100th, 200th, 400th and so on. A
/// server may write only stray lines, without end.
pub(super) fn shows_stray(count: u64) -> bool {
    count <= 5 || (count.is_multiple_of(100) && (count / 100).is_power_of_two())
}

fn name_style(name: &str) -> Style {
    if name == PROXY {
        return DIM;
    }
    let sum: usize = name.bytes().map(usize::from).sum();
    NAMES[sum % NAMES.len()].on_default().effects(Effects::BOLD)
}

/// Returns the sentence for an event, with colours.
pub(super) fn sentence(event: &Event) -> String {
    match event {
        Event::Watching {
            files,
            directories,
            globs,
            ..
        } => format!(
            "watching {} in {}: {}",
            count(*files, "file", "files"),
            count(*directories, "directory", "directories"),
            globs_text(globs)
        ),
        Event::WatchWarning { message, .. } | Event::RehearsalWarning { message, .. } => {
            format!("{WARN}{}{WARN:#}", clean(message))
        }
        Event::WatchNote { message, .. } => clean(message).to_string(),
        Event::InputAwaited { method, page, .. } => {
            format!(
                "asks for input by {}, and waits for your answer on the page: {page}",
                clean(method)
            )
        }
        Event::Changed { paths, .. } => format!("changed: {}", files(paths)),
        Event::Building { command, .. } => format!("building: {}", clean(command)),
        Event::BuildOutput { line, .. } => format!("{DIM}build |{DIM:#} {}", clean(line)),
        Event::Stderr { line, .. } => format!("{DIM}|{DIM:#} {}", clean(line)),
        Event::Stray {
            line, count, kind, ..
        } => stray(line, *count, *kind),
        Event::ListsChanged { diff, .. } => format!("lists changed: {}", diff_text(diff)),
        Event::Progress { text, .. } => format!("{DIM}progress{DIM:#} {}", clean(text)),
        Event::LogMessage { level, text, .. } => {
            format!("{DIM}{}:{DIM:#} {}", clean(level), clean(text))
        }
        Event::Unloaded { .. } => "unloaded".to_owned(),
        Event::Reconfigured {
            added,
            changed,
            removed,
        } => match &*names_text(added, changed, removed) {
            "" => "the configuration changed; no server is affected".to_owned(),
            names => format!("the configuration changed: {names}"),
        },
        Event::ConfigFault { .. } => {
            format!("{BAD}configuration error{BAD:#}; the settings with the error are not applied")
        }
        Event::ClientConnected { name, version, era } => format!(
            "client {} {} connected ({era})",
            clean(name),
            clean(version)
        ),
        Event::Listening { url } => format!("listening on {}", clean(url)),
        Event::Page { url, warning } => match warning {
            Some(warning) => format!("page: {}; {WARN}{}{WARN:#}", clean(url), clean(warning)),
            None => format!("page: {}", clean(url)),
        },
        Event::WrongPath { path, endpoint } => format!(
            "{WARN}client requested unknown path {}: its URL must end in {endpoint}{WARN:#}",
            clean(path)
        ),
        Event::SessionEnded { reason } => format!("session ended: {}", clean(reason)),
        Event::Ending { reason } => format!("shutting down: {}", clean(reason)),
        Event::Failed { reason } => format!("{BAD}failed{BAD:#}: {}", clean(reason)),
        Event::NotRecorded { reason } => format!("{WARN}not recorded:{WARN:#} {}", clean(reason)),
        Event::RecordingEnded { reason } => {
            format!(
                "{WARN}recording ended:{WARN:#} {}; sessions go on without it",
                clean(reason)
            )
        }
        _ => lists(event),
    }
}

/// Returns the sentence for an event about a generation: start, takeover, end.
fn life(event: &Event) -> String {
    match event {
        Event::Spawned {
            generation, pid, ..
        } => format!("{DIM}started generation {generation} (pid {pid}){DIM:#}"),
        Event::Connecting {
            generation, url, ..
        } => {
            let url = clean(url);
            format!("{DIM}connecting to {url} (generation {generation}){DIM:#}")
        }
        Event::Stopped { generation, .. } => {
            format!("{DIM}stopped generation {generation}{DIM:#}")
        }
        Event::Ready {
            generation,
            took,
            era,
            tools,
            prompts,
            resources,
            ..
        } => format!(
            "{GOOD}ready{GOOD:#} in {} (generation {generation}, {era}): {}",
            duration(*took),
            offer(*tools, *prompts, *resources)
        ),
        Event::Reloaded {
            generation,
            took,
            diff,
            rehearsal,
            ..
        } => format!(
            "{GOOD}reloaded{GOOD:#} in {} (generation {generation}): {}",
            duration(*took),
            reloaded_text(diff, rehearsal.as_ref())
        ),
        Event::Broken {
            failure,
            serving_last_good,
            ..
        } => broken(failure, *serving_last_good),
        Event::Exited {
            generation, status, ..
        } => format!(
            "{BAD}ended unexpectedly{BAD:#} (generation {generation}): {}",
            clean(status)
        ),
        Event::Restarting { delay, .. } => format!("restarting in {}", duration(*delay)),
        Event::Flapping { exits, within, .. } => format!(
            "{BAD}exited {exits} times in {}{BAD:#}: not restarted until a file changes",
            duration(*within)
        ),
        Event::PortMissed { line, .. } => format!(
            "{WARN}runs without a port that the old process still held; use `--reload stop-first`:{WARN:#} {}",
            clean(line)
        ),
        Event::EraUnsuitable { server } => format!(
            "{WARN}sends its client requests of older revisions, which fail in revision 2026-07-28:{WARN:#} set \
             `era = \"legacy\"` in [servers.{}], or use `--era legacy`",
            clean(server)
        ),
        Event::DrainAbandoned {
            generation,
            requests,
            ..
        } => format!(
            "{WARN}drain timeout: abandoned {} of generation {generation}{WARN:#}",
            count(*requests, "request", "requests")
        ),
        _ => preparation(event),
    }
}

/// Returns the sentence for an event about a standby process.
fn preparation(event: &Event) -> String {
    match event {
        Event::Standby { took, memory, .. } => {
            let size = memory.map_or_else(String::new, |it| format!(", using {} MiB", it >> 20));
            let took = duration(*took);
            format!("{DIM}standby ready in {took}{size}{DIM:#}")
        }
        Event::Cold {
            reason, for_good, ..
        } => {
            let when = if *for_good {
                "from now on"
            } else {
                "this time"
            };
            format!("{DIM}starts cold {when}: {}{DIM:#}", clean(reason))
        }
        _ => String::new(),
    }
}

fn broken(failure: &Failure, serving_last_good: bool) -> String {
    let what = if failure.remote {
        "connection failed"
    } else if failure.held {
        "held back"
    } else {
        "does not start"
    };
    let mut sentence = format!(
        "{BAD}{what}{BAD:#} (generation {}): {}",
        failure.generation,
        clean(&failure.reason)
    );
    if serving_last_good {
        sentence.push_str("; the last good code still answers calls");
    }
    sentence
}

fn failure_details(entry: &mut String, failure: &Failure) {
    if !failure.files.is_empty() {
        let _ = writeln!(entry, "  changed: {}", files(&failure.files));
    }
    if let Some(advice) = &failure.advice {
        let _ = writeln!(entry, "  {WARN}advice:{WARN:#} {}", clean(advice));
    }
}

fn stray(line: &str, count: u64, kind: StrayKind) -> String {
    let line = clean(line);
    let what = match kind {
        StrayKind::Line => return stray_line(&line, count),
        StrayKind::Text => "invalid JSON-RPC message",
        StrayKind::Answer => "response with unknown id",
        StrayKind::TooLong => "skipped",
    };
    let few = if count == 5 {
        " (most further ones are not shown)"
    } else {
        ""
    };
    format!("{WARN}{what}:{WARN:#} {line}{few}")
}

fn stray_line(line: &str, count: u64) -> String {
    match count {
        1 => format!(
            "{WARN}stdout line is not a JSON-RPC message:{WARN:#} {line}\n  {WARN}advice:{WARN:#} {CURE}"
        ),
        2..=4 => format!("{WARN}stdout line is not a JSON-RPC message:{WARN:#} {line}"),
        5 => format!(
            "{WARN}stdout line is not a JSON-RPC message:{WARN:#} {line} (most further ones are not shown)"
        ),
        _ => format!(
            "{WARN}{count} stdout lines are not JSON-RPC messages:{WARN:#} {line}\n  {WARN}advice:{WARN:#} {CURE}"
        ),
    }
}

fn globs_text(globs: &[String]) -> String {
    let mut text = globs
        .iter()
        .take(4)
        .map(|glob| clean(glob))
        .collect::<Vec<_>>()
        .join(" ");
    if globs.len() > 4 {
        text.push_str(" …");
    }
    text
}

fn files(paths: &[PathBuf]) -> String {
    list(paths.iter().map(|path| path.to_string_lossy()), 2)
}

fn offer(tools: usize, prompts: usize, resources: usize) -> String {
    let mut text = count(tools, "tool", "tools");
    for (number, one, many) in [
        (prompts, "prompt", "prompts"),
        (resources, "resource", "resources"),
    ] {
        if number > 0 {
            text.push_str(", ");
            text.push_str(&count(number, one, many));
        }
    }
    text
}
