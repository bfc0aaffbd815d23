//! Tests on small trees laid out like real servers, each with its expected result.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::super::plan::{PackageManager, PrepareStep};
use super::*;

/// Lists the trees of `fixtures/repos`: each file of a tree follows a line `== PATH`. Before them, a line `@ FOLDER`
/// selects the folder to inspect, and `server_file: …` and `requirements_file: …` set the fields of [`Said`].
fn trees() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/repos");
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "tree"))
        .collect();
    files.sort();
    files
}

fn planted(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in format!("\n{text}").split("\n== ").skip(1) {
        let (path, content) = file.split_once('\n').unwrap_or((file, ""));
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn detected(tree: &str) -> String {
    let folder = planted(tree);
    let head = tree.lines().take_while(|line| !line.starts_with("== "));
    let value = |key: &str| head.clone().find_map(|line| line.strip_prefix(key));
    let said = StartSettings {
        server_file: value("server_file: ").map(str::to_owned),
        requirements_file: value("requirements_file: ").map(str::to_owned),
        ..StartSettings::default()
    };
    let below = value("@ ").unwrap_or_default();
    shown(detect(folder.path(), below, &said))
}

fn shown(found: Result<Plan, DetectError>) -> String {
    let (text, considered) = match found {
        Ok(plan) => (shown_plan(&plan), plan.considered),
        Err(error) => {
            let text = format!("{error}\n");
            let considered = match error {
                DetectError::Ambiguous { considered, .. }
                | DetectError::Elsewhere { considered, .. } => considered,
                _ => Vec::new(),
            };
            (text, considered)
        }
    };
    considered
        .iter()
        .fold(text, |text, line| format!("{text}considered: {line}\n"))
}

fn shown_plan(plan: &Plan) -> String {
    let mut text = format!("command: {}\nreason: {}\n", plan.line(), plan.reason);
    for step in &plan.prepare {
        let _ = writeln!(text, "prepare: {step:?}");
    }
    for (name, value) in &plan.env {
        let _ = writeln!(text, "env: {name}={value}");
    }
    let _ = writeln!(text, "watch: {}", plan.watch.join(" "));
    text
}

/// Writes the texts instead of comparing them if `MCP_PROXY_BLESS=1` is set in the environment.
#[test]
fn each_tree_is_started_as_was_approved() {
    let files = trees();
    assert!(files.len() >= 20, "{files:?}");
    for file in files {
        let found = detected(&fs::read_to_string(&file).unwrap());
        let approved = file.with_extension("tree.txt");
        if std::env::var_os("MCP_PROXY_BLESS").is_some() {
            fs::write(&approved, &found).unwrap();
        }
        let approved = fs::read_to_string(&approved).unwrap_or_default();
        assert_eq!(
            found,
            approved,
            "bless it if {} is to change",
            file.display()
        );
    }
}

#[test]
fn nothing_outside_of_the_clone_is_read() {
    let outside = planted("== server.py\nfrom mcp import x\n== package.json\n{\"bin\": \"x.js\"}");
    let clone = planted("== sub/README.md\n");
    for name in ["server.py", "package.json"] {
        symlink(outside.path().join(name), clone.path().join(name)).unwrap();
    }
    symlink(outside.path(), clone.path().join("src")).unwrap();
    let found = detect(clone.path(), "", &StartSettings::default());
    assert!(
        matches!(found, Err(DetectError::Nothing { .. })),
        "{found:?}"
    );
    for folder in ["src", "..", "/", "sub/../.."] {
        let found = detect(clone.path(), folder, &StartSettings::default());
        assert!(matches!(found, Err(DetectError::File(_))), "{folder}");
    }
    for file in ["server.py", "../server.py", "no.py", "/etc/passwd"] {
        let said = StartSettings {
            server_file: Some(file.to_owned()),
            ..StartSettings::default()
        };
        let found = detect(clone.path(), "", &said);
        assert!(matches!(found, Err(DetectError::File(_))), "{file}");
    }
    // A link that stays inside is followed.
    fs::write(clone.path().join("sub/real.py"), "import mcp\nmcp.run()").unwrap();
    symlink("sub/real.py", clone.path().join("main.py")).unwrap();
    let found = detect(clone.path(), "", &StartSettings::default()).unwrap();
    assert_eq!(found.line(), ".venv/bin/python main.py");
}

#[test]
fn names_that_lead_elsewhere_are_not_taken() {
    let mean = "== pyproject.toml\n[project]\nname = 'x'\ndependencies = ['mcp', '--index-url=http://x']\n\
        [project.scripts]\n\"../../sh\" = 'x:y'\n\"-c\" = 'x:y'\n\
        == package.json\n{\"bin\": {\"a\": \"../../../sh.js\", \"b\": \"/bin/sh.js\"}}\n\
        == Cargo.toml\n[package]\nname = 'x'\n[[bin]]\nname = '--config=x'\n\
        == server.py\nimport mcp\nmcp.run()\n";
    let folder = planted(mean);
    let found = detect(folder.path(), "", &StartSettings::default()).unwrap();
    assert_eq!(found.line(), ".venv/bin/python server.py");
    let PrepareStep::Venv(venv) = &found.prepare[0] else {
        panic!("{found:?}")
    };
    assert_eq!(venv.packages, ["mcp"]);
    assert_eq!(found.considered.len(), 5, "{:#?}", found.considered);
}

/// Client commands, and the words of them that become arguments.
#[test]
fn arguments_are_taken_from_examples_that_mean_the_same_everywhere() {
    let cases = [
        (
            "npx",
            r#"["-y", "@acme/my-server@latest", "serve", "--stdio"]"#,
            "serve --stdio",
        ),
        (
            "npx",
            r#"["--package=@acme/my-server", "my-server", "mcp"]"#,
            "mcp",
        ),
        (
            "npx",
            r#"["-p", "my-server", "my-server", "--transport=stdio"]"#,
            "'--transport=stdio'",
        ),
        (
            "npm",
            r#"["exec", "my-server", "--", "--stdio"]"#,
            "--stdio",
        ),
        ("npm", r#"["exec", "my-server", "--silent"]"#, ""),
        ("npm", r#"["--prefix", "/p/my-server", "run", "start"]"#, ""),
        ("docker", r#"["run", "-i", "my-server", "serve"]"#, ""),
        (
            "my-server",
            r#"["--transport", "stdio"]"#,
            "--transport stdio",
        ),
        ("my-server", r#"["--transport", "sse"]"#, ""),
        ("my-server", r#"["--key", "TOKEN"]"#, ""),
        ("my-server", r#"["serve", "/Users/you"]"#, ""),
        ("my-server", r#"["--api-key=insert-key-here"]"#, ""),
        ("my-server", r#"["my-project"]"#, ""),
        ("node", r#"["/path/to/index.js", "mcp"]"#, "mcp"),
    ];
    for (command, args, expected) in cases {
        let readme = format!(
            "```json\n{{\"mcpServers\": {{\"x\": {{\"command\": \"{command}\", \"args\": {args}}}}}}}\n```"
        );
        let package = r#"{"name": "@acme/my-server", "bin": {"my-server": "index.js"}}"#;
        let tree = format!("== package.json\n{package}\n== index.js\n\n== README.md\n{readme}\n");
        let folder = planted(&tree);
        let found = detect(folder.path(), "", &StartSettings::default()).unwrap();
        let line = found.line();
        let rest = line.strip_prefix("node index.js").unwrap().trim();
        assert_eq!(rest, expected, "{command} {args}");
    }
}

#[test]
fn only_the_last_stage_of_an_image_is_what_it_starts() {
    let image = "FROM a AS dev\nCMD [\"serve\"]\nFROM b\nENTRYPOINT [\"node\", \"index.js\"]\n";
    let tree = format!(
        "== package.json\n{{\"bin\": \"index.js\"}}\n== index.js\n\n== Dockerfile\n{image}"
    );
    let folder = planted(&tree);
    let found = detect(folder.path(), "", &StartSettings::default()).unwrap();
    assert_eq!(found.line(), "node index.js");
}

#[test]
fn options_of_a_task_that_say_what_is_run_are_not_taken() {
    for (task, expected) in [
        ("deno run -A main.ts", "deno run -A main.ts"),
        (
            "deno run --allow-net=a.example:443 --watch main.ts",
            "deno run '--allow-net=a.example:443' main.ts",
        ),
        (
            "deno run --import-map=http://x/y main.ts",
            "deno run --allow-all main.ts",
        ),
        ("deno run - main.ts", "deno run --allow-all main.ts"),
        (
            "deno run ./--allow-scripts=npm:x.ts",
            "deno run --allow-all main.ts",
        ),
    ] {
        let manifest = format!("{{\"tasks\": {{\"start\": \"{task}\"}}}}");
        let tree = format!("== deno.json\n{manifest}\n== main.ts\n\n== --allow-scripts=npm:x.ts\n");
        let folder = planted(&tree);
        let found = detect(folder.path(), "", &StartSettings::default()).unwrap();
        assert_eq!(found.line(), expected, "{task}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let folder =
        planted("== package.json\n{\n== pyproject.toml\n[\n== Cargo.toml\n=\n== server.json\nno");
    let error = detect(folder.path(), "", &StartSettings::default())
        .unwrap_err()
        .to_string();
    for file in [
        "package.json",
        "pyproject.toml",
        "Cargo.toml",
        "server.json",
    ] {
        assert!(
            error.contains(&format!("\n  {file}: cannot be read")),
            "{error}"
        );
    }
}

#[test]
fn the_lock_file_tells_the_packager() {
    let cases = [
        ("", "", PackageManager::Npm, false),
        ("pnpm-lock.yaml", "", PackageManager::Pnpm, true),
        ("bun.lock", "", PackageManager::Bun, true),
        ("yarn.lock", "yarn@4.1.0", PackageManager::Yarn, true),
        ("", "pnpm@9", PackageManager::Pnpm, false),
    ];
    for (lock, said, packager, locked) in cases {
        let lock = if lock.is_empty() { "LICENSE" } else { lock };
        let text = format!(
            "== {lock}\n\n== p/package.json\n{{\"bin\": \"x.js\", \"packageManager\": \"{said}\"}}\n== p/x.js\n"
        );
        let folder = planted(&text);
        let found = detect(folder.path(), "p", &StartSettings::default()).unwrap();
        let root = if locked { ".." } else { "" }.into();
        let expected = PrepareStep::Node {
            packager,
            locked,
            build: None,
            root,
        };
        assert_eq!(found.prepare, [expected], "{lock} {said}");
    }
}
