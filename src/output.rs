//! Prints events and results; no other module prints for people.
//!
//! A printing thread takes [`Event`](crate::event::Event)s from a bounded channel and writes them as lines for people
//! or as NDJSON, to stderr and a log file. Senders never block: events that a slow reader of stderr misses are counted
//! and reported. stdout carries the protocol; only the functions `print_…` for results write to it, for commands that
//! do not speak MCP there.

mod classify;
mod diff_text;
mod human;
mod json;
pub(crate) mod palette;
mod printer;
mod progress_display;
mod text;

#[cfg(test)]
mod event_table;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::error_chain::with_causes;
use crate::line_sink::LineSink;
use crate::state::RunOptions;

use palette::BAD;
pub(crate) use printer::start;
pub(crate) use progress_display::ProgressDisplay;
use text::harmless;
pub(crate) use text::{clean, count, duration, rfc3339, size};

/// Time limit for printing at the end of the program, in case stderr is not read.
const FINISH_DEADLINE: Duration = Duration::from_millis(500);

/// Selection, destination and format of the printed events.
#[derive(Debug, Clone, Default)]
pub(crate) struct OutputOptions {
    /// Selection of events for people.
    pub(crate) verbosity: Verbosity,
    /// File that events are appended to, in addition to stderr.
    pub(crate) log_file: Option<PathBuf>,
    /// Format of the log file, or of stderr without a log file.
    pub(crate) log_format: LogFormat,
    /// Description of this proxy in the user's state; without it, no state is kept.
    pub(crate) run: Option<RunOptions>,
    /// Receiver of all events as NDJSON, each with its sentence for people as `text`.
    pub(crate) copy: Option<LineSink>,
}

/// Selection of events for people; does not affect NDJSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Verbosity {
    /// Warnings and failures only.
    Quiet,
    /// Also servers' stderr, saves and reloads.
    #[default]
    Normal,
    /// Also starts and stops of processes.
    Verbose,
}

/// Use of colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal; never if `NO_COLOR` is set, always if `CLICOLOR_FORCE` is set
    #[default]
    Auto,
    /// Even if the output is not a terminal
    Always,
    /// Not even on a terminal
    Never,
}

/// Format of the printed events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    #[default]
    Human,
    /// One JSON object per line
    Json,
}

/// Sets the use of colour for the rest of the process.
pub(crate) fn set_color(when: ColorWhen) {
    match when {
        ColorWhen::Auto => ColorChoice::Auto,
        ColorWhen::Always => ColorChoice::AlwaysAnsi,
        ColorWhen::Never => ColorChoice::Never,
    }
    .write_global();
}

/// Prints the program's own traces to stderr if `MCP_PROXY_LOG`, or else `RUST_LOG`, selects any.
pub(crate) fn init_tracing() {
    let Some(filter) = ["MCP_PROXY_LOG", "RUST_LOG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()))
    else {
        return;
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(AutoStream::choice(&io::stderr()) != ColorChoice::Never);
    // Invalid directives are left out. `RUST_LOG` may be meant for other programs.
    let is_valid = |directive: &&str| directive.parse::<Targets>().is_ok();
    let directives: Vec<_> = filter.split(',').filter(is_valid).collect();
    let targets: Targets = directives.join(",").parse().unwrap_or_default();
    // A second call, as in tests, leaves the first subscriber in place.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(targets))
        .try_init();
}

/// Writes the result of a command that does not speak MCP to stdout, in colour if enabled. A closed stdout, as in `|
/// head`, is no error.
pub(crate) fn print_result(text: &str) -> io::Result<()> {
    write_out(anstream::stdout(), text)
}

/// Like [`print_result`] for programs: writes the bytes unchanged.
pub(crate) fn print_exact(text: &str) -> io::Result<()> {
    write_out(io::stdout(), text)
}

/// Writes output of a server to stdout: without control sequences to a terminal, otherwise unchanged.
pub(crate) fn print_foreign(text: &str) -> io::Result<()> {
    unless_closed(stream_foreign(text))
}

/// Like [`print_foreign`], but a closed stdout is an error of the kind `BrokenPipe`.
pub(crate) fn stream_foreign(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    if stdout.is_terminal() {
        for line in text.lines() {
            writeln!(stdout, "{}", harmless(line))?;
        }
    } else {
        stdout.write_all(text.as_bytes())?;
    }
    stdout.flush()
}

fn write_out(mut stdout: impl Write, text: &str) -> io::Result<()> {
    unless_closed(
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush()),
    )
}

fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes the error that ends the program, with its causes, to stderr.
pub(crate) fn print_error(error: &(dyn Error + 'static)) {
    let text = with_causes(error);
    print_to_stderr(format!("{BAD}error:{BAD:#} {text}\n"));
}

/// Writes a note for the user to stderr.
pub(crate) fn print_note(note: &str) {
    print_to_stderr(format!("note: {note}\n"));
}

/// Asks a question on stderr; returns whether the next line of stdin agrees.
pub(crate) fn ask(question: &str) -> io::Result<bool> {
    print_to_stderr(format!("{question} [y/N] "));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(is_consent(&answer))
}

fn is_consent(answer: &str) -> bool {
    let answer = answer.trim();
    ["y", "yes"]
        .iter()
        .any(|yes| answer.eq_ignore_ascii_case(yes))
}

fn print_to_stderr(text: String) {
    // A separate thread, because a printing thread that is stuck in a full pipe keeps stderr locked.
    let (done, ended) = mpsc::channel::<()>();
    thread::spawn(move || {
        let _done = done;
        let _ = anstream::stderr().write_all(text.as_bytes());
    });
    let _ = ended.recv_timeout(FINISH_DEADLINE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_consent() {
        for (answer, agrees) in [
            ("y\n", true),
            (" YES\r\n", true),
            ("\n", false),
            ("", false),
            ("n\n", false),
            ("yes please\n", false),
        ] {
            assert_eq!(is_consent(answer), agrees, "{answer:?}");
        }
    }
}
