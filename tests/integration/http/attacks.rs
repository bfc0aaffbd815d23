//! Attackers: refused as the specification says, without effect on other clients.

use std::io::Write as _;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::json;

use super::Stage;
use crate::harness::http::{Connection, Legacy, Modern, Site, request};
use crate::harness::{DEADLINE, Project, Proxy, Run, eventually, example};

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;

/// A call of somebody who means well works at once.
#[track_caller]
fn works(site: &Site) {
    let answer = Modern::call(&json!(1), "mark", &json!({})).ask(site);
    assert_eq!(answer.status(), 200, "{}", answer.body);
}

#[test]
fn foreign_hosts_and_origins_are_refused() {
    let stage = Stage::new(
        &json!({}),
        &[
            "--allow-origin",
            "https://ide.example",
            "--allow-host",
            "dev.example",
        ],
    );
    let site = &stage.site;
    let own = site.address.to_string();
    let local = format!("localhost:{}", site.address.port());
    let page = format!("http://localhost:{}", site.address.port());
    let refused: [(&[(&str, &str)], u16); 12] = [
        (&[("Origin", "https://evil.example")], 403),
        (&[("Origin", "null")], 403),
        (&[("Origin", "http://localhost:1")], 403),
        (&[("Host", "evil.example")], 403),
        (&[("Host", "evil.example:80")], 403),
        (&[("Host", "")], 403),
        (&[("Host", &own), ("Host", &own)], 400),
        (&[("Host", &own), ("Host", "evil.example")], 400),
        (&[("Origin", &page), ("Origin", &page)], 400),
        (&[("Origin", &page), ("Origin", "null")], 400),
        (&[("Content-Type", "text/plain"), ("Accept", "*/*")], 415),
        (
            &[("Transfer-Encoding", "chunked"), ("Content-Length", "5")],
            400,
        ),
    ];
    for (headers, status) in refused {
        let given = headers.iter().any(|(name, _)| *name == "Content-Type");
        let answer = if given {
            site.ask("POST", headers, LIST)
        } else {
            site.post(headers, LIST)
        };
        assert_eq!(answer.status(), status, "{headers:?}: {}", answer.body);
        works(site);
    }
    for headers in [
        vec![("Host", &*local)],
        vec![("Host", "dev.example")],
        vec![("Origin", &*page)],
        vec![("Origin", "https://ide.example")],
    ] {
        let answer = headers.iter().fold(
            Modern::call(&json!(1), "mark", &json!({})),
            |call, (name, value)| call.with(name, Some(value)),
        );
        let answer = answer.ask(site);
        assert_eq!(answer.status(), 200, "{headers:?}");
        let origin = headers
            .iter()
            .find(|(name, _)| *name == "Origin")
            .map(|(_, value)| *value);
        assert_eq!(answer.head.header("access-control-allow-origin"), origin);
    }
    let asked = [
        ("Origin", "https://ide.example"),
        ("Access-Control-Request-Headers", "mcp-session-id"),
    ];
    let preflight = site.ask("OPTIONS", &asked, "");
    assert_eq!(preflight.status(), 204);
    assert_eq!(
        preflight.head.header("access-control-allow-headers"),
        Some("mcp-session-id")
    );
    assert_eq!(
        site.ask("OPTIONS", &[("Origin", "https://evil.example")], "")
            .status(),
        403
    );
}

#[test]
fn bodies_that_are_no_messages_are_refused() {
    let stage = Stage::new(&json!({}), &["--max-message", "100KiB"]);
    let site = &stage.site;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}{}}}"#,
        "[".repeat(40_000),
        "]".repeat(40_000)
    );
    let refused = [
        ("", 400, -32700),
        ("hello", 400, -32700),
        ("{", 400, -32700),
        ("{}", 400, -32600),
        ("[1]", 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, 400, -32600),
        ("\"x\"", 400, -32700),
    ];
    for (body, status, code) in refused {
        let answer = site.post(&[], body);
        assert_eq!(
            (answer.status(), answer.error_code()),
            (status, code),
            "{body}"
        );
    }
    assert!(
        matches!(site.post(&[], &deep).status(), 200 | 400),
        "no crash"
    );
    works(site);
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":"{}"}}}}"#,
        "x".repeat(110 * 1024)
    );
    assert_eq!(site.post(&[], &long).status(), 413);
    let mut connection = Connection::to(site.address);
    let head = [
        ("Content-Type", "application/json"),
        ("Accept", "*/*"),
        ("Transfer-Encoding", "chunked"),
    ];
    connection.request("POST", &head, "");
    for _ in 0..4 {
        connection.send(format!("8000\r\n{}\r\n", "x".repeat(0x8000)).as_bytes());
    }
    assert_eq!(connection.head().status, 413);
    let mut connection = Connection::to(site.address);
    connection.request(
        "POST",
        &[
            ("Content-Type", "application/json"),
            ("Content-Length", "4"),
        ],
        "",
    );
    connection.send(b"\"\xff\xfe\"");
    assert_eq!(connection.head().status, 400);
    works(site);
}

#[test]
fn strangers_reach_nobody_elses_session() {
    let stage = Stage::plain();
    let client = Legacy::begin(&stage.site);
    let (_, mut stream) = client.stand(None);
    let ping = request(&json!(1), "ping", &json!({}));
    let guess = client.id.bytes().rev().map(char::from).collect::<String>();
    for id in [guess.as_str(), "", "../../etc/passwd", &"x".repeat(4096)] {
        let status = stage.site.post(&[("Mcp-Session-Id", id)], &ping).status();
        assert_eq!(status, 404, "{id}");
    }
    // The modern era has no sessions: an id of one changes nothing.
    let call = Modern::call(&json!(1), "mark", &json!({})).with("Mcp-Session-Id", Some(&client.id));
    let pid = |answer: serde_json::Value| answer["structuredContent"]["pid"].clone();
    let shared = pid(call.ask(&stage.site).last().result());
    assert_ne!(shared, pid(client.call("mark", &json!({})).result()));
    // Nobody ends another client's stream by its id.
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut listening = Modern::new(&json!("l"), "subscriptions/listen", filter).open(&stage.site);
    listening.head();
    listening.message();
    let mut forged = Modern::new(
        &json!(0),
        "notifications/cancelled",
        json!({"requestId": "l"}),
    );
    forged.body.as_object_mut().unwrap().remove("id");
    assert_eq!(forged.ask(&stage.site).status(), 202);
    client.tell("notifications/cancelled", &json!({"requestId": "l"}));
    stage.save("new");
    assert!(listening.message().method().is_some());
    assert!(stream.message().method().is_some());
}

#[test]
fn where_others_can_come_a_token_is_asked_for() {
    let project = Project::new();
    let open = Run::within(&project, &["dev", "--http", "0.0.0.0:0", "--", "sh"]);
    assert!(open.ended_with(1).stderr.contains("--token-file"));
    project.write("empty", "\n");
    project.write("token", "s3cret\n");
    project.set_mode("empty", 0o600);
    let token = [
        "dev",
        "--http",
        "127.0.0.1:0",
        "--token-file",
        "token",
        "--",
        "sh",
    ];
    let exposed = Run::within(&project, &token).ended_with(1);
    assert!(exposed.stderr.contains("chmod 600 "), "{}", exposed.stderr);
    project.set_mode("token", 0o600);
    let token = [
        "dev",
        "--http",
        "127.0.0.1:0",
        "--token-file",
        "empty",
        "--",
        "sh",
    ];
    assert!(
        Run::within(&project, &token)
            .ended_with(1)
            .stderr
            .contains("empty")
    );
    let proxy = Proxy::dev([example("fake_server")])
        .options([
            "--meta-tools",
            "none",
            "--no-watch",
            "--token-file",
            "token",
        ])
        .within(&project);
    let site = Site::start(proxy);
    let call = |shown: Option<&str>| {
        let call = Modern::call(&json!(1), "state", &json!({}));
        call.with("Authorization", shown).ask(&site)
    };
    for shown in [
        None,
        Some("Bearer s3cre"),
        Some("Bearer s3cret!"),
        Some("Basic s3cret"),
    ] {
        let answer = call(shown);
        assert_eq!(answer.status(), 401, "{shown:?}");
        assert_eq!(answer.head.header("www-authenticate"), Some("Bearer"));
    }
    let answer = call(Some("Bearer s3cret"));
    assert_eq!(answer.status(), 200);
    assert!(
        !answer.body.contains("s3cret"),
        "the server does not get the token"
    );
    assert!(!site.log.text().contains("s3cret"));
}

#[test]
fn silent_connections_keep_no_client_out() {
    let stage = Stage::plain();
    let site = &stage.site;
    works(site);
    let idle: Vec<_> = (0..1000).map(|_| Connection::to(site.address)).collect();
    works(site);
    let slow: Vec<_> = (0..50)
        .map(|_| {
            let connection = Connection::to(site.address);
            connection.send(b"POST /mcp HTTP/1.1\r\nHost: ");
            connection
        })
        .collect();
    let half: Vec<_> = (0..50)
        .map(|_| {
            let connection = Connection::to(site.address);
            connection.request(
                "POST",
                &[
                    ("Content-Type", "application/json"),
                    ("Content-Length", "100"),
                ],
                "{",
            );
            connection
        })
        .collect();
    for _ in 0..20 {
        works(site);
    }
    drop((idle, slow, half));
    works(site);
}

/// Connections whose bodies go on forever, a space at a time.
struct Dripping {
    over: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Dripping {
    fn start(connections: Vec<Connection>) -> Self {
        let (over, ended) = mpsc::channel();
        let rhythm = Duration::from_millis(500);
        let thread = thread::spawn(move || {
            while ended.recv_timeout(rhythm).is_err() {
                for connection in &connections {
                    connection.send(b" ");
                }
            }
        });
        Self {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Dripping {
    fn drop(&mut self) {
        let _ = self.over.send(());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn the_connection_that_is_silent_for_longest_makes_room() {
    let project = Project::new();
    let proxy = Proxy::dev([example("fake_server")])
        .options(["--meta-tools", "none", "--no-watch"])
        .within(&project);
    // The proxy keeps half of its files for connections.
    let site = Site::start_by(proxy, &["sh", "-c", "ulimit -n 200; exec \"$@\"", "sh"]);
    let client = Legacy::begin(&site);
    let (_, mut stream) = client.stand(None);
    let silent: Vec<_> = (0..100).map(|_| Connection::to(site.address)).collect();
    let half: Vec<_> = (0..100)
        .map(|_| {
            let connection = Connection::to(site.address);
            let length = [
                ("Content-Type", "application/json"),
                ("Content-Length", "9000"),
            ];
            connection.request("POST", &length, "{");
            connection
        })
        .collect();
    let dripping = Dripping::start(half);
    for _ in 0..20 {
        works(&site);
    }
    // One that is being answered stays.
    client.call(
        "notify",
        &json!({"method": "notifications/tools/list_changed", "params": {}}),
    );
    assert!(stream.message().method().is_some());
    drop((silent, dripping));
}

#[test]
fn slow_large_bodies_keep_no_large_one_out() {
    let stage = Stage::plain();
    works(&stage.site);
    let slow: Vec<_> = (0..32)
        .map(|_| {
            let connection = Connection::to(stage.site.address);
            let head = [
                ("Content-Type", "application/json"),
                ("Content-Length", "4000000"),
            ];
            connection.request("POST", &head, &format!("{{{}", " ".repeat(1_500_000)));
            connection
        })
        .collect();
    let dripping = Dripping::start(slow);
    let big = "x".repeat(2_000_000);
    let answer = Modern::call(&json!(1), "echo", &json!({ "big": big })).ask(&stage.site);
    assert_eq!(answer.status(), 200, "{}", &answer.body[..200]);
    drop(dripping);
}

#[test]
fn a_client_that_does_not_read_costs_no_memory() {
    let script = json!({"tools": [{"name": "flood", "x-progress": 400, "x-reply": "done"}]});
    let stage = Stage::new(&script, &[]);
    works(&stage.site);
    // Each of these leaves a stream unread that gets bigger than any socket holds.
    let big = "x".repeat(1024 * 1024);
    let deaf: Vec<_> = (0..20)
        .map(|_| Modern::call(&json!(1), "echo", &json!({ "big": big })).open(&stage.site))
        .collect();
    works(&stage.site);
    let resident = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", stage.site.peer.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            / 1024
    };
    let during = resident();
    drop(deaf);
    let mut out = std::io::stderr();
    let _ = writeln!(
        out,
        "resident with 20 unread answers of 2 MiB: {during} MiB"
    );
    assert!(during < 300, "{during} MiB");
    eventually(DEADLINE, || resident() < 150);
    works(&stage.site);
}
