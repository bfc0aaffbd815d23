//! What a server's configuration says to its state machine.

/// What the configuration says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    /// There is a build command.
    pub(crate) build: bool,
    /// The old generation stops before the new one starts.
    pub(crate) stop_first: bool,
    /// The last good generation answers while the saved code does not run.
    pub(crate) serve_last_good: bool,
    /// Where it runs.
    pub(crate) place: Place,
}

/// Where a server runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// As a process of the proxy's.
    #[default]
    Here,
    /// At an address: it is tried for ever, and no save mends it.
    Elsewhere,
}
