//! Lists that are answered late or never, and lists with faults.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Log, Project, Proxy, Watched, eventually};

/// A server without packages: `answer` gives the result of a method, or nothing for no response.
const SERVE: &str = r#"
import json, sys
def serve(capabilities, answer):
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        if message["method"] == "initialize":
            result = {"protocolVersion": "2025-06-18", "capabilities": capabilities, "serverInfo": {"name": "s", "version": "1"}}
        else:
            result = answer(message["method"])
        if result is not None:
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"#;

fn started(code: &str, options: &[&str]) -> Watched {
    in_project(Project::new(), code, options)
}

fn in_project(project: Project, code: &str, options: &[&str]) -> Watched {
    project.write("serve.py", SERVE);
    project.write("server.py", &format!("from serve import serve\n{code}\n"));
    let log = Log::new();
    let proxy = Proxy::dev(["python3", "server.py"]).options(options);
    let peer = log.written_by(proxy).within(&project).spawn();
    Watched::met(project, peer, log)
}

fn names(list: &Value, member: &str) -> Vec<String> {
    let entries = list[member].as_array().unwrap().iter();
    let names = entries.map(|entry| entry["name"].as_str().unwrap().to_owned());
    names.collect()
}

const TOOLS: &str = "{'tools': [{'name': 'mark', 'inputSchema': {'type': 'object'}}]}";

#[test]
fn a_list_that_stays_silent_takes_nothing_else_away() {
    for (method, member) in [("resources/list", "resources"), ("prompts/list", "prompts")] {
        let code = format!(
            "asked = []\ndef answer(method):\n    if method == 'tools/list':\n        return {TOOLS}\n    asked.append(method)\n    \
             if method != {method:?}:\n        return {{'prompts': [], 'resources': [], 'resourceTemplates': []}}\n    \
             if asked.count(method) > 1:\n        return {{{member:?}: [{{'name': 'late', 'uri': 'x:late'}}]}}\n\
             serve({{'tools': {{}}, 'prompts': {{}}, 'resources': {{}}}}, answer)"
        );
        let watched = started(&code, &["--start-timeout", "6s", "--meta-tools", "none"]);
        let tools = watched.peer.ask("tools/list", &json!({})).result();
        assert_eq!(names(&tools, "tools"), ["mark"]);
        let silent = watched.until("list_silent", 1);
        assert_eq!(silent[0]["method"], method);
        // It is asked for once more, and told when it comes.
        watched
            .peer
            .expect_notification(&format!("notifications/{member}/list_changed"));
        let list = watched.peer.ask(method, &json!({})).result();
        assert_eq!(names(&list, member), ["late"]);
    }
}

#[test]
fn a_tool_that_is_listed_twice_is_offered_once() {
    let code = "def tool(name, text):\n    return {'name': name, 'description': text, 'inputSchema': {'type': 'object'}}\n\
                def answer(method):\n    return {'tools': [tool('a', 'first'), tool('b', ''), tool('a', 'second')]}\n\
                serve({'tools': {}}, answer)";
    let watched = started(code, &["--meta-tools", "none"]);
    let tools = watched.peer.ask("tools/list", &json!({})).result();
    assert_eq!(names(&tools, "tools"), ["a", "b"]);
    assert_eq!(tools["tools"][0]["description"], "first");
    let told = watched.until("listed_twice", 1);
    assert_eq!(told[0]["name"], "a");
    watched.project.edit("server.py", "'second'", "'third'");
    watched.until("reloaded", 1);
    watched.exactly("listed_twice", 1);
}

#[test]
fn a_server_that_says_without_end_that_its_list_has_changed_is_asked_ever_less() {
    let code = "import json, sys\n\
                def answer(method):\n    print('asked', file=sys.stderr, flush=True)\n    \
                print(json.dumps({'jsonrpc': '2.0', 'method': 'notifications/tools/list_changed'}), flush=True)\n    \
                return {'tools': [{'name': open('name.txt').read(), 'inputSchema': {'type': 'object'}}]}\n\
                serve({'tools': {'listChanged': True}}, answer)";
    let project = Project::new();
    project.write("name.txt", "old");
    let begun = Instant::now();
    let watched = in_project(project, code, &["--meta-tools", "none", "--watch", "*.py"]);
    watched.until("list_unchanged", 1);
    // The pauses up to then.
    assert!(begun.elapsed() > Duration::from_millis(50 + 100 + 200 + 400 + 800));
    let asked = |line: &Value| line["line"] == "asked";
    let times = watched
        .events("stderr")
        .iter()
        .filter(|line| asked(line))
        .count();
    assert!(times < 15, "{times}");
    let told = watched
        .peer
        .notifications("notifications/tools/list_changed");
    assert!(told <= times + 1, "{told} of {times}");
    // A real change is still seen.
    watched.project.save("name.txt", "new");
    eventually(DEADLINE, || {
        let tools = watched.peer.ask("tools/list", &json!({})).result();
        names(&tools, "tools") == ["new"]
    });
}

/// One that does not say that it has tools, or has none and answers nothing that it does not know.
#[test]
fn tools_that_are_not_declared_are_offered_and_told() {
    let code = format!("serve({{}}, lambda method: {TOOLS} if method == 'tools/list' else None)");
    let watched = started(&code, &["--meta-tools", "none"]);
    let tools = watched.peer.ask("tools/list", &json!({})).result();
    assert_eq!(names(&tools, "tools"), ["mark"]);
    let told = watched.until("list_undeclared", 1);
    assert_eq!(told[0]["capability"], "tools");
    watched.project.save(
        "server.py",
        &format!("from serve import serve\n# \n{code}\n"),
    );
    watched.until("reloaded", 1);
    watched.exactly("list_undeclared", 1);

    // A server that exits at a method that it does not know.
    let fatal = "import sys\nserve({'prompts': {}}, lambda method: {'prompts': []} if method == 'prompts/list' else sys.exit(3))";
    let watched = started(fatal, &["--meta-tools", "none"]);
    watched.until("ready", 1);
    assert!(watched.events("broken").is_empty(), "{}", watched.log());

    let none = "serve({'prompts': {}}, lambda method: {'prompts': []} if method == 'prompts/list' else None)";
    let began = Instant::now();
    let watched = started(none, &["--meta-tools", "none", "--start-timeout", "10m"]);
    watched.until("ready", 1);
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    assert!(watched.events("list_undeclared").is_empty());
}
