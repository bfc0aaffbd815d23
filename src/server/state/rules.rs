//! Rules of the state machine, derived from a server's configuration.

/// Rules from the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    /// True if there is a build command.
    pub(crate) build: bool,
    /// True if the old generation stops before the new one starts.
    pub(crate) stop_first: bool,
    /// True if the last good generation answers while the saved code does not run.
    pub(crate) serve_last_good: bool,
    /// Location of the server.
    pub(crate) location: ServerLocation,
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
