//! `mcp-proxy logs`: prints the log of a running or ended proxy, or the messages that it recorded.

mod messages;

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Args;

use super::{CliError, EXIT_OK, config, unwritten};
use crate::output;
use crate::path_text::texts;
use crate::state::{RunLog, StateDirectory, StateError, logs};
use messages::RecordingReader;

/// Interval at which `--follow` looks for new lines.
const INTERVAL: Duration = Duration::from_millis(100);
/// Maximum number of other proxies to name.
const NAMED: usize = 8;

/// The options of `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Print only the lines of this server, or of `proxy`
    server: Option<String>,
    /// Print new lines too, until the proxy ends
    #[arg(short, long)]
    follow: bool,
    /// Print the log of this process instead of the newest proxy in this project
    #[arg(long)]
    pid: Option<u32>,
    /// Print the messages that the proxy recorded (`--record`), or those in FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    #[expect(
        clippy::option_option,
        reason = "the option and its value are both optional"
    )]
    messages: Option<Option<PathBuf>>,
}

/// Prints the log, or the messages.
pub(crate) fn run(args: &LogsArgs) -> Result<u8, CliError> {
    if let Some(file) = &args.messages {
        return print_messages(args, file.as_deref());
    }
    let log = select(args)?;
    let mut reader = log.open().map_err(|error| failure(&error))?;
    let mut lines = LineFilter::new(args.server.as_deref());
    let read = || {
        let read = reader.read().map_err(|error| failure(&error))?;
        let read = read.iter().filter(|line| lines.admits(line));
        Ok(read.flat_map(|line| [line, "\n"]).collect())
    };
    print_growing(args.follow, || log.is_running(), read)?;
    if let (Some(server), false) = (&args.server, lines.has_admitted) {
        let server = output::clean(server);
        output::print_note(&format!("the log has no line of `{server}`"));
    }
    Ok(EXIT_OK)
}

/// Prints the messages in `file`, or those that the proxy selected by the options recorded.
fn print_messages(args: &LogsArgs, file: Option<&Path>) -> Result<u8, CliError> {
    let (path, log) = if let Some(file) = file {
        (file.to_owned(), None)
    } else {
        let log = select(args)?;
        let Some(path) = log.recording.clone() else {
            let pid = log.pid;
            return Err(CliError::Failure(format!(
                "the proxy with pid {pid} records no messages: start it with `--record FILE`, or name another \
                 recording with `--messages=FILE`"
            )));
        };
        (path, Some(log))
    };
    let pid = log.as_ref().map(|log| log.pid).or(args.pid);
    let reader = RecordingReader::open(&path, args.server.as_deref(), pid);
    let mut reader = reader.map_err(|error| CliError::Failure(error.to_string()))?;
    let is_running = || log.as_ref().is_none_or(RunLog::is_running);
    print_growing(args.follow, is_running, || reader.read())?;
    if !reader.has_messages {
        let path = path.display().to_string();
        output::print_note(&format!("{} has no such message", output::clean(&path)));
    }
    Ok(EXIT_OK)
}

/// Prints the lines that `read` returns, and, if `follow`, those that follow while `is_running`.
fn print_growing(
    follow: bool,
    is_running: impl Fn() -> bool,
    mut read: impl FnMut() -> Result<String, CliError>,
) -> Result<(), CliError> {
    loop {
        // Before the lines are read, so that the last ones are not missed.
        let may_grow = follow && is_running();
        match output::stream_foreign(&read()?) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(|error| unwritten(&error))?,
        }
        if !may_grow {
            return Ok(());
        }
        thread::sleep(INTERVAL);
    }
}

fn failure(error: &StateError) -> CliError {
    CliError::Failure(error.to_string())
}

/// Returns the log that the options select.
fn select(args: &LogsArgs) -> Result<RunLog, CliError> {
    let logs = StateDirectory::of_user().and_then(|directory| logs(&directory));
    let mut logs = logs.map_err(|error| failure(&error))?;
    let around = config::surroundings(None)?;
    let found = crate::config::load(&around);
    let project = config::project(&around, &found.files);
    let projects = texts(&[project.clone(), around.cwd]);
    let is_meant = |log: &RunLog| match args.pid {
        Some(pid) => log.pid == pid,
        None => projects.contains(&log.project),
    };
    let Some(at) = logs.iter().position(is_meant) else {
        let place = match args.pid {
            Some(pid) => format!("pid {pid}"),
            None => format!("a proxy in {}", project.display()),
        };
        return Err(CliError::Failure(format!(
            "no log of {place}{}",
            others(&logs)
        )));
    };
    let log = logs.remove(at);
    let others = logs.iter().filter(|log| is_meant(log) && log.is_running());
    let others: Vec<String> = others.map(|log| format!("--pid {}", log.pid)).collect();
    if !others.is_empty() && args.pid.is_none() {
        let text = others.join(", ");
        output::print_note(&format!("other proxies run in this project too: {text}"));
    }
    Ok(log)
}

/// Names the proxies that have logs, for an error.
fn others(logs: &[RunLog]) -> String {
    if logs.is_empty() {
        return ": `mcp-proxy dev` and `serve` write one while they run, unless --no-log is given"
            .into();
    }
    let named = logs
        .iter()
        .take(NAMED)
        .map(|log| format!("\n  --pid {} in {}", log.pid, output::clean(&log.project)));
    format!("; there are logs of{}", named.collect::<String>())
}

/// Selects the lines of one server.
struct LineFilter<'a> {
    server: Option<&'a str>,
    /// Whether the last entry was admitted; its further lines are indented.
    is_open: bool,
    has_admitted: bool,
}

impl<'a> LineFilter<'a> {
    fn new(server: Option<&'a str>) -> Self {
        Self {
            server,
            is_open: false,
            has_admitted: false,
        }
    }

    fn admits(&mut self, line: &str) -> bool {
        let Some(server) = self.server else {
            return true;
        };
        if !line.starts_with(' ') {
            // A time and the name are each followed by at least two spaces.
            let entry = line.split_once("Z  ").map_or("", |(_, entry)| entry);
            let rest = entry.strip_prefix(server);
            self.is_open = rest.is_some_and(|rest| rest.starts_with("  "));
            self.has_admitted |= self.is_open;
        }
        self.is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_server_are_selected() {
        const LOG: [&str; 6] = [
            "# mcp-proxy 0.1.0 dev (pid 7) in \"/weather  x\"",
            "2026-07-28T12:00:00.000Z  weather  ready in 5 ms",
            "2026-07-28T12:00:00.000Z  weather2  ready in 5 ms",
            "  | of weather2",
            "2026-07-28T12:00:00.000Z  weather   does not start",
            "  | Traceback",
        ];
        let lines = |server| {
            let mut filter = LineFilter::new(server);
            (0..LOG.len())
                .filter(|at| filter.admits(LOG[*at]))
                .collect::<Vec<_>>()
        };
        assert_eq!(lines(None), [0, 1, 2, 3, 4, 5]);
        assert_eq!(lines(Some("weather")), [1, 4, 5]);
        assert_eq!(lines(Some("weather2")), [2, 3]);
        assert_eq!(lines(Some("2026")), [0; 0]);
    }
}
