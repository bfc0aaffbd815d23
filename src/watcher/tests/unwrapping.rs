//! Commands found in scripts: of a `package.json`, and of a shell.

use super::super::infer::{NODE, PYTHON};
use super::inferring::{Folder, inferred};

#[test]
fn a_script_of_a_workspace_is_found() {
    let files = [
        r#"package.json={"workspaces":["packages/*"]}"#,
        r#"packages/srv/package.json={"name":"srv","scripts":{"start":"node dist/index.js"}}"#,
        "packages/srv/dist/index.js",
    ];
    for command in [
        "npm run start -w srv",
        "npm -w packages/srv start",
        "yarn workspace srv start",
    ] {
        let found = inferred(&files, command);
        let dist = "packages/srv/dist/index.js".to_owned();
        assert!(found.globs.contains(&dist), "{command}: {found:?}");
        assert!(found.warnings.is_empty(), "{command}: {found:?}");
    }
    for command in ["npm -w other start", "pnpm --filter other start"] {
        let found = inferred(&files, command);
        assert_eq!(found.globs[0], NODE[0], "{command}: {found:?}");
        let [warning] = &found.warnings[..] else {
            panic!("{command}: {found:?}");
        };
        assert!(warning.contains("--cwd"), "{command}: {found:?}");
    }
}

#[test]
fn preparations_in_a_shell_are_passed_over() {
    for line in [
        "source ~/.nvm/nvm.sh && nvm use 20 >/dev/null && python server.py",
        "[ -f .env ] && . ./.env; exec python server.py",
        "if [ -f .env ]; then . ./.env; fi; python server.py",
        "ulimit -n 4096; umask 077; echo starting >&2; python server.py",
        "python server.py; echo over",
    ] {
        let found = inferred(&["server.py"], &format!("bash -c '{line}'"));
        assert_eq!(found.globs[0], PYTHON[0], "{line}: {found:?}");
        assert!(found.warnings.is_empty(), "{line}: {found:?}");
    }
    // The first one that may start the server also builds it.
    let found = inferred(&["Cargo.toml"], "sh -c 'cargo build && target/debug/w'");
    assert_eq!(found.globs[0], "**/*.rs", "{found:?}");
    let found = inferred(&[], "sh -c 'echo hello'");
    assert!(found.warnings[0].contains("`echo`"), "{found:?}");
}

#[test]
fn a_shell_script_is_looked_through() {
    let script = "cd \"$(dirname \"$0\")\"\nexec python src/server.py \"$@\"";
    let run = format!("a/run.sh=#!/bin/sh\n{script}");
    let files = [&*run, "a/src/server.py", ".git/HEAD"];
    for command in ["./a/run.sh", "bash a/run.sh", "sh -c 'exec ./a/run.sh x'"] {
        let found = inferred(&files, command);
        assert_eq!(found.globs[0], PYTHON[0], "{command}: {found:?}");
        for file in ["a/run.sh", "a/src/server.py"] {
            assert!(
                found.globs.contains(&file.to_owned()),
                "{command}: {found:?}"
            );
        }
        assert!(found.warnings.is_empty(), "{command}: {found:?}");
    }
    let unclear = "run.sh=#!/usr/bin/env bash\nexec \"$SERVER\"";
    for command in ["./run.sh", "bash -e run.sh"] {
        let found = inferred(&[unclear], command);
        assert_eq!(found.globs, ["./run.sh"], "{command}: {found:?}");
        assert_eq!(found.warnings.len(), 1, "{command}: {found:?}");
        assert!(found.warnings[0].contains("--watch 'src/**'"), "{found:?}");
        let found = inferred(&[unclear, "pyproject.toml"], command);
        assert_eq!(found.globs[0], PYTHON[0], "{command}: {found:?}");
        assert!(found.warnings.is_empty(), "{command}: {found:?}");
    }
    let wrapper = inferred(
        &["gradlew=#!/bin/sh\nexec java x", "pom.xml"],
        "./gradlew run",
    );
    assert!(wrapper.warnings.is_empty(), "{wrapper:?}");
}

#[test]
fn a_build_without_known_sources_is_told() {
    let folder = Folder::new(&["p/Makefile", "p/.git/HEAD", "r/Cargo.toml"]);
    let found = folder.inferred("p", "./build/srv", true);
    assert_eq!(found.globs, ["build/srv"]);
    assert_eq!(found.warnings.len(), 1, "{found:?}");
    assert!(found.warnings[0].contains("--watch 'src/**'"), "{found:?}");
    let found = folder.inferred("r", "./target/debug/srv", true);
    assert!(found.warnings.is_empty(), "{found:?}");
    let found = folder.inferred("p", "./build/srv", false);
    assert!(found.warnings.is_empty(), "{found:?}");
}
