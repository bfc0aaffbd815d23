//! `mcp-proxy replay`: sends the messages of recorded clients to servers again, and compares the responses.

mod carried;
mod difference;
mod player;
mod recorded_session;
mod recording;
mod report;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{CliError, EXIT_FAILURE, EXIT_OK, print, print_exact};
use crate::config::parse_duration;
use crate::meta_tools::Set;
use crate::output;
use crate::private_files;
use difference::IgnoredPath;
use recorded_session::{RecordedSession, sessions};
use recording::Recording;
use report::SessionReport;

/// The options of `replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Recording of `dev` or `serve` (`--record`), or a folder of recordings
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Leave out the part of the responses at PATH, such as `result.content[*].text`; repeatable, `*` is any name
    #[arg(long, value_name = "PATH")]
    ignore: Vec<IgnoredPath>,
    /// Time limit for each response
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
    /// Replace FILE, or each file of the folder, by a recording of the new responses
    #[arg(long)]
    update: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// Format of the result [default: table]
    #[arg(long, value_name = "FORMAT", value_enum, conflicts_with = "json")]
    format: Option<ReplayFormat>,
    /// The proxy's own tools that the clients were offered [default: dev]
    #[arg(long, value_name = "WHICH", value_enum)]
    meta_tools: Option<Set>,
    /// Configuration file [default: `MCP_PROXY_CONFIG`, or the nearest mcp-proxy.toml and .mcp.json]
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    config: Option<PathBuf>,
    /// Run only this server of the configuration; its tools keep their own names
    #[arg(long, value_name = "NAME", conflicts_with = "command")]
    server: Option<String>,
    /// Command that starts the server, instead of the configuration
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Format of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReplayFormat {
    /// For people
    Table,
    /// One JSON object, as with --json
    Json,
    /// XML report of tests, for CI
    Junit,
}

/// Name of the recording of a replay in its temporary folder.
const REPLAYED: &str = "replay.ndjson";

impl ReplayArgs {
    fn format(&self) -> ReplayFormat {
        let default = if self.json {
            ReplayFormat::Json
        } else {
            ReplayFormat::Table
        };
        self.format.unwrap_or(default)
    }

    /// Replays the sessions of one recording, and records them in `folder`; returns a report about each.
    fn replay_all(
        &self,
        program: &Path,
        folder: &Path,
        recording: &Recording,
    ) -> Result<Vec<SessionReport>, CliError> {
        let replayed = folder.join(REPLAYED);
        let mut reports = Vec::new();
        for (index, session) in recording.sessions.iter().enumerate() {
            let name = recording.name_of(session);
            if session.is_incomplete {
                let name = output::clean(&name);
                output::print_note(&format!(
                    "messages of session {name} were not recorded whole"
                ));
            }
            let (mut now, stderr) = self.replay(program, &replayed, session, index, None)?;
            let compared = |now: &RecordedSession, again: Option<&RecordedSession>| {
                SessionReport::new(&name, session, now, again, &self.ignore)
            };
            let mut report = compared(&now, None);
            if !report.ok && !self.update {
                let file = folder.join(format!("again-{index}.ndjson"));
                let (mut again, _) = self.replay(program, &file, session, 0, Some(&now))?;
                if again.carried > now.carried {
                    // The first replay sent recorded ids, and only the others sent those of the new results.
                    now = again;
                    (again, _) = self.replay(program, &file, session, 1, Some(&now))?;
                }
                report = compared(&now, Some(&again));
            }
            let stderr = stderr.trim_end();
            if !report.ok && !stderr.is_empty() {
                output::print_note(&format!("the proxy reported:\n{stderr}"));
            }
            reports.push(report);
        }
        Ok(reports)
    }

    /// Returns the command of a proxy that records in `recording`.
    fn proxy(&self, program: &Path, recording: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(["dev", "-q", "--no-watch", "--no-log", "--record"]);
        command.arg(recording);
        // The proxy would answer the first list without the tools of a server that starts slowly.
        let wait = format!("{}ms", self.timeout.as_millis());
        command.args(["--startup-wait", &wait]);
        let meta_tools = self.meta_tools.and_then(|it| it.to_possible_value());
        if let Some(value) = meta_tools {
            command.args(["--meta-tools", value.get_name()]);
        }
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        if let Some(server) = &self.server {
            command.args(["--server", server]);
        }
        if !self.command.is_empty() {
            command.arg("--").args(&self.command);
        }
        command
    }

    /// Replays one session through a proxy, which appends it to `recording` as the session `index`; `earlier` is an earlier
    /// replay of it. Returns that session and the proxy's stderr.
    fn replay(
        &self,
        program: &Path,
        recording: &Path,
        session: &RecordedSession,
        index: usize,
        earlier: Option<&RecordedSession>,
    ) -> Result<(RecordedSession, String), CliError> {
        let mut command = self.proxy(program, recording);
        let played = player::play(&mut command, session, earlier, self.timeout);
        let (stderr, carried) = played.map_err(|error| failed("start the proxy", &error))?;
        let replayed = sessions(&fs::read_to_string(recording).unwrap_or_default());
        match replayed.into_iter().nth(index) {
            Some(mut now) => {
                now.carried = carried;
                Ok((now, stderr))
            }
            None => Err(CliError::Failure(format!(
                "the proxy did not start\n{}",
                stderr.trim_end()
            ))),
        }
    }
}

fn failed(doing: &str, error: &std::io::Error) -> CliError {
    CliError::Failure(format!("cannot {doing}: {error}"))
}

/// Replays all sessions, each with a proxy of its own, one after the other.
pub(crate) fn run(args: &ReplayArgs) -> Result<u8, CliError> {
    let recordings = Recording::find(&args.file)?;
    let program = std::env::current_exe();
    let program = program.map_err(|error| failed("find the own program", &error))?;
    let mut reports = Vec::new();
    for recording in &recordings {
        let folder = private_files::temporary("mcp-proxy-replay-");
        let folder = folder.map_err(|error| failed("create a temporary folder", &error))?;
        let replayed = args.replay_all(&program, folder.path(), recording)?;
        if args.update {
            recording.replace_by(&folder.path().join(REPLAYED))?;
        }
        reports.extend(replayed);
    }
    let ok = reports.iter().all(|it| it.ok);
    match args.format() {
        ReplayFormat::Table => print(&report::text(&reports))?,
        ReplayFormat::Json => {
            print_exact(&format!("{}\n", json!({ "ok": ok, "sessions": reports })))?;
        }
        ReplayFormat::Junit => print_exact(&report::junit(&reports))?,
    }
    Ok(if ok || args.update {
        EXIT_OK
    } else {
        EXIT_FAILURE
    })
}
