//! `mcp-proxy logs`: prints the log of a running or ended proxy.

use std::io;
use std::thread;
use std::time::Duration;

use clap::Args;

use super::{CliError, EXIT_OK, config, unwritten};
use crate::output;
use crate::path_text::texts;
use crate::state::{RunLog, StateDirectory, StateError, logs};

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
}

/// Prints the log.
pub(crate) fn run(args: &LogsArgs) -> Result<u8, CliError> {
    let logs = StateDirectory::of_user().and_then(|directory| logs(&directory));
    let log = select(args, logs.map_err(|error| failure(&error))?)?;
    let mut reader = log.open().map_err(|error| failure(&error))?;
    let mut lines = LineFilter::new(args.server.as_deref());
    loop {
        // Before the lines are read, so that the last ones are not missed.
        let may_grow = args.follow && log.is_running();
        let read = reader.read().map_err(|error| failure(&error))?;
        let text: String = read
            .iter()
            .filter(|line| lines.admits(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        match output::stream_foreign(&text) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(EXIT_OK),
            written => written.map_err(|error| unwritten(&error))?,
        }
        if !may_grow {
            break;
        }
        thread::sleep(INTERVAL);
    }
    if let (Some(server), false) = (&args.server, lines.has_admitted) {
        let server = output::clean(server);
        output::print_note(&format!("the log has no line of `{server}`"));
    }
    Ok(EXIT_OK)
}

fn failure(error: &StateError) -> CliError {
    CliError::Failure(error.to_string())
}

/// Returns the log that the options select.
fn select(args: &LogsArgs, mut logs: Vec<RunLog>) -> Result<RunLog, CliError> {
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
