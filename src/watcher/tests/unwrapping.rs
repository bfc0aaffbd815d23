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

#[test]
fn a_watcher_inside_the_command_is_found() {
    let package = r#"package.json={"scripts":{"dev":"tsx watch src/x.ts","go":"npm run dev","both":"tsc -w & node --watch x.js"}}"#;
    for (command, word) in [
        ("npx tsx watch src/x.ts", "`watch`"),
        ("node --watch x.js", "`--watch`"),
        (
            "node --env-file .env --watch-path=src x.js",
            "`--watch-path=src`",
        ),
        ("npx -y nodemon@3 x.js", "`nodemon`"),
        ("bun --hot run x.js", "`--hot`"),
        ("bun run --watch x.js", "`--watch`"),
        ("deno run --watch -A x.ts", "`--watch`"),
        ("tsnd --respawn src/x.ts", "`ts-node`"),
        ("dotnet watch run", "`watch`"),
        ("cargo watch -x run", "`watch`"),
        ("uv run fastmcp run server.py --reload", "`--reload`"),
        ("uv run uvicorn a:app --reload", "`--reload`"),
        ("python -m uvicorn a:app --reload", "`--reload`"),
        (
            "sh -c 'cd a && exec watchexec -r -- python server.py'",
            "`watchexec`",
        ),
        ("sh -c 'ls *.py | entr -r python server.py'", "`entr`"),
        ("npm run dev", "script `dev`"),
        ("npm run go", "script `dev`"),
        ("pnpm both", "script `both`"),
        ("yarn dev", "script `dev`"),
    ] {
        let found = inferred(&[package, "x.js", "src/x.ts", "w.csproj"], command);
        assert_eq!(found.warnings.len(), 1, "{command}: {found:?}");
        assert!(found.warnings[0].contains(word), "{command}: {found:?}");
    }
    for command in [
        "node x.js --watch",
        "tsx src/x.ts watch",
        "bun x.js --hot",
        "deno run -A src/x.ts --watch",
        "python server.py --reload",
        "uv run server.py --watch --reload",
        "fastmcp run server.py -- --reload",
        "cargo run -- watch",
        "npx tsx src/x.ts --watch",
        "sh -c 'node x.js --watch'",
        "pnpm exec node x.js",
    ] {
        let found = inferred(&["server.py", "x.js", "src/x.ts", "Cargo.toml"], command);
        assert!(found.warnings.is_empty(), "{command}: {found:?}");
    }
}
