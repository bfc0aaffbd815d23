use super::*;
use crate::fleet::Fleet;
use crate::mcp::ListKind::{Prompts, Resources, Templates, Tools};
use crate::meta_tools::Set;

/// Returns a fleet of two servers, or of one that clients see unchanged.
fn fleet(is_transparent: bool) -> Fleet {
    let names = if is_transparent {
        &["a"][..]
    } else {
        &["a", "b"]
    };
    let fleet = Fleet::loaded_with(names, is_transparent);
    let entries = [
        (Tools, "x"),
        (Tools, "only"),
        (Prompts, "p"),
        (Resources, "u:a"),
    ];
    fleet.list("a", &entries);
    if !is_transparent {
        fleet.list(
            "b",
            &[(Tools, "x"), (Prompts, "only"), (Templates, "db:{t}")],
        );
    }
    fleet
}

/// Returns a description of a destination.
fn described(destination: Destination<'_>) -> String {
    let name = |server: &ServerHandle| server.spec().name.clone();
    match destination {
        Destination::MetaTool(tool) => format!("meta-tool {tool}"),
        Destination::Sole(server, tool) => format!("sole {} {tool:?}", name(server)),
        Destination::Listed(server, rename) => {
            let rename = rename.map(|own| own.as_raw().as_str());
            format!("{} {rename:?}", name(server))
        }
        Destination::Rewritten(server, line) => {
            let params = Members::of(&line).get("params").map(ToOwned::to_owned);
            format!("{} {}", name(server), params.unwrap_or_default())
        }
        Destination::Unlisted { name, uri } => format!("unlisted `{name}` `{uri}`"),
        Destination::AnyServer => "any server".to_owned(),
        Destination::AllServers => "all servers".to_owned(),
        Destination::TaskOwner => "owner of the task".to_owned(),
        Destination::Session => "session".to_owned(),
    }
}

/// Returns the description of the destination of a request.
fn destination(fleet: &Fleet, era: Era, method: &str, params: &str) -> String {
    let line = format!(r#"{{"id":1,"method":"{method}","params":{params}}}"#);
    let envelope = Envelope::parse(&line).unwrap();
    let meta_tools = OfferedMetaTools::new(Set::Dev, !fleet.is_transparent(), None, false);
    let request = Request::new(&line, &envelope, "1".into(), era);
    described(route(&fleet.catalog(), &meta_tools, request))
}

#[tokio::test]
async fn a_request_goes_to_the_server_of_the_entry_that_it_names() {
    let fleet = fleet(false);
    for (method, params, expected) in [
        (
            "tools/call",
            r#"{"name":"reload_mcp_server"}"#,
            "meta-tool reload_mcp_server",
        ),
        (
            "tools/call",
            r#"{"name":"b__\u0078"}"#,
            r#"b Some("\"x\"")"#,
        ),
        // The own name of one tool only.
        ("tools/call", r#"{"name":"only"}"#, r#"a Some("\"only\"")"#),
        ("tools/call", r#"{"name":"x"}"#, "unlisted `x` ``"),
        (
            "tools/call",
            r#"{"name":"a__p","uri":"u:a"}"#,
            "unlisted `a__p` ``",
        ),
        ("tools/call", "[1]", "unlisted `` ``"),
        ("prompts/get", r#"{"name":"a__p"}"#, r#"a Some("\"p\"")"#),
        ("prompts/get", r#"{"name":"a__x"}"#, "unlisted `a__x` ``"),
        (
            "prompts/get",
            r#"{"name":"reload_mcp_server"}"#,
            "unlisted `reload_mcp_server` ``",
        ),
        ("resources/read", r#"{"uri":"u:a"}"#, "a None"),
        ("resources/read", r#"{"uri":"db:users"}"#, "b None"),
        ("resources/read", r#"{"uri":"u:b"}"#, "any server"),
        ("resources/subscribe", r#"{"uri":"u:a"}"#, "a None"),
        ("resources/unsubscribe", r#"{"uri":"u:b"}"#, "session"),
        (
            "logging/setLevel",
            r#"{"level":"info","uri":"u:a"}"#,
            "session",
        ),
        ("tasks/list", "{}", "all servers"),
        (
            "tasks/result",
            r#"{"taskId":"7~b","name":"a__x"}"#,
            "owner of the task",
        ),
        ("vendor/x", r#"{"name":"b__x"}"#, r#"b Some("\"x\"")"#),
        (
            "vendor/x",
            r#"{"name":"b__only","uri":"u:a"}"#,
            r#"b Some("\"only\"")"#,
        ),
        ("vendor/x", r#"{"name":"only","uri":"u:a"}"#, "a None"),
        (
            "vendor/x",
            r#"{"name":"only","uri":"u:b"}"#,
            "unlisted `only` `u:b`",
        ),
        ("vendor/x", "{}", "unlisted `` ``"),
    ] {
        let destination = destination(&fleet, Era::Legacy, method, params);
        assert_eq!(destination, expected, "{method} {params}");
    }
}

#[tokio::test]
async fn a_completion_goes_to_the_server_of_its_reference() {
    let fleet = fleet(false);
    for (params, expected) in [
        (
            r#"{"ref":{"name":"a__p","x":-0},"argument":1E5}"#,
            r#"a {"ref":{"name":"p","x":-0},"argument":1E5}"#,
        ),
        (r#"{"ref":{"uri":"db:{t}"}}"#, "b None"),
        (r#"{"ref":{"name":"p","uri":"u:b"}}"#, "unlisted `p` `u:b`"),
        (r#"{"ref":"a__p"}"#, "unlisted `` ``"),
        ("{}", "unlisted `` ``"),
    ] {
        let destination = destination(&fleet, Era::Legacy, "completion/complete", params);
        assert_eq!(destination, expected, "{params}");
    }
}

#[tokio::test]
async fn a_sole_server_gets_everything_but_calls_of_meta_tools() {
    let fleet = fleet(true);
    for (method, params, expected) in [
        ("tools/call", r#"{"name":"new"}"#, r#"sole a Some("new")"#),
        ("tools/call", r#"{"name":5}"#, r#"sole a Some("")"#),
        (
            "tools/call",
            r#"{"name":"reload_mcp_server"}"#,
            "meta-tool reload_mcp_server",
        ),
        ("prompts/get", r#"{"name":"p"}"#, "sole a None"),
        ("resources/read", r#"{"uri":"u:b"}"#, "sole a None"),
        ("logging/setLevel", "{}", "sole a None"),
        ("tasks/list", "{}", "sole a None"),
        ("vendor/x", r#"{"name":"reload_mcp_server"}"#, "sole a None"),
    ] {
        let destination = destination(&fleet, Era::Legacy, method, params);
        assert_eq!(destination, expected, "{method} {params}");
    }
}

#[tokio::test]
async fn settings_of_a_session_are_unknown_methods_in_the_modern_era() {
    let fleet = fleet(false);
    for (method, uri, expected) in [
        ("logging/setLevel", "u:b", "unlisted `` `u:b`"),
        ("resources/subscribe", "u:b", "unlisted `` `u:b`"),
        ("resources/unsubscribe", "u:a", "a None"),
    ] {
        let params = format!(r#"{{"uri":"{uri}"}}"#);
        let destination = destination(&fleet, Era::Modern, method, &params);
        assert_eq!(destination, expected, "{method} {uri}");
    }
}
