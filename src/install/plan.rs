//! How to prepare and start a cloned server: `detect` finds it, `dependencies` carries it out, and the configuration
//! stores the result. Plain data.

use std::path::PathBuf;

/// One way to run a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Steps before the first start, in order.
    pub(crate) prepare: Vec<PrepareStep>,
    /// Program: a bare name is looked up in `PATH`; any other path is relative to the server's folder and made absolute
    /// on registration.
    pub(crate) command: String,
    /// Arguments; files of the server are [`Argument::File`].
    pub(crate) args: Vec<Argument>,
    /// Environment variables that the server needs; a person fills in the values.
    pub(crate) env: Vec<(String, String)>,
    /// Globs relative to the server's folder.
    pub(crate) watch: Vec<String>,
    /// True if `prepare` compiles the server, and has to run again when a watched file has changed.
    pub(crate) compiled: bool,
    /// Number of trailing arguments that come from examples in a README or Dockerfile.
    pub(crate) examples: usize,
    /// Reason for this plan: the file that declares it, and its content.
    pub(crate) reason: String,
    /// Rejected alternatives, each with the reason.
    pub(crate) considered: Vec<String>,
}

/// One argument of a server's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argument {
    Text(String),
    /// Path relative to the server's folder; made absolute on registration.
    File(PathBuf),
}

/// One step in the server's folder, and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PrepareStep {
    /// Creates `.venv`: with uv if installed, else with venv and pip.
    Venv(Venv),
    /// Installs packages for Node.js, from the lock file if there is one.
    Node {
        packager: PackageManager,
        locked: bool,
        /// Script of `package.json` to run afterwards, because it builds the program to start.
        build: Option<String>,
        /// Folder to run the package manager in, relative to the server's folder: `..` for a workspace.
        root: PathBuf,
    },
    /// Installs the dependencies of a Deno file.
    Deno {
        /// Path of the file, relative to the server's folder.
        entry: PathBuf,
        /// True if there is a lock file.
        locked: bool,
        /// Reason why packages could run install scripts, or Deno write elsewhere, if any.
        scripts: Option<String>,
    },
    /// Runs `cargo build --release`, for one binary if named; the result is `target/release/BIN`.
    Cargo { bin: Option<String> },
    /// Runs `go build -o OUTPUT PACKAGE`.
    Go { package: String, output: PathBuf },
}

/// Contents of a Python environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Venv {
    /// Requirements file, relative to the server's folder.
    pub(crate) requirements: Option<PathBuf>,
    /// True to install the folder as an editable project (`pyproject.toml`), with its dependencies.
    pub(crate) project: bool,
    /// Packages by name, if no file of the server lists them in an installable form.
    pub(crate) packages: Vec<String>,
    /// True if there is a `uv.lock` with all of the above; uv, if installed, follows it.
    pub(crate) locked: bool,
    /// Supported versions of Python, from `requires-python`.
    pub(crate) python: Option<String>,
    /// True if the head of a script (PEP 723) lists the packages; only `uv run` reads all of it.
    pub(crate) is_script: bool,
    /// Packages among these whose source only uv can read.
    pub(crate) sources: Option<UvSources>,
}

/// Packages listed in `[tool.uv.sources]`, which pip does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UvSources {
    /// File with the table, relative to the server's folder.
    pub(crate) file: String,
    pub(crate) packages: Vec<String>,
}

/// Package manager for Node.js.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackageManager {
    Npm,
    Pnpm,
    Yarn,
    Bun,
}
