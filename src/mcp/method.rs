//! Methods of the protocol that matter to a proxy, and the log levels that requests name.

use crate::jsonrpc::{Envelope, ErrorObject, INVALID_PARAMS, RawJson};

/// Methods that the proxy treats differently from the rest.
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
    /// Any other method.
    Other,
}

impl Method {
    /// Returns the method with that name.
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

    /// Returns true if the request may be sent again to the next generation after a crash.
    pub(crate) fn repeatable(self) -> bool {
        !matches!(self, Self::CallTool | Self::Other)
    }

    /// Returns true if the server may answer the request with a request for input, in the modern era.
    pub(crate) fn may_request_input(self) -> bool {
        matches!(self, Self::CallTool | Self::GetPrompt | Self::ReadResource)
    }

    /// Returns true if the method sets state of the session; modern servers have no session.
    pub(crate) fn sets_session_state(self) -> bool {
        matches!(self, Self::SetLevel | Self::Subscribe | Self::Unsubscribe)
    }

    /// Returns the result to use if the server does not know the method although the proxy declared it: the
    /// capabilities sent to a client include those that a reload may bring.
    pub(crate) fn answer_if_missing(self) -> Option<&'static str> {
        match self {
            Self::Complete => Some(r#"{"completion":{"values":[]}}"#),
            Self::SetLevel | Self::Subscribe | Self::Unsubscribe => Some("{}"),
            _ => None,
        }
    }
}

/// Log levels, the least severe first.
const LOG_LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

/// Returns the severity of a log level, from 0 for `debug`; None if there is no such level.
pub(crate) fn severity(level: RawJson<'_>) -> Option<u8> {
    let level = level.text()?;
    let mut levels = LOG_LEVELS.into_iter().zip(0..);
    levels.find_map(|(known, severity)| (known == level).then_some(severity))
}

/// Returns the severity of a log message; the lowest one for an unknown level.
pub(crate) fn severity_of(message: &Envelope<'_>) -> u8 {
    message.params.level.and_then(severity).unwrap_or_default()
}

/// Returns the error for a request whose log level is `level`, if there is no such level.
pub(crate) fn log_level_error(level: Option<RawJson<'_>>) -> Option<ErrorObject> {
    if level.and_then(severity).is_some() {
        return None;
    }
    let level = level.map_or("none", RawJson::as_str);
    let known = LOG_LEVELS.join(", ");
    let message = format!("the log level is {level}, but must be one of: {known}");
    Some(ErrorObject::new(INVALID_PARAMS, message))
}
