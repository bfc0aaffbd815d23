//! A package of Node.js is loaded ahead only if nothing of the user's code runs before it in a plain start.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::Warmed;
use super::node::project;
use crate::harness::{DEADLINE, Project};

/// An expression for the state of the process at the moment when a package is loaded.
const SEEN: &str =
    "[process.env.MODE ?? 'unset', process.cwd().endsWith('sub'), typeof globalThis.mode].join()";
const UNTOUCHED: &str = "unset,false,undefined";

/// A server whose text begins with `head`, which gets `saw` from the package `ahead`.
fn text(source: &str, head: &str, mark: &str) -> String {
    let look = if source == "server.cjs" {
        "const look = require('./look.cjs');"
    } else {
        "import look from './look.cjs';"
    };
    format!(
        "{head}\n{look}\nconst MARK = \"{mark}\";\n\
         look.serve('2025-06-18', (name) => (name === 'look' ? {{ saw: `${{saw}}` }} : {{ mark: MARK }}));\n"
    )
}

#[track_caller]
fn started(source: &'static str, head: &str, files: &[(&str, &str)]) -> Warmed {
    let project = project();
    project.write(
        "node_modules/ahead/package.json",
        r#"{"exports": {"import": "./ahead.mjs", "require": "./ahead.cjs"}}"#,
    );
    project.write(
        "node_modules/ahead/ahead.mjs",
        &format!("export const saw = {SEEN};"),
    );
    project.write(
        "node_modules/ahead/ahead.cjs",
        &format!("exports.saw = {SEEN};"),
    );
    project.write(
        "node_modules/waits/package.json",
        r#"{"exports": "./waits.mjs"}"#,
    );
    project.write(
        "node_modules/waits/waits.mjs",
        &format!("await Promise.resolve();\nexport const saw = {SEEN};"),
    );
    project.write("sub/x", "");
    for (file, text) in files {
        project.write(file, text);
    }
    project.write(source, &text(source, head, "v0"));
    let options: &[&str] = if source == "server.mts" {
        &["--import", "tsx"]
    } else {
        &[]
    };
    let words = ["node"].iter().chain(options).chain([&source]);
    let command: Vec<OsString> = words.map(Into::into).collect();
    Warmed::start(project, source, command)
}

/// Puts another head into the source, and returns the package's observations.
#[track_caller]
fn saved(warmed: &Warmed, head: &str, mark: &str) -> String {
    let reloads = warmed.log.events("reloaded").len();
    warmed.until_prepared();
    warmed
        .project
        .save(warmed.source, &text(warmed.source, head, mark));
    warmed.log.until("reloaded", reloads + 1);
    assert_eq!(warmed.mark(), mark);
    saw(warmed)
}

#[track_caller]
fn saw(warmed: &Warmed) -> String {
    warmed.look()["saw"].as_str().unwrap().to_owned()
}

const SETS: &str = "process.env.MODE = 'set';";

#[test]
fn an_edit_that_sets_something_up_first_starts_cold_once_and_that_is_told() {
    let mut repeated = BTreeSet::new();
    for (source, before, after, seen) in [
        (
            "server.mjs",
            "import { saw } from 'ahead';",
            "import './env.mjs';\nimport { saw } from \"ahead\";",
            "set,false,undefined",
        ),
        (
            "server.mjs",
            "import 'zod'; import { saw } from 'ahead';",
            "import 'zod'; import/**/'./env.cjs'; import { saw } from 'ahead';",
            "set,false,undefined",
        ),
        (
            "server.cjs",
            "const { saw } = require('ahead');",
            "'use strict';\nprocess.chdir('sub');\nconst { saw } = require('ahead');\nprocess.chdir('..');",
            "unset,true,undefined",
        ),
        (
            "server.cjs",
            "const { saw } = require('ahead');",
            "const zod = require('zod'), mode = globalThis.mode = 1;\nconst { saw } = require('ahead');",
            "unset,false,number",
        ),
        (
            "server.mts",
            "import { mode } from './env.mjs';\nimport { saw } from 'ahead';\nString(saw);\nlet it: mode;",
            "import { mode } from './env.mjs';\nimport { saw } from 'ahead';\nString(saw);\nString(mode);",
            "set,false,undefined",
        ),
        (
            "server.mts",
            "import { saw } from 'ahead';\nString(saw);",
            "import { mode } from './env.mjs';\nimport { saw } from 'ahead';\nString(saw);\nString(mode);",
            "set,false,undefined",
        ),
    ] {
        let sets = format!("{SETS}\nexport const mode = 1;");
        let files = [("env.mjs", &*sets), ("env.mts", &sets), ("env.cjs", SETS)];
        let warmed = started(source, before, &files);
        assert_eq!(saw(&warmed), UNTOUCHED, "{before}");
        warmed.warm_save("v1");
        assert_eq!(saw(&warmed), UNTOUCHED, "{before}");
        assert_eq!(saved(&warmed, after, "v2"), seen, "{after}");
        let was_loaded = !before.contains("./env.mjs");
        let told = warmed.log.events("cold");
        assert_eq!(told.len(), usize::from(was_loaded), "{after}: {told:?}");
        let reason = "the saved code loads ahead later than before, or not at all";
        assert!(told.iter().all(|it| it["reason"] == reason), "{told:?}");
        warmed.warm_save("v3");
        assert_eq!(saw(&warmed), seen, "{after}");
        if !repeated.insert(source) {
            continue;
        }
        // However often that happens, it is no fault.
        assert_eq!(saved(&warmed, before, "v4"), UNTOUCHED);
        assert_eq!(saved(&warmed, after, "v5"), seen);
        assert_eq!(saved(&warmed, before, "v6"), UNTOUCHED);
        let told = warmed.log.events("cold");
        assert!(told.iter().all(|it| it["for_good"] == false), "{told:?}");
        warmed.warm_save("v7");
    }
}

#[test]
fn packages_behind_modules_of_the_users_own_are_not_loaded_ahead() {
    for (source, head, files, seen) in [
        (
            "server.mjs",
            "import './tools.mjs';\nimport { saw } from 'ahead';",
            [
                ("tools.mjs", "import 'zod';\nimport './env.mjs';"),
                ("env.mjs", ""),
            ],
            "set,false,undefined",
        ),
        (
            "server.cjs",
            "require('./tools');\nconst { saw } = require('ahead');",
            [
                ("tools.js", "require('zod');\nrequire('./env.cjs');"),
                ("env.cjs", ""),
            ],
            "set,false,undefined",
        ),
        (
            "server.mjs",
            "import { saw } from 'waits';\nimport './env.mjs';",
            [("env.mjs", ""), ("unused.mjs", "")],
            "set,false,undefined",
        ),
    ] {
        let warmed = started(source, head, &files);
        assert_eq!(saw(&warmed), UNTOUCHED, "{head}");
        if head.contains("waits") {
            warmed.log.until("cold", 1);
        } else {
            warmed.warm_save("v1");
            warmed.until_prepared();
        }
        let env = files
            .iter()
            .find(|(file, _)| file.contains("env"))
            .unwrap()
            .0;
        warmed.project.write(env, SETS);
        let reloads = warmed.log.events("reloaded").len();
        warmed.save("v2");
        warmed.log.until("reloaded", reloads + 1);
        assert_eq!(saw(&warmed), seen, "{head}");
    }
}

/// The notes of a process of Node.js that was run with `words` and says when it is `loaded`.
#[track_caller]
fn notes(project: &Project, words: &[&str]) -> Vec<String> {
    let folder = project.path("notes");
    std::fs::create_dir(&folder).unwrap();
    let bootstrap = concat!(
        include_str!("../../../src/warm/imports.cjs"),
        include_str!("../../../src/warm/node.cjs")
    );
    project.write("notes.cjs", bootstrap);
    let command = words.join("\0") + "\0";
    for (file, text) in [("words", &*command), ("claim", ""), ("log", "")] {
        project.write(&format!("notes/{file}"), text);
    }
    let mut process = Command::new("node")
        .args(words)
        .current_dir(project.root())
        .env(
            "NODE_OPTIONS",
            format!("--require={}", project.path("notes.cjs").display()),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "loaded\n");
    project.write("notes/report", "");
    let deadline = Instant::now() + DEADLINE;
    let log = loop {
        let log = project.read("notes/log");
        if log.ends_with("#end\t\n") {
            break log;
        }
        assert!(Instant::now() < deadline, "nothing is noted");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    drop(process.stdin.take());
    process.wait().unwrap();
    log.lines().map(str::to_owned).collect()
}

#[test]
fn all_files_of_the_users_own_that_are_loaded_are_noted() {
    let project = Project::new();
    let real = project.root().canonicalize().unwrap();
    project.write("package.json", "{}");
    project.write("node_modules/pkg/index.js", "");
    project.write(
        "packages/shared/package.json",
        r#"{"name": "shared", "exports": "./a.mjs"}"#,
    );
    project.write("packages/shared/a.mjs", "import './b.mjs';");
    project.write("packages/shared/b.mjs", "");
    symlink("../packages/shared", project.path("node_modules/shared")).unwrap();
    project.write("elsewhere/linked.mjs", "");
    symlink("elsewhere/linked.mjs", project.path("linked.mjs")).unwrap();
    for data in ["one.json", "two.json", "three.json", "unused.json"] {
        project.write(data, "{}");
    }
    project.write("common.cjs", "require('./two.json');");
    project.write(
        "main.mjs",
        "import 'pkg';\nimport 'shared';\nimport './linked.mjs';\nimport './common.cjs';\n\
         import one from './one.json' with { type: 'json' };\n\
         await import('./three.json', { with: { type: 'json' } });\nprocess.stdin.resume();\nconsole.log('loaded');",
    );
    symlink("main.mjs", project.path("server.mjs")).unwrap();
    let notes = notes(&project, &["server.mjs"]);
    let place = |name: &str| real.join(name).display().to_string();
    for name in [
        "main.mjs",
        "packages/shared/a.mjs",
        "packages/shared/b.mjs",
        "elsewhere/linked.mjs",
        "common.cjs",
        "one.json",
        "two.json",
        "three.json",
        "node_modules/pkg/index.js",
    ] {
        assert!(
            notes.contains(&format!("{0}\t{0}", place(name))),
            "{name}: {notes:#?}"
        );
    }
    for name in [
        "server.mjs",
        "linked.mjs",
        "node_modules/shared/a.mjs",
        "node_modules/shared/b.mjs",
    ] {
        let found = notes
            .iter()
            .any(|it| it.starts_with("#link\t") && it.ends_with(&format!("/{name}")));
        assert!(found, "{name}: {notes:#?}");
    }
    assert!(!notes.iter().any(|it| it.contains("unused")), "{notes:#?}");
}
