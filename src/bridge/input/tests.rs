use super::*;
use crate::jsonrpc::is_error_object;

/// Returns a request for input with these members of its result.
fn requested(members: &str) -> InputRequired {
    InputRequired::of(&format!(r#"{{"resultType":"input_required",{members}}}"#)).unwrap()
}

/// Returns the only request of a result.
fn request(method: &str, params: &str) -> InputRequired {
    requested(&format!(
        r#""inputRequests":{{"k":{{"method":"{method}","params":{params}}}}}"#
    ))
}

#[test]
fn only_a_result_of_that_type_requests_input() {
    for (result, expected) in [
        (r#"{"resultType":"input_required"}"#, true),
        (
            r#"{"requestState":"s","resultType":"input_required"}"#,
            true,
        ),
        (r#"{"resultType":"complete","x":"input_required"}"#, false),
        (r#"{"content":[{"resultType":"input_required"}]}"#, false),
        (r#"["input_required"]"#, false),
        (r#"{"resultType":"complete"}"#, false),
    ] {
        assert_eq!(InputRequired::of(result).is_some(), expected, "{result}");
    }
}

#[test]
fn requests_that_cannot_be_read_are_none_and_no_state_replaces_them() {
    for (requests, is_sent_again) in [
        ("{}", true),
        ("null", true),
        (r#""oops""#, false),
        ("[]", false),
        (r#"[{"method":"roots/list"}]"#, false),
        ("true", false),
        (r#"{"k":"roots/list"}"#, false),
    ] {
        let members = format!(r#""inputRequests":{requests},"requestState":"s""#);
        let checked = requested(&members).check("a", r#"{"roots":{}}"#);
        assert_eq!(checked.is_ok(), is_sent_again, "{requests}: {checked:?}");
    }
}

/// Request without the end of its params.
const CALL: &str =
    r#"{"id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":1E5},"_meta":{"x":-0}"#;

#[test]
fn results_of_the_client_go_back_under_the_servers_names() {
    let input = requested(
        r#""inputRequests":{"a\/\ud83d":{"method":"roots/list"},"b\"":{"method":"elicitation/create"}},"requestState":"\u00e9\ud83d""#,
    );
    let results =
        [r#"{"roots":[ ]}"#, r#"{"action":"accept","n":1.0}"#].map(|it| Some(it.to_owned()));
    let retry = input.answered(&format!("{CALL}}}}}"), &results);
    let responses = r#"{"a\/\ud83d":{"roots":[ ]},"b\"":{"action":"accept","n":1.0}}"#;
    let added = format!(r#","inputResponses":{responses},"requestState":"\u00e9\ud83d"}}}}"#);
    assert_eq!(retry, format!("{CALL}{added}"));

    // The members of an earlier round do not stay.
    let next = requested(r#""requestState":"2""#).answered(&retry, &[]);
    assert_eq!(next, format!(r#"{CALL},"requestState":"2"}}}}"#));
}

#[test]
fn only_a_request_with_a_state_continues_another() {
    for (line, expected) in [
        (r#"{"params":{"requestState":"s"}}"#, true),
        (r#"{"params":{"requestState":""}}"#, true),
        (r#"{"params":{"requestState":1}}"#, true),
        (r#"{"params":{"requestState":null}}"#, false),
        (r#"{"params":{"arguments":{"requestState":"s"}}}"#, false),
        (r#"{"requestState":"s","params":["requestState"]}"#, false),
        (r#"{"params":{"inputResponses":{}}}"#, false),
    ] {
        assert_eq!(request_state(line).is_some(), expected, "{line}");
    }
    let expected = r#"{"code":-32602,"message":"Invalid or expired requestState","data":{"reason":"invalid_request_state"}}"#;
    assert_eq!(invalid_state().to_string(), expected);
}

#[test]
fn a_client_is_asked_only_for_the_input_that_it_declares() {
    let form = request("elicitation/create", r#"{"message":"m"}"#);
    let url = request("elicitation/create", r#"{"mode":"url","url":"u"}"#);
    let sampling = request("sampling/createMessage", "{}");
    let tools = request("sampling/createMessage", r#"{"tools":[]}"#);
    let roots = request("roots/list", "{}");
    for (capabilities, expected) in [
        ("{}", [false, false, false, false, false]),
        (r#"{"elicitation":{}}"#, [true, false, false, false, false]),
        (
            r#"{"elicitation":{"url":{}},"roots":{"listChanged":true}}"#,
            [false, true, false, false, true],
        ),
        (
            r#"{"elicitation":{"url":{},"form":{}},"sampling":{}}"#,
            [true, true, true, false, false],
        ),
        (
            r#"{"sampling":{"tools":{}}}"#,
            [false, false, true, true, false],
        ),
        (
            r#"{"elicitation":null,"sampling":1,"roots":[]}"#,
            [false; 5],
        ),
    ] {
        let inputs = [&form, &url, &sampling, &tools, &roots];
        let allowed = inputs.map(|input| input.check("s", capabilities).is_ok());
        assert_eq!(allowed, expected, "{capabilities}");
    }
}

#[test]
fn a_request_that_no_client_can_answer_is_an_error() {
    let all = r#"{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{}}"#;
    for (members, word) in [
        (r#""inputRequests":{}"#, "no request"),
        (r#""inputRequests":[1]"#, "no request"),
        (
            r#""inputRequests":{"a":{"method":"vendor/x"}}"#,
            "`vendor/x`",
        ),
        (r#""inputRequests":{"a":{}}"#, "unknown method ``"),
    ] {
        let error = requested(members).check("weather", all).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(word) && text.contains("`weather`"), "{text}");
    }
    let waits = requested(r#""requestState":"later""#);
    assert_eq!(waits.check("s", "{}"), Ok(()));
}

#[test]
fn a_url_has_an_id_for_a_legacy_client() {
    for (method, params, expected) in [
        (
            "elicitation/create",
            r#"{"mode":"url","url":"u","x":1E5}"#,
            r#"{"mode":"url","url":"u","x":1E5,"elicitationId":"new"}"#,
        ),
        (
            "elicitation/create",
            r#"{"mode":"url","elicitationId":7}"#,
            r#"{"mode":"url","elicitationId":7}"#,
        ),
        (
            "elicitation/create",
            r#"{"mode":"form" }"#,
            r#"{"mode":"form" }"#,
        ),
        (
            "sampling/createMessage",
            r#"{"mode":"url"}"#,
            r#"{"mode":"url"}"#,
        ),
    ] {
        let input = request(method, params);
        let legacy = input.requests[0].legacy_params(|| "new".to_owned());
        assert_eq!(legacy.as_deref(), Some(expected));
    }
    let roots = requested(r#""inputRequests":{"r":{"method":"roots/list"}}"#);
    assert_eq!(roots.requests[0].legacy_params(String::new), None);
}

#[test]
fn a_failure_is_told_to_the_model_or_to_the_client() {
    let refused = r#"{"code":-32600,"message":"Elicitation not \"supported\"","data":1E5}"#;
    let [server, method] = ["weather", "roots/list"].map(ToOwned::to_owned);
    let undeclared = request("roots/list", "{}")
        .check("weather", "{}")
        .unwrap_err();
    for (error, word) in [
        (InputError::TooManyRounds(server.clone()), "8 times"),
        (
            InputError::NoResponse(server.clone(), method.clone()),
            "did not respond",
        ),
        (undeclared.clone(), r#"{"roots":{}}"#),
        (
            InputError::Refused(server, method, refused.to_owned()),
            "not \"supported\"",
        ),
    ] {
        let TranslatedResponse::Result(result) = error.response(Method::CallTool, Era::Legacy)
        else {
            panic!("{error}");
        };
        let result: Value = serde_json::from_str(&result).unwrap();
        assert_eq!(result["isError"], true);
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(word) && text.contains("`weather`"), "{text}");
        let TranslatedResponse::Error(object) = error.response(Method::GetPrompt, Era::Legacy)
        else {
            panic!("{error}");
        };
        assert!(is_error_object(&object), "{object}");
        if matches!(error, InputError::Refused(..)) {
            assert_eq!(object, refused);
        }
    }
    let TranslatedResponse::Error(object) = undeclared.response(Method::ReadResource, Era::Legacy)
    else {
        panic!("{undeclared}");
    };
    let object: Value = serde_json::from_str(&object).unwrap();
    assert_eq!(object["code"], -32021);
    assert_eq!(
        object["data"],
        json!({"requiredCapabilities": {"roots": {}}})
    );
}

#[test]
fn a_client_shows_forms_unless_it_has_only_another_way() {
    for (capabilities, expected) in [
        (r#"{"elicitation":{}}"#, true),
        (r#"{"elicitation":{"form":{}}}"#, true),
        (r#"{"elicitation":{"form":{},"url":{}}}"#, true),
        (r#"{"elicitation":{"url":{}}}"#, false),
        (r#"{"elicitation":{"vendor":{}}}"#, true),
        (r#"{"elicitation":null}"#, false),
        (r#"{"elicitation":false}"#, false),
        (r#"{"elicitation":[]}"#, false),
        (r#"{"Elicitation":{}}"#, false),
        (r#"{"sampling":{}}"#, false),
        ("{}", false),
        ("null", false),
    ] {
        let members = Members::of(capabilities);
        assert_eq!(shows_forms(&members), expected, "{capabilities}");
    }
}

/// Returns a legacy server's own request.
fn legacy(method: &str, params: Option<&str>) -> Result<InputRequest, InputError> {
    InputRequest::of_legacy(7, method, params)
}

#[test]
fn requests_of_a_legacy_server_lose_what_only_their_era_has() {
    for (method, params, expected) in [
        ("roots/list", None, r#""7":{"method":"roots/list"}"#),
        (
            "roots/list",
            Some(r#"{"_meta":{"progressToken":4}}"#),
            r#""7":{"method":"roots/list"}"#,
        ),
        (
            "sampling/createMessage",
            Some(
                r#"{"_meta":{"progressToken":4},"maxTokens":1.0,"task":{"ttl":1},"x":[ "\ud83d" ]}"#,
            ),
            r#""7":{"method":"sampling/createMessage","params":{"maxTokens":1.0,"x":[ "\ud83d" ]}}"#,
        ),
        (
            "elicitation/create",
            Some(r#"{"message":"é","requestedSchema":{"maximum":1E5}}"#),
            r#""7":{"method":"elicitation/create","params":{"message":"é","requestedSchema":{"maximum":1E5},"mode":"form"}}"#,
        ),
        (
            "elicitation/create",
            Some(r#"{"mode":"url","url":"u","elicitationId":"el-1","task":{}}"#),
            r#""7":{"method":"elicitation/create","params":{"mode":"url","url":"u"}}"#,
        ),
    ] {
        let request = legacy(method, params).unwrap();
        let result = input_required(&[request], "s\"", Some(r#"{"name":"n"}"#));
        let expected = format!(
            r#"{{"resultType":"input_required","inputRequests":{{{expected}}},"requestState":"s\"","_meta":{{"io.modelcontextprotocol/serverInfo":{{"name":"n"}}}}}}"#
        );
        assert_eq!(result, expected);
    }
    let error = legacy("vendor/x", None).unwrap_err().object();
    assert_eq!(error.code, -32601);
    assert!(error.message.contains("2026-07-28"), "{}", error.message);
}

#[test]
fn only_an_object_is_a_response() {
    let request = legacy("roots/list", None).unwrap();
    for (responses, expected) in [
        (r#"{"\u0037":{"roots":[1E5]}}"#, Some(r#"{"roots":[1E5]}"#)),
        (r#"{"7":null}"#, None),
        (r#"{"7":"x"}"#, None),
        (r#"{"70":{}}"#, None),
        ("{}", None),
    ] {
        assert_eq!(request.response(&Members::of(responses)), expected);
    }
}

#[test]
fn a_server_learns_the_code_of_the_capability_that_its_client_lacks() {
    let request = legacy("elicitation/create", Some(r#"{"mode":"url"}"#)).unwrap();
    let error = request.check("a", r#"{"elicitation":{}}"#).unwrap_err();
    let error = error.object();
    assert_eq!(error.code, -32021);
    let expected = json!({"requiredCapabilities": {"elicitation": {"url": {}}}});
    assert_eq!(error.data, Some(expected));
    for error in [InputError::NoRequest, InputError::Ambiguous] {
        let error = error("a".to_owned(), "roots/list".to_owned()).object();
        assert_eq!(error.code, -32600);
        assert!(error.message.contains("`a`"), "{}", error.message);
    }
}

#[test]
fn the_capabilities_to_give_input_are_reduced_to_the_known_ones() {
    for (declared, expected) in [
        ("{}", "{}"),
        (r#"{"elicitation":{}}"#, r#"{"elicitation":{"form":{}}}"#),
        (
            r#"{"elicitation":{"url":{"x":1}},"sampling":{"tools":{},"x":1},"roots":{"listChanged":true},"y":1}"#,
            r#"{"elicitation":{"url":{}},"sampling":{"tools":{}},"roots":{}}"#,
        ),
        (r#"{"sampling":true,"roots":[]}"#, "{}"),
    ] {
        assert_eq!(input_capabilities(declared), expected);
    }
}

/// The error of a server that requires its user to open the URLs in `entries` first.
fn urls_in(entries: &str) -> Option<RequiredUrls> {
    let data = format!(r#"{{"elicitations":{entries}}}"#);
    RequiredUrls::of(&format!(r#"{{"code":-32042,"message":"m","data":{data}}}"#))
}

#[test]
fn an_error_requires_urls() {
    let url = r#"{"mode":"url","message":"m","url":"u","elicitationId":"e","_meta":{"a":1}}"#;
    let found = urls_in(&format!(r#"[{url},{{"mode":"url","url":"v"}}]"#)).unwrap();
    assert_eq!(found.ids, ["e"]);
    let result = input_required(&found.requests, "s", None);
    let expected = r#"{"1":{"method":"elicitation/create","params":{"mode":"url","message":"m","url":"u"}},"2":{"method":"elicitation/create","params":{"mode":"url","url":"v"}}}"#;
    assert!(result.contains(expected), "{result}");
    for (responses, are_accepted) in [
        (
            r#"{"1":{"action":"accept"},"2":{"action":"accept","content":{}}}"#,
            true,
        ),
        (
            r#"{"1":{"action":"accept"},"2":{"action":"cancel"}}"#,
            false,
        ),
        (r#"{"1":{"action":"accept"}}"#, false),
        (r#"{"1":"accept","2":"accept"}"#, false),
        ("{}", false),
    ] {
        let responses = Members::of(responses);
        assert_eq!(found.are_accepted(&responses), are_accepted);
    }
    for entries in [
        "[]",
        "{}",
        "1",
        r#"[{"mode":"form"}]"#,
        r#"[{"url":"u"}]"#,
        "[1]",
    ] {
        assert_eq!(urls_in(entries), None, "{entries}");
    }
    assert_eq!(RequiredUrls::of(r#"{"code":-32042,"message":"m"}"#), None);
    assert_eq!(RequiredUrls::of(r#"{"code":-32600,"message":"m"}"#), None);
}

#[test]
fn a_repeated_request_has_the_input_of_the_original() {
    let line = r#"{"id":1,"method":"x","params":{"inputResponses":{},"a":1E5,"requestState":"s"}}"#;
    for (original, expected) in [
        ("{}", r#"{"a":1E5}"#),
        (
            r#"{"a":2,"requestState":"t"}"#,
            r#"{"a":1E5,"requestState":"t"}"#,
        ),
        (
            r#"{"requestState":null,"inputResponses":{"k":{}}}"#,
            r#"{"inputResponses":{"k":{}},"a":1E5,"requestState":null}"#,
        ),
    ] {
        let original = format!(r#"{{"id":0,"params":{original}}}"#);
        let expected = format!(r#"{{"id":1,"method":"x","params":{expected}}}"#);
        assert_eq!(with_input_of(&original, line), expected);
    }
}
