//! Requests of servers for input from a client of the other era. Those in the result of a modern server become requests
//! to a legacy client, and the server gets the responses with its own request again. Those of a legacy server become a
//! result for a modern client, whose next request brings the responses.

mod urls;

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{TranslatedResponse, modern_result, tool_error};
use crate::jsonrpc::{
    ErrorObject, INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, Members,
    quoted, unquoted,
};
use crate::mcp::{Era, MISSING_CAPABILITY, Method, union};
pub(crate) use urls::{RequiredUrls, is_accepted};

/// Members of params that a repeated request adds: the client's input, and the state that came with the request for it.
pub(crate) const RETRY_MEMBERS: [&str; 2] = ["inputResponses", "requestState"];

/// Maximum number of times that a server may request input for one call.
pub(crate) const MAX_ROUNDS: u8 = 8;

/// Result of a modern server that requests input from its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputRequired {
    /// Requests for the client.
    pub(crate) requests: Vec<InputRequest>,
    /// Server's `requestState`, as a raw string.
    state: Option<String>,
}

/// One request for input from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputRequest {
    /// Name of the request among those of one result, as a raw string.
    key: String,
    /// Method of the request.
    pub(crate) method: String,
    /// Object with the params, if there are any.
    pub(crate) params: Option<String>,
}

/// Reason why a server does not get the input that it requests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InputError {
    #[error("`{0}` requested input from the client, but its result contains no request")]
    Empty(String),
    #[error("`{0}` requested input from the client by the unknown method `{1}`")]
    UnknownMethod(String, String),
    /// The value is an object with the missing capabilities.
    #[error(
        "`{0}` requested input from the client by `{1}`, which needs the capabilities {2} that this client does not \
         declare; use a client that does"
    )]
    Undeclared(String, String, Value),
    #[error("`{0}` requested input more than {max} times for one request", max = MAX_ROUNDS)]
    TooManyRounds(String),
    #[error("`{0}` requested input from the client by `{1}`, but the client did not respond")]
    NoResponse(String, String),
    /// The last value is the reason.
    #[error("`{0}` requested input from the client by `{1}`, but the client cannot be asked: {2}")]
    Unreachable(String, String, &'static str),
    /// The last value is the client's error object.
    #[error(
        "`{0}` requested input from the client by `{1}`, and the client responded with the error: {text}",
        text = message_of(.2)
    )]
    Refused(String, String, String),
    /// Method of a legacy server that has no counterpart in the modern era.
    #[error(
        "`{0}` cannot be forwarded: the client uses revision 2026-07-28, in which servers request input by an \
         `input_required` result"
    )]
    NoCounterpart(String),
    #[error(
        "`{0}` requested input from the client by `{1}` outside of a request: a client of revision 2026-07-28 gives input \
         only during `tools/call`, `prompts/get` and `resources/read`"
    )]
    NoRequest(String, String),
    #[error(
        "`{0}` requested input by `{1}` while it answers requests of several clients, and does not say to which of \
         them that belongs; it may not ask the wrong client. Repeat the request when those of the other clients have \
         ended: one that has waited for its client's input for a minute ends when another client needs its place"
    )]
    Ambiguous(String, String),
    #[error(
        "`{0}` requested input from the client, but too many requests wait for their clients' input already"
    )]
    TooManyWaiting(String),
    #[error("`{0}` requested input from the client, but the client has disconnected")]
    ClientGone(String),
    #[error(
        "`{0}` requested the roots outside of a request and responds to nothing meanwhile: a client of revision 2026-07-28 \
         gives them only during its next call, after which `{0}` is notified of changed roots"
    )]
    RootsAwaited(String),
    #[error("`{0}` requested input for a request that has ended meanwhile")]
    RequestEnded(String),
    #[error(
        "`{0}` requested input by `{1}`, which the client cannot give, and the page does not stand in for the client \
         any more"
    )]
    StandInOff(String, String),
    #[error(
        "`{0}` requested input by `{1}` with params that are too long for the page, which stands in for the client"
    )]
    TooLong(String, String),
}

impl InputRequired {
    /// Returns the requests in `result`; None if the result requests no input.
    pub(crate) fn of(result: &str) -> Option<Self> {
        // A result may be long, and most of them request nothing.
        memchr::memmem::find(result.as_bytes(), b"input_required")?;
        let result = Members::of(result);
        if result.text("resultType")? != "input_required" {
            return None;
        }
        let requests = result.original("inputRequests");
        let requests = requests.filter(|raw| *raw != "null").unwrap_or("{}");
        // Without its requests, the state alone would have the call sent again without the input.
        let has_state = is_object(Some(requests));
        let requests = Members::of(requests);
        let request = |(key, request): (Cow<'_, str>, Cow<'_, str>)| {
            let request = Members::of(&request);
            InputRequest {
                key: key.into_owned(),
                method: request.text("method").unwrap_or_default().into_owned(),
                params: request.get("params").map(ToOwned::to_owned),
            }
        };
        Some(Self {
            requests: requests.into_raw().map(request).collect(),
            state: result
                .get("requestState")
                .filter(|_| has_state)
                .map(ToOwned::to_owned),
        })
    }

    /// Checks that a client with these `capabilities` can give the input that `server` requests.
    pub(crate) fn check(&self, server: &str, capabilities: &str) -> Result<(), InputError> {
        if self.requests.is_empty() && self.state.is_none() {
            return Err(InputError::Empty(server.to_owned()));
        }
        let mut requests = self.requests.iter();
        requests.try_for_each(|request| request.check(server, capabilities))
    }

    /// Returns the request in `line` with the `results` that there are, which are raw and in the order of the requests.
    pub(crate) fn answered(&self, line: &str, results: &[Option<String>]) -> String {
        let mut message = Members::of(line);
        let old = message.get("params").unwrap_or("{}").to_owned();
        let mut params = Members::of(&old);
        for member in RETRY_MEMBERS {
            params.remove(member);
        }
        if !self.requests.is_empty() {
            let pairs = self.requests.iter().zip(results);
            let pairs = pairs.filter_map(|(request, result)| {
                let result = result.as_ref()?;
                Some(format!("{}:{result}", request.key))
            });
            let responses = pairs.collect::<Vec<_>>().join(",");
            params.set("inputResponses", format!("{{{responses}}}"));
        }
        if let Some(state) = &self.state {
            params.set("requestState", state.as_str());
        }
        message.set("params", params.to_string());
        message.to_string()
    }
}

impl InputRequest {
    /// Creates a request for the client's roots, the only one of its result.
    pub(crate) fn roots() -> Self {
        Self {
            key: "\"1\"".to_owned(),
            method: "roots/list".to_owned(),
            params: None,
        }
    }

    /// Creates it from a legacy server's own request. `number` must be unique among the requests of the server.
    pub(crate) fn of_legacy(
        number: u64,
        method: &str,
        params: Option<&str>,
    ) -> Result<Self, InputError> {
        let request = Self {
            key: format!("\"{number}\""),
            method: method.to_owned(),
            params: params.map(ToOwned::to_owned),
        };
        match request.required() {
            Some(_) => Ok(request),
            None => Err(InputError::NoCounterpart(request.method)),
        }
    }

    /// Checks that a client with these `capabilities` can give the input, which `server` requests.
    pub(crate) fn check(&self, server: &str, capabilities: &str) -> Result<(), InputError> {
        let (server, method) = (server.to_owned(), self.method.clone());
        let Some(required) = self.required() else {
            return Err(InputError::UnknownMethod(server, method));
        };
        if is_declared(&Members::of(capabilities), self) {
            Ok(())
        } else {
            Err(InputError::Undeclared(server, method, required))
        }
    }

    /// Returns the client's response in `responses`, the `inputResponses` of its request: a raw object.
    pub(crate) fn response<'a>(&self, responses: &'a Members<'_>) -> Option<&'a str> {
        let response = responses.get(&unquoted(&self.key)?)?;
        response.starts_with('{').then_some(response)
    }

    /// Returns the request in the form of the modern era, without the members that only the legacy era has.
    fn modern(&self) -> String {
        let mut params = Members::of(self.params.as_deref().unwrap_or("{}"));
        params.remove("_meta");
        params.remove("task");
        if self.method == "elicitation/create" {
            params.remove("elicitationId");
            if params.get("mode").is_none() {
                params.set("mode", r#""form""#);
            }
        }
        let method = quoted(&self.method);
        if params.is_empty() {
            format!(r#"{{"method":{method}}}"#)
        } else {
            format!(r#"{{"method":{method},"params":{params}}}"#)
        }
    }

    /// Returns the params for a legacy client. Its requests for a URL have an id: `new_id`, if the server gave none.
    pub(crate) fn legacy_params(&self, new_id: impl FnOnce() -> String) -> Option<Cow<'_, str>> {
        let raw = self.params.as_deref()?;
        let mut params = Members::of(raw);
        if !self.is_for_url() || params.get("elicitationId").is_some() {
            return Some(Cow::Borrowed(raw));
        }
        params.set("elicitationId", quoted(&new_id()));
        Some(Cow::Owned(params.to_string()))
    }

    /// Returns true if the request is for the client's roots.
    pub(crate) fn is_for_roots(&self) -> bool {
        self.method == "roots/list"
    }

    /// Returns true if the client shows a URL to its user.
    fn is_for_url(&self) -> bool {
        let params = Members::of(self.params.as_deref().unwrap_or("{}"));
        self.method == "elicitation/create" && params.text("mode").as_deref() == Some("url")
    }

    /// Returns true if the client lets its model call tools of the server.
    fn has_tools(&self) -> bool {
        let params = Members::of(self.params.as_deref().unwrap_or("{}"));
        params.get("tools").is_some() || params.get("toolChoice").is_some()
    }

    /// Returns the capabilities that a client needs for it; None for an unknown method.
    fn required(&self) -> Option<Value> {
        Some(match &*self.method {
            "elicitation/create" if self.is_for_url() => json!({"elicitation": {"url": {}}}),
            "elicitation/create" => json!({"elicitation": {"form": {}}}),
            "sampling/createMessage" if self.has_tools() => json!({"sampling": {"tools": {}}}),
            "sampling/createMessage" => json!({"sampling": {}}),
            "roots/list" => json!({"roots": {}}),
            _ => return None,
        })
    }
}

/// Returns the result that requests input from a modern client. The client repeats its request with the responses and
/// `state`; `info` is the object with the server's name and version.
pub(crate) fn input_required(requests: &[InputRequest], state: &str, info: Option<&str>) -> String {
    let pairs = requests
        .iter()
        .map(|it| format!("{}:{}", it.key, it.modern()));
    let (requests, state) = (pairs.collect::<Vec<_>>().join(","), quoted(state));
    let result = format!(
        r#"{{"resultType":"input_required","inputRequests":{{{requests}}},"requestState":{state}}}"#
    );
    modern_result(&result, false, info)
}

/// Returns the raw state of an earlier request for input if the request in `line` has it, so that it continues a call.
pub(crate) fn request_state(line: &str) -> Option<&str> {
    // A request may be long, and most of them have none.
    memchr::memmem::find(line.as_bytes(), b"requestState")?;
    let params = Members::of(line).original("params")?;
    let state = Members::of(params).original("requestState")?;
    (state != "null").then_some(state)
}

/// Returns the request in `line`, which repeats the one in `original`, with no other input than that one.
pub(crate) fn with_input_of(original: &str, line: &str) -> String {
    let original = Members::of(original);
    let original = original.object("params");
    let mut message = Members::of(line);
    let params = message.get("params").unwrap_or("{}").to_owned();
    let mut params = Members::of(&params);
    for member in RETRY_MEMBERS {
        match original.get(member) {
            Some(value) => params.set(member, value),
            None => drop(params.remove(member)),
        }
    }
    message.set("params", params.to_string());
    message.to_string()
}

/// Returns the error for a state that belongs to no call, as official servers word it.
pub(crate) fn invalid_state() -> ErrorObject {
    ErrorObject {
        data: Some(json!({ "reason": "invalid_request_state" })),
        ..ErrorObject::new(INVALID_PARAMS, "Invalid or expired requestState")
    }
}

/// Returns those of the `capabilities` of a client that let a server request input, with their known members only: the
/// union over any number of clients stays small.
pub(crate) fn input_capabilities(capabilities: &str) -> String {
    let declared = Members::of(capabilities);
    let has = |kind: &str, member: &str| declared.object(kind).get(member).is_some();
    let known = [
        (shows_forms(&declared), r#"{"elicitation":{"form":{}}}"#),
        (has("elicitation", "url"), r#"{"elicitation":{"url":{}}}"#),
        (is_object(declared.get("sampling")), r#"{"sampling":{}}"#),
        (has("sampling", "tools"), r#"{"sampling":{"tools":{}}}"#),
        (is_object(declared.get("roots")), r#"{"roots":{}}"#),
    ];
    let declared = known.into_iter().filter(|(is_declared, _)| *is_declared);
    union(&declared.map(|(_, raw)| raw).collect::<Vec<_>>())
}

/// Returns true if a client with the capabilities `declared` supports the request.
pub(super) fn is_declared(declared: &Members<'_>, request: &InputRequest) -> bool {
    let has = |kind: &str, member: &str| declared.object(kind).get(member).is_some();
    match &*request.method {
        "elicitation/create" if request.is_for_url() => has("elicitation", "url"),
        "elicitation/create" => shows_forms(declared),
        "sampling/createMessage" if request.has_tools() => has("sampling", "tools"),
        "sampling/createMessage" => is_object(declared.get("sampling")),
        _ => is_object(declared.get("roots")),
    }
}

pub(super) fn is_object(raw: Option<&str>) -> bool {
    raw.is_some_and(|raw| raw.starts_with('{'))
}

/// Returns true if a client with these capabilities can show a form to its user. An `elicitation` without modes means
/// forms; one that names only `url` excludes them.
pub(crate) fn shows_forms(capabilities: &Members<'_>) -> bool {
    let modes = capabilities.object("elicitation");
    is_object(capabilities.get("elicitation"))
        && (modes.get("form").is_some() || modes.get("url").is_none())
}

impl InputError {
    /// Returns the response to the client's request of this method and era.
    pub(crate) fn response(&self, method: Method, era: Era) -> TranslatedResponse {
        let message = self.to_string();
        if method == Method::CallTool {
            // A model reads only results.
            return TranslatedResponse::Result(tool_error(&message, era));
        }
        match self {
            Self::Refused(.., error) => TranslatedResponse::Error(error.clone()),
            _ => TranslatedResponse::Error(self.object().to_string()),
        }
    }

    /// Returns the error object for the server or the client that gets no input.
    pub(crate) fn object(&self) -> ErrorObject {
        let code = match self {
            Self::Undeclared(..) => MISSING_CAPABILITY,
            Self::NoCounterpart(_) => METHOD_NOT_FOUND,
            Self::NoRequest(..) | Self::Ambiguous(..) => INVALID_REQUEST,
            _ => INTERNAL_ERROR,
        };
        let data = match self {
            Self::Undeclared(.., required) => Some(json!({ "requiredCapabilities": required })),
            _ => None,
        };
        ErrorObject {
            data,
            ..ErrorObject::new(code, self.to_string())
        }
    }
}

/// Returns the message of an error object.
fn message_of(error: &str) -> String {
    let message = Members::of(error).original("message").and_then(unquoted);
    message.map_or_else(|| error.to_owned(), Cow::into_owned)
}

#[cfg(test)]
mod tests;
