//! `uninstall_mcp_server`: what it removes, and what it reports as removed.

use std::path::Path;

use serde_json::{Value, json};

use super::super::stage::each;
use super::super::{INSTALL, INSTALL_AND_LOAD, INSTALLED, LOAD, LOADED, UNINSTALL};
use super::{SERVER, TOOLS_CHANGED, World, says, told};

fn weather(delete_files: bool) -> Value {
    json!({"server_name": "weather", "delete_files": delete_files})
}

/// The entry went and the process stayed.
#[test]
fn a_running_server_finishes_its_calls_and_is_gone() {
    let world = World::simple();
    let client = world.serve();
    let said = client.success(INSTALL_AND_LOAD, &world.arguments(json!({})));
    let folder = said["folder"].as_str().unwrap().to_owned();
    client.peer.expect_notification(TOOLS_CHANGED);
    let until = world.stage.project.path("until");
    let call = client.begin("weather__forecast", &json!({ "until": until }));
    let began = world.stage.project.path("until.began");
    crate::harness::eventually(crate::harness::DEADLINE, || began.exists());

    let uninstall = client.begin(UNINSTALL, &weather(true));
    // Its tools go first.
    client.peer.expect_notification(TOOLS_CHANGED);
    assert_eq!(client.peer.responses_to(uninstall), 0);
    std::fs::write(until, "").unwrap();
    let answer = client.peer.await_response(call);
    assert_eq!(answer.tool_text(), "rain in town");
    let removed = client.peer.await_response(uninstall);
    assert!(answer.at < removed.at);
    let said = client.succeeded(&removed);
    assert_eq!(said["message"], "Successfully uninstalled 'weather'");
    assert_eq!(said["files_deleted"], true);
    assert_eq!(said["stopped"], true);
    assert!(
        folder.starts_with(said["deleted"].as_str().unwrap()),
        "{said}"
    );
    assert_eq!(said["kept"], Value::Null);
    assert_eq!(client.success(LOADED, &json!({}))["count"], 0);
    let processes = crate::harness::processes_with_tag(client.peer.tag());
    assert!(
        !processes.iter().any(|(_, line)| line.contains(&folder)),
        "{processes:?}"
    );
    world.assert_untouched();
}

/// `files_deleted` once repeated the request, whether or not anything was deleted.
#[test]
fn files_that_are_kept_are_said_to_be() {
    let world = World::simple();
    let client = world.serve();
    let installed = client.success(INSTALL, &world.arguments(json!({})));
    let said = client.success(UNINSTALL, &json!({"server_name": "weather"}));
    assert_eq!(said["files_deleted"], false);
    assert_eq!(said["stopped"], false);
    assert_eq!(said["deleted"], Value::Null);
    assert_eq!(said["kept"], installed["folder"]);
    assert!(Path::new(said["kept"].as_str().unwrap()).is_dir());
    assert_eq!(world.config(), World::before());
    // They are found again, and deleted when that is wanted.
    let again = client.success(INSTALL, &world.arguments(json!({})));
    assert_eq!(again["outcome"], "was installed already");
    assert_eq!(again["folder"], installed["folder"]);
    client.success(UNINSTALL, &weather(true));
    world.assert_untouched();
}

#[test]
fn a_server_that_nobody_installed() {
    let world = World::simple();
    let client = world.serve();
    client.success(LOAD, &json!({"server_name": "clock"}));
    let arguments = json!({"server_name": "clock", "delete_files": true});
    let said = client.success(UNINSTALL, &arguments);
    assert_eq!(said["files_deleted"], false);
    assert_eq!(said["stopped"], true);
    let note =
        "`clock` was written by hand and not installed by mcp-proxy, so no files were deleted";
    assert_eq!(said["notes"], json!([note]));
    let backup = said["backups"][0].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(backup).unwrap(), World::before());
    assert!(world.stage.project.path("clock.json").exists());
    assert!(world.config().contains("// mine"));
    assert_eq!(client.success(INSTALLED, &json!({}))["count"], 0);
}

#[test]
fn a_server_that_is_not_there() {
    let world = World::simple();
    let client = world.serve();
    for name in ["nowhere", "../..", "", "-x"] {
        for delete_files in [true, false] {
            let arguments = json!({"server_name": name, "delete_files": delete_files});
            let text = format!("Failed to uninstall '{name}'");
            says(&client.failure(UNINSTALL, &arguments), &[&text]);
        }
    }
    world.assert_untouched();
}

/// The server of the other project keeps its files, which is said; the entry here is gone.
#[test]
fn files_that_another_project_uses() {
    let world = World::simple();
    let client = world.serve();
    client.success(INSTALL, &world.arguments(json!({})));
    world.stage.project.write("other/.mcp.json", "{}");
    let proxy = world.proxy("serve").env(
        "MCP_PROXY_CONFIG",
        world.stage.project.path("other/.mcp.json"),
    );
    let other = World::client(proxy, &json!({}));
    other.success(INSTALL_AND_LOAD, &world.arguments(json!({})));

    let said = client.success(UNINSTALL, &weather(true));
    let note = said["notes"][0].as_str().unwrap();
    assert!(note.contains("other/.mcp.json"), "{note}");
    assert_eq!(said["files_deleted"], false);
    assert!(Path::new(said["kept"].as_str().unwrap()).is_dir());
    assert_eq!(client.success(INSTALLED, &json!({}))["count"], 1);
    assert_eq!(world.config(), World::before());
    assert_eq!(told(&other, "weather__forecast"), "rain in town");
    other.success(UNINSTALL, &weather(true));
    assert_eq!(world.left().len(), 0);
}

/// Two owners of one name: each has its own folder, and one is removed without the other.
#[test]
fn repositories_of_one_name_do_not_meet() {
    let world = World::simple();
    let in_rome = SERVER.replace("town", "rome");
    world
        .git
        .repository("you/weather", &[("server.py", &in_rome)]);
    let client = world.serve();
    client.success(INSTALL_AND_LOAD, &world.arguments(json!({})));
    let yours = json!({"git_url": world.git.url("git/you/weather"), "server_name": "yours"});
    client.success(INSTALL_AND_LOAD, &yours);
    client.success(UNINSTALL, &weather(true));
    assert_eq!(told(&client, "yours__forecast"), "rain in rome");
    let said = client.success(INSTALLED, &json!({}));
    assert_eq!(each(&said["servers"], "name"), ["clock", "yours"]);
    client.success(
        UNINSTALL,
        &json!({"server_name": "yours", "delete_files": true}),
    );
    world.assert_untouched();
}
