//! `mcp-proxy check`: its findings, its messages, and that it leaves nothing behind.

mod contract;

use serde_json::{Value, json};

use crate::harness::{
    DEADLINE, Project, Proxy, Run, ServerOn, eventually, example, processes_with_tag,
};
use rustix::process::Signal;

/// `check` of the fake server with this script.
fn check(script: &Value, options: &[&str]) -> Run {
    let project = Project::new();
    project.write("script.json", &script.to_string());
    let server =
        [example("fake_server").as_os_str(), "script.json".as_ref()].map(ToOwned::to_owned);
    let proxy = Proxy::check(server)
        .options(["--name", "fake"])
        .options(options.iter().copied())
        .within(&project);
    Run::of(proxy.command())
}

#[track_caller]
fn report(run: &Run) -> Value {
    assert_eq!(run.stdout.lines().count(), 1, "{run:#?}");
    serde_json::from_str(&run.stdout).unwrap()
}

fn small() -> Value {
    json!({
        "tools": [
            {"name": "forecast", "inputSchema": {"type": "object"}, "x-reply": "Rain\nand wind"},
            {"name": "odd", "inputSchema": {"type": "object"},
             "x-raw": r#"{"content":[],"n":1E400,"d":1,"d":-0}"#},
            {"name": "fails", "inputSchema": {"type": "object"},
             "x-raw": r#"{"content":[{"type":"text","text":"no \u001b[31mwind"}],"isError":true}"#},
        ],
        "prompts": [{"name": "greet"}],
        "resources": [{"uri": "mem://a", "name": "a"}],
        "templates": [{"uriTemplate": "mem://{x}", "name": "x"}],
        "serverInfo": {"name": "weather", "version": "2.1"},
    })
}

#[test]
fn a_server_that_works_is_shown_as_a_table() {
    let run = check(&small(), &["--call", "forecast", "{}", "--era", "modern"]).ended_with(0);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(
        lines[0].starts_with("fake  weather  2.1  modern 2026-07-28 · started in "),
        "{lines:#?}"
    );
    assert!(
        lines[1].starts_with("  tools       15  ") && lines[1].ends_with("forecast, odd, fails")
    );
    assert_eq!(
        lines[2..5],
        [
            "  prompts      1  greet",
            "  resources    1  mem://a",
            "  templates    1  mem://{x}"
        ]
    );
    assert!(
        lines[5].starts_with("  ✓ forecast  ") && lines[5].ends_with("  Rain …"),
        "{lines:#?}"
    );
    assert_eq!(lines.len(), 6);
}

#[test]
fn the_json_has_everything_and_a_result_keeps_its_bytes() {
    for (era, version) in [("legacy", "2025-11-25"), ("modern", "2026-07-28")] {
        let options = ["--json", "-q", "--era", era, "--call", "odd", "{}"];
        let run = check(&small(), &options).ended_with(0);
        assert!(
            run.stdout
                .contains(r#""result":{"content":[],"n":1E400,"d":1,"d":-0}"#),
            "{}",
            run.stdout
        );
        assert_eq!(run.stderr, "");
        // Not every JSON parser has a number as large as that.
        let report: Value = serde_json::from_str(&run.stdout.replace("1E400", "1")).unwrap();
        assert!(report["start_ms"].is_u64());
        assert_eq!(report["tools"].as_array().unwrap().len(), 15);
        for (member, value) in [
            ("name", json!("fake")),
            ("ok", json!(true)),
            ("era", json!(era)),
            ("protocolVersion", json!(version)),
            ("serverInfo", json!({"name": "weather", "version": "2.1"})),
            ("prompts", json!(["greet"])),
            ("resources", json!(["mem://a"])),
            ("resource_templates", json!(["mem://{x}"])),
            ("list_errors", json!([])),
            ("failure", Value::Null),
        ] {
            assert_eq!(report[member], value, "{member}");
        }
    }
}

#[test]
fn arguments_reach_the_tool_as_they_were_written() {
    let options = [
        "--json",
        "--call",
        "echo",
        "{\n  \"n\": 1E5,\n  \"z\": -0\n}",
    ];
    let run = check(&json!({}), &options).ended_with(0);
    assert!(
        run.stdout
            .contains(r#""structuredContent":{   "n": 1E5,   "z": -0 }"#),
        "{}",
        run.stdout
    );
}

#[test]
fn a_call_that_fails_is_told_and_the_others_are_made() {
    let calls = [
        "--call", "fails", "{}", "--call", "nowhere", "{}", "--call", "forecast", "{}",
    ];
    let run = check(&small(), &calls).ended_with(1);
    for part in [
        "✗ fails  ",
        "  no wind\n",
        "✗ nowhere  ",
        "error -32602: unknown tool nowhere",
        "✓ forecast",
    ] {
        assert!(run.stdout.contains(part), "{part} in {}", run.stdout);
    }
    let run = check(&small(), &[&["--json"], &calls[..]].concat()).ended_with(1);
    let report = report(&run);
    assert_eq!(report["ok"], false);
    let calls = report["calls"].as_array().unwrap();
    let summary: Vec<_> = calls
        .iter()
        .map(|call| json!([call["tool"], call["ok"]]))
        .collect();
    assert_eq!(
        json!(summary),
        json!([["fails", false], ["nowhere", false], ["forecast", true]])
    );
    assert_eq!(calls[1]["error"]["code"], -32602);
}

#[test]
fn a_tool_that_asks_the_client_gets_a_refusal_and_one_that_asks_for_input_fails() {
    let call = ["--json", "--call", "ask", r#"{"method":"roots/list"}"#];
    let run = check(&json!({}), &[&call[..], &["--era", "legacy"]].concat()).ended_with(0);
    assert!(
        run.stdout
            .contains("the server runs from a shell, without an MCP client"),
        "{}",
        run.stdout
    );
    let run = check(&json!({}), &[&call[..], &["--era", "modern"]].concat()).ended_with(1);
    assert_eq!(
        report(&run)["calls"][0]["result"]["resultType"],
        "input_required"
    );
}

#[test]
fn a_server_that_ends_at_once_is_told_with_its_last_words() {
    let script = json!({"exit_at_start": {"code": 3, "stderr": "Traceback\nboom"}});
    let run = check(&script, &[]).ended_with(4);
    assert_eq!(run.stdout, "");
    assert!(
        run.stderr.contains("fake     | Traceback\nfake     | boom\n")
            && run.stderr.ends_with(
                "error: `fake` does not start: exited with status 3 before it answered `initialize`\n"
            ),
        "{}",
        run.stderr
    );
    let run = check(&script, &["--json"]).ended_with(4);
    let report = report(&run);
    assert_eq!(report["ok"], false);
    assert_eq!(report["era"], Value::Null);
    assert_eq!(
        report["failure"],
        json!({"reason": "exited with status 3 before it answered `initialize`", "advice": null,
               "stderr": ["Traceback", "boom"]})
    );
}

#[test]
fn a_server_that_says_nothing_is_given_up_at_the_time_limit() {
    let silent = Proxy::check(["sleep", "1000"]).options(["--json", "--start-timeout", "300ms"]);
    let run = Run::of(silent.command()).ended_with(4);
    assert_eq!(
        report(&run)["failure"]["reason"],
        "did not start within 0.3 s: no response to `initialize`"
    );
}

#[test]
fn a_tool_that_says_nothing_is_given_up_and_the_next_is_called() {
    let calls = ["--call", "slow", r#"{"ms":600000}"#, "--call", "mark", "{}"];
    let run = check(
        &json!({}),
        &[&["--json", "--call-timeout", "200ms"], &calls[..]].concat(),
    );
    let report = report(&run.ended_with(1));
    assert_eq!(
        report["calls"][0]["reason"],
        "the server did not answer within 0.2 s"
    );
    assert_eq!(report["calls"][1]["ok"], true);
}

#[test]
fn a_server_that_ends_during_a_call_is_told_with_its_status() {
    let calls = ["--call", "crash", r#"{"code":7}"#, "--call", "mark", "{}"];
    let run = check(&json!({}), &[&["--json"], &calls[..]].concat()).ended_with(1);
    let report = report(&run);
    assert_eq!(
        report["calls"][0]["reason"],
        "the server exited with status 7 before it answered"
    );
    assert_eq!(
        report["calls"][1]["reason"],
        "the server exited before the call"
    );
}

#[test]
fn a_list_that_fails_or_is_too_long_is_no_success() {
    let run = check(&json!({"fail_list": true}), &[]).ended_with(1);
    assert!(
        run.stdout.contains("✗ tools/list: error "),
        "{}",
        run.stdout
    );
    let long = "x".repeat(5000);
    let script =
        json!({"tools": [{"name": "t", "description": long, "inputSchema": {"type": "object"}}]});
    let run = check(&script, &["--json", "--max-message", "4KiB"]).ended_with(1);
    let report = report(&run);
    assert_eq!(report["list_errors"][0]["method"], "tools/list");
    assert_eq!(
        report["list_errors"][0]["error"]["message"],
        "the server's response is longer than `--max-message` allows"
    );
}

#[test]
fn wrong_command_lines_and_directories_have_their_own_codes() {
    let run = check(&json!({}), &["--call", "mark", "[]"]).ended_with(2);
    assert!(
        run.stderr
            .contains("--call mark: the arguments must be a JSON object"),
        "{}",
        run.stderr
    );
    let run = check(&json!({}), &["--call", "mark", "{"]).ended_with(2);
    assert!(
        run.stderr.contains("the arguments are not JSON"),
        "{}",
        run.stderr
    );
    check(&json!({}), &["--call", "mark"]).ended_with(2);
    check(&json!({}), &["--cwd", "nowhere"]).ended_with(3);
    let run = Run::of(Proxy::check(["./no-such-program"]).command()).ended_with(4);
    assert!(run.stderr.contains("does not exist"), "{}", run.stderr);
}

#[test]
fn a_server_that_does_not_want_to_end_is_ended() {
    check(&json!({"ignore_eof": true}), &[]).ended_with(0);
    let stubborn = "trap '' TERM; sleep 1000 & while :; do wait; done";
    let silent = Proxy::check(["sh", "-c", stubborn]).options(["--start-timeout", "300ms"]);
    Run::of(silent.command()).ended_with(4);
}

#[test]
fn an_interrupt_ends_the_check_and_the_server() {
    let peer = Proxy::check(["sleep", "1000"]).spawn();
    eventually(DEADLINE, || {
        let processes = processes_with_tag(peer.tag());
        // The command line of the check itself ends like that too.
        processes
            .iter()
            .any(|(_, command)| command.ends_with("sleep 1000") && !command.contains("check"))
    });
    peer.signal(Signal::INT);
    assert_eq!(peer.wait_exit().code(), Some(130));
    eventually(DEADLINE, || processes_with_tag(peer.tag()).is_empty());
}

#[test]
fn servers_on_real_sdks_pass() {
    for on in ServerOn::ALL {
        let project = Project::new();
        let proxy = Proxy::check(on.command(&project))
            .options(["--json", "--call", "echo", r#"{"text":"hi"}"#])
            .within(&project);
        let run = Run::of(proxy.command()).ended_with(0);
        assert_eq!(report(&run)["ok"], true, "{on:?}: {run:#?}");
    }
}

/// `argparse` repeats the arguments that it does not know.
#[test]
fn a_secret_in_an_argument_that_the_server_repeats_is_hidden() {
    const SERVER: &str = "echo \"unrecognized arguments: $*\" >&2; exit 2";
    let project = Project::new();
    let secrets = ["sk-live-4242424242424242", "hunter2hunter2"];
    let args = [
        "-c",
        SERVER,
        "sh",
        "--api-key",
        secrets[0],
        "--password=hunter2hunter2",
    ];
    let servers = json!({"mcpServers": {"a": {"command": "sh", "args": args}}});
    project.write(".mcp.json", &servers.to_string());
    let of_command = [&["check", "--json", "--", "sh"][..], &args].concat();
    for arguments in [&["check", "--json"][..], &of_command] {
        let run = Run::within(&project, arguments).ended_with(4);
        let shown = "unrecognized arguments: --api-key *** --password=***";
        assert!(run.stdout.contains(shown), "{run:#?}");
        for secret in secrets {
            let all = format!("{}{}", run.stdout, run.stderr);
            assert!(!all.contains(secret), "{run:#?}");
        }
    }
}

#[test]
fn faults_are_in_the_json_if_no_server_is_left() {
    let project = Project::new();
    let faulty = "[servers.a]\ncommand = 'sh'\nargs = ['${NOT_SET_ANYWHERE}']\n";
    project.write("mcp-proxy.toml", faulty);
    for command in ["check", "tools"] {
        let run = Run::within(&project, &[command, "--json"]).ended_with(3);
        let object = report(&run);
        assert_eq!(object["servers"], json!([]));
        assert_eq!(object["faults"][0]["server"], "a");
        let message = object["faults"][0]["message"].as_str().unwrap();
        assert!(message.contains("NOT_SET_ANYWHERE"), "{run:#?}");
        let run = Run::within(&project, &[command]).ended_with(3);
        assert_eq!(run.stdout, "", "{run:#?}");
    }
    Run::within(&project, &["call", "a", "x"]).ended_with(3);
}

/// A tool that sends requests needs the legacy era, one that returns them the modern one.
#[test]
fn both_eras_are_compared_by_the_calls_that_work() {
    let ask = json!({"method": "elicitation/create", "params": {"message": "?"}});
    let script = json!({"tools": [
        {"name": "pushes", "inputSchema": {"type": "object"}, "x-push": [[ask]]},
        {"name": "returns", "inputSchema": {"type": "object"}, "x-ask": ask},
        {"name": "plain", "inputSchema": {"type": "object"}},
    ]});
    let call = |tool| ["--both-eras", "--json", "-q", "--call", tool, "{}"];
    let run = check(&script, &call("pushes")).ended_with(0);
    let compared = report(&run);
    assert_eq!(compared["better"], "legacy");
    assert_eq!(compared["ok"], true);
    let reason = compared["reason"].as_str().unwrap();
    assert!(reason.contains("`pushes` fails: error -32600"), "{reason}");
    assert_eq!(compared["legacy"]["era"], "legacy");
    assert_eq!(compared["modern"]["calls"][0]["error"]["code"], -32600);
    // A call that works with the client's input is no failure.
    let legacy = &compared["legacy"];
    assert_eq!(
        (&legacy["ok"], &legacy["calls"][0]["ok"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        legacy["calls"][0]["requested"],
        json!(["elicitation/create"])
    );
    for tool in ["returns", "plain"] {
        let compared = report(&check(&script, &call(tool)).ended_with(0));
        assert_eq!(compared["better"], "either", "{compared}");
    }
    let shown = check(&script, &["--both-eras", "--call", "pushes", "{}"]).ended_with(0);
    let last = shown.stdout.lines().last().unwrap();
    assert!(
        last.starts_with("fake: set `era = \"legacy\"`: in the other era"),
        "{last}"
    );
    assert_eq!(shown.stdout.lines().count(), 4, "{}", shown.stdout);
    let rows: Vec<_> = shown.stdout.lines().collect();
    assert!(
        rows[1].contains("ok ") && rows[1].contains("asks the client"),
        "{rows:#?}"
    );
    assert!(
        rows[2].contains("faulty") && rows[2].contains("`pushes`: error"),
        "{rows:#?}"
    );

    let run = check(&script, &["--both-eras", "--call", "missing", "{}"]).ended_with(1);
    let last = run.stdout.lines().last().unwrap();
    let expected = "fake: it fails in both eras alike: `missing`: error -32602";
    assert!(last.starts_with(expected), "{last}");
}

#[test]
fn the_era_in_which_a_server_starts_or_offers_more_is_better() {
    for (era, other) in [("legacy", "modern"), ("modern", "legacy")] {
        let options = ["--both-eras", "--json", "-q"];
        let compared = report(&check(&json!({"eras": [era]}), &options).ended_with(0));
        assert_eq!(compared["better"], era);
        assert_eq!(compared[other]["era"], other);
        let failure = compared[other]["failure"]["reason"].as_str().unwrap();
        let reason = compared["reason"].as_str().unwrap();
        assert!(reason.contains(failure), "{reason}");
    }
    let none = json!({"exit_at_start": {"code": 3, "stderr": "no"}});
    let run = check(&none, &["--both-eras"]).ended_with(4);
    assert!(
        run.stderr.contains("starts in neither era"),
        "{}",
        run.stderr
    );
}
