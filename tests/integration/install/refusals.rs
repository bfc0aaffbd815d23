//! Refusals while dependencies are installed, the report at the end, and the settings that an update keeps.

use std::path::Path;

use serde_json::Value;

use super::World;
use super::javascript::{DENO, TYPESCRIPT};
use super::languages::{PYPROJECT, PYTHON, find, install, installs_and_answers};
use crate::harness::Run;

#[test]
fn python_that_is_too_old_is_named() {
    let project = PYPROJECT.replace(">=3.10", ">=3.99");
    let world = World::new(&[("pyproject.toml", &project), ("weather.py", PYTHON)]);
    let said = install(&world, &[], &[], 5);
    assert!(said.contains("requires Python >=3.99"), "{said}");
    world.assert_untouched();
}

#[test]
fn a_package_that_would_have_to_be_built() {
    let files = [
        ("requirements.txt", "docopt==0.6.2\n"),
        ("server.py", super::SERVER),
    ];
    let world = World::new(&files);
    for tools in [&["uv"][..], &[]] {
        let said = install(&world, tools, &[], 5);
        assert!(said.contains("--scripts"), "{said}");
    }
    world
        .repository
        .commit(&[("requirements.txt", "no-such-package-of-anybody\n")]);
    for tools in [&["uv"][..], &[]] {
        let said = install(&world, tools, &[], 5);
        assert!(!said.contains("--scripts"), "{said}");
    }
    world.assert_untouched();
}

#[test]
fn deno_may_not_let_packages_run_scripts_by_itself() {
    let manifest = DENO.replacen('{', r#"{ "allowScripts": ["npm:zod"],"#, 1);
    let world = World::new(&[("deno.json", &manifest), ("index.ts", TYPESCRIPT)]);
    let said = install(&world, &["deno"], &[], 5);
    assert!(
        said.contains("deno.json lets packages run scripts"),
        "{said}"
    );
    world.assert_untouched();
    installs_and_answers(&world, &["deno"], &["--scripts"]);
}

/// Programs that uv would run as Python, and modules that shadow Python's own.
#[test]
fn nothing_of_the_repository_runs_while_it_is_made_ready() {
    let planted = "import pathlib; pathlib.Path(__file__).with_suffix('.ran').touch()\n";
    let project = PYPROJECT.replace(">=3.10", ">=3.8");
    let files = [
        ("pyproject.toml", &*project),
        ("weather.py", PYTHON),
        ("platform.py", planted),
        ("venv.py", planted),
        ("pip.py", planted),
        (".python-version", "./tool\n"),
    ];
    let world = World::new(&files);
    let said = install(&world, &["uv"], &[], 5);
    assert!(said.contains(".python-version"), "{said}");
    install(&world, &[], &["--no-check"], 0);
    let installed: Value = serde_json::from_str(&world.project.read("out")).unwrap();
    let folder = Path::new(installed["folder"].as_str().unwrap());
    for name in ["platform.ran", "venv.ran", "pip.ran"] {
        assert!(!folder.join(name).exists(), "{name}");
    }
}

/// Another directory's configuration may have a server of the same name.
#[test]
fn an_update_starts_no_other_server() {
    let world = World::new(&[("serve_server.py", super::SERVER)]);
    install(&world, &[], &[], 0);
    let other = r#"{"mcpServers": {"weather": {"command": "sh", "args": ["-c", "touch ran"]}}}"#;
    world.project.write("other/.mcp.json", other);
    world.repository.commit(&[("README.md", "new\n")]);
    let mut update = world.command(&["update", "weather", "--json"]);
    find(&mut update, &world, &[]);
    update.current_dir(world.project.path("other"));
    let updated = Run::of(update).ended_with(0).stdout;
    let updated: Value = serde_json::from_str(&updated).unwrap();
    assert_eq!(
        (&updated["outcome"], &updated["starts"]),
        (&"updated".into(), &Value::Null)
    );
    assert!(!world.project.path("other/ran").exists());
}

/// The arguments that a README has may change, and the entry stays.
#[test]
fn an_update_keeps_the_arguments_that_are_registered() {
    let readme = |word: &str| {
        format!(
            "```json\n{{\"mcpServers\": {{\"x\": {{\"command\": \"python\", \"args\": [\"serve_server.py\", \"{word}\"]}}}}}}\n```\n"
        )
    };
    let files = [
        ("serve_server.py", super::SERVER),
        ("README.md", &readme("stdio")),
    ];
    let world = World::new(&files);
    install(&world, &[], &[], 0);
    assert!(world.config().contains("\"stdio\""), "{}", world.config());
    world.repository.commit(&[("README.md", &readme("serve"))]);
    let mut update = world.command(&["update", "weather"]);
    find(&mut update, &world, &[]);
    Run::of(update).ended_with(0);
    assert!(world.config().contains("\"stdio\""), "{}", world.config());
}

#[test]
fn a_script_that_uv_alone_can_run() {
    let head = "# /// script\n# dependencies = ['tiny']\n# [tool.uv.sources]\n# tiny = { path = 'tiny' }\n# ///\n";
    let server = format!("{head}{}", super::SERVER);
    let world = World::new(&[("serve_server.py", &server)]);
    let said = install(&world, &["uv"], &[], 5);
    assert!(
        said.contains("--command 'uv run serve_server.py'"),
        "{said}"
    );
    install(
        &world,
        &["uv"],
        &["--command", "uv run serve_server.py", "--no-check"],
        0,
    );
}

#[test]
fn a_server_that_does_not_start_is_told() {
    let server = "import sys\nsys.exit('no key: set WEATHER_KEY')\n";
    let world = World::new(&[("weather_server.py", server)]);
    let said = install(&world, &[], &[], 4);
    assert!(said.contains("no key: set WEATHER_KEY"), "{said}");
    assert!(said.contains("`weather` does not start"), "{said}");
    let installed: Value = serde_json::from_str(&world.project.read("out")).unwrap();
    assert_eq!(installed["starts"], false);
    world.run(&["uninstall", "weather", "--delete-files"], 0);
    install(&world, &[], &["--no-check"], 0);
    let installed: Value = serde_json::from_str(&world.project.read("out")).unwrap();
    assert_eq!(installed["starts"], Value::Null);
}
