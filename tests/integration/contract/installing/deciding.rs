//! The information by which a person decides, and attempts of a model to hide it: variables that run code, text of the repository
//! that reads like the proxy's own, removals.

use serde_json::{Value, json};

use super::super::client::Client;
use super::super::{INSTALL, INSTALL_AND_LOAD, UNINSTALL};
use super::{SERVER, World, says};
use crate::harness::Message;

const ELICITATION: &str = "elicitation/create";

#[track_caller]
fn asking(world: &World) -> Client {
    World::client(world.proxy("serve"), &json!({"elicitation": {}}))
}

/// Calls a tool that asks first; gives the lines of the question, and the call.
#[track_caller]
fn asked(client: &Client, tool: &str, arguments: &Value) -> (u64, Message, Vec<String>) {
    let call = client.begin(tool, arguments);
    let question = client.peer.expect_request(ELICITATION);
    let message = question.params()["message"].as_str().unwrap().to_owned();
    let lines = message.lines().map(ToOwned::to_owned).collect();
    (call, question, lines)
}

#[track_caller]
fn respond(client: &Client, question: &Message, call: u64, action: &str) -> Message {
    client.peer.respond(question, &json!({ "action": action }));
    client.peer.await_response(call)
}

#[test]
fn a_variable_that_runs_code_is_for_a_person_to_set() {
    let world = World::simple();
    let client = world.serve();
    for name in [
        "NODE_OPTIONS",
        "node_options",
        "LD_PRELOAD",
        "PYTHONSTARTUP",
        "PATH",
        "GIT_SSH_COMMAND",
        "npm_config_registry",
    ] {
        let arguments = world.arguments(json!({"env_vars": {"CITY": "rome", name: "x"}}));
        let said = client.failure(INSTALL_AND_LOAD, &arguments);
        says(&said, &[name, "a model may not set it", "--env"]);
    }
    let many: serde_json::Map<_, _> = (0..33).map(|at| (format!("V{at}"), json!("x"))).collect();
    let said = client.failure(INSTALL, &world.arguments(json!({ "env_vars": many })));
    says(&said, &["at most 32 variables"]);
    for name in ["A B", "", "A\nB", "A=B", "BASH_FUNC_x%%"] {
        let said = client.failure(INSTALL, &world.arguments(json!({"env_vars": {name: "x"}})));
        says(&said, &["is not a valid variable name"]);
    }
    world.assert_untouched();
}

#[test]
fn variables_stand_in_the_question_and_belong_to_its_answer() {
    let world = World::simple();
    let client = asking(&world);
    let arguments =
        world.arguments(json!({"env_vars": {"CITY": "rome\nSAFE", "OTHER": "${HOME}"}}));
    let (call, question, lines) = asked(&client, INSTALL_AND_LOAD, &arguments);
    let at = lines
        .iter()
        .position(|it| it == "environment variables:")
        .unwrap();
    // Variables that the repository does not mention come first.
    assert_eq!(
        lines[at + 1],
        r#"  OTHER = "${HOME}" (not mentioned in the repository)"#
    );
    assert_eq!(lines[at + 2], r#"  CITY = "rome\nSAFE""#);
    client.succeeded(&respond(&client, &question, call, "accept"));

    // New values for an installed server are asked about as well.
    client.peer.mark();
    let (call, question, _) = asked(&client, UNINSTALL, &json!({"server_name": "weather"}));
    client.succeeded(&respond(&client, &question, call, "accept"));
    let (call, question, lines) = asked(&client, INSTALL, &arguments);
    assert!(
        lines.iter().any(|it| it.starts_with("  CITY = ")),
        "{lines:?}"
    );
    client.failed(&respond(&client, &question, call, "decline"));
    assert_eq!(world.config(), World::before());
}

#[test]
fn text_of_the_repository_adds_no_line_to_the_question() {
    let name = "server\nEverything was checked: SAFE\u{202e}\u{1b}[2K.py";
    let world = World::new(&[(name, SERVER), ("requirements.txt", "a-package")]);
    let client = asking(&world);
    let (call, question, lines) = asked(
        &client,
        INSTALL,
        &world.arguments(json!({ "server_file": name })),
    );
    let text = lines.join("\n");
    assert!(
        !lines.iter().any(|it| it.starts_with("Everything")),
        "{text}"
    );
    assert!(
        text.contains(r#"server\nEverything was checked: SAFE\u{202e}\u{1b}[2K.py""#),
        "{text}"
    );
    assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text:?}");
    client.failed(&respond(&client, &question, call, "decline"));
    world.assert_untouched();
}

#[test]
fn a_replacement_is_said_to_be_one() {
    let world = World::simple();
    let client = asking(&world);
    let arguments = world.arguments(json!({"server_name": "clock", "overwrite": true}));
    let (call, question, lines) = asked(&client, INSTALL, &arguments);
    let file = world.stage.project.path(".mcp.json");
    let file = file.to_str().unwrap();
    let replaced = format!("replaces the entry `clock` in {file:?} and keeps a backup");
    assert!(lines.contains(&replaced), "{lines:?}");
    client.failed(&respond(&client, &question, call, "decline"));
    world.assert_untouched();
}

#[test]
fn a_removal_is_asked_about_too() {
    let world = World::simple();
    let client = asking(&world);
    let clock = json!({"server_name": "clock"});
    let (call, question, lines) = asked(&client, UNINSTALL, &clock);
    assert_eq!(lines[0], "Remove the MCP server `clock`?");
    assert_eq!(
        lines[1],
        "not installed by mcp-proxy: the entry was written by hand"
    );
    assert!(
        lines[2].contains(".mcp.json\" and keeps a backup"),
        "{lines:?}"
    );
    let said = client.failed(&respond(&client, &question, call, "decline"));
    says(
        &said,
        &["Failed to uninstall 'clock': the user declined it"],
    );
    world.assert_untouched();

    let (call, question, _) = asked(&client, INSTALL, &world.arguments(json!({})));
    let installed = client.succeeded(&respond(&client, &question, call, "accept"));
    let weather = json!({"server_name": "weather", "delete_files": true});
    let folder = installed["folder"].as_str().unwrap();
    std::fs::write(format!("{folder}/server.py"), "mine").unwrap();
    says(
        &client.failure(UNINSTALL, &weather),
        &["server.py", "force"],
    );
    let mut forced = weather;
    forced["force"] = json!(true);
    let (call, question, lines) = asked(&client, UNINSTALL, &forced);
    assert!(
        lines[1].starts_with("installed from https://localhost"),
        "{lines:?}"
    );
    let slot = folder.rsplit_once('/').unwrap().0;
    assert_eq!(lines[3], format!("deletes the folder {slot:?}"));
    assert_eq!(lines[4], "local changes to its files are lost");
    assert_eq!(lines[5], format!(r#"  in {folder:?}: "server.py""#));
    client.succeeded(&respond(&client, &question, call, "accept"));
    world.assert_untouched();
}

#[test]
fn a_file_added_during_the_question_is_not_deleted() {
    let world = World::simple();
    let client = asking(&world);
    let (call, question, _) = asked(&client, INSTALL, &world.arguments(json!({})));
    let installed = client.succeeded(&respond(&client, &question, call, "accept"));
    let weather = json!({"server_name": "weather", "delete_files": true});
    let (call, question, _) = asked(&client, UNINSTALL, &weather);
    let file = format!("{}/.env", installed["folder"].as_str().unwrap());
    std::fs::write(&file, "KEY=mine").unwrap();
    let said = client.failed(&respond(&client, &question, call, "accept"));
    says(&said, &[r#"".env""#, "`force`"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "KEY=mine");
    assert!(world.config().contains("weather"));
}

#[test]
fn required_consent_is_asked_for_or_nothing_is_installed() {
    let world = World::simple();
    world
        .stage
        .project
        .write("mcp-proxy.toml", "[install]\nconsent = \"required\"\n");
    let client = world.serve();
    let said = client.failure(INSTALL, &world.arguments(json!({})));
    says(
        &said,
        &[
            "`consent = \"required\"` under [install]",
            "`consent = \"if-possible\"`",
            "mcp-proxy install",
        ],
    );
    let said = client.failure(UNINSTALL, &json!({"server_name": "clock"}));
    says(
        &said,
        &[
            "`consent = \"required\"` under [install]",
            "mcp-proxy uninstall",
        ],
    );
    world.assert_untouched();
    let client = asking(&world);
    let (call, question, _) = asked(&client, INSTALL, &world.arguments(json!({})));
    client.succeeded(&respond(&client, &question, call, "accept"));
}

#[test]
fn switched_off_installing_also_refuses_removals() {
    let world = World::simple();
    world
        .stage
        .project
        .write("mcp-proxy.toml", "[install]\nenabled = false\n");
    let client = world.serve();
    let said = client.failure(UNINSTALL, &json!({"server_name": "clock"}));
    says(&said, &["`enabled = false` under [install]"]);
    world.assert_untouched();
}
