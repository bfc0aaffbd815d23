//! Prepares a cloned server: runs the commands that its plan requires, all of them inside the server's own folder. Tool
//! caches are shared with the user, installations never are. Install scripts of packages run only if permitted.

mod commands;
mod failure_cause;
mod node;
mod prepare_command;
mod python;
mod requirements;
mod settings;
mod uv;
mod yaml;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::progress::{InstallStep, StepListener};
use crate::private_files;
use crate::transport::reaper::Reaper;
use crate::transport::resolve::without_own;
use crate::transport::run_command::{self, CommandResult};
use failure_cause::FailureCause;
pub(super) use prepare_command::{CommandInputs, PrepareCommand};

/// Time limit for one command; a large build takes minutes.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Time limit for asking Python's package index for the versions of a package.
const ASKING: Duration = Duration::from_secs(30);

/// Environment variables that would direct a tool to an environment other than the server's.
#[rustfmt::skip] // A table.
const ASTRAY: [&str; 13] = [
    "VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "CONDA_PREFIX", "PIP_TARGET", "PIP_PREFIX", "PIP_USER",
    "UV_SYSTEM_PYTHON", "NODE_ENV", "NODE_PATH", "npm_config_global", "npm_config_prefix", "GOBIN",
];

/// Reason why the preparation of a server failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error("cancelled")]
    Cancelled,
    #[error("{program} is needed for {what} and is not in PATH")]
    NoProgram {
        program: &'static str,
        what: &'static str,
    },
    #[error("`{command}` did not finish within {} min", COMMAND_TIMEOUT.as_secs() / 60)]
    Slow { command: String },
    #[error(
        "`{command}` ended with {status}{}{}",
        cause.map(|it| format!("; {it}")).unwrap_or_default(),
        log.as_ref().map(|it| format!("; complete output: {}", it.display())).unwrap_or_default()
    )]
    Failed {
        command: String,
        status: String,
        /// Cause of the failure, if the output of the command shows a known one.
        cause: Option<FailureCause>,
        /// Lines of the output that explain the failure.
        tail: Vec<String>,
        /// File with the complete output.
        log: Option<PathBuf>,
    },
    #[error("cannot run `{command}`: {source}")]
    Start {
        command: String,
        source: std::io::Error,
    },
    #[error(
        "{file} takes `{}` from [tool.uv.sources], which only uv reads; pip would install another package of that \
         name: {}",
        packages.join("`, `"),
        if *is_script {
            let start = format!("uv run {}", shlex::try_quote(file).unwrap_or_default());
            format!("with uv installed, pass --command {}", shlex::try_quote(&start).unwrap_or_default())
        } else {
            "install uv (https://docs.astral.sh/uv)".to_owned()
        }
    )]
    Sources {
        file: String,
        is_script: bool,
        packages: Vec<String>,
    },
    #[error("{0} names something other than versions of Python, which uv would run as a program")]
    Pin(&'static str),
    #[error("{0}; permit this with --scripts, or with `scripts = true` under [install]")]
    Leave(String),
    #[error(
        "{file} {what}, so installing packages could run code of the repository; permit this with --scripts, or with \
         `scripts = true` under [install]"
    )]
    Settings { file: String, what: String },
    #[error("the server requires Python {wanted}, and there is {}: install such a Python, or uv, which downloads one",
        if found.is_empty() { "none in PATH".to_owned() } else { format!("only {} in PATH", found.join(", ")) })]
    Python { wanted: String, found: Vec<String> },
}

/// Context in which the commands of a preparation run.
#[derive(Debug)]
pub(super) struct PrepareContext<'a> {
    /// Folder of the server.
    pub(super) folder: &'a Path,
    /// True if packages may run scripts.
    pub(super) scripts: bool,
    /// Log file for all output; deleted if no command fails.
    pub(super) log: Option<PathBuf>,
    pub(super) progress: &'a StepListener,
    pub(super) cancel: &'a CancellationToken,
    pub(super) reaper: &'a Reaper,
}

impl PrepareContext<'_> {
    /// Runs `errands` in order. After a failure the folder is unusable.
    pub(super) async fn prepare(&self, errands: &[PrepareCommand]) -> Result<(), PrepareError> {
        let mut log = self
            .log
            .as_deref()
            .and_then(|path| private_files::replace_file(path).ok());
        for errand in errands {
            self.run(errand, log.as_mut()).await?;
        }
        if let (Some(_), Some(path)) = (log, &self.log) {
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }

    async fn run(
        &self,
        errand: &PrepareCommand,
        log: Option<&mut File>,
    ) -> Result<(), PrepareError> {
        let line = errand.line();
        self.progress.report(InstallStep::Running(line.clone()));
        let mut command = self.command(&errand.program, &errand.args, &errand.folder);
        command.envs(errand.env.iter().map(|(name, value)| (name, value)));
        let progress = self.progress.clone();
        let mut log = log.and_then(|it| it.try_clone().ok());
        if let Some(log) = &mut log {
            let _ = writeln!(log, "$ {line}");
        }
        let tell = move |text: String| {
            // A full disk must not stop a command that may still succeed.
            let _ = log.as_mut().map(|log| writeln!(log, "{text}"));
            progress.report(InstallStep::Output(text));
        };
        let ended = tokio::select! {
            () = self.cancel.cancelled() => return Err(PrepareError::Cancelled),
            ended = timeout(COMMAND_TIMEOUT, run_command::run(command, self.reaper, tell)) => ended,
        };
        let Ok(ended) = ended else {
            return Err(PrepareError::Slow { command: line });
        };
        let CommandResult { status, tail } = match ended {
            Ok(ended) => ended,
            Err(source) => {
                return Err(PrepareError::Start {
                    command: line,
                    source,
                });
            }
        };
        if status.success() {
            return Ok(());
        }
        let output = tail.last(usize::MAX);
        let mut cause = failure_cause::cause(&output, errand.scripts);
        if cause.is_none()
            && errand.pip
            && !errand.scripts
            && let Some((package, versions)) = failure_cause::not_found(&output)
            && self
                .has_more_sources(&errand.program, package, &versions)
                .await
        {
            cause = Some(FailureCause::Scripts);
        }
        Err(PrepareError::Failed {
            command: line,
            status: status.to_string(),
            cause,
            tail: failure_cause::relevant_lines(&output),
            log: self.log.clone().filter(|it| it.is_file()),
        })
    }

    /// Builds a command without environment variables that point to another environment.
    fn command(&self, program: &Path, args: &[String], folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(folder);
        without_own(&mut command);
        for name in ASTRAY {
            command.env_remove(name);
        }
        command
            .env("CI", "1")
            // Members of a workspace would share one environment otherwise.
            .env("UV_PROJECT_ENVIRONMENT", self.folder.join(".venv"))
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            // Without it, newer yarn puts packages where a plain `node` does not find them.
            .env("YARN_NODE_LINKER", "node-modules")
            .env("npm_config_update_notifier", "false")
            .env("NO_COLOR", "1");
        if !self.scripts {
            command.envs(node::PINNED);
        }
        command
    }

    /// Returns true if the index has versions of `package` besides the `known` ones: those would have to be built.
    async fn has_more_sources(&self, python: &Path, package: &str, known: &[&str]) -> bool {
        let args = ["-I", "-m", "pip", "index", "versions", package].map(str::to_owned);
        let command = self.command(python, &args, self.folder);
        let asked = timeout(ASKING, run_command::run(command, self.reaper, |_| {}));
        let ended = self.cancel.run_until_cancelled(asked).await;
        let Some(Ok(Ok(CommandResult { status, tail }))) = ended else {
            return false;
        };
        let output = tail.last(usize::MAX);
        status.success() && failure_cause::available(&output).any(|it| !known.contains(&it))
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
