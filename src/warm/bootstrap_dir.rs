//! Files exchanged with the bootstraps: a private directory of the proxy with one folder per start.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use super::channel::StandbyChannel;
use crate::command_line::{Launch, Runtime};
use crate::config::ServerSpec;
use crate::private_files;

/// The parts in one file, since the interpreter imports a single `sitecustomize` in place of the user's.
const PYTHON: &str = concat!(
    include_str!("python/claim.py"),
    include_str!("python/state.py"),
    include_str!("python/imports.py"),
    include_str!("python/standby.py"),
);
const NODE: &str = concat!(include_str!("imports.cjs"), include_str!("node.cjs"));
/// Options of Node.js that cannot take effect late: they load modules first, or open the port of a debugger, which a
/// standby must not have in place of the process that answers.
const HOOKS: [&str; 5] = ["-r", "--require", "--import", "loader", "--inspect"];
/// Pause before the second look for notes made on request. Each further one is twice as long, since the process makes
/// them when it is idle.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Maximum pause between two looks.
const MAX_PAUSE: Duration = Duration::from_secs(3);

impl Runtime {
    /// Returns the environment variable that makes the runtime load the bootstrap.
    fn variable(self) -> &'static str {
        match self {
            Self::Python => "PYTHONPATH",
            Self::Node => "NODE_OPTIONS",
        }
    }
}

/// Folder of one start. Dropping it removes the folder, which ends the notes of the process.
#[derive(Debug)]
pub(super) struct BootstrapDir {
    path: PathBuf,
    runtime: Runtime,
    preloads: bool,
}

impl BootstrapDir {
    /// Creates the folder at `path`, which must not exist, for a start with these settings and this port.
    pub(super) fn new(
        path: PathBuf,
        spec: &ServerSpec,
        port: Option<u16>,
        launch: &Launch,
    ) -> io::Result<Self> {
        private_files::new_folder(&path)?;
        let Launch {
            runtime,
            words,
            preloads: loads_ahead,
        } = launch;
        let (runtime, loads_ahead) = (*runtime, *loads_ahead);
        let folder = Self {
            path,
            runtime,
            preloads: loads_ahead,
        };
        match runtime {
            Runtime::Python => folder.write("sitecustomize.py", PYTHON)?,
            // Outside of the folder: worker threads load this file as long as the process lives.
            Runtime::Node => private_files::write_new(&folder.path.with_extension("cjs"), NODE)?,
        }
        let words: Vec<u8> = words
            .iter()
            .flat_map(|word| [word.as_bytes(), b"\0"].concat())
            .collect();
        folder.write("words", words)?;
        if let Some(original) = original(runtime, spec) {
            folder.write("original", original.as_encoded_bytes())?;
        }
        if let Some(port) = port {
            folder.write("port", port.to_string())?;
        }
        folder.write("log", "")?;
        folder.write("claim", "")?;
        Ok(folder)
    }

    /// Makes the process of this folder a standby, which loads the packages in `learned` and waits. Returns the channel
    /// to it.
    pub(super) fn prepare(&self, learned: &str) -> io::Result<StandbyChannel> {
        let channel = StandbyChannel::create(&self.path)?;
        self.write("trial", "")?;
        self.write("learned", learned)?;
        Ok(channel)
    }

    /// Returns the server definition with an environment that points to this folder.
    pub(super) fn with_env(&self, spec: &ServerSpec) -> ServerSpec {
        // An empty value equals an unset one, but would leave an empty entry after this one.
        let original = original(self.runtime, spec).filter(|it| !it.is_empty());
        let mut value = OsString::new();
        match self.runtime {
            Runtime::Python => value.push(&self.path),
            Runtime::Node => {
                value.push("--require=\"");
                value.push(escaped(self.path.with_extension("cjs")));
                value.push("\"");
            }
        }
        if let Some(original) = original {
            value.push(if self.runtime == Runtime::Python {
                ":"
            } else {
                " "
            });
            value.push(original);
        }
        let mut spec = spec.clone();
        spec.env.push((self.runtime.variable().into(), value));
        spec
    }

    /// Commits to a standby, which then no longer ends itself; returns false if it has ended.
    pub(super) fn commit(&self) -> bool {
        fs::remove_file(self.path("trial")).is_ok()
    }

    /// Returns the reason for which the process ended itself: the saved code sets up the process in another way than
    /// before.
    pub(super) fn difference(&self) -> Option<String> {
        fs::read_to_string(self.path("unlike")).ok()
    }

    /// Whether the process makes its notes on request only.
    pub(super) fn reports_on_request(&self) -> bool {
        self.runtime == Runtime::Node
    }

    /// Requests the notes of a process that makes them on request only.
    pub(super) fn request_report(&self) {
        if self.reports_on_request() {
            // Without a report nothing is learned.
            let _ = self.write("report", "");
        }
    }

    /// Whether the process has completed the requested notes.
    pub(super) fn is_complete(&self) -> bool {
        self.reports_on_request() && self.has_report()
    }

    /// Returns the size of the notes in bytes.
    pub(super) fn log_size(&self) -> usize {
        let size = fs::metadata(self.path("log")).map_or(0, |log| log.len());
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    /// Whether packages may be loaded ahead for the command.
    pub(super) fn allows_standby(&self) -> bool {
        self.preloads
    }

    /// Waits until the notes made until the first response, or on request, are complete.
    pub(super) async fn wait_for_report(&self) {
        let mut pause = FIRST_PAUSE;
        while !self.has_report() {
            sleep(pause).await;
            pause = MAX_PAUSE.min(pause * 2);
        }
    }

    fn has_report(&self) -> bool {
        self.runtime == Runtime::Python || self.log().is_ok_and(|log| log.ends_with("#end\t\n"))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether the server process has found the folder.
    pub(super) fn is_claimed(&self) -> bool {
        !self.path("claim").exists()
    }

    /// Returns the notes made so far.
    pub(super) fn log(&self) -> io::Result<String> {
        fs::read(self.path("log")).map(|log| String::from_utf8_lossy(&log).into_owned())
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> io::Result<()> {
        private_files::write_new(&self.path(name), text)
    }
}

impl Drop for BootstrapDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Returns a path as Node.js reads it between quotation marks.
fn escaped(path: PathBuf) -> OsString {
    match path.into_os_string().into_string() {
        Ok(text) => text.replace('\\', r"\\").replace('"', "\\\"").into(),
        Err(other) => other,
    }
}

/// Whether the server's own environment has options of a runtime that a standby cannot have.
pub(super) fn has_hooks(runtime: Runtime, spec: &ServerSpec) -> bool {
    let options = original(runtime, spec).unwrap_or_default();
    let options = options.to_string_lossy();
    runtime == Runtime::Node && HOOKS.iter().any(|hook| options.contains(hook))
}

/// Returns the variable's value in the server's own environment.
fn original(runtime: Runtime, spec: &ServerSpec) -> Option<OsString> {
    let variable = runtime.variable();
    let own = spec
        .env
        .iter()
        .rev()
        .find(|(name, _)| name == OsStr::new(variable));
    own.map(|(_, value)| value.clone())
        .or_else(|| std::env::var_os(variable))
}
