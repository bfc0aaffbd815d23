//! `mcp-proxy replay`: sends the messages of recorded clients to servers again, and compares the responses.

mod difference;
mod player;
mod recorded_session;
mod report;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::{Args, ValueEnum as _};
use serde_json::json;

use super::{CliError, EXIT_FAILURE, EXIT_OK, print, print_exact};
use crate::config::parse_duration;
use crate::file_error::FileError;
use crate::meta_tools::Set;
use crate::output;
use crate::private_files;
use difference::IgnoredPath;
use recorded_session::{RecordedSession, sessions};
use report::SessionReport;

/// The options of `replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Recording of `dev` or `serve` (`--record`)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Leave out the part of the responses at PATH, such as `result.content[*].text`; repeatable, `*` is any name
    #[arg(long, value_name = "PATH")]
    ignore: Vec<IgnoredPath>,
    /// Time limit for each response
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
    /// Replace FILE by a recording of the new responses
    #[arg(long)]
    update: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
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

impl ReplayArgs {
    /// Returns the command of a proxy that records in `recording`.
    fn proxy(&self, program: &Path, recording: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(["dev", "-q", "--no-watch", "--no-log", "--record"]);
        command.arg(recording);
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

    /// Replays one session through a proxy, which appends it to `recording` as the session `index`. Returns that session
    /// and the proxy's stderr.
    fn replay(
        &self,
        program: &Path,
        recording: &Path,
        session: &RecordedSession,
        index: usize,
    ) -> Result<(RecordedSession, String), CliError> {
        let mut command = self.proxy(program, recording);
        let stderr = player::play(&mut command, session, self.timeout);
        let stderr = stderr.map_err(|error| failed("start the proxy", &error))?;
        let replayed = sessions(&fs::read_to_string(recording).unwrap_or_default());
        match replayed.into_iter().nth(index) {
            Some(now) => Ok((now, stderr)),
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
    let recorded = sessions(&read(&args.file)?);
    if recorded.is_empty() {
        let file = args.file.display();
        return Err(CliError::Failure(format!(
            "{file} has no request of a client"
        )));
    }
    let program = std::env::current_exe();
    let program = program.map_err(|error| failed("find the own program", &error))?;
    let folder = private_files::temporary("mcp-proxy-replay-");
    let folder = folder.map_err(|error| failed("create a temporary folder", &error))?;
    let recording = folder.path().join("replay.ndjson");
    let mut reports = Vec::new();
    for (index, session) in recorded.iter().enumerate() {
        if session.is_incomplete {
            let name = output::clean(&session.name);
            output::print_note(&format!(
                "messages of session {name} were not recorded whole"
            ));
        }
        let (now, stderr) = args.replay(&program, &recording, session, index)?;
        let mut report = SessionReport::new(session, &now, None, &args.ignore);
        if !report.ok && !args.update {
            let second = folder.path().join(format!("again-{index}.ndjson"));
            let (again, _) = args.replay(&program, &second, session, 0)?;
            report = SessionReport::new(session, &now, Some(&again), &args.ignore);
        }
        if !report.ok {
            let stderr = stderr.trim_end();
            if !stderr.is_empty() {
                output::print_note(&format!("the proxy reported:\n{stderr}"));
            }
        }
        reports.push(report);
    }
    let ok = reports.iter().all(|it| it.ok);
    if args.json {
        print_exact(&format!("{}\n", json!({ "ok": ok, "sessions": reports })))?;
    } else {
        print(&report::text(&reports))?;
    }
    if args.update {
        let text = fs::read(&recording).map_err(FileError::at("read", &recording));
        let written = text.and_then(|text| {
            private_files::replace(&args.file, text).map_err(FileError::at("write", &args.file))
        });
        written.map_err(|error| CliError::Failure(error.to_string()))?;
        return Ok(EXIT_OK);
    }
    Ok(if ok { EXIT_OK } else { EXIT_FAILURE })
}

fn read(file: &Path) -> Result<String, CliError> {
    let text = fs::read_to_string(file).map_err(FileError::at("read", file));
    text.map_err(|error| CliError::Failure(error.to_string()))
}
