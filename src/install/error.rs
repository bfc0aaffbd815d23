//! Errors of installing, updating and removing, worded for a person or a model.

use std::path::PathBuf;

use super::changes::ChangedFiles;
use super::clone::CloneError;
use super::dependencies::PrepareError;
use super::detect::DetectError;
use super::source::SourceError;
use super::store::StoreError;
use crate::config::edit::EditError;
use crate::quoting;

/// The text states the error and, if possible, a remedy; [`output`](Self::output) has more lines.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("installing is disabled by `enabled = false` under [install] in mcp-proxy.toml")]
    Disabled,
    #[error("`allow` under [install] in mcp-proxy.toml does not permit {0}")]
    NotAllowed(String),
    #[error(
        "`consent = \"required\"` under [install] in mcp-proxy.toml requires a person's consent, and this client \
         cannot ask for consent; set `consent = \"if-possible\"` there, or let a person run {0}"
    )]
    NoConsent(String),
    #[error("a model may set at most {0} variables, so that a person can read them")]
    Variables(usize),
    #[error(
        "`{}` is not a valid variable name: use letters, digits and `_`, and no digit first",
        quoting::sentence(.0)
    )]
    VariableName(String),
    #[error(
        "the variable `{0}` can decide which code runs or which parties it trusts, so a model may not set it; a person \
         can, with `mcp-proxy install --env` or in the configuration"
    )]
    Steering(String),
    #[error("cannot fetch {repository}: {source}")]
    Clone {
        repository: String,
        source: CloneError,
    },
    #[error("the repository has no folder {}", quoting::value(&.0.to_string_lossy()))]
    NoSubdir(PathBuf),
    #[error(
        "the start command is missing, and its detection is disabled; name the server's file or its command"
    )]
    NothingSaid,
    #[error(transparent)]
    Detect(#[from] DetectError),
    #[error("cannot prepare the server: {0}")]
    Prepare(#[from] PrepareError),
    #[error(
        "server `{name}` already exists in {}; choose another name, or replace that server with {}",
        file.display(),
        if *tool { "`overwrite`" } else { "--overwrite" }
    )]
    Taken {
        name: String,
        file: PathBuf,
        tool: bool,
    },
    #[error(
        "server `{0}` is not installed; `mcp-proxy list --installed` shows the installed servers"
    )]
    Unknown(String),
    #[error(
        "server `{name}` is installed more than once, from {}; repeat in the folder of its configuration",
        sources.join(" and ")
    )]
    Ambiguous { name: String, sources: Vec<String> },
    #[error(
        "files of `{name}` were added or changed in {}; copy the files that you need, then {insist}",
        quoting::files_by_folder(files).join("; in ")
    )]
    Changed {
        name: String,
        files: ChangedFiles,
        /// How to go on in spite of that.
        insist: &'static str,
    },
    #[error(
        "the entry `{0}` starts mcp-proxy itself, so a model may neither remove nor replace it: the client would lose \
         the proxy and all of its servers; a person can, with mcp-proxy uninstall {0}"
    )]
    Own(String),
    #[error(
        "server `{name}` is already installed and its entry in {} has no or other values of {}; nothing was changed; \
         set them there, replace the entry with {}, or choose another name",
        file.display(),
        variables.join(", "),
        if *tool { "`overwrite`" } else { "--overwrite" }
    )]
    OtherVariables {
        name: String,
        file: PathBuf,
        variables: Vec<String>,
        tool: bool,
    },
    #[error(
        "the value of the variable `{0}` contains a NUL character, which no process can receive"
    )]
    VariableValue(String),
    #[error("another process updated or removed `{0}` meanwhile; repeat the removal")]
    Meanwhile(String),
    #[error(
        "commit {commit} of `{name}` has another start command than the installed one: `{new}`, not `{old}`; to change \
         to it, run mcp-proxy install {source_text} --name {name} --overwrite"
    )]
    StartsDifferently {
        name: String,
        commit: String,
        new: String,
        old: String,
        source_text: String,
    },
    #[error("cannot write the configuration: {0}")]
    Register(#[from] EditError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cancelled")]
    Cancelled,
}

impl InstallError {
    /// Returns the last lines of the failed command.
    pub(crate) fn output(&self) -> &[String] {
        match self {
            Self::Prepare(PrepareError::Failed { tail, .. }) => tail,
            _ => &[],
        }
    }

    /// Returns true if the operation was cancelled rather than failed.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(
            self,
            Self::Cancelled
                | Self::Clone {
                    source: CloneError::Cancelled,
                    ..
                }
                | Self::Prepare(PrepareError::Cancelled)
        )
    }
}
