//! Recordings of messages: `--record`.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::http::{Legacy, Modern, Site};
use crate::harness::{
    DEADLINE, Peer, Project, Proxy, Run, eventually, example, initialize_params, marked,
};
use crate::replaying::{FILE, dev};

const SECRET: &str = "kanarie\"/ä-1234567";

/// A part of lines that `serde_json` cannot read.
const LONE: &str = r"\ud83d";

/// The whole lines of the recording, without those with [`LONE`].
fn lines(project: &Project) -> Vec<Value> {
    let text = project.read(FILE);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().filter(|line| !line.contains(LONE));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Waits until the client's answer to `id` is recorded; returns all lines.
#[track_caller]
fn lines_with_answer(project: &Project, id: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    eventually(DEADLINE, || {
        found = lines(project);
        found
            .iter()
            .any(|it| it["to"] == "client" && (it["message"]["id"] == *id))
    });
    found
}

/// The line of the request to a server that passes on the client's request `id`.
#[track_caller]
fn passed_on<'a>(lines: &'a [Value], id: &Value) -> &'a Value {
    let mut found = lines.iter().filter(|it| it["client_id"] == *id);
    let line = found.next().unwrap();
    assert!(found.next().is_none(), "{lines:#?}");
    assert_eq!(line["to"], "server");
    line
}

#[test]
fn both_sides_are_recorded_across_a_reload_and_a_kill() {
    let project = Project::new();
    // The recording is among the files that the glob selects.
    let peer = dev(&project)
        .options(["--watch", "**/*"])
        .options(["--env", &format!("API_KEY={SECRET}")])
        .spawn();
    peer.initialize(&initialize_params()).result();
    peer.send(r#"{"jsonrpc":"2.0", "id":"\ud83d","method":"tools/call","params":{"name":"mark","x":1E400}}"#);
    peer.await_response(r#""\ud83d""#).result();
    project.write("weather.json", &marked("v1"));
    let after = peer.request("tools/call", &json!({"name": "mark"}));
    let after = peer.await_response(after);
    assert_eq!(after.result()["structuredContent"]["mark"], "v1");
    let nested = json!({"key": SECRET}).to_string();
    let arguments = json!({"key": SECRET, "nested": nested});
    let secret = peer.call("echo", &arguments);
    assert_eq!(secret.result()["structuredContent"], arguments);
    let long = peer.call("echo", &json!({"text": "x".repeat(2 << 20)}));
    let last = peer.call("mark", &json!({}));
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].take();
    let recorded = lines_with_answer(&project, &id(&last.line));
    peer.signal(Signal::KILL);
    peer.wait_exit();

    let text = project.read(FILE);
    assert!(!text.contains("kanarie"), "{text}");
    assert!(text.contains("${API_KEY}"));
    let mode = project.path(FILE).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(recorded[0]["mcp_proxy_recording"], 1);
    assert_eq!(recorded[0]["pid"], peer.pid());
    // Bytes as the client and the server wrote them.
    assert!(text.contains(r#""bytes":89,"message":{"jsonrpc":"2.0", "id":"\ud83d","method":"tools/call","params":{"name":"mark","x":1E400}}"#));
    assert!(text.contains(r#""generation":1,"era":"legacy","client_id":"\ud83d","bytes""#));
    let session = format!("{}-1", peer.pid());
    for (message, generation) in [(&after, 2), (&secret, 2)] {
        let line = passed_on(&recorded, &id(&message.line));
        assert_eq!(line["generation"], generation);
        assert_eq!(line["server"], "weather");
        assert_eq!(
            (&line["session"], &line["era"]),
            (&json!(session), &json!("legacy"))
        );
        let own_id = &line["message"]["id"];
        let is_answer = |it: &&Value| {
            it["from"] == "server"
                && it["generation"] == generation
                && it["message"]["id"] == *own_id
                && it["message"]["result"].is_object()
        };
        assert_eq!(recorded.iter().filter(is_answer).count(), 1);
    }
    let initialize = |it: &&Value| it["message"]["method"] == "initialize";
    let generations = recorded.iter().filter(initialize);
    let generations: Vec<_> = generations.map(|it| it["generation"].as_u64()).collect();
    assert_eq!(generations, [None, Some(1), Some(2)]);
    let cut = |it: &&Value| it["text"].is_string();
    let cut: Vec<_> = recorded.iter().filter(cut).collect();
    assert_eq!(cut.len(), 4, "both sides of the request and of the answer");
    assert_eq!(cut[3]["bytes"], long.line.len());
    assert!(cut[3]["text"].as_str().unwrap().len() <= 1 << 20);

    let again = dev(&project).spawn();
    again.initialize(&initialize_params()).result();
    again.close_stdin();
    again.wait_exit();
    let heads = lines(&project);
    let heads = heads.iter().filter(|it| it["mcp_proxy_recording"] == 1);
    assert_eq!(heads.count(), 2);
}

#[test]
fn the_messages_of_the_last_proxy_are_shown() {
    let project = Project::new();
    let peer = dev(&project).known_to(&project).spawn();
    peer.initialize(&initialize_params()).result();
    peer.call("mark", &json!({})).result();
    peer.close_stdin();
    peer.wait_exit();
    let shown = |words: &[&str]| {
        let run = Run::within(&project, &[&["logs", "--messages"], words].concat());
        run.ended_with(0).stdout
    };
    let all = shown(&[]);
    let lines: Vec<_> = all.lines().collect();
    assert!(
        lines[0].contains("  client 1 → proxy        initialize #1  "),
        "{all}"
    );
    let answer = lines
        .iter()
        .find(|it| it.contains(" → client 1 ") && it.contains(" #2 in "));
    assert!(answer.is_some(), "{all}");
    let of_server = shown(&["weather"]);
    assert!(
        of_server.contains("  proxy → weather (1)     tools/call mark #"),
        "{of_server}"
    );
    assert!(!of_server.contains("client"), "{of_server}");
    let given = Run::within(&project, &["logs", &format!("--messages={FILE}")]).ended_with(0);
    assert_eq!(given.stdout, all);

    let other = Proxy::dev([example("fake_server"), "weather.json".into()]);
    let other = other.known_to(&project).spawn();
    other.initialize(&initialize_params()).result();
    let pid = other.pid().to_string();
    let run = Run::within(&project, &["logs", "--messages", "--pid", &pid]).ended_with(1);
    assert!(run.stderr.contains("records no messages"), "{run:#?}");
}

#[test]
fn sessions_of_both_eras_over_http_are_told_apart() {
    let project = Project::new();
    let site = Site::start(dev(&project));
    let legacy = Legacy::begin(&site);
    assert!(!legacy.call("mark", &json!({})).is_error());
    // Several clients may use the same id.
    for _ in 0..2 {
        let answer = Modern::call(&json!("same"), "mark", &json!({})).ask(&site);
        assert_eq!(answer.last().id(), Some("\"same\""));
    }
    site.peer.signal(Signal::TERM);
    site.peer.wait_exit();
    let recorded = lines(&project);
    let is_call = |it: &&Value| it["message"]["method"] == "tools/call" && it["from"] == "client";
    let calls: Vec<_> = recorded.iter().filter(is_call).collect();
    let eras: Vec<_> = calls.iter().map(|it| it["era"].as_str().unwrap()).collect();
    assert_eq!(eras, ["legacy", "modern", "modern"]);
    assert_ne!(calls[0]["session"], calls[1]["session"]);
    assert_eq!(calls[1]["session"], calls[2]["session"]);
    assert_ne!(calls[1]["message"]["id"], calls[2]["message"]["id"]);
    for call in calls {
        let of_call = |it: &&Value| it["session"] == call["session"];
        let session: Vec<Value> = recorded.iter().filter(of_call).cloned().collect();
        let passed_on = passed_on(&session, &call["message"]["id"]);
        assert_eq!(passed_on["era"], call["era"]);
        let is_answer =
            |it: &&Value| it["to"] == "client" && it["message"]["id"] == call["message"]["id"];
        assert_eq!(session.iter().filter(is_answer).count(), 1);
    }
}

#[test]
fn a_file_that_cannot_hold_a_recording_is_an_error_before_the_start() {
    let project = Project::new();
    project.write("server.py", "print()");
    project.write(
        "mcp-proxy.toml",
        "[servers.a]\ncommand = 'touch'\nargs = ['started']\n",
    );
    for subcommand in ["dev", "serve"] {
        for (file, reason) in [
            ("no/x.ndjson", "cannot open "),
            (".", "is not a recording"),
            ("server.py", "is not a recording"),
        ] {
            let run = Run::within(&project, &[subcommand, "--record", file]).ended_with(3);
            assert!(run.stderr.contains("--record"), "{run:#?}");
            assert!(run.stderr.contains(reason), "{run:#?}");
        }
    }
    assert_eq!(project.read("server.py"), "print()");
    assert!(!project.path("started").exists());
}

/// A limit on the size of files stands for a full disk.
#[test]
fn a_full_disk_ends_the_recording_and_no_session() {
    let project = Project::new();
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 200; exec \"$@\"", "sh"];
    let proxy = dev(&project).option("--no-log");
    let peer = Peer::spawn_command(proxy.run_by(limited.map(OsString::from)));
    peer.initialize(&initialize_params()).result();
    let text = json!({"text": "x".repeat(100_000)});
    let ended = || {
        let lines = peer.stderr();
        let lines = lines.iter();
        lines
            .filter(|line| line.contains("recording ended: cannot write "))
            .count()
    };
    eventually(DEADLINE, || {
        peer.call("echo", &text).result();
        ended() > 0
    });
    for _ in 0..3 {
        peer.call("echo", &text).result();
    }
    peer.close_stdin();
    assert!(peer.wait_exit().success());
    assert_eq!(ended(), 1);
    assert!(lines(&project).len() > 1);
}
