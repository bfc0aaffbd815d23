//! `mcp-proxy demo`: demonstrates a session without any other installed program. It writes a small server (`__sample`),
//! starts this program as the proxy in front of it, acts as the client, edits the server's file and reports the result
//! of each step. It succeeds only if every step does.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::line_client::{LineClient, Unexpected};
use super::{CliError, EXIT_OK, print};
use crate::output;
use crate::output::palette::{BAD, DIM, GOOD, HEAD};
use crate::private_files;
use crate::process_lookup;

const FIRST: &str = r#"{
  "tools": {
    "forecast": { "description": "Tomorrow's weather", "says": "Rain in {city}" }
  }
}
"#;
const WITH_ALERTS: &str = r#"{
  "tools": {
    "forecast": { "description": "Tomorrow's weather", "says": "Rain in {city}" },
    "alerts": { "description": "Warnings in force", "says": "Storm over {city}" }
  }
}
"#;
/// The comma behind `}` is missing.
const BROKEN: &str = r#"{
  "tools": {
    "forecast": { "description": "Tomorrow's weather", "says": "Sun in {city}" }
    "alerts": { "description": "Warnings in force", "says": "Storm over {city}" }
  }
}
"#;
const FIXED: &str = r#"{
  "tools": {
    "forecast": { "description": "Tomorrow's weather", "says": "Sun in {city}" },
    "alerts": { "description": "Warnings in force", "says": "Storm over {city}" }
  }
}
"#;

/// Guarantee of the proxy: a call that is made this long after a save is never answered by older code.
const FRESH_AFTER: Duration = Duration::from_millis(100);

/// Runs the demonstration.
pub(crate) fn run() -> Result<u8, CliError> {
    let began = Instant::now();
    let failure = |what: &str, error: std::io::Error| CliError::Failure(format!("{what}: {error}"));
    let folder = private_files::temporary("mcp-proxy-demo-")
        .map_err(|error| failure("cannot create a temporary directory", error))?;
    fs::write(folder.path().join("weather.json"), FIRST)
        .map_err(|error| failure("cannot write weather.json", error))?;
    let client = start_proxy(&folder).map_err(|error| failure("cannot start the proxy", error))?;

    let mut show = DemoRun { folder, client };
    say(&format!(
        "{HEAD}One session with a server that is edited while it runs{HEAD:#}  {DIM}{}{DIM:#}",
        show.file().display()
    ))?;
    match show.play() {
        Ok(()) => {
            let took = output::duration(began.elapsed());
            say(&format!(
                "\n{GOOD}All steps passed{GOOD:#} in {took}: four versions of the server, one session."
            ))?;
            Ok(EXIT_OK)
        }
        Err(error) => {
            let stderr = show.client.into_stderr();
            Err(CliError::Failure(format!(
                "the demo failed\n{error}\nthe proxy's stderr:\n{stderr}"
            )))
        }
    }
}

fn start_proxy(folder: &TempDir) -> std::io::Result<LineClient> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(&program);
    command
        .args(["dev", "--name", "weather", "--watch", "weather.json"])
        .args(["--meta-tools", "none", "--log", LOG, "--log-format", "json"])
        .args(["--no-log", "--"])
        .arg(&program)
        .args(["__sample", "weather.json"])
        .current_dir(folder.path());
    LineClient::start(&mut command)
}

/// Log of the proxy's events, in the temporary folder; contains the pids of the servers.
const LOG: &str = "events.ndjson";

struct DemoRun {
    folder: TempDir,
    client: LineClient,
}

impl DemoRun {
    fn play(&mut self) -> Result<(), DemoError> {
        step("connect", || {
            let server = self.client.initialize()?["serverInfo"]["name"].take();
            Ok(format!("connected through the proxy to {server}"))
        })?;
        step("list", || self.expect_tools(&["forecast"]))?;
        step("call", || self.expect_call("forecast", "Rain in Oslo"))?;

        self.save("a new tool, alerts", WITH_ALERTS)?;
        step("notify", || {
            let method = "notifications/tools/list_changed";
            self.client.notification(method)?;
            Ok(method.to_owned())
        })?;
        step("list", || self.expect_tools(&["alerts", "forecast"]))?;
        step("call", || self.expect_call("alerts", "Storm over Oslo"))?;

        self.save("a syntax error", BROKEN)?;
        thread::sleep(FRESH_AFTER);
        step("call", || self.expect_reason())?;
        step("ping", || {
            self.client.result("ping", &json!({}))?;
            Ok("the session is still open".to_owned())
        })?;

        self.save("the error fixed, and a new answer", FIXED)?;
        thread::sleep(FRESH_AFTER);
        step("call", || self.expect_call("forecast", "Sun in Oslo"))?;

        heading("The client disconnects")?;
        step("close", || self.expect_clean_end())
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("weather.json")
    }

    /// Overwrites the server's file, under a heading that names the change.
    fn save(&mut self, what: &str, content: &str) -> Result<(), DemoError> {
        heading(&format!("Save weather.json: {what}"))?;
        self.client.forget_notifications();
        fs::write(self.file(), content)
            .map_err(|error| Unexpected::new("a writable weather.json", &error))?;
        Ok(())
    }

    fn expect_tools(&mut self, names: &[&str]) -> Result<String, Unexpected> {
        let result = self.client.result("tools/list", &json!({}))?;
        let mut listed: Vec<&str> = result["tools"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|tool| tool["name"].as_str())
            .collect();
        listed.sort_unstable();
        if listed == names {
            Ok(names.join(", "))
        } else {
            Err(Unexpected::new(format!("the tools {names:?}"), &result))
        }
    }

    fn call(&mut self, tool: &str) -> Result<Value, Unexpected> {
        let params = json!({ "name": tool, "arguments": { "city": "Oslo" } });
        self.client.request("tools/call", &params)
    }

    fn expect_call(&mut self, tool: &str, text: &str) -> Result<String, Unexpected> {
        let response = self.call(tool)?;
        let result = &response["result"];
        if result["content"][0]["text"] == text && result["isError"] != true {
            Ok(format!("{tool}(Oslo) → {text}"))
        } else {
            Err(Unexpected::new(
                format!("{tool} to return `{text}`"),
                &response,
            ))
        }
    }

    /// Calls a tool; the answer must be an error that quotes the broken server's stderr.
    fn expect_reason(&mut self) -> Result<String, Unexpected> {
        let response = self.call("forecast")?;
        let text = response["error"]["message"]
            .as_str()
            .or_else(|| response["result"]["content"][0]["text"].as_str())
            .unwrap_or_default();
        let is_error = response.get("error").is_some() || response["result"]["isError"] == true;
        let why = text
            .lines()
            .filter(|line| line.contains(" at line 4 column "))
            .find_map(|line| line.rsplit_once("weather.json: "));
        match why {
            Some((_, why)) if is_error => Ok(format!("error with the reason: {why}")),
            _ => Err(Unexpected::new(
                "an error that quotes the line of the syntax error",
                &response,
            )),
        }
    }

    fn expect_clean_end(&mut self) -> Result<String, Unexpected> {
        let status = self.client.close()?;
        if !status.success() {
            return Err(Unexpected::new("exit status 0", &status));
        }
        let log = fs::read_to_string(self.folder.path().join(LOG))
            .map_err(|error| Unexpected::new(format!("a readable {LOG}"), &error))?;
        let started: Vec<u32> = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["event"] == "spawned")
            .filter_map(|event| u32::try_from(event["pid"].as_u64()?).ok())
            .collect();
        if started.len() < 4 {
            return Err(Unexpected::new("four server processes in the log", &log));
        }
        let lives = |pid: &u32| process_lookup::exists(*pid).unwrap_or(false);
        let left: Vec<u32> = started.iter().copied().filter(lives).collect();
        if left.is_empty() {
            Ok(format!(
                "the proxy exited with status 0, and all of its {} server processes ended",
                started.len()
            ))
        } else {
            Err(Unexpected::new("no process left", &format!("{left:?}")))
        }
    }
}

/// Reason why the demonstration fails.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
    #[error(transparent)]
    Cli(#[from] CliError),
}

/// Runs one step; prints its name, duration and result.
fn step(name: &str, play: impl FnOnce() -> Result<String, Unexpected>) -> Result<(), DemoError> {
    let began = Instant::now();
    let came = play();
    let took = output::duration(began.elapsed());
    let came = match came {
        Ok(came) => came,
        Err(unexpected) => {
            say(&format!("  {BAD}✗{BAD:#} {name:<8}{DIM}{took:>8}{DIM:#}"))?;
            return Err(unexpected.into());
        }
    };
    say(&format!(
        "  {GOOD}✓{GOOD:#} {name:<8}{DIM}{took:>8}{DIM:#}  {came}"
    ))?;
    Ok(())
}

fn heading(text: &str) -> Result<(), CliError> {
    say(&format!("\n{HEAD}{text}{HEAD:#}"))
}

fn say(line: &str) -> Result<(), CliError> {
    print(&format!("{line}\n"))
}
