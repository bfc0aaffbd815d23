//! Definitions of MCP, without I/O: revisions and eras, methods, capabilities, `_meta` keys, lists.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod capabilities;
mod era;
pub(crate) mod headers;
mod list;
mod method;
pub(crate) mod tasks;
mod template;

pub(crate) use capabilities::{generous, union};
pub(crate) use era::{
    Era, HEADER_MISMATCH, LATEST_LEGACY, MISSING_CAPABILITY, MODERN, UNSUPPORTED_REVISION,
    URL_ELICITATION_REQUIRED, WITH_BATCHES, is_legacy_version, legacy_version,
};
pub(crate) use list::{Entry, List, ListKind, WithheldEntry, diff};
pub(crate) use method::{Method, log_level_error, severity, severity_of};
pub(crate) use template::Template;

/// Keys of `_meta` that the specification reserves (2026-07-28, basic, "Request metadata").
pub(crate) mod meta {
    /// Revision of a request.
    pub(crate) const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// Name and version of the client.
    pub(crate) const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// Capabilities of the client, for this request.
    pub(crate) const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// Log level that the client wants for this request.
    pub(crate) const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// Listen request that a notification belongs to.
    pub(crate) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// Name and version of the server, in a result.
    pub(crate) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// Task that a message belongs to.
    pub(crate) const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
}
