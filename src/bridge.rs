//! Translates between the eras, with pure functions on the texts of messages.
//!
//! A request is translated when it is sent to a server of the other era, and its response when it comes back. A modern
//! server's request for input becomes requests to a legacy client. A legacy server's own requests become a result that
//! requests input from a modern client.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod era_advice;
mod input;
mod stand_in;

use std::borrow::Cow;

use crate::jsonrpc::{
    Envelope, ErrorObject, INVALID_PARAMS, INVALID_REQUEST, Members, OwnedJson, RawId, RawJson,
    Reply, quoted,
};
use crate::mcp::{
    Era, LATEST_LEGACY, MODERN, Method, URL_ELICITATION_REQUIRED, generous, legacy_version, meta,
};

pub(crate) use era_advice::with_era_advice;
pub(crate) use input::{
    InputError, InputRequest, InputRequired, MAX_ROUNDS, RETRY_MEMBERS, RequiredUrls,
    input_capabilities, input_required, invalid_state, is_accepted, request_state, shows_forms,
    with_input_of,
};
pub(crate) use stand_in::{lacks_input, needs_stand_in, with_stand_in, with_stand_in_declared};

/// Error code of legacy servers for a resource that does not exist; the modern era forbids it.
const RESOURCE_NOT_FOUND: &str = "-32002";

/// Name of the modern era's extension for tasks.
const TASK_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// Identity of the client, which a modern server needs with every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The client's revision of the modern era.
    pub(crate) protocol_version: OwnedJson,
    /// `{"name":…,"version":…}`, if the client sent it.
    pub(crate) client_info: Option<String>,
    /// Capabilities of the client.
    pub(crate) capabilities: String,
    /// Log level that the client set.
    pub(crate) log_level: Option<OwnedJson>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            protocol_version: OwnedJson::of_text(MODERN),
            client_info: None,
            capabilities: "{}".to_owned(),
            log_level: None,
        }
    }
}

impl Identity {
    /// Returns `params` with this identity in its `_meta`, and the log level if there is one. An array
    /// has no place for an identity and stays unchanged.
    pub(crate) fn identify(&self, params: &str, log_level: Option<RawJson<'_>>) -> String {
        if params.starts_with('[') {
            return params.to_owned();
        }
        let mut params = Members::of(params);
        let old = params.get("_meta").unwrap_or("{}").to_owned();
        let mut members = Members::of(&old);
        members.set(
            meta::PROTOCOL_VERSION,
            self.protocol_version.as_raw().as_str(),
        );
        if let Some(info) = &self.client_info {
            members.set(meta::CLIENT_INFO, info.as_str());
        }
        members.set(meta::CLIENT_CAPABILITIES, self.capabilities.as_str());
        if let Some(level) = log_level {
            members.set(meta::LOG_LEVEL, level.as_str());
        }
        params.set("_meta", members.to_string());
        params.to_string()
    }

    /// Copies the identity of a legacy client from the params of its `initialize`.
    pub(crate) fn copy_initialize(&mut self, initialize: &str) {
        let params = Members::of(initialize);
        self.client_info = params.get("clientInfo").map(ToOwned::to_owned);
        self.capabilities = without_tasks(params.get("capabilities").unwrap_or("{}"));
    }

    /// Returns the params of an `initialize` request that introduce this client to a legacy server.
    pub(crate) fn initialize_params(&self) -> String {
        let mut capabilities = Members::of(&self.capabilities);
        let mut roots = capabilities.object("roots");
        // A modern client does not notify of changed roots.
        if roots.remove("listChanged") {
            let rest = roots.to_string();
            capabilities.set("roots", rest);
        }
        let capabilities = without_tasks(&capabilities.to_string());
        let unknown = format!(
            r#"{{"name":"mcp-proxy","version":"{}"}}"#,
            env!("CARGO_PKG_VERSION")
        );
        let info = self.client_info.as_deref().unwrap_or(&unknown);
        format!(
            r#"{{"protocolVersion":"{LATEST_LEGACY}","capabilities":{capabilities},"clientInfo":{info}}}"#
        )
    }
}

/// Returns the part of a client's `capabilities` that declares extensions.
pub(crate) fn extension_capabilities(capabilities: &str) -> String {
    let declared = Members::of(capabilities);
    let extensions = declared.get("extensions");
    extensions.map_or_else(|| "{}".to_owned(), |it| format!(r#"{{"extensions":{it}}}"#))
}

/// Returns the capabilities of a client for a server of the other era: without tasks in either form.
fn without_tasks(capabilities: &str) -> String {
    let mut capabilities = Members::of(capabilities);
    capabilities.remove("tasks");
    without_task_extension(&capabilities.to_string())
}

/// Returns the `capabilities` of a client or server without the extension for tasks: the other era has other methods
/// for tasks. Other extensions, such as MCP Apps, are the same in both eras.
pub(crate) fn without_task_extension(capabilities: &str) -> String {
    let mut capabilities = Members::of(capabilities);
    let mut extensions = capabilities.object("extensions");
    if extensions.remove(TASK_EXTENSION) {
        let rest = extensions.to_string();
        capabilities.set("extensions", rest);
    }
    capabilities.to_string()
}

/// Translates a client's request `line` for a server of the era `to`, with the id `id`.
pub(crate) fn request(line: &str, id: RawId<'_>, to: Era, identity: &Identity) -> String {
    let mut message = Members::of(line);
    let params = message.get("params").unwrap_or("{}").to_owned();
    let method = Method::of(&message.text("method").unwrap_or_default());
    message.set("id", id.as_str());
    message.set(
        "params",
        match to {
            Era::Modern => {
                let level = identity.log_level.as_ref().map(OwnedJson::as_raw);
                identity.identify(&params, level)
            }
            Era::Legacy => legacy_params(&params, method),
        },
    );
    message.to_string()
}

/// Translates a modern client's notification `line` for a legacy server.
pub(crate) fn legacy_notification(line: &str) -> String {
    let mut message = Members::of(line);
    if let Some(params) = message.original("params") {
        message.set("params", without_modern_meta(params));
    }
    message.to_string()
}

/// Returns `params` of a request of this method without the members that only a modern server understands.
fn legacy_params(params: &str, method: Method) -> String {
    let params = without_modern_meta(params);
    if !method.may_request_input() {
        return params.into_owned();
    }
    // A legacy server has not requested input by a result.
    let mut params = Members::of(&params);
    for member in RETRY_MEMBERS {
        params.remove(member);
    }
    params.to_string()
}

/// Returns `params` without the members of `_meta` that only a modern server understands. A server over HTTP takes any
/// message with them for one of the modern era.
pub(crate) fn without_modern_meta(params: &str) -> Cow<'_, str> {
    let mut members = Members::of(params);
    let mut inner = members.object("_meta");
    let mut is_changed = false;
    for key in [
        meta::PROTOCOL_VERSION,
        meta::CLIENT_INFO,
        meta::CLIENT_CAPABILITIES,
        meta::LOG_LEVEL,
    ] {
        is_changed |= inner.remove(key);
    }
    if !is_changed {
        return Cow::Borrowed(params);
    }
    if inner.is_empty() {
        members.remove("_meta");
    } else {
        let rest = inner.to_string();
        members.set("_meta", rest);
    }
    Cow::Owned(members.to_string())
}

/// Response translated to another era: a result or an error object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TranslatedResponse {
    Result(String),
    Error(String),
}

impl TranslatedResponse {
    /// Translates the response of a modern server for a client of the era `to`.
    pub(crate) fn for_era(self, method: Method, to: Era) -> Self {
        if to == Era::Modern {
            return self;
        }
        let (result, error) = match &self {
            Self::Result(raw) => (Some(raw.as_str()), None),
            Self::Error(raw) => (None, Some(raw.as_str())),
        };
        let envelope = Envelope {
            result,
            error,
            ..Envelope::default()
        };
        response(method, &envelope, to, None)
    }

    /// Returns the result or the error.
    pub(crate) fn raw(&self) -> &str {
        let (Self::Result(raw) | Self::Error(raw)) = self;
        raw
    }

    /// Returns the reply to send to the client.
    pub(crate) fn reply(&self) -> Reply<'_> {
        match self {
            Self::Result(raw) => Reply::Result(raw),
            Self::Error(raw) => Reply::Error(raw),
        }
    }
}

/// Translates a server's response for a client of the era `to`; `info` is the object with the server's name and
/// version.
pub(crate) fn response(
    method: Method,
    envelope: &Envelope<'_>,
    to: Era,
    info: Option<&str>,
) -> TranslatedResponse {
    match envelope.outcome() {
        Some(Ok(raw)) => match to {
            Era::Modern => {
                TranslatedResponse::Result(modern_result(raw, method == Method::ReadResource, info))
            }
            Era::Legacy => match legacy_result(raw) {
                Ok(result) => TranslatedResponse::Result(result),
                Err(error) if method == Method::CallTool => {
                    TranslatedResponse::Result(tool_error(&error.to_string(), to))
                }
                Err(error) => TranslatedResponse::Error(
                    ErrorObject::new(INVALID_REQUEST, error.to_string()).to_string(),
                ),
            },
        },
        Some(Err(error)) => TranslatedResponse::Error(error_for(error, to).into_owned()),
        None => TranslatedResponse::Error(error_for("{}", to).into_owned()),
    }
}

/// Translates the result of a legacy server for a modern client. `cacheable` results must declare a lifetime; `info` is
/// the object with the server's name and version.
pub(crate) fn modern_result(result: &str, cacheable: bool, info: Option<&str>) -> String {
    if !result.starts_with('{') {
        return result.to_owned();
    }
    let mut result = Members::of(result);
    if let Some(info) = info {
        let old = result.get("_meta").unwrap_or("{}").to_owned();
        let mut members = Members::of(&old);
        if members.get(meta::SERVER_INFO).is_none() {
            members.set(meta::SERVER_INFO, info);
            result.set("_meta", members.to_string());
        }
    }
    if result.get("resultType").is_none() {
        result.set("resultType", "\"complete\"");
    }
    if cacheable {
        result.set("ttlMs", "0");
        result.set("cacheScope", "\"private\"");
    }
    result.to_string()
}

/// Returns the time (ms) for which a modern server allows its result to be cached; None if that is 0 or not given.
pub(crate) fn cache_lifetime(result: &str) -> Option<&str> {
    Members::of(result)
        .original("ttlMs")
        .filter(|time| *time != "0")
}

/// Reason why a legacy client cannot get the result of a modern server.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UntranslatableResult {
    #[error(
        "the server requests input from the client by an `input_required` result, which revision 2026-07-28 allows \
         only for `tools/call`, `prompts/get` and `resources/read`"
    )]
    InputRequired,
    #[error("the server's result has the type `{0}`, which legacy clients do not support")]
    Type(String),
}

/// Translates the result of a modern server for a legacy client.
pub(crate) fn legacy_result(result: &str) -> Result<String, UntranslatableResult> {
    if !result.starts_with('{') {
        return Ok(result.to_owned());
    }
    let mut result = Members::of(result);
    match result.text("resultType").as_deref() {
        None | Some("complete") => {}
        Some("input_required") => return Err(UntranslatableResult::InputRequired),
        Some(other) => return Err(UntranslatableResult::Type(other.to_owned())),
    }
    for member in ["resultType", "ttlMs", "cacheScope"] {
        result.remove(member);
    }
    let structured = result.get("structuredContent");
    if structured.is_some_and(|value| !value.starts_with('{')) {
        result.remove("structuredContent");
    }
    Ok(result.to_string())
}

/// Translates a list entry of a modern server for a legacy client: in the legacy era, an `outputSchema` must
/// describe an object, and its SDKs reject the whole list otherwise.
pub(crate) fn legacy_entry(entry: &str) -> Cow<'_, str> {
    let mut members = Members::of(entry);
    let is_object = |schema: &str| Members::of(schema).text("type").as_deref() == Some("object");
    if members.get("outputSchema").is_none_or(is_object) {
        return Cow::Borrowed(entry);
    }
    members.remove("outputSchema");
    Cow::Owned(members.to_string())
}

/// Translates an error object for a client of the era `to`.
fn error_for(error: &str, to: Era) -> Cow<'_, str> {
    let mut members = Members::of(error);
    let code = match members.get("code") {
        Some(RESOURCE_NOT_FOUND) if to == Era::Modern => INVALID_PARAMS,
        Some(URL_ELICITATION_REQUIRED) if to == Era::Modern => INVALID_REQUEST,
        _ => return Cow::Borrowed(error),
    };
    members.set("code", code.to_string());
    Cow::Owned(members.to_string())
}

/// Returns a result of the proxy's own in the form of the era `to`.
pub(crate) fn own_result(result: &str, to: Era) -> String {
    match to {
        Era::Legacy => result.to_owned(),
        Era::Modern => modern_result(result, false, None),
    }
}

/// Returns the result of a tool call that failed for the reason `message`, readable for a model.
pub(crate) fn tool_error(message: &str, to: Era) -> String {
    let text = quoted(message);
    own_result(
        &format!(r#"{{"content":[{{"type":"text","text":{text}}}],"isError":true}}"#),
        to,
    )
}

/// Returns the `initialize` result for a server that answered `server/discover` with `discovered`, for a client that
/// requested the revision `requested`.
pub(crate) fn initialize_result(discovered: &str, requested: &str) -> String {
    let discovered = Members::of(discovered);
    let info = discovered
        .object("_meta")
        .get(meta::SERVER_INFO)
        .map_or_else(own_info, ToOwned::to_owned);
    let capabilities = without_task_extension(discovered.get("capabilities").unwrap_or("{}"));
    let mut result = Members::default();
    result.set("protocolVersion", quoted(legacy_version(requested)));
    result.set("capabilities", generous(&capabilities));
    result.set("serverInfo", info);
    if let Some(instructions) = discovered.get("instructions") {
        result.set("instructions", instructions.to_owned());
    }
    result.to_string()
}

/// Returns the `server/discover` result for a server that answered `initialize` with `initialized`.
pub(crate) fn discover_result(initialized: &str) -> String {
    let initialized = Members::of(initialized);
    let mut capabilities = Members::of(initialized.get("capabilities").unwrap_or("{}"));
    capabilities.remove("tasks");
    let info = initialized
        .get("serverInfo")
        .map_or_else(own_info, ToOwned::to_owned);
    let mut result = Members::default();
    result.set("supportedVersions", format!("[{}]", quoted(MODERN)));
    result.set("capabilities", generous(&capabilities.to_string()));
    if let Some(instructions) = initialized.get("instructions") {
        result.set("instructions", instructions.to_owned());
    }
    modern_result(&result.to_string(), true, Some(&info))
}

/// Returns the proxy's own name and version, for a server that did not send its own.
pub(crate) fn own_info() -> String {
    format!(
        r#"{{"name":"mcp-proxy","version":"{}"}}"#,
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests;
