//! Servers and clients on the official SDKs, installed once when a test first needs them.

use std::env::consts::EXE_SUFFIX;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::system::symlink;
use super::{Project, Proxy};

/// Server in `fixtures/servers`. Each has the tools echo, count, ask and fail, a prompt and two resources;
/// `DiscoverExits` has only echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerOn {
    PythonMcp,
    FastMcp,
    TypeScriptV1,
    TypeScriptV2,
    Rmcp,
    DiscoverExits,
}

impl ServerOn {
    pub(crate) const ALL: [Self; 6] = [
        Self::PythonMcp,
        Self::FastMcp,
        Self::TypeScriptV1,
        Self::TypeScriptV2,
        Self::Rmcp,
        Self::DiscoverExits,
    ];

    /// Returns the name of the source file in the project; `None` if the server is compiled.
    pub(crate) fn source(self) -> Option<&'static str> {
        match self {
            Self::PythonMcp => Some("python_mcp.py"),
            Self::FastMcp => Some("fastmcp_server.py"),
            Self::TypeScriptV1 => Some("ts_v1.mjs"),
            Self::TypeScriptV2 => Some("ts_v2.mjs"),
            Self::Rmcp => None,
            Self::DiscoverExits => Some("discover_exits.py"),
        }
    }

    /// Copies the source into the project, where a test may edit it; returns the command that starts the server.
    #[track_caller]
    pub(crate) fn command(self, project: &Project) -> Vec<OsString> {
        let Some(source) = self.source() else {
            return vec![example("rmcp_server").into()];
        };
        project.copy(&format!("fixtures/servers/{source}"), source);
        let interpreter = if Path::new(source).extension().is_some_and(|ext| ext == "py") {
            python()
        } else {
            let modules = project.path("node_modules");
            if !modules.exists() {
                symlink(peers().join("node/node_modules"), modules).unwrap();
            }
            "node".into()
        };
        vec![interpreter, project.path(source).into()]
    }
}

/// Client program in `tests/peers`: it lists, calls echo, waits for a changed list and lists again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientOn {
    PythonMcp,
    FastMcp,
    TypeScriptV1,
    TypeScriptV2,
}

impl ClientOn {
    /// Returns the command of the client, to be followed by the era (`legacy` or `auto`) and the server's command.
    #[track_caller]
    pub(crate) fn command(self) -> Vec<OsString> {
        match self {
            Self::PythonMcp => program("python/client_mcp.py"),
            Self::FastMcp => program("python/client_fastmcp.py"),
            Self::TypeScriptV1 => program("node/client_v1.mjs"),
            Self::TypeScriptV2 => program("node/client_v2.mjs"),
        }
    }
}

/// Returns the command that starts a program of `tests/peers`.
#[track_caller]
pub(crate) fn program(path: &str) -> Vec<OsString> {
    let interpreter = if path.starts_with("python") {
        python()
    } else {
        "node".into()
    };
    vec![interpreter, peers().join(path).into()]
}

#[track_caller]
fn python() -> OsString {
    peers().join("python/.venv/bin/python").into()
}

/// Returns the directory `tests/peers` after installing everything in it.
#[track_caller]
pub(crate) fn peers() -> &'static Path {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
        let install = directory.join("install");
        let output = Command::new(&install)
            .output()
            .map_err(|error| format!("cannot run {}: {error}", install.display()))?;
        if output.status.success() {
            return Ok(directory);
        }
        Err(format!(
            "{} failed ({}):\n{}{}",
            install.display(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        ))
    });
    match installed {
        Ok(directory) => directory,
        Err(error) => panic!("the real peers of the tests are not installed: {error}"),
    }
}

/// Returns the path of a built example, which Cargo puts beside the program under test.
#[track_caller]
pub(crate) fn example(name: &str) -> PathBuf {
    let path = Proxy::program()
        .with_file_name("examples")
        .join(format!("{name}{EXE_SUFFIX}"));
    assert!(
        path.exists(),
        "{} is not built: a plain `cargo test` builds it, and so does `cargo build --examples`",
        path.display()
    );
    path
}
