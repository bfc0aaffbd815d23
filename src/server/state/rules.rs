//! Rules of the state machine, derived from a server's configuration.

/// Rules from the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    /// True if there is a build command.
    pub(crate) build: bool,
    /// Relation of a new generation to the process of the old one.
    pub(crate) succession: Succession,
    /// True if the last good generation answers while the saved code does not run.
    pub(crate) serve_last_good: bool,
    /// Location of the server.
    pub(crate) location: ServerLocation,
}

/// Relation of a new generation to the process of the old one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Succession {
    /// A new process starts beside the old one.
    #[default]
    Overlap,
    /// The old process stops before the new one starts.
    StopFirst,
    /// The process is kept at a save, because it reloads itself.
    Kept,
}

/// Location of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ServerLocation {
    /// A process started by the proxy.
    #[default]
    Here,
    /// A remote server: retried without limit, because no save can repair it.
    Elsewhere,
}
