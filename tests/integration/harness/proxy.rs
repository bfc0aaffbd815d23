//! Builds an `mcp-proxy` command line and starts it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::peer::keep_state;
use super::system::STATE;
use super::{Peer, Project, example};

/// Command line of the form `mcp-proxy SUBCOMMAND [options] -- server`, with `dev`, `check` or `call`; without a
/// server, of `dev` or `serve` for the servers of the configuration.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Proxy {
    subcommand: &'static str,
    options: Vec<OsString>,
    server: Vec<OsString>,
    directory: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
}

impl Proxy {
    /// Returns the path of the program under test.
    pub(crate) fn program() -> PathBuf {
        std::path::absolute(env!("CARGO_BIN_EXE_mcp-proxy")).unwrap()
    }

    /// Creates a `dev` in front of the server that this command starts.
    pub(crate) fn dev<S: Into<OsString>>(server: impl IntoIterator<Item = S>) -> Self {
        Self::of("dev", server)
    }

    /// Creates a `dev` or `serve` in front of the servers of the configuration.
    pub(crate) fn configured(subcommand: &'static str) -> Self {
        let nothing: [&str; 0] = [];
        Self::of(subcommand, nothing)
    }

    /// Creates a `check` of the server that this command starts.
    pub(crate) fn check<S: Into<OsString>>(server: impl IntoIterator<Item = S>) -> Self {
        Self::of("check", server)
    }

    /// Creates a `call` of the server that this command starts; the options name the tool.
    pub(crate) fn call<S: Into<OsString>>(server: impl IntoIterator<Item = S>) -> Self {
        Self::of("call", server)
    }

    /// Creates a `serve` in front of the servers of the project's configuration.
    pub(crate) fn serve() -> Self {
        Self::of("serve", [] as [OsString; 0])
    }

    fn of<S: Into<OsString>>(
        subcommand: &'static str,
        server: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            subcommand,
            server: server.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn option(mut self, option: impl Into<OsString>) -> Self {
        self.options.push(option.into());
        self
    }

    pub(crate) fn options<S: Into<OsString>>(
        mut self,
        options: impl IntoIterator<Item = S>,
    ) -> Self {
        self.options.extend(options.into_iter().map(Into::into));
        self
    }

    /// Adds options, and limits that none of them sets: servers with an SDK take more than the usual half a minute to
    /// start on a machine that is busy.
    #[cfg(unix)]
    pub(crate) fn patiently(self, options: &[&str]) -> Self {
        let limits = ["--start-timeout", "--hold-timeout"].into_iter();
        let missing = limits.filter(|limit| !options.iter().any(|it| it.starts_with(limit)));
        let missing = missing.map(|limit| format!("{limit}=2m"));
        self.options(missing).options(options.iter().copied())
    }

    /// Disables the meta-tools and the watcher, so that a client sees only the server.
    pub(crate) fn transparent(self) -> Self {
        self.options(["--meta-tools", "none", "--no-watch"])
    }

    /// Runs in the project's directory.
    pub(crate) fn within(self, project: &Project) -> Self {
        self.at(project.root())
    }

    /// Runs in the project's directory and keeps state there, where [`Run::within`](super::Run::within) finds it.
    pub(crate) fn known_to(self, project: &Project) -> Self {
        self.within(project).env(STATE, project.state())
    }

    /// Runs in this directory.
    pub(crate) fn at(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Returns the words of the command line, for a client that starts servers itself.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let mut words = vec![Self::program().into(), self.subcommand.into()];
        words.extend(self.options.iter().cloned());
        if !self.server.is_empty() {
            words.push("--".into());
        }
        words.extend(self.server.iter().cloned());
        words
    }

    pub(crate) fn command(&self) -> Command {
        self.run_by([])
    }

    /// Returns the command of a client, given by its first words, that starts the proxy itself.
    pub(crate) fn run_by(&self, client: impl IntoIterator<Item = OsString>) -> Command {
        let mut words = client.into_iter().chain(self.words());
        let mut command = Command::new(words.next().expect("the proxy has a program"));
        command.args(words);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        keep_state(&mut command);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    #[track_caller]
    pub(crate) fn spawn(self) -> Peer {
        Peer::spawn_command(self.command())
    }
}

/// Starts the proxy without meta-tools in front of a fake server, and watches the server's script.
#[track_caller]
pub(crate) fn scripted(script: &Value, options: &[&str]) -> (Peer, Project) {
    let project = Project::new();
    project.write("script.json", &script.to_string());
    let peer = Proxy::dev([example("fake_server"), "script.json".into()])
        .options(["--meta-tools", "none", "--watch", "script.json"])
        .options(options.iter().copied())
        .within(&project)
        .spawn();
    (peer, project)
}
