//! Input that a person gives on the page in the place of clients that cannot.

use super::InputRequest;
use super::input::is_declared;
use crate::jsonrpc::Members;
use crate::mcp::union;

/// Capabilities of the person. Tools of a server are for a model.
const CAPABILITIES: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{}}"#;

/// Returns the `capabilities` of a client with those that the person adds.
pub(crate) fn with_stand_in(capabilities: &str) -> String {
    union(&[capabilities, CAPABILITIES])
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
        }
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
