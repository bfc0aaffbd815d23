//! Input that a person gives on the page in the place of clients that cannot.

use super::input::{is_declared, is_object, shows_forms};
use super::{InputRequest, InputRequired};
use crate::jsonrpc::{Members, quoted};
use crate::mcp::{meta, union};

/// Capabilities of the person. Tools of a server are for a model.
const CAPABILITIES: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{}}"#;

/// Returns the `capabilities` of a client with those that the person adds.
pub(crate) fn with_stand_in(capabilities: &str) -> String {
    union(&[capabilities, CAPABILITIES])
}

/// Returns true if the person adds any to the `capabilities` of a client.
pub(crate) fn lacks_input(capabilities: &str) -> bool {
    let declared = Members::of(capabilities);
    let shows_urls = declared.object("elicitation").get("url").is_some();
    !(shows_forms(&declared) && shows_urls && is_object(declared.get("sampling")))
}

/// Returns the request of a modern client in `line` with the capabilities that the person adds.
pub(crate) fn with_stand_in_declared(line: &str) -> String {
    let mut message = Members::of(line);
    let params = message.get("params").unwrap_or("{}").to_owned();
    let mut params = Members::of(&params);
    let inner = params.get("_meta").unwrap_or("{}").to_owned();
    let mut inner = Members::of(&inner);
    let declared = with_stand_in(inner.get(meta::CLIENT_CAPABILITIES).unwrap_or("{}"));
    inner.set(meta::CLIENT_CAPABILITIES, declared);
    params.set("_meta", inner.to_string());
    message.set("params", params.to_string());
    message.to_string()
}

impl InputRequired {
    /// Returns the `result` that it was read from, for the client: without the requests that have a value in `given`,
    /// and with the state `state`.
    pub(crate) fn rest_of(result: &str, given: &[Option<String>], state: &str) -> String {
        let mut result = Members::of(result);
        let requests = result.get("inputRequests").unwrap_or("{}").to_owned();
        let pairs = Members::of(&requests).into_raw().zip(given);
        let rest = pairs.filter_map(|(request, given)| given.is_none().then_some(request));
        result.set(
            "inputRequests",
            Members::from_raw(rest.collect()).to_string(),
        );
        result.set("requestState", quoted(state));
        result.to_string()
    }

    /// Returns the results of all its requests: those in `given`, and those of the client in its `responses`.
    pub(crate) fn completed(
        &self,
        given: &[Option<String>],
        responses: &Members<'_>,
    ) -> Vec<Option<String>> {
        let pairs = self.requests.iter().zip(given);
        let complete = |(request, given): (&InputRequest, &Option<String>)| {
            let of_client = || request.response(responses).map(ToOwned::to_owned);
            given.clone().or_else(of_client)
        };
        pairs.map(complete).collect()
    }
}

/// Returns true if the person can answer `request`, and a client with these `capabilities` cannot.
pub(crate) fn needs_stand_in(request: &InputRequest, capabilities: &str) -> bool {
    let is_declared = |capabilities| is_declared(&Members::of(capabilities), request);
    !is_declared(capabilities) && is_declared(CAPABILITIES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_capabilities_are_added() {
        for (declared, expected) in [
            (
                "{}",
                r#"{"elicitation":{"form":{},"url":{}},"sampling":{}}"#,
            ),
            // An empty object means forms, and one with URLs alone excludes them.
            (
                r#"{"roots":{},"elicitation":{}}"#,
                r#"{"roots":{},"elicitation":{"form":{},"url":{}},"sampling":{}}"#,
            ),
            (
                r#"{"elicitation":{"url":{"a":1E2}},"sampling":{"tools":{}}}"#,
                r#"{"elicitation":{"url":{"a":1E2},"form":{}},"sampling":{"tools":{}}}"#,
            ),
        ] {
            assert_eq!(with_stand_in(declared), expected, "{declared}");
            assert!(lacks_input(declared) && !lacks_input(expected));
            let line = |capabilities| {
                let inner = format!(
                    r#"{{"a":1E2,"io.modelcontextprotocol/clientCapabilities":{capabilities}}}"#
                );
                format!(r#"{{"id":"\ud83d","params":{{"_meta":{inner},"name":"t"}}}}"#)
            };
            assert_eq!(with_stand_in_declared(&line(declared)), line(expected));
        }
    }

    #[test]
    fn the_client_gives_the_rest_of_the_input() {
        let [a, b, c] = [r#""a":{"n":1E2}"#, r#""\u00e9":{}"#, r#""c":{"n":3}"#];
        let result = |requests: &str, state: &str| {
            format!(
                r#"{{"resultType":"input_required","inputRequests":{{{requests}}},"requestState":"{state}","x":-0}}"#
            )
        };
        let of_server = result(&format!("{a},{b},{c}"), "s");
        let required = InputRequired::of(&of_server).unwrap();
        let given = [None, Some("{}".to_owned()), None];
        assert_eq!(
            InputRequired::rest_of(&of_server, &given, "own"),
            result(&format!("{a},{c}"), "own")
        );
        // The person's answer is not the client's to replace.
        let responses = r#"{"c":{"n":4},"é":{"n":5},"d":{}}"#;
        let results = required.completed(&given, &Members::of(responses));
        assert_eq!(
            required.answered(r#"{"params":{"requestState":"own"}}"#, &results),
            r#"{"params":{"inputResponses":{"\u00e9":{},"c":{"n":4}},"requestState":"s"}}"#
        );
    }

    #[test]
    fn a_request_that_the_client_can_answer_goes_to_the_client() {
        let form = ("elicitation/create", r#"{"requestedSchema":{}}"#);
        let url = ("elicitation/create", r#"{"mode":"url"}"#);
        let sampling = ("sampling/createMessage", "{}");
        let with_tools = ("sampling/createMessage", r#"{"tools":[]}"#);
        for (request, declared, expected) in [
            (form, "{}", true),
            (form, r#"{"elicitation":{}}"#, false),
            (form, r#"{"elicitation":{"url":{}}}"#, true),
            (url, r#"{"elicitation":{}}"#, true),
            (url, r#"{"elicitation":{"url":{}}}"#, false),
            (sampling, "{}", true),
            (sampling, r#"{"sampling":{}}"#, false),
            (with_tools, "{}", false),
            (("roots/list", "{}"), "{}", false),
        ] {
            let (method, params) = request;
            let request = InputRequest::of_legacy(1, method, Some(params)).unwrap();
            let needs = needs_stand_in(&request, declared);
            assert_eq!(needs, expected, "{method} {params} {declared}");
        }
    }
}
