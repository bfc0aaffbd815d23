use super::*;

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
        assert_eq!(shows_forms(capabilities), expected, "{capabilities}");
    }
}
