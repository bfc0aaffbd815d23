use super::*;

#[test]
fn the_reason_why_a_read_failed_outweighs_an_unknown_resource() {
    for (error, expected) in [
        (r#"{"code":-32601,"message":"Method not found"}"#, 0),
        (r#"{"code":-32002,"message":"gone"}"#, 1),
        (r#"{"code":-32602,"message":"no such uri"}"#, 1),
        (r#"{"code":0,"message":"Unknown resource: a"}"#, 1),
        (r#"{"code":-32603,"message":"Resource a Not Found"}"#, 1),
        (
            r#"{"code":-32603,"message":"`a` is not loaded","data":{"reason":"server_unloaded"}}"#,
            2,
        ),
        (r#"{"code":-32603,"message":"disk is full"}"#, FAILED),
        (
            r#"{"code":-32603,"message":"disk is full","data":{}}"#,
            FAILED,
        ),
        (r#"{"code":0,"message":"permission denied"}"#, FAILED),
        ("{}", FAILED),
        ("null", FAILED),
    ] {
        assert_eq!(weight(error), expected, "{error}");
    }
}
