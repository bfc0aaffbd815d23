//! What the protocol's methods mean for a proxy.

/// The methods that the proxy treats differently from the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// `tools/call`: has effects, is never sent twice.
    CallTool,
    /// `prompts/get`
    GetPrompt,
    /// `resources/read`
    ReadResource,
    /// `completion/complete`
    Complete,
    /// `logging/setLevel`
    SetLevel,
    /// `resources/subscribe`
    Subscribe,
    /// `resources/unsubscribe`
    Unsubscribe,
    /// Everything else.
    Other,
}

impl Method {
    /// The method of that name.
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "tools/call" => Self::CallTool,
            "prompts/get" => Self::GetPrompt,
            "resources/read" => Self::ReadResource,
            "completion/complete" => Self::Complete,
            "logging/setLevel" => Self::SetLevel,
            "resources/subscribe" => Self::Subscribe,
            "resources/unsubscribe" => Self::Unsubscribe,
            _ => Self::Other,
        }
    }

    /// Whether it may be sent once more to the next generation after a crash.
    pub(crate) fn repeatable(self) -> bool {
        !matches!(self, Self::CallTool | Self::Other)
    }

    /// Whether it sets what holds for the session, which a modern server does not have.
    pub(crate) fn is_standing(self) -> bool {
        matches!(self, Self::SetLevel | Self::Subscribe | Self::Unsubscribe)
    }

    /// What to answer when the server does not know the method although the proxy promised it:
    /// the capabilities told to a client include what a reload may bring.
    pub(crate) fn answer_if_missing(self) -> Option<&'static str> {
        match self {
            Self::Complete => Some(r#"{"completion":{"values":[]}}"#),
            Self::SetLevel | Self::Subscribe | Self::Unsubscribe => Some("{}"),
            _ => None,
        }
    }
}

/// How weighty log messages of this level are: 0 for `debug`, and for what is no level.
pub(crate) fn severity(level: &str) -> u8 {
    match level {
        "info" => 1,
        "notice" => 2,
        "warning" => 3,
        "error" => 4,
        "critical" => 5,
        "alert" => 6,
        "emergency" => 7,
        _ => 0,
    }
}
