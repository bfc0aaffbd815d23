//! Watched files of a server whose definition changes.

use super::Servers;
use super::servers::command;
use crate::harness::{DEADLINE, eventually, marked};

/// The walk through the directory of a changed definition takes longer than the start of the server, during which
/// the file is saved that the process has just read.
#[test]
fn a_save_before_the_files_of_a_changed_definition_are_watched_counts() {
    let fleet = Servers::marked(["a"]).legacy();
    fleet.mark("a");
    for number in 0..2000 {
        let path = format!("other/src/{}/{}", number / 100, number % 100);
        std::fs::create_dir_all(fleet.project.path(&path)).unwrap();
    }
    fleet.project.write("other/b.json", &marked("old"));
    fleet.project.write("new.json", &marked("new"));
    let script = format!(
        "cp b.json read.txt; mv ../new.json b.json; exec {} read.txt",
        command()
    );
    fleet.project.write("start.sh", &script);
    let text =
        "[servers.a]\ncommand = 'sh'\nargs = ['../start.sh']\ncwd = 'other'\nwatch = '**/*.json'\n";
    fleet.project.save("mcp-proxy.toml", text);
    eventually(DEADLINE, || fleet.mark("a").0 == "new");
}

/// Server in Python that needs no package. Without globs, all of a project's `.py` and `.toml` files are its sources.
const PYTHON: &str = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        result = {
            "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                           "serverInfo": {"name": "a", "version": "1"}},
            "tools/list": {"tools": []},
        }.get(message["method"], {})
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"#;

#[test]
fn a_change_of_the_configuration_is_no_save_of_a_server_beside_it() {
    let text = "[servers.a]\ncommand = 'python3'\nargs = ['a.py']\n";
    let servers = Servers::new().text(text);
    servers.project.write("a.py", PYTHON);
    servers.project.write("settings.toml", "");
    servers.project.write("other/b.py", PYTHON);
    let fleet = servers.legacy();
    fleet.until("ready", "a", 1);
    // One change is a comment, the other changes only the definition of another server.
    fleet
        .project
        .save("mcp-proxy.toml", &format!("{text}# a comment\n"));
    let other = format!("{text}[servers.b]\ncommand = 'python3'\nargs = ['b.py']\n");
    let other = format!("{other}cwd = 'other'\n");
    fleet.project.save("mcp-proxy.toml", &other);
    fleet.until("ready", "b", 1);
    // Another file in TOML is a source all the same.
    fleet.project.save("settings.toml", "x = 1\n");
    fleet.until("reloaded", "a", 1);
    let changed = fleet.log.events("changed");
    let of_a = changed.iter().filter(|event| event["server"] == "a");
    let paths: Vec<_> = of_a.map(|event| &event["paths"]).collect();
    assert_eq!(paths, [&serde_json::json!(["settings.toml"])]);
}
