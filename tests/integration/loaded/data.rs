//! Data is not code: files that a server writes do not restart it, and JSON counts if it is loaded as a module.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{IMPORT, REQUIRE, in_node, in_python, project, saves_count, started, with_options};
use crate::harness::{DEADLINE, Project, Watched, eventually};

/// Does nothing but ping, long enough for a written file to have caused a restart.
fn pause(watched: &Watched, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        watched.peer.ask("ping", &json!({})).result();
    }
}

/// Calls a server whose mark counts calls, at different paces, then saves `source`: nothing else restarts it.
#[track_caller]
fn keeps_its_state(watched: &Watched, source: &str) {
    let mut calls = 0;
    for millis in [0, 0, 300, 300, 0] {
        calls += 1;
        assert_eq!(watched.mark(), format!("call {calls}"), "{}", watched.log());
        pause(watched, Duration::from_millis(millis));
    }
    let project = &watched.project;
    project.save(source, &format!("{}\n", project.read(source)));
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "call 1");
    watched.exactly("changed", 1);
}

#[test]
fn files_written_by_a_server_in_node() {
    for (server, head) in [("server.mjs", IMPORT), ("server.cjs", REQUIRE)] {
        for options in [&[][..], &["--no-warm"]] {
            let project = project();
            project.write("app/data/old.json", "[]");
            let fs = if head == IMPORT {
                "import fs from 'node:fs';"
            } else {
                "const fs = require('node:fs');"
            };
            let head = format!(
                "{head} {fs}\nlet calls = 0;\nfs.readFileSync('data/old.json');\nconst told = () => {{\n  \
                 calls += 1;\n  fs.writeFileSync('data/notes.json', JSON.stringify({{ calls }}));\n  \
                 fs.writeFileSync('data/old.json', JSON.stringify({{ calls }}));\n  return `call ${{calls}}`;\n}};"
            );
            project.write(&format!("app/{server}"), &in_node(&head, "told()"));
            let watched = with_options(project, &["node", server], options);
            keeps_its_state(&watched, &format!("app/{server}"));
        }
    }
}

/// The warning about a server that is restarted all the same, at a slow pace.
#[test]
fn a_server_that_restarts_itself_is_told_why() {
    let write = "fs.writeFileSync('state.js', `// ${process.pid}`);";
    let answers_first = "setImmediate(() => WRITE);".replace("WRITE", write.trim_end_matches(';'));
    for write in [write, &answers_first] {
        let project = project();
        let head = format!(
            "{REQUIRE}\nconst fs = require('node:fs');\nconst told = () => {{ {write} return 'v0'; }};"
        );
        project.write("app/state.js", "");
        project.write("app/server.cjs", &in_node(&head, "told()"));
        let watched = started(project, &["node", "server.cjs"]);
        // A write that is reported late, on a busy machine, does not count.
        for call in 1.. {
            pause(&watched, Duration::from_millis(2100));
            watched.mark();
            watched.until("reloaded", call);
            let is_told = !watched.events("watch_warning").is_empty();
            assert!(!is_told || call >= 3, "{}", watched.log());
            assert!(call < 12, "{}", watched.log());
            if is_told {
                break;
            }
        }
        let told = watched.events("watch_warning")[0]["message"].to_string();
        let loaded = watched.peer.call("get_loaded_servers", &json!({}));
        let loaded = loaded.result()["structuredContent"]["servers"][0].clone();
        for text in [&told, &loaded["hint"].to_string()] {
            assert!(text.contains("during calls"), "{text}");
            assert!(text.contains("--watch '!state.js'"), "{text}");
        }
    }
}

/// A model that excluded its own source would never see it reloaded again.
#[test]
fn a_source_saved_soon_after_an_answer_is_not_taken_for_data() {
    let project = project();
    project.write("app/server.py", &in_python("", "'v0'"));
    let watched = started(project, &["python3", "server.py"]);
    for round in 1..=4 {
        watched.mark();
        let answered = Instant::now();
        eventually(DEADLINE, || answered.elapsed() > Duration::from_millis(300));
        let text = in_python("", &format!("'v{round}'"));
        watched.project.write("app/server.py", &text);
        watched.until("reloaded", round);
    }
    let warnings = watched.events("watch_warning");
    assert_eq!(warnings.len(), 0, "{warnings:?}");
}

#[test]
fn files_written_by_a_server_in_python() {
    for write in [
        "open('data/notes.json', 'w').write(text)",
        // Read at the start, as its own memory.
        "open('memory.json', 'w').write(text)",
        "pathlib.Path('plugins/made.py').write_text(text)",
        "(open('memory.tmp', 'w').write(text), os.replace('memory.tmp', 'memory.json'))",
        "(open('made.tmp', 'w').write(text), os.replace('made.tmp', 'made.py'))",
    ] {
        let project = project();
        project.write("app/data/x", "");
        project.write("app/plugins/x", "");
        project.write("app/memory.json", "0");
        let head = format!(
            "import os, pathlib\nopen('memory.json').read()\ncalls = 0\ndef told():\n    global calls\n    \
             calls += 1\n    text = str(calls)\n    {write}\n    return f'call {{calls}}'"
        );
        project.write("app/server.py", &in_python(&head, "told()"));
        // A file written at the moment of the start may be newer than the content that the server has read.
        let memory = fs::metadata(project.path("app/memory.json")).unwrap();
        let is_old = || memory.modified().unwrap().elapsed().unwrap() > Duration::from_millis(100);
        eventually(DEADLINE, is_old);
        let watched = started(project, &["python3", "server.py"]);
        keeps_its_state(&watched, "app/server.py");
    }
}

/// A server for Node.js whose mark is the content of a JSON file.
fn with_json(server: &str, load: &str) -> Project {
    let project = project();
    project.write("app/data/text.json", r#"{"mark": "v0"}"#);
    let head = if server == "server.mjs" {
        IMPORT
    } else {
        REQUIRE
    };
    let text = in_node(&format!("{head}\n{load}"), "data.mark");
    project.write(&format!("app/{server}"), &text);
    project
}

#[test]
fn json_that_is_loaded_as_a_module() {
    let create = "import { createRequire } from 'node:module';";
    for (server, load) in [
        ("server.cjs", "const data = require('./data/text.json');"),
        ("server.cjs", "const data = require('./data/text');"),
        (
            "server.cjs",
            "const data = require('./data/' + ['text', 'json'].join('.'));",
        ),
        (
            "server.mjs",
            "import data from './data/text.json' with { type: 'json' };",
        ),
        (
            "server.mjs",
            "const { default: data } = await import('./data/text.json', { with: { type: 'json' } });",
        ),
        (
            "server.mjs",
            &format!("{create} const data = createRequire(import.meta.url)('./data/text.json');"),
        ),
    ] {
        let watched = started(with_json(server, load), &["node", server]);
        saves_count(&watched, &["app/data/text.json"]);
    }
}

#[test]
fn json_that_is_imported_where_nobody_knows_what_is_loaded() {
    for (server, load) in [
        ("server.cjs", "const data = require('./data/text.json');"),
        (
            "server.mjs",
            "import data from './data/text.json' with { type: 'json' };",
        ),
    ] {
        let project = with_json(server, load);
        let watched = with_options(project, &["node", server], &["--no-warm"]);
        saves_count(&watched, &["app/data/text.json"]);
    }
}

#[test]
fn json_that_a_save_begins_to_import() {
    let project = with_json("server.cjs", "const data = { mark: 'none' };");
    let watched = with_options(project, &["node", "server.cjs"], &["--no-warm"]);
    let load = "require('./data/text.json')";
    let project = &watched.project;
    project.edit("app/server.cjs", "{ mark: 'none' }", load);
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "v0");
    project.save("app/data/text.json", r#"{"mark": "v1"}"#);
    watched.until("reloaded", 2);
    assert_eq!(watched.mark(), "v1");
}

#[test]
fn a_manifest_counts() {
    let project = with_json("server.cjs", "const data = { mark: 'v0' };");
    let watched = started(project, &["node", "server.cjs"]);
    let manifest = r#"{"name": "app", "version": "2"}"#;
    watched.project.save("app/package.json", manifest);
    watched.until("reloaded", 1);
}

#[test]
fn files_that_python_reads_at_the_start() {
    for (file, read) in [
        ("prompts/system.md", "open('prompts/system.md').read()"),
        ("query.sql", "pathlib.Path('query.sql').read_text()"),
        (
            "settings.yaml",
            "os.fdopen(os.open('settings.yaml', os.O_RDONLY)).read()",
        ),
        (".env", "open('.env').read()"),
        ("conf/.secret", "open('conf/.secret', 'rb').read().decode()"),
    ] {
        let project = project();
        project.write("app/.gitignore", ".env\nconf\n");
        project.write(&format!("app/{file}"), "v0");
        let head = format!("import os, pathlib\nMARK = {read}");
        project.write("app/server.py", &in_python(&head, "MARK"));
        let watched = started(project, &["python3", "server.py"]);
        saves_count(&watched, &[&format!("app/{file}")]);
    }
}

#[test]
fn a_file_that_python_reads_during_a_call_is_no_source() {
    let project = project();
    project.write("app/answer.txt", "v0");
    project.write("app/server.py", &in_python("", "open('answer.txt').read()"));
    let watched = started(project, &["python3", "server.py"]);
    assert_eq!(watched.mark(), "v0");
    watched.project.save("app/answer.txt", "v1");
    assert_eq!(watched.mark(), "v1");
    let text = watched.project.read("app/server.py");
    watched.project.save("app/server.py", &format!("{text}\n"));
    watched.until("reloaded", 1);
    watched.exactly("changed", 1);
}
