//! The contract of the installing tools: their effects and their results.

use serde_json::{Value, json};

use super::super::definitions::{conforms, definition};
use super::super::stage::each;
use super::super::{AVAILABLE, INSTALL, INSTALL_AND_LOAD, INSTALLED, LOAD, LOADED, UNINSTALL};
use super::{SERVER, TOOLS_CHANGED, World, says, told};
use crate::harness::{DEADLINE, eventually};

fn weather() -> Value {
    json!({"server_name": "weather"})
}

#[test]
fn installed_then_loaded_then_called() {
    let world = World::simple();
    let client = world.serve();
    let said = client.success(INSTALL, &world.arguments(json!({})));
    let message = format!("Successfully installed MCP server from {}", world.url());
    assert_eq!(said["message"], message);
    assert_eq!(said["server_name"], "weather");
    assert_eq!(
        said["next_step"],
        "Use load_mcp_server_dynamically(server_name='weather') to load it"
    );
    assert_eq!(said["outcome"], "installed");
    assert_eq!(said["commit"], world.head());
    let reason = said["reason"].as_str().unwrap();
    assert!(reason.starts_with("server.py: "), "{reason}");

    // It is there, and not loaded.
    assert_eq!(client.success(LOADED, &json!({}))["count"], 0);
    let there = client.success(AVAILABLE, &json!({}))["servers"].take();
    assert_eq!(there, json!(["clock", "weather"]));
    client.success(LOAD, &weather());
    assert_eq!(told(&client, "weather__forecast"), "rain in town");

    let file = said["folder"].as_str().unwrap().to_owned() + "/server.py";
    let said = client.success(INSTALLED, &json!({}));
    let entry = &said["servers"][1];
    assert_eq!(entry["name"], "weather");
    assert_eq!(entry["path"], file);
    assert_eq!(entry["args"], json!([file]));
    assert_eq!(entry["source"], world.url());
    assert_eq!(entry["commit"], world.head());
    assert_eq!(said["servers"][0].get("source"), None);
}

#[test]
fn installed_and_loaded_at_once() {
    let world = World::simple();
    let client = world.serve();
    let said = client.success(INSTALL_AND_LOAD, &world.arguments(json!({})));
    assert_eq!(
        said["message"],
        "Installed and loaded 'weather' successfully"
    );
    assert_eq!(said["server_name"], "weather");
    assert_eq!(said["tools"], json!(["forecast"]));
    assert_eq!(said["tool_count"], 1);
    assert_eq!(
        said["note"],
        "Server is ready to use immediately - no restart required!"
    );
    client.peer.expect_notification(TOOLS_CHANGED);
    let tools = Value::from(client.tools());
    assert!(each(&tools, "name").contains(&"weather__forecast"));
    assert_eq!(told(&client, "weather__forecast"), "rain in town");
}

/// A project without any configuration gets one.
#[test]
fn the_first_server_of_a_project() {
    let world = World::simple();
    std::fs::remove_file(world.stage.project.path(".mcp.json")).unwrap();
    let client = world.serve();
    let said = client.success(INSTALL_AND_LOAD, &world.arguments(json!({})));
    let file = world.stage.project.path(".mcp.json");
    assert_eq!(said["config_files"], json!([file]));
    assert_eq!(told(&client, "weather__forecast"), "rain in town");
    let said = client.success(INSTALLED, &json!({}));
    assert_eq!(said["servers"][0]["source"], world.url());
    assert!(said["config_file"].as_str().unwrap().contains(".mcp.json"));
}

#[test]
fn the_same_commit_again_changes_nothing() {
    let world = World::simple();
    let client = world.serve();
    client.success(INSTALL, &world.arguments(json!({})));
    let (config, left) = (world.config(), world.left());
    let said = client.success(INSTALL, &world.arguments(json!({})));
    assert_eq!(said["outcome"], "was installed already");
    assert_eq!(said["server_name"], "weather");
    assert_eq!(said["commit"], world.head());
    let other = world.arguments(json!({"env_vars": {"CITY": "oslo"}}));
    says(
        &client.failure(INSTALL, &other),
        &["other values of CITY; nothing was changed", "`overwrite`"],
    );
    assert_eq!((world.config(), world.left()), (config, left));
    let said = client.success(INSTALL_AND_LOAD, &world.arguments(json!({})));
    assert_eq!(said["tools"], json!(["forecast"]));
}

/// A ref was read and then forgotten.
#[test]
fn a_branch_a_tag_a_commit_and_a_folder() {
    let world = World::simple();
    let first = world.head();
    world.repository.git(&["tag", "v1"]);
    world.repository.git(&["branch", "old"]);
    let in_rome = SERVER.replace("town", "rome");
    world
        .repository
        .commit(&[("server.py", &in_rome), ("servers/b/server.py", &in_rome)]);
    let client = world.serve();
    for (name, rest, commit, text) in [
        ("tag", "@v1", &first, "rain in town"),
        ("branch", "@old", &first, "rain in town"),
        ("commit", &format!("@{first}"), &first, "rain in town"),
        (
            "short",
            &format!("@{}", &first[..10]),
            &first,
            "rain in town",
        ),
        ("newest", "", &world.head(), "rain in rome"),
        ("folder", "#servers/b", &world.head(), "rain in rome"),
        ("both", "@main#servers/b", &world.head(), "rain in rome"),
    ] {
        let arguments = json!({"git_url": world.url() + rest, "server_name": name});
        let said = client.success(INSTALL_AND_LOAD, &arguments);
        assert_eq!(said["commit"], **commit, "{name}");
        assert_eq!(told(&client, &format!("{name}__forecast")), text, "{name}");
    }
    let arguments = json!({"git_url": world.url() + "@nowhere", "server_name": "x"});
    says(
        &client.failure(INSTALL, &arguments),
        &[
            "Installation failed: ",
            "no branch, tag or commit `nowhere`",
        ],
    );
    let arguments = json!({"git_url": world.url() + "#nowhere", "server_name": "x"});
    says(
        &client.failure(INSTALL, &arguments),
        &["Installation failed: the repository has no folder \"nowhere\""],
    );
}

/// Given arguments win over detected ones; values of variables are never shown.
#[test]
fn files_and_variables_that_are_named() {
    let world = World::new(&[
        ("server.py", "raise SystemExit('not this one')"),
        ("start/here.py", SERVER),
        ("needs.txt", "a-package"),
    ]);
    let client = world.serve();
    let arguments = world.arguments(json!({
        "server_name": "told", "server_file": "start/here.py", "requirements_file": "needs.txt",
        "auto_detect": false, "env_vars": {"CITY": "s3cret", "OTHER": "t0ken"},
    }));
    let answer = client.call(INSTALL_AND_LOAD, &arguments);
    let said = client.succeeded(&answer);
    let folder = said["folder"].as_str().unwrap();
    let packages = std::fs::read_to_string(format!("{folder}/.venv/packages")).unwrap();
    assert_eq!(packages, "a-package");
    assert_eq!(told(&client, "told__forecast"), "rain in s3cret");
    let listed = client.call(INSTALLED, &json!({}));
    let entry = client.succeeded(&listed)["servers"][1].take();
    assert_eq!(entry["env_vars"], json!(["CITY", "OTHER"]));
    assert_eq!(entry["path"], format!("{folder}/start/here.py"));
    for line in [answer.line, listed.line, world.stage.log.text()] {
        assert!(
            !line.contains("s3cret") && !line.contains("t0ken"),
            "{line}"
        );
    }
}

/// It was overwritten without a word, and the old process kept running.
#[test]
fn a_name_that_is_taken() {
    let world = World::simple();
    let client = world.serve();
    let arguments = world.arguments(json!({"server_name": "clock"}));
    let said = client.failure(INSTALL, &arguments);
    says(
        &said,
        &[
            "Installation failed: server `clock` already exists in ",
            ".mcp.json; choose another name",
            "`overwrite`",
        ],
    );
    world.assert_untouched();

    client.success(LOAD, &json!({"server_name": "clock"}));
    let before = client.pid_of("clock__mark");
    let arguments = world.arguments(json!({"server_name": "clock", "overwrite": true}));
    let said = client.success(INSTALL_AND_LOAD, &arguments);
    assert_eq!(said["tools"], json!(["forecast"]));
    assert_eq!(told(&client, "clock__forecast"), "rain in town");
    eventually(DEADLINE, || {
        !std::path::Path::new(&format!("/proc/{before}")).exists()
    });
    assert!(world.config().contains("// the clock"));
    let backup = said["backups"][0].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(backup).unwrap(), World::before());
    assert!(said["notes"].to_string().contains(backup), "{said}");
}

/// The next commit replaces the running one, and answers from then on.
#[test]
fn another_commit_over_one_that_runs() {
    let world = World::simple();
    let client = world.serve();
    client.success(INSTALL_AND_LOAD, &world.arguments(json!({})));
    let first = world.head();
    let in_rome = SERVER
        .replace("town", "rome")
        .replace("\"forecast\"", "\"storms\"");
    world.repository.commit(&[("server.py", &in_rome)]);
    says(
        &client.failure(INSTALL, &world.arguments(json!({}))),
        &["server `weather` already exists in "],
    );
    assert_eq!(told(&client, "weather__forecast"), "rain in town");
    let arguments = world.arguments(json!({"overwrite": true}));
    let said = client.success(INSTALL_AND_LOAD, &arguments);
    assert_eq!(said["outcome"], "replaced");
    assert_ne!(said["commit"], first);
    assert_eq!(said["tools"], json!(["storms"]));
    assert_eq!(told(&client, "weather__storms"), "rain in rome");
}

/// Under `dev` an installed server is a source like any other.
#[test]
fn an_installed_server_is_watched() {
    let world = World::simple();
    let proxy = world.proxy("dev").options(["--meta-tools", "all"]);
    let client = World::client(proxy, &json!({}));
    let said = client.success(INSTALL_AND_LOAD, &world.arguments(json!({})));
    assert_eq!(told(&client, "weather__forecast"), "rain in town");
    let watch = client.loaded("weather")["watch"].take();
    let folder = said["folder"].as_str().unwrap();
    assert_eq!(watch[0], format!("{folder}/**/*.py"));
    // The watch begins beside the start.
    world.stage.log.until("watching", 2);
    let file = format!("{folder}/server.py");
    std::fs::write(&file, SERVER.replace("town", "rome")).unwrap();
    client.await_generation("weather", 2);
    assert_eq!(told(&client, "weather__forecast"), "rain in rome");
}

#[test]
fn results_are_as_the_output_schemas_say() {
    let world = World::simple();
    let client = world.serve();
    let tools = client.tools();
    for (name, arguments, succeeds) in [
        (INSTALL, world.arguments(json!({})), true),
        (INSTALL, world.arguments(json!({})), true),
        (INSTALL, json!({"git_url": "/nowhere"}), false),
        (INSTALL_AND_LOAD, world.arguments(json!({})), true),
        (INSTALL_AND_LOAD, json!({}), false),
        (INSTALLED, json!({}), true),
        (UNINSTALL, weather(), true),
        (UNINSTALL, json!({"server_name": "nowhere"}), false),
    ] {
        let schema = definition(&tools, name)["outputSchema"].take();
        let said = client.own(&client.call(name, &arguments), !succeeds);
        conforms(&said, &schema, succeeds);
    }
}

/// Without a question of the proxy, the client asks its user, on the basis of these annotations.
#[test]
fn annotations_are_true() {
    let tools = World::simple().serve().tools();
    let anything = json!({"readOnlyHint": false, "destructiveHint": true, "openWorldHint": true});
    for name in [INSTALL, INSTALL_AND_LOAD] {
        assert_eq!(definition(&tools, name)["annotations"], anything, "{name}");
        let required = definition(&tools, name)["inputSchema"]["required"].take();
        assert_eq!(required, json!(["git_url"]));
    }
    let hints = definition(&tools, UNINSTALL)["annotations"].take();
    assert_eq!(hints["readOnlyHint"], false);
    assert_eq!(hints["destructiveHint"], true);
    assert_eq!(hints["openWorldHint"], false);
    let reading = json!({"readOnlyHint": true, "openWorldHint": false});
    assert_eq!(definition(&tools, INSTALLED)["annotations"], reading);
}
