//! Rules of the requests that pass through: access, headers, paths, and the servers that have a site.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{OWN_PORT, SiteOn, Stage};
use crate::harness::http::{Connection, Legacy, Site, request};
use crate::harness::{Project, Proxy, Run, free_port};

#[test]
fn the_server_sees_a_request_of_a_reverse_proxy() {
    let stage = Stage::start(SiteOn::FastMcp, &[]);
    let front = stage.site.address.to_string();
    let origin = format!("http://{front}");
    let headers = [
        ("Origin", &*origin),
        ("Cookie", "a=b"),
        ("Authorization", "Basic own"),
        ("Proxy-Authorization", "Basic other"),
        ("Mcp-Session-Id", "s"),
        ("Connection", "keep-alive, X-Own"),
        ("X-Own", "1"),
        ("X-Other", "2"),
    ];
    let seen = stage.ask("PUT", "/seen?q=%20", &headers, "body");
    assert_eq!(seen.status(), 200, "{}", seen.body);
    let seen: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
    for (name, expected) in [
        ("method", "PUT"),
        ("path", "/seen"),
        ("query", "q=%20"),
        ("body", "body"),
    ] {
        assert_eq!(seen[name], expected, "{seen}");
    }
    let got = &seen["headers"];
    let host = got["host"].as_str().unwrap();
    assert!(host.starts_with("127.0.0.1:") && host != front, "{host}");
    assert_eq!(got["origin"], format!("http://{host}"));
    assert_eq!(got["x-forwarded-host"], front);
    assert_eq!(got["x-forwarded-proto"], "http");
    assert_eq!(got["x-forwarded-for"], "127.0.0.1");
    assert_eq!(
        (&got["cookie"], &got["x-other"]),
        (&json!("a=b"), &json!("2"))
    );
    assert_eq!(got["authorization"], "Basic own");
    for name in [
        "mcp-session-id",
        "x-own",
        "connection",
        "proxy-authorization",
    ] {
        assert!(got.get(name).is_none(), "{name}: {got}");
    }
    let redirect = stage.get("/away");
    assert_eq!(redirect.status(), 307);
    assert_eq!(redirect.head.header("location"), Some("/seen?from=away"));
    let mut connection = Connection::to(stage.site.address);
    connection.request_at("/assets/app.js", "HEAD", &[], "");
    assert_eq!(connection.head().header("content-length"), Some("10"));
    connection.request_at("/assets/app.js", "GET", &[], "");
    assert_eq!(connection.answer().body, "show('v0')");
}

#[test]
fn the_access_rules_of_the_endpoint_hold() {
    let project = Project::new();
    project.write("token", "secret\n");
    let file = project.path("token");
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let stage = Stage::start(SiteOn::FastMcp, &["--token-file", file.to_str().unwrap()]);
    let token = ("Authorization", "Bearer secret");
    for (headers, expected) in [
        (vec![], 401),
        (vec![("Authorization", "Bearer other")], 401),
        (vec![token, ("Host", "evil.example")], 403),
        (vec![token, ("Origin", "https://evil.example")], 403),
        (vec![token], 200),
    ] {
        let answer = stage.ask("GET", "/", &headers, "");
        assert_eq!(answer.status(), expected, "{headers:?}: {}", answer.body);
    }
    for token in [token, ("AUTHORIZATION", "bearer  secret")] {
        let headers = [token, ("Cookie", "a=b")];
        let got = &stage.seen(&headers)["headers"];
        assert!(!got.to_string().contains("secret"), "{got}");
        assert_eq!(got["cookie"], "a=b");
    }
    // A websocket of a page cannot carry the token.
    assert_eq!(stage.websocket(&[]).line(), "refused 401");
}

#[test]
fn pages_of_others_open_no_websocket() {
    let stage = Stage::start(SiteOn::FastMcp, &[]);
    let foreign = stage.websocket(&["https://evil.example"]);
    assert_eq!(foreign.line(), "refused 403");
    let own = stage.websocket(&[&format!("http://{}", stage.site.address)]);
    assert_eq!(own.line(), "open");
}

#[test]
fn the_servers_own_endpoint_is_served_by_the_proxy() {
    for url in ["http://127.0.0.1:{port}/api/mcp", "auto"] {
        let stage = Stage::start_at(SiteOn::FastMcp, url, &["{port}", "/api/mcp"], &[]);
        let kinds = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
        ];
        let client = Legacy::begin(&stage.site);
        let session = [&kinds[..], &[("Mcp-Session-Id", &client.id)]].concat();
        let call = request(&json!(9), "tools/call", &json!({"name": "mark"}));
        let called = |path: &str| stage.ask("POST", path, &session, &call).last();
        assert_eq!(called("/api/mcp").tool_text(), "v0");
        stage.save("v0", "v1");
        assert_eq!(called("/api/%6Dcp/").tool_text(), "v1");
    }
}

#[test]
fn a_fixed_port_waits_for_the_first_client() {
    let port = free_port().to_string();
    let url = format!("http://127.0.0.1:{port}/mcp");
    let stage = Stage::start_at(SiteOn::FastMcp, &url, &[&port], &[]);
    let early = stage.get("/");
    assert_eq!(early.status(), 503);
    let expected = "starts with the first client";
    assert!(early.body.contains(expected), "{}", early.body);
    let client = Legacy::begin(&stage.site);
    for (mark, next) in [("v0", "v1"), ("v1", "v2")] {
        let page = stage.get("/");
        assert!(page.body.ends_with(mark), "{}", page.body);
        stage.save(mark, next);
    }
    assert_eq!(client.call("mark", &json!({})).tool_text(), "v2");
}

#[test]
fn a_server_that_is_not_loaded_is_loaded_for_its_site() {
    let project = Project::new();
    let words = SiteOn::FastMcp.command(&project);
    let (python, source) = (json!(words[0].to_str()), json!(words[1].to_str()));
    let servers = format!(
        "[servers.web]\ncommand = {python}\nargs = [{source}, '{{port}}']\nurl = '{OWN_PORT}'\n\
         [servers.stdio]\ncommand = 'true'\n"
    );
    project.write("mcp-proxy.toml", &servers);
    for proxy in [Proxy::serve(), Proxy::configured("dev")] {
        let site = Site::start(proxy.option("--pass-through").within(&project));
        let mut connection = Connection::to(site.address);
        connection.request_at("/", "GET", &[], "");
        let page = connection.answer();
        assert!(page.body.ends_with("v0"), "{}", page.body);
    }
}

#[test]
fn without_one_site_it_is_refused() {
    let project = Project::new();
    let web = "command = 'true'\nurl = 'http://127.0.0.1:{port}/mcp'\n";
    let servers = format!(
        "[servers.a]\n{web}[servers.b]\n{web}[servers.stdio]\ncommand = 'true'\n\
         [servers.far]\nurl = 'http://127.0.0.1:1/mcp'\n"
    );
    project.write("mcp-proxy.toml", &servers);
    let http = ["--http", "127.0.0.1:0"];
    for (option, expected) in [
        (
            "--pass-through",
            "name one of a, b, as in `--pass-through=a`",
        ),
        ("--pass-through=stdio", "`stdio` has no site"),
        ("--pass-through=far", "`far` has no site"),
        (
            "--pass-through=none",
            "the configuration has no server `none`",
        ),
    ] {
        for subcommand in ["dev", "serve"] {
            let run = Run::within(&project, &[&[subcommand], &http[..], &[option]].concat());
            let run = run.ended_with(2);
            assert!(run.stderr.contains(expected), "{}", run.stderr);
        }
    }
    let stdio = [
        "dev",
        "--http",
        "127.0.0.1:0",
        "--pass-through",
        "--",
        "true",
    ];
    let run = Run::within(&project, &stdio).ended_with(2);
    let expected = "give the server a `url` beside its `command`";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    let words = ["dev", "--pass-through", "--url", OWN_PORT, "--", "true"];
    let run = Run::within(&project, &words).ended_with(2);
    assert!(run.stderr.contains("--http"), "{}", run.stderr);
}
