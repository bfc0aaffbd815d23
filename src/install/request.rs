//! Requests to install a server, and their results.

use std::path::PathBuf;

use super::store::StartSettings;

/// Origin of a request; decides the permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestOrigin {
    /// A person at a shell, who may name any source.
    Person {
        /// Also permits `http://` and `git://`.
        insecure: bool,
        /// True if packages may run install scripts.
        scripts: bool,
    },
    /// A model, within the limits of `[install]`.
    Tool,
}

/// Request to install a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstallRequest {
    /// Source as the user wrote it.
    pub(crate) source: String,
    /// Name of the server; by default that of the repository or its folder.
    pub(crate) name: Option<String>,
    pub(crate) choices: StartSettings,
    /// Environment variables for the server.
    pub(crate) env: Vec<(String, String)>,
    /// True to detect the start of the server where `choices` leave it open.
    pub(crate) auto_detect: bool,
    /// True to replace a server of the same name.
    pub(crate) overwrite: bool,
    pub(crate) origin: RequestOrigin,
}

/// Outcome of an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstallOutcome {
    New,
    /// This commit was already installed; at most it was registered.
    Same,
    /// Another commit replaced the previous one.
    Updated,
}

/// Installed server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    pub(crate) outcome: InstallOutcome,
    pub(crate) name: String,
    /// Source in its canonical form.
    pub(crate) source: String,
    pub(crate) commit: String,
    /// Previous commit, after an update.
    pub(crate) before: Option<String>,
    /// Full name of the branch or tag.
    pub(crate) reference: Option<String>,
    /// Folder of its files.
    pub(crate) folder: PathBuf,
    /// Configuration files that register it.
    pub(crate) registered: Vec<PathBuf>,
    /// Backup of the file whose entry was replaced.
    pub(crate) backups: Vec<PathBuf>,
    /// Start command and its reason; the reason is empty if the server was already installed.
    pub(crate) command: Vec<String>,
    pub(crate) reason: String,
    pub(crate) considered: Vec<String>,
    /// Further notes for a person.
    pub(crate) notes: Vec<String>,
}
