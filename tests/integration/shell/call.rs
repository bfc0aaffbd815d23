//! `mcp-proxy call`: the result as text or as JSON, its errors, and interruption.

use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{broken, configured};
use crate::harness::{DEADLINE, Project, Proxy, Run, eventually, example, processes_with_tag};

fn weather() -> Project {
    let tool = |name: &str, member: &str, value: Value| json!({"name": name, "inputSchema": {"type": "object"}, member: value});
    let image =
        r#"{"content":[{"type":"image","mimeType":"image/png","data":"aGVsbG8="}],"n":1E400}"#;
    let script = json!({"mark": "v1", "tools": [
        tool("forecast", "x-reply", json!("Rain\nand wind\u{1b}[31m")),
        tool("image", "x-raw", json!(image)),
        tool("numbers", "x-raw", json!(r#"{"structuredContent":{"n":1E400}}"#)),
        tool("fails", "x-raw", json!(r#"{"content":[{"type":"text","text":"no wind"}],"isError":true}"#)),
        {"name": "works", "inputSchema": {"type": "object"}, "x-progress": 2, "x-log": "cache is cold"},
    ]});
    let unlisted = json!({"fail_list": true});
    configured(
        &[
            ("weather", script),
            ("bad", broken()),
            ("unlisted", unlisted),
        ],
        "",
    )
}

#[test]
fn the_result_is_printed_as_text_or_as_it_is() {
    let project = weather();
    for (arguments, stdout) in [
        (&["forecast"][..], "Rain\nand wind\u{1b}[31m\n"),
        (&["image"], "[image: image/png, 5 bytes]\n"),
        (&["numbers", "{}"], "{\"n\":1E400}\n"),
        (&["echo", "{\"a\": [1E5,\n-0]}"], "{\"a\": [1E5, -0]}\n"),
        (
            &["numbers", "--json"],
            "{\"structuredContent\":{\"n\":1E400}}\n",
        ),
    ] {
        let run = Run::within(&project, &[&["call", "weather"], arguments].concat());
        assert_eq!(run.ended_with(0).stdout, stdout, "{arguments:?}");
    }
}

#[test]
fn without_a_configuration_the_command_follows() {
    let server = example("fake_server");
    let words = ["call", "echo", r#"{"a":1}"#, "--", server.to_str().unwrap()];
    let run = Run::within(&Project::new(), &words).ended_with(0);
    assert_eq!(run.stdout, "{\"a\":1}\n");
}

#[test]
fn arguments_come_from_stdin_too() {
    let project = weather();
    let piped = |text: &str| {
        let mut command = Command::new("sh");
        let line = r#"printf %s "$0" | "$1" call weather echo -"#;
        command.args(["-c", line, text]).arg(Proxy::program());
        command.current_dir(project.root());
        Run::of(command)
    };
    let run = piped("{\"a\":\n 1}\n").ended_with(0);
    assert_eq!(run.stdout, "{\"a\":  1}\n");
    let run = piped("{\"a\":\n oops}").ended_with(2);
    let said = "not JSON: expected value at line 2 column 2";
    assert!(run.stderr.contains(said), "{run:#?}");
}

#[test]
fn each_way_to_fail_has_its_code_and_its_words() {
    let project = weather();
    let failing: [(&[&str], i32, &str, &str); 9] = [
        (
            &["weather", "fails"],
            1,
            "no wind\n",
            "`fails` returned an error (`isError`)",
        ),
        (
            &[
                "weather",
                "ask",
                r#"{"method":"roots/list"}"#,
                "--era",
                "modern",
            ],
            1,
            "",
            "which needs an MCP client to continue",
        ),
        (
            &["unlisted", "nowhere"],
            1,
            "",
            "`nowhere`: error -32602: unknown tool nowhere",
        ),
        (
            &["weather", "crash", r#"{"code":7}"#],
            1,
            "",
            "the server exited with status 7 before it answered",
        ),
        (
            &["weather", "slow", r#"{"ms":600000}"#, "--timeout", "200ms"],
            1,
            "",
            "did not answer within 0.2 s",
        ),
        (
            &["weather", "forcast"],
            2,
            "",
            "`weather` has no tool `forcast`; did you mean `forecast`?",
        ),
        (&["wether", "forecast"], 2, "", "did you mean `weather`?"),
        (
            &["weather", "echo", "[1]"],
            2,
            "",
            "the arguments must be a JSON object",
        ),
        (
            &["bad", "forecast"],
            4,
            "",
            "`bad` does not start: exited with status 3",
        ),
    ];
    for (arguments, code, stdout, said) in failing {
        let run = Run::within(&project, &[&["call"], arguments].concat()).ended_with(code);
        assert_eq!(run.stdout, stdout, "{arguments:?}");
        let error = run.stderr.lines().last().unwrap();
        assert!(
            error.starts_with("error: ") && error.contains(said),
            "{said} in {run:#?}"
        );
    }
}

#[test]
fn questions_are_refused_and_progress_and_logs_are_told() {
    let project = weather();
    let ask = [
        "call",
        "weather",
        "ask",
        r#"{"method":"sampling/createMessage"}"#,
    ];
    let run = Run::within(&project, &ask).ended_with(0);
    let refusal = "`sampling/createMessage` is not available: the server runs from a shell";
    assert!(run.stdout.contains(refusal), "{run:#?}");

    for era in ["legacy", "modern"] {
        let works = ["call", "weather", "works", "--era", era];
        let run = Run::within(&project, &works).ended_with(0);
        assert_eq!(run.stdout, "v1\n");
        for said in ["weather  progress 2", "weather  info: cache is cold\n"] {
            assert!(run.stderr.contains(said), "{era}: {said} in {}", run.stderr);
        }
    }
    let run = Run::within(&project, &["call", "weather", "works", "-q"]).ended_with(0);
    assert_eq!(run.stderr, "");
}

#[test]
fn an_interrupt_cancels_the_call_and_stops_the_server() {
    let project = Project::new();
    let server = format!("tee heard | {}", example("fake_server").display());
    let peer = Proxy::call(["sh", "-c", &server])
        .options(["slow", r#"{"ms":600000}"#])
        .within(&project)
        .spawn();
    let heard = |what: &str| {
        std::fs::read_to_string(project.path("heard")).is_ok_and(|it| it.contains(what))
    };
    eventually(DEADLINE, || heard("tools/call"));
    assert!(!heard("notifications/cancelled"));
    peer.signal(Signal::INT);
    assert_eq!(peer.wait_exit().code(), Some(130));
    assert!(heard("notifications/cancelled"));
    eventually(DEADLINE, || processes_with_tag(peer.tag()).is_empty());
}
