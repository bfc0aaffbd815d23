//! How a cloned server is made ready and started: what `detect` finds out, `dependencies` carries out
//! and the configuration gets. Plain data.

use std::path::PathBuf;

/// One way to run a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What has to be done before the first start, in order.
    pub(crate) prepare: Vec<Prepare>,
    /// The program: a bare name is looked up in `PATH`, anything else is relative to the server's folder
    /// and made absolute when it is registered.
    pub(crate) command: String,
    /// Its arguments; those that name files of the server are [`Argument::File`].
    pub(crate) args: Vec<Argument>,
    /// What the server needs besides; the values are for a person to fill in.
    pub(crate) env: Vec<(String, String)>,
    /// Globs relative to the server's folder.
    pub(crate) watch: Vec<String>,
    /// `prepare` compiles the server, and is run again when what is watched has changed.
    pub(crate) compiled: bool,
    /// How many of the last arguments come from examples in a README or Dockerfile.
    pub(crate) examples: usize,
    /// Why this one: the file that says so and what it says.
    pub(crate) reason: String,
    /// What else was looked at, and why it was not taken.
    pub(crate) considered: Vec<String>,
}

/// One argument of a server's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argument {
    Text(String),
    /// Relative to the server's folder, absolute when it is registered.
    File(PathBuf),
}

/// One thing to be done in the server's folder, and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Prepare {
    /// `.venv`: with uv if it is there, else with venv and pip.
    Venv(Venv),
    /// Packages of Node.js, from the lock file if there is one.
    Node {
        packager: Packager,
        locked: bool,
        /// A script of `package.json` to be run afterwards, because what is started is its result.
        build: Option<String>,
        /// Where the packager is run, relative to the server's folder: `..` for a workspace.
        root: PathBuf,
    },
    /// What a file for Deno needs.
    Deno {
        /// The file, relative to the server's folder.
        entry: PathBuf,
        /// There is a lock file.
        locked: bool,
        /// The file that lets packages run scripts while they are installed, if one does.
        scripts: Option<String>,
    },
    /// `cargo build --release`, of one binary if it is named; the result is `target/release/BIN`.
    Cargo { bin: Option<String> },
    /// `go build -o OUTPUT PACKAGE`.
    Go { package: String, output: PathBuf },
}

/// What an environment for Python has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Venv {
    /// A file of requirements, relative to the server's folder.
    pub(crate) requirements: Option<PathBuf>,
    /// The folder is a project (`pyproject.toml`) that is installed, editable, with what it needs.
    pub(crate) project: bool,
    /// Packages by name, where no file of the server lists them in a form that can be installed.
    pub(crate) packages: Vec<String>,
    /// There is a `uv.lock`, which says all of the above; uv follows it where there is uv.
    pub(crate) locked: bool,
    /// The versions of Python that will do, as `requires-python` has them.
    pub(crate) python: Option<String>,
    /// The head of a script (PEP 723) says so; only `uv run` reads all of it.
    pub(crate) is_script: bool,
    /// Packages of these that uv alone knows where to get.
    pub(crate) sources: Option<Sources>,
}

/// Packages that `[tool.uv.sources]` tells about, which pip does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources {
    /// The file that says so, relative to the server's folder.
    pub(crate) file: String,
    pub(crate) packages: Vec<String>,
}

/// Who installs packages of Node.js.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packager {
    Npm,
    Pnpm,
    Yarn,
    Bun,
}
