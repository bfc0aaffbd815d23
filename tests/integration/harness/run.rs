//! Runs a command that exits by itself; records its output and exit code.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use super::peer::keep_state;
use super::processes::new_tag;
use super::system::{STATE, processes_with_tag};
use super::{DEADLINE, Project, Proxy, eventually};

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    tag: String,
}

impl Run {
    /// Runs a prepared command to its end, with an empty stdin.
    #[track_caller]
    pub(crate) fn of(mut command: Command) -> Self {
        let tag = new_tag();
        keep_state(&mut command);
        command
            .env("MCP_PROXY_TEST_TAG", &tag)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("cannot start {command:?}: {error}"),
        };
        let stdout = all(child.stdout.take().expect("stdout is piped"));
        let stderr = all(child.stderr.take().expect("stderr is piped"));
        let mut status = None;
        eventually(DEADLINE, || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        // A pipe stays open only if a process was left behind.
        let text = |all: Receiver<String>| all.recv_timeout(DEADLINE).unwrap();
        Self {
            code: status.and_then(|status| status.code()),
            stdout: text(stdout),
            stderr: text(stderr),
            tag,
        }
    }

    /// Runs `mcp-proxy` with these arguments in the project, isolated from the user's own configuration.
    #[track_caller]
    pub(crate) fn within(project: &Project, arguments: &[&str]) -> Self {
        let mut command = Command::new(Proxy::program());
        command
            .args(arguments)
            .current_dir(project.root())
            .env_remove("MCP_PROXY_CONFIG")
            .env("HOME", project.root())
            .env("USERPROFILE", project.root())
            .env(STATE, project.state());
        Self::of(command)
    }

    /// Checks that the command exited with `code` and left no process behind.
    #[track_caller]
    pub(crate) fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        // The kernel may need a moment to remove killed processes.
        eventually(DEADLINE, || processes_with_tag(&self.tag).is_empty());
        self
    }
}

fn all(mut stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, text) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    text
}
