//! Errors of installing, updating and removing, worded for a person or a model.

use std::collections::BTreeSet;
use std::path::PathBuf;

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
    #[error("installing is switched off by `enabled = false` under [install] in mcp-proxy.toml")]
    Disabled,
    #[error("{0} is not among the sources that `allow` under [install] in mcp-proxy.toml permits")]
    NotAllowed(String),
    #[error(
        "`consent = \"required\"` under [install] in mcp-proxy.toml wants a person to agree, and this client cannot ask one; \
         `consent = \"if-possible\"` there permits it, or a person runs {0}"
    )]
    NoConsent(String),
    #[error("a model may set at most {0} variables, so that a person can read them")]
    Variables(usize),
    #[error("`{}` is no name of a variable: letters, digits and `_`, and no digit first", quoting::sentence(.0))]
    VariableName(String),
    #[error(
        "the variable `{0}` can decide which code runs or which parties it trusts, so a model may not set it; a person \
         can, with `mcp-proxy install --env` or in the configuration"
    )]
    Steering(String),
    #[error("cannot get {repository}: {source}")]
    Clone {
        repository: String,
        source: CloneError,
    },
    #[error("the repository has no folder {}", quoting::value(&.0.to_string_lossy()))]
    NoSubdir(PathBuf),
    #[error(
        "nothing was said of how the server is started, and it was not to be found out; name its file or its command"
    )]
    NothingSaid,
    #[error(transparent)]
    Detect(#[from] DetectError),
    #[error("the server cannot be made ready: {0}")]
    Prepare(#[from] PrepareError),
    #[error(
        "there is a server `{name}` in {} already; give this one another name, or replace it with {}",
        file.display(),
        if *tool { "`overwrite`" } else { "--overwrite" }
    )]
    Taken {
        name: String,
        file: PathBuf,
        tool: bool,
    },
    #[error("no server `{0}` was installed; `mcp-proxy list --installed` shows those that were")]
    Unknown(String),
    #[error("`{name}` was installed more than once, from {}; go where it is configured", sources.join(" and "))]
    Ambiguous { name: String, sources: Vec<String> },
    #[error(
        "files of `{name}` were added or changed in {}: {}; copy those that you need, then insist {insist}",
        quoting::value(&folder.to_string_lossy()),
        quoting::files(files)
    )]
    Changed {
        name: String,
        folder: PathBuf,
        files: BTreeSet<PathBuf>,
        /// How to go on in spite of that.
        insist: &'static str,
    },
    #[error(
        "commit {commit} of `{name}` is started in another way than what is installed: `{new}`, not `{old}`; \
         to change to it, mcp-proxy install {source_text} --name {name} --overwrite"
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
