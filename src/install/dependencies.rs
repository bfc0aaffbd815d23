//! Makes a cloned server ready: what its plan asks for, command by command, all of it inside of the
//! server's own folder. Caches of the tools are the user's, installations never are. What packages
//! would run while they are installed is not run unless it is permitted.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::plan::{Packager, Prepare};
use super::progress::{Listener, Step};
use crate::transport::errand::{self, Ended};
use crate::transport::reaper::Reaper;

/// For one command; a large build takes minutes.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// How much of the output is in an error.
const TAIL: usize = 20;

/// What would lead a tool to an environment other than the server's.
const ASTRAY: [&str; 13] = [
    "VIRTUAL_ENV",
    "PYTHONHOME",
    "PYTHONPATH",
    "CONDA_PREFIX",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    "UV_SYSTEM_PYTHON",
    "NODE_ENV",
    "NODE_PATH",
    "npm_config_global",
    "npm_config_prefix",
    "GOBIN",
];

/// Why a server is not ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error("cancelled")]
    Cancelled,
    #[error("{program} is needed for {what} and is not in PATH")]
    NoProgram {
        program: &'static str,
        what: &'static str,
    },
    #[error("`{command}` did not finish within {} min", PATIENCE.as_secs() / 60)]
    Slow { command: String },
    #[error(
        "`{command}` ended with {status}{}{}",
        advice.map(|it| format!("; {it}")).unwrap_or_default(),
        log.as_ref().map(|it| format!("; all that it said is in {}", it.display())).unwrap_or_default()
    )]
    Failed {
        command: String,
        status: String,
        advice: Option<&'static str>,
        /// The last lines of its output.
        tail: Vec<String>,
        /// Where all of it is.
        log: Option<PathBuf>,
    },
    #[error("cannot run `{command}`: {source}")]
    Start {
        command: String,
        source: std::io::Error,
    },
}

/// All that the preparation depends on besides its steps.
#[derive(Debug)]
pub(super) struct Workshop<'a> {
    /// The server's folder.
    pub(super) folder: &'a Path,
    /// Whether packages may run scripts while they are installed.
    pub(super) scripts: bool,
    /// A file that gets all output, and goes away if nothing fails.
    pub(super) log: Option<PathBuf>,
    pub(super) progress: &'a Listener,
    pub(super) cancel: &'a CancellationToken,
    pub(super) reaper: &'a Reaper,
}

/// One command.
#[derive(Debug, PartialEq, Eq)]
struct Errand {
    program: PathBuf,
    args: Vec<String>,
    folder: PathBuf,
    advice: Option<&'static str>,
}

impl Errand {
    /// As a person would write it.
    fn line(&self) -> String {
        let program = self
            .program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let words = std::iter::once(&*program).chain(self.args.iter().map(String::as_str));
        shlex::try_join(words).unwrap_or_default()
    }
}

const NO_SCRIPTS: &str = "packages may neither run scripts nor be built; if that is the reason, permit it with \
                          --scripts, or with `scripts = true` under [install]";

impl Workshop<'_> {
    /// Carries out `steps` in order. On a failure the folder is of no use any more.
    pub(super) async fn prepare(&self, steps: &[Prepare]) -> Result<(), PrepareError> {
        let mut log = self.log.as_deref().and_then(|path| File::create(path).ok());
        for step in steps {
            for errand in self.errands(step)? {
                self.run(&errand, log.as_mut()).await?;
            }
        }
        if let (Some(_), Some(path)) = (log, &self.log) {
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }

    /// The commands of a plan, to be shown before anything is run.
    pub(super) fn lines(&self, steps: &[Prepare]) -> Result<Vec<String>, PrepareError> {
        let errands = steps.iter().map(|step| self.errands(step));
        let errands = errands.collect::<Result<Vec<_>, _>>()?;
        Ok(errands.iter().flatten().map(Errand::line).collect())
    }

    async fn run(&self, errand: &Errand, log: Option<&mut File>) -> Result<(), PrepareError> {
        let line = errand.line();
        self.progress.tell(Step::Running(line.clone()));
        let mut command = Command::new(&errand.program);
        command.args(&errand.args).current_dir(&errand.folder);
        for name in ASTRAY {
            command.env_remove(name);
        }
        command
            .env("CI", "1")
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            // A member of a workspace would share one.
            .env("UV_PROJECT_ENVIRONMENT", self.folder.join(".venv"))
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .env("npm_config_update_notifier", "false");
        let progress = self.progress.clone();
        let mut log = log.and_then(|it| it.try_clone().ok());
        if let Some(log) = &mut log {
            let _ = writeln!(log, "$ {line}");
        }
        let tell = move |text: String| {
            // A full disk must not stop what may still succeed.
            let _ = log.as_mut().map(|log| writeln!(log, "{text}"));
            progress.tell(Step::Output(text));
        };
        let ended = tokio::select! {
            () = self.cancel.cancelled() => return Err(PrepareError::Cancelled),
            ended = timeout(PATIENCE, errand::run(command, self.reaper, tell)) => ended,
        };
        let Ok(ended) = ended else {
            return Err(PrepareError::Slow { command: line });
        };
        match ended {
            Err(source) => Err(PrepareError::Start {
                command: line,
                source,
            }),
            Ok(Ended { status, .. }) if status.success() => Ok(()),
            Ok(Ended { status, tail }) => Err(PrepareError::Failed {
                command: line,
                status: status.to_string(),
                advice: errand.advice,
                tail: tail.last(TAIL),
                log: self.log.clone().filter(|it| it.is_file()),
            }),
        }
    }

    fn errands(&self, step: &Prepare) -> Result<Vec<Errand>, PrepareError> {
        match step {
            Prepare::Venv {
                requirements,
                project,
                packages,
                locked,
            } => match which::which("uv") {
                Ok(uv) if *locked => Ok(vec![self.sync(uv)]),
                uv => self.venv(uv.ok(), requirements.as_deref(), *project, packages),
            },
            Prepare::Node {
                packager,
                locked,
                build,
                root,
            } => self.node(*packager, *locked, build.as_deref(), root),
            Prepare::Cargo { bin } => {
                let mut args = words(&["build", "--release"]);
                if self.folder.join("Cargo.lock").is_file() {
                    args.push("--locked".to_owned());
                }
                if let Some(bin) = bin {
                    args.extend(["--bin".to_owned(), bin.clone()]);
                }
                let cargo = found("cargo", "a server in Rust")?;
                Ok(vec![self.errand(cargo, args, None)])
            }
            Prepare::Go { package, output } => {
                let output = output.display().to_string();
                let args = ["build", "-o", &output, package]
                    .map(str::to_owned)
                    .to_vec();
                Ok(vec![self.errand(
                    found("go", "a server in Go")?,
                    args,
                    None,
                )])
            }
        }
    }

    fn errand(&self, program: PathBuf, args: Vec<String>, advice: Option<&'static str>) -> Errand {
        Errand {
            program,
            args,
            folder: self.folder.to_owned(),
            advice,
        }
    }

    /// `.venv` as `uv.lock` says.
    fn sync(&self, uv: PathBuf) -> Errand {
        let mut args = words(&["sync", "--frozen"]);
        let advice = (!self.scripts).then_some(NO_SCRIPTS);
        if !self.scripts {
            args.push("--no-build".to_owned());
        }
        self.errand(uv, args, advice)
    }

    /// `.venv`, and into it what is needed.
    fn venv(
        &self,
        uv: Option<PathBuf>,
        requirements: Option<&Path>,
        project: bool,
        packages: &[String],
    ) -> Result<Vec<Errand>, PrepareError> {
        let python = self.folder.join(".venv/bin/python");
        let (make, program, mut args) = if let Some(uv) = uv {
            let make = self.errand(uv.clone(), words(&["venv", "--quiet", ".venv"]), None);
            let args = ["pip", "install", "--python", &python.to_string_lossy()].map(str::to_owned);
            (make, uv, args.to_vec())
        } else {
            let system = which::which("python3").or_else(|_| which::which("python"));
            let (program, what) = ("python3", "a server in Python");
            let system = system.map_err(|_| PrepareError::NoProgram { program, what })?;
            let make = self.errand(system, words(&["-m", "venv", ".venv"]), None);
            (
                make,
                python,
                words(&[
                    "-m",
                    "pip",
                    "install",
                    "--no-input",
                    "--progress-bar",
                    "off",
                ]),
            )
        };
        let wanted: Vec<String> = requirements
            .map(|file| {
                [
                    "-r".to_owned(),
                    self.folder.join(file).to_string_lossy().into_owned(),
                ]
            })
            .into_iter()
            .flatten()
            .chain(
                project
                    .then(|| ["-e".to_owned(), ".".to_owned()])
                    .into_iter()
                    .flatten(),
            )
            .chain(packages.iter().cloned())
            .collect();
        if wanted.is_empty() {
            return Ok(vec![make]);
        }
        let advice = (!self.scripts).then_some(NO_SCRIPTS);
        if !self.scripts {
            // A package that is built runs its own code for that.
            args.extend(words(&["--only-binary", ":all:"]));
        }
        args.extend(wanted);
        Ok(vec![make, self.errand(program, args, advice)])
    }

    fn node(
        &self,
        packager: Packager,
        locked: bool,
        build: Option<&str>,
        root: &Path,
    ) -> Result<Vec<Errand>, PrepareError> {
        let folder = self.folder.join(root);
        let berry = folder.join(".yarnrc.yml").is_file();
        let (name, install, quiet) = node_words(packager, locked, berry);
        let program = found(name, "the packages of this server")?;
        let mut args = words(install);
        if !self.scripts {
            args.push(quiet.to_owned());
        }
        let advice = (!self.scripts).then_some(NO_SCRIPTS);
        let mut errands = vec![Errand {
            program: program.clone(),
            args,
            folder,
            advice,
        }];
        if let Some(script) = build {
            let args = vec!["run".to_owned(), script.to_owned()];
            errands.push(self.errand(program, args, advice));
        }
        Ok(errands)
    }
}

/// The program, the words that install what is locked or without writing a lock, and the one that
/// runs no scripts. `berry` is the newer yarn, which has other words.
fn node_words(
    packager: Packager,
    locked: bool,
    berry: bool,
) -> (&'static str, &'static [&'static str], &'static str) {
    const QUIET: &str = "--ignore-scripts";
    match (packager, locked) {
        (Packager::Npm, true) => ("npm", &["ci", "--no-audit", "--no-fund"], QUIET),
        (Packager::Npm, false) => {
            let install = &["install", "--no-audit", "--no-fund", "--no-package-lock"];
            ("npm", install, QUIET)
        }
        (Packager::Pnpm, true) => ("pnpm", &["install", "--frozen-lockfile"], QUIET),
        (Packager::Pnpm, false) => ("pnpm", &["install", "--no-lockfile"], QUIET),
        (Packager::Yarn, true) if berry => {
            ("yarn", &["install", "--immutable"], "--mode=skip-build")
        }
        (Packager::Yarn, false) if berry => ("yarn", &["install"], "--mode=skip-build"),
        (Packager::Yarn, true) => ("yarn", &["install", "--frozen-lockfile"], QUIET),
        (Packager::Yarn, false) => ("yarn", &["install", "--no-lockfile"], QUIET),
        (Packager::Bun, true) => ("bun", &["install", "--frozen-lockfile"], QUIET),
        (Packager::Bun, false) => ("bun", &["install", "--no-save"], QUIET),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&it| it.to_owned()).collect()
}

fn found(program: &'static str, what: &'static str) -> Result<PathBuf, PrepareError> {
    which::which(program).map_err(|_| PrepareError::NoProgram { program, what })
}

#[cfg(test)]
mod tests;
