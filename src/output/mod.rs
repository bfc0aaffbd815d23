//! The only module that prints. A printing thread takes [`Event`](crate::event::Event)s from a
//! bounded channel and writes them as lines for people or as NDJSON, to stderr and a log file. It
//! decides what is worth showing and never blocks who tells it: what a slow reader of stderr misses
//! is counted and said. stdout carries the protocol; only the `print_…` of results write there, for
//! commands that print a result instead of speaking MCP.

mod bar;
mod classify;
mod human;
mod json;
mod printer;
mod text;

#[cfg(test)]
mod table;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

pub(crate) use bar::Bar;
pub(crate) use printer::start;
use text::harmless;
pub(crate) use text::{clean, duration};

/// A reader of stderr that has stopped reading holds the end of the program no longer than this.
const FINISH_DEADLINE: Duration = Duration::from_millis(500);

/// What is told, where and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// How much of it.
    pub(crate) verbosity: Verbosity,
    /// Appended to as well.
    pub(crate) log_file: Option<PathBuf>,
    /// The form of the log file; of stderr when there is no log file.
    pub(crate) log_format: LogFormat,
}

/// How much people are told; NDJSON always has everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Verbosity {
    /// Warnings and failures.
    Quiet,
    /// And what the server says, saves, reloads.
    #[default]
    Normal,
    /// And processes.
    Verbose,
}

/// When what is printed is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` says no or `CLICOLOR_FORCE` says yes
    #[default]
    Auto,
    /// In any case
    Always,
    /// In no case
    Never,
}

/// The form of what is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    #[default]
    Human,
    /// One JSON object per line
    Json,
}

/// Decides on colour for everything that is printed from now on.
pub(crate) fn set_color(when: ColorWhen) {
    match when {
        ColorWhen::Auto => ColorChoice::Auto,
        ColorWhen::Always => ColorChoice::AlwaysAnsi,
        ColorWhen::Never => ColorChoice::Never,
    }
    .write_global();
}

/// Sends the program's own traces to stderr if `MCP_PROXY_LOG`, or else `RUST_LOG`, asks for them.
pub(crate) fn init_tracing() {
    let Some(filter) = ["MCP_PROXY_LOG", "RUST_LOG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()))
    else {
        return;
    };
    // A second call, as in tests, finds the first subscriber in place; that one serves.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_ansi(AutoStream::choice(&io::stderr()) != ColorChoice::Never)
        .try_init();
}

/// Writes the result of a command that does not speak MCP to stdout, in colour where that is
/// wanted. A reader that has gone away, as in `| head`, is no error.
pub(crate) fn print_result(text: &str) -> io::Result<()> {
    write_out(anstream::stdout(), text)
}

/// As [`print_result`], for programs: no byte is changed.
pub(crate) fn print_exact(text: &str) -> io::Result<()> {
    write_out(io::stdout(), text)
}

/// Writes what a server says to stdout: to a terminal without what would steer it, else as it is.
pub(crate) fn print_foreign(text: &str) -> io::Result<()> {
    if !io::stdout().is_terminal() {
        return print_exact(text);
    }
    text.lines()
        .try_for_each(|line| print_exact(&format!("{}\n", harmless(line))))
}

fn write_out(mut stdout: impl Write, text: &str) -> io::Result<()> {
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes the error that ends the program, with its causes, to stderr.
pub(crate) fn print_error(error: &dyn Error) {
    let mut text = format!("{}error:{} {error}", human::BAD, human::BAD.render_reset());
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text.push('\n');
    print_to_stderr(text);
}

/// Writes what the user may like to know to stderr.
pub(crate) fn print_note(note: &str) {
    print_to_stderr(format!("note: {note}\n"));
}

fn print_to_stderr(text: String) {
    // On a thread of its own: a printer stuck in a full pipe keeps stderr locked.
    let (done, ended) = mpsc::channel::<()>();
    thread::spawn(move || {
        let _done = done;
        let _ = anstream::stderr().write_all(text.as_bytes());
    });
    let _ = ended.recv_timeout(FINISH_DEADLINE);
}
