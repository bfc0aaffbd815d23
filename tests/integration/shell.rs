//! The commands that look at the servers of a configuration and end by themselves: `check`, `tools`, `call`, `list`.

mod call;

use serde_json::{Value, json};

use crate::harness::{Project, Run, ServerOn, example};

/// A project whose configuration has a fake server with a script under each name, and then `more`.
pub(crate) fn configured(servers: &[(&str, Value)], more: &str) -> Project {
    let project = Project::new();
    let program = json!(example("fake_server"));
    let sections = servers.iter().map(|(name, script)| {
        project.write(&format!("{name}.json"), &script.to_string());
        format!("[servers.{name}]\ncommand = {program}\nargs = ['{name}.json']\n")
    });
    let sections: String = sections.collect();
    project.write("mcp-proxy.toml", &(sections + more));
    project
}

fn broken() -> Value {
    json!({"exit_at_start": {"code": 3, "stderr": "boom"}})
}

/// The words of the row that begins with `name`.
#[track_caller]
fn row<'a>(run: &'a Run, name: &str) -> Vec<&'a str> {
    let rows = run.stdout.lines().map(|line| line.split_whitespace());
    let mut rows = rows.map(Iterator::collect::<Vec<_>>);
    rows.find(|row| row.first() == Some(&name)).unwrap()
}

#[track_caller]
fn object(run: &Run) -> Value {
    assert_eq!(run.stdout.lines().count(), 1, "{run:#?}");
    serde_json::from_str(&run.stdout).unwrap()
}

/// Each waits for the others to be started too, and then serves.
fn waiting(count: usize, for_so_many: usize) -> Project {
    let project = Project::new();
    let fake = example("fake_server");
    let script = format!(
        ": > $0.up; while [ $(ls *.up | wc -l) -lt {for_so_many} ]; do sleep 0.02; done; exec {}",
        fake.display()
    );
    let server = |n| format!("[servers.s{n}]\ncommand = 'sh'\nargs = ['-c', '{script}', 's{n}']\n");
    let servers: Vec<String> = (0..count).map(server).collect();
    project.write("mcp-proxy.toml", &servers.concat());
    project
}

#[test]
fn servers_start_side_by_side() {
    let run = Run::within(&waiting(5, 5), &["check"]).ended_with(0);
    assert_eq!(run.stdout.lines().count(), 6, "{run:#?}");
}

#[test]
fn a_crowd_of_servers_starts_in_turns() {
    // As many as the proxy starts at once wait in vain; one more comes when they have been given up.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let at_once = (cores * 4).max(8);
    let crowd = waiting(at_once + 1, at_once + 1);
    let run = Run::within(&crowd, &["check", "--json", "--start-timeout", "2s"]).ended_with(4);
    let report = object(&run);
    let servers = report["servers"].as_array().unwrap().iter();
    let ok: Vec<bool> = servers.map(|it| it["ok"] == true).collect();
    assert_eq!(ok, [vec![false; at_once], vec![true]].concat(), "{run:#?}");
    let count = format!(
        "error: {at_once} of {} servers do not start: `s0`, ",
        at_once + 1
    );
    assert!(run.stderr.contains(&count), "{}", run.stderr);
}

#[test]
fn each_server_has_its_row_and_one_that_does_not_start_stops_no_other() {
    let servers = [
        ("good", json!({"prompts": [{"name": "greet"}]})),
        ("bad", broken()),
        ("half", json!({"fail_list": true})),
    ];
    let project = configured(&servers, "[servers.off]\nenabled = false\ncommand = 'no'\n");
    let run = Run::within(&project, &["check"]).ended_with(4);
    assert_eq!(run.stdout.lines().count(), 4, "{run:#?}");
    let good = row(&run, "good");
    assert_eq!(good[..4], ["good", "ok", "legacy", "2025-11-25"]);
    assert_eq!(good[good.len() - 3..], ["12", "1", "0"]);
    assert_eq!(row(&run, "bad")[..4], ["bad", "broken", "exited", "with"]);
    assert!(
        row(&run, "half")
            .join(" ")
            .contains("tools/list: error -32603"),
        "{run:#?}"
    );
    let error =
        "error: `bad` does not start: exited with status 3 before it answered `initialize`\n";
    assert!(
        run.stderr.contains("| boom\n") && run.stderr.ends_with(error),
        "{}",
        run.stderr
    );

    let run = Run::within(&project, &["check", "--json"]).ended_with(4);
    let report = object(&run);
    assert_eq!(
        (&report["ok"], &report["faults"]),
        (&json!(false), &json!([]))
    );
    let names = report["servers"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|it| json!([it["name"], it["ok"]])).collect();
    assert_eq!(
        json!(names),
        json!([["good", true], ["bad", false], ["half", false]])
    );
    Run::within(&project, &["check", "--server", "half"]).ended_with(1);
}

#[test]
fn a_fault_of_the_configuration_is_told_and_the_healthy_are_checked() {
    let project = configured(&[("good", json!({}))], "[servers.ill]\ncomand = 'x'\n");
    let run = Run::within(&project, &["check", "--json"]).ended_with(3);
    let report = object(&run);
    assert_eq!(
        (&report["ok"], &report["servers"][0]["ok"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(report["faults"][0]["server"], "ill");
    assert!(
        report["faults"][0]["message"]
            .as_str()
            .unwrap()
            .contains("comand")
    );
    assert!(
        run.stderr.contains("did you mean `command`?"),
        "{}",
        run.stderr
    );
    Run::within(&project, &["check", "--server", "good"]).ended_with(0);
    Run::within(&project, &["check", "--server", "ill"]).ended_with(3);
    Run::within(&project, &["tools"]).ended_with(3);
}

#[test]
fn one_server_of_several_is_checked_as_if_it_were_the_only_one() {
    let project = configured(&[("weather", json!({})), ("bad", broken())], "");
    let options = [
        "check",
        "--server",
        "weather",
        "--call",
        "echo",
        r#"{"a":1}"#,
    ];
    let run = Run::within(&project, &options).ended_with(0);
    assert!(
        run.stdout.starts_with("weather  ") && run.stdout.contains("✓ echo"),
        "{run:#?}"
    );
    let both = ["check", "--json", "--server", "weather", "--server", "bad"];
    let report = object(&Run::within(&project, &both).ended_with(4));
    assert_eq!(report["servers"].as_array().unwrap().len(), 2);
}

#[test]
fn selections_that_the_configuration_lacks_are_usage_errors() {
    let more = "[servers.off]\nenabled = false\ncommand = 'no'\n";
    let project = configured(&[("weather", json!({})), ("tickets", json!({}))], more);
    for (arguments, said) in [
        (
            &["check", "--server", "wether"][..],
            "did you mean `weather`?",
        ),
        (&["tools", "zzz"], "it has `weather`, `tickets`"),
        (&["tools", "off"], "`off` is disabled"),
        (&["dev", "--server", "off"], "`off` is disabled"),
        (
            &["check", "--server", "tickets", "--url", "auto"],
            "--url belongs to a command",
        ),
        (
            &["tools", "tickets", "--url", "auto"],
            "--url belongs to a command",
        ),
        (
            &["check", "--call", "mark", "{}"],
            "select one of `weather`, `tickets`",
        ),
        (
            &["tools", "--cwd", "/"],
            "--cwd and --env apply to one server",
        ),
    ] {
        let run = Run::within(&project, arguments).ended_with(2);
        assert!(run.stderr.contains(said), "{said} in {}", run.stderr);
        assert!(run.stdout.is_empty(), "{run:#?}");
    }
    for command in [&["check"][..], &["tools"], &["list"], &["call", "a", "b"]] {
        let run = Run::within(&Project::new(), command).ended_with(2);
        assert!(
            run.stderr
                .contains("no configuration file found (mcp-proxy.toml or .mcp.json)"),
            "{run:#?}"
        );
    }
}

#[test]
fn tools_are_shown_server_by_server() {
    let forecast = json!({"name": "forecast", "description": "Tells the weather.\nOf any city.",
        "inputSchema": {"type": "object", "properties": {"city": {}, "days": {}}, "required": ["city"]}});
    let servers = [("weather", json!({"tools": [forecast]})), ("bad", broken())];
    let more = "[servers.weather.tools]\nallow = ['f*', 'mark']\n";
    let project = configured(&servers, more);
    let run = Run::within(&project, &["tools"]).ended_with(4);
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "weather  2 tools",
            "  mark()",
            "  forecast(city, days?)  Tells the weather. …"
        ]
    );
    assert!(
        lines[4].starts_with("bad  does not start: exited with status 3"),
        "{run:#?}"
    );
    let run = Run::within(&project, &["tools", "weather"]).ended_with(0);
    assert_eq!(run.stdout.lines().count(), 3, "{run:#?}");
}

#[test]
fn the_json_of_tools_has_the_servers_own_bytes() {
    let raw = "{\"name\":\"odd\",\"inputSchema\":{\"maximum\":1E400},\"x\":-0,\"y\":\"\u{7f}\u{9b}31m\u{feff}\\ud800\"}";
    let project = configured(&[], "");
    let script = format!(
        r#"{{"raw": {{"tools/list": {}}}}}"#,
        json!(format!("{{\"tools\":[{raw}]}}"))
    );
    project.write("s.json", &script);
    let server = example("fake_server");
    let arguments = [
        "tools",
        "--json",
        "-q",
        "--name",
        "w",
        "--",
        server.to_str().unwrap(),
        "s.json",
    ];
    let run = Run::within(&project, &arguments).ended_with(0);
    assert_eq!(
        run.stdout,
        format!("{{\"servers\":[{{\"name\":\"w\",\"tools\":[{raw}]}}],\"faults\":[]}}\n")
    );
    assert_eq!(run.stderr, "");
}

#[test]
fn the_cost_of_tools_is_compared_with_that_of_the_proxys_own() {
    let long =
        json!({"name": "long", "description": "x".repeat(8000), "inputSchema": {"type": "object"}});
    let servers = [("small", json!({})), ("large", json!({"tools": [long]}))];
    let project = configured(&servers, "");
    let run = Run::within(&project, &["tools", "--cost", "-v"]).ended_with(0);
    let order: Vec<_> = run
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        order[..6],
        ["SERVER", "large", "small", "all", "loaded", "TOOL"]
    );
    assert_eq!(order[6], "long");

    let costs = object(&Run::within(&project, &["tools", "--cost", "--json"]).ended_with(0));
    let number = |value: &Value| value.as_u64().unwrap();
    let (all, lazy) = (&costs["all"], &costs["lazy"]);
    let servers = costs["servers"].as_array().unwrap();
    assert_eq!(
        number(&all["bytes"]),
        servers.iter().map(|it| number(&it["bytes"])).sum::<u64>()
    );
    assert_eq!(number(&all["tools"]), 12 + 13);
    assert_eq!(number(&all["tokens"]), number(&all["bytes"]).div_ceil(4));
    assert!(
        (1..number(&all["bytes"])).contains(&number(&lazy["bytes"])),
        "{costs}"
    );
    let long = &costs["heaviest"][0];
    assert_eq!(
        (&long["server"], &long["name"]),
        (&json!("large"), &json!("long"))
    );
    assert_eq!(
        number(&long["bytes"]),
        8000 + r#"{"name":"long","description":"","inputSchema":{"type":"object"}}"#.len() as u64
    );
}

#[test]
fn servers_are_listed_and_nothing_is_started() {
    let project = Project::new();
    project.write(
        ".mcp.json",
        r#"{"mcpServers": {"shared": {"command": "sh", "args": ["-c", "touch started"]},
            "proxy": {"command": "mcp-proxy", "args": ["dev"]}}}"#,
    );
    project.write(
        "mcp-proxy.toml",
        "[servers.shared]\nbuild = 'make'\n[servers.lazy]\ncommand = 'srv'\nautostart = false\n\
         args = ['--token', 'hunter2', '${HOME}', 'two words']\n\
         [servers.off]\nenabled = false\ncommand = 'no'\n",
    );
    let run = Run::within(&project, &["list"]).ended_with(0);
    let line = |name: &str| run.stdout.lines().find(|it| it.starts_with(name)).unwrap();
    assert!(
        line("shared").contains("  at once    sh -c 'touch started'  "),
        "{run:#?}"
    );
    let files = [".mcp.json", "mcp-proxy.toml"].map(|it| project.path(it).display().to_string());
    assert!(line("shared").ends_with(&files.join(", ")), "{run:#?}");
    assert!(
        line("lazy").contains("  on demand  srv --token *** ${HOME} 'two words'  "),
        "{run:#?}"
    );
    assert!(line("off").contains("  disabled   no  "), "{run:#?}");
    assert_eq!(run.stdout.lines().count(), 4);
    assert!(!project.path("started").exists());

    let listed = object(&Run::within(&project, &["list", "--json"]).ended_with(0));
    let lazy = &listed["servers"][1];
    assert_eq!(
        lazy["command"],
        json!(["srv", "--token", "***", "${HOME}", "two words"])
    );
    assert_eq!(
        (&lazy["starts"], &lazy["url"]),
        (&json!("on demand"), &Value::Null)
    );
    assert_eq!(lazy["cwd"], json!(project.root().canonicalize().unwrap()));

    project.write(
        "mcp-proxy.toml",
        "[servers.ill]\ncommand = 'x'\nbuld = 'y'\n",
    );
    let run = Run::within(&project, &["list"]).ended_with(3);
    assert_eq!(row(&run, "ill")[..3], ["ill", "faulty", "x"]);
    assert!(run.stderr.contains("did you mean `build`?"), "{run:#?}");
}

#[test]
fn a_server_on_the_python_sdk_is_shown_and_called() {
    let project = Project::new();
    let command = ServerOn::PythonMcp.command(&project);
    let words: Vec<_> = command.iter().map(|word| word.to_str().unwrap()).collect();
    let server = json!({"command": words[0], "args": words[1..]});
    project.write(
        ".mcp.json",
        &json!({"mcpServers": {"python": server}}).to_string(),
    );
    let run = Run::within(&project, &["tools", "python"]).ended_with(0);
    assert!(
        run.stdout.contains("  echo(text)     Echoes the text.\n"),
        "{run:#?}"
    );
    let run = Run::within(&project, &["call", "python", "echo", r#"{"text": "hi"}"#]).ended_with(0);
    assert_eq!(run.stdout, "echo: hi\n");
    for era in ["legacy", "modern"] {
        let count = ["call", "python", "count", r#"{"to": 2}"#, "--era", era];
        let run = Run::within(&project, &count).ended_with(0);
        for said in ["progress 1/2 at 1\n", "info: counted 2\n"] {
            assert!(run.stderr.contains(said), "{era}: {said} in {}", run.stderr);
        }
    }
    let run = Run::within(&project, &["call", "python", "fail"]).ended_with(1);
    assert!(
        run.stderr
            .ends_with("error: `fail` returned an error (`isError`)\n"),
        "{run:#?}"
    );
}

/// The mistakes that are made most often with a server's command, each answered with the command as it should be.
#[test]
fn a_servers_command_that_is_written_wrong_is_shown_right() {
    let project = Project::new();
    for (arguments, right) in [
        (
            &["dev", "uv", "run", "server.py"][..],
            "mcp-proxy dev -- uv run server.py",
        ),
        (&["dev", "--", "uv run server.py"], ": -- uv run server.py"),
        (
            &["dev", "--", "node server.js", "--port", "3"],
            ": -- node server.js --port 3",
        ),
        (
            &["check", "sh -c 'exit 3'"],
            "mcp-proxy check -- sh -c 'exit 3'",
        ),
        (&["sh", "server.sh"], "mcp-proxy dev -- sh server.sh"),
    ] {
        let run = Run::within(&project, arguments).ended_with(2);
        let text = run.stderr.trim_end();
        assert!(
            text.starts_with("error: ") && text.ends_with(right),
            "{text}"
        );
    }
}

/// A program may have a name of several words.
#[test]
fn a_program_with_a_space_in_its_name_is_started() {
    let project = Project::new();
    let program = project.path("my server");
    std::os::unix::fs::symlink(example("fake_server"), &program).unwrap();
    project.write("script.json", "{}");
    Run::within(&project, &["check", "--", "./my server", "script.json"]).ended_with(0);
}
