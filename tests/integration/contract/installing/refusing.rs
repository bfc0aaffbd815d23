//! Refused installations, which leave nothing behind.

use serde_json::{Value, json};

use super::super::{INSTALL, INSTALL_AND_LOAD, LOAD, LOADED, UNINSTALL};
use super::{SERVER, World, says, told};

#[test]
fn sources_that_only_a_person_may_name() {
    let world = World::simple();
    let folder = world.repository.folder.display().to_string();
    let client = world.serve();
    let only_a_person = "only from the command line";
    for (source, text) in [
        (folder.clone(), only_a_person),
        (format!("file://{folder}"), only_a_person),
        ("./weather".to_owned(), only_a_person),
        ("~/weather".to_owned(), only_a_person),
        ("http://localhost/a/b".to_owned(), "is not encrypted"),
        ("git://localhost/a/b".to_owned(), "is not encrypted"),
        ("--upload-pack=touch /tmp/x".to_owned(), "begins with `-`"),
        ("ext::sh -c x".to_owned(), "a control character or a space"),
        ("ext::sh".to_owned(), "is not a supported kind of address"),
        (world.url() + "@-x", "is not a valid name of a branch"),
        (world.url() + "#../..", "is not a folder inside"),
        (String::new(), "no source is given"),
    ] {
        let said = client.failure(INSTALL, &json!({ "git_url": source }));
        says(&said, &["Installation failed: ", text]);
    }
    for name in ["../up", "a/b"] {
        client.failure(INSTALL, &world.arguments(json!({ "server_name": name })));
    }
    world.assert_untouched();
}

#[test]
fn arguments_that_make_no_sense() {
    let world = World::simple();
    let client = world.serve();
    for (arguments, text) in [
        (
            json!({}),
            "`git_url` is missing: give the URL of the server's repository",
        ),
        (json!({"git_url": 7}), "`git_url` must be a string"),
        (
            world.arguments(json!({"server_name": []})),
            "`server_name` must be a string",
        ),
        (
            world.arguments(json!({"env_vars": {"A": []}})),
            "`env_vars` must be an object of strings",
        ),
        (
            world.arguments(json!({"env_vars": ["A"]})),
            "`env_vars` must be an object of strings",
        ),
        (
            world.arguments(json!({"env_vars": {"A": "x\u{0}"}})),
            "the value of the variable `A` contains a NUL character",
        ),
        (
            world.arguments(json!({"auto_detect": "yes"})),
            "`auto_detect` must be true or false",
        ),
        (
            world.arguments(json!({"auto_detect": false})),
            "name the server's file",
        ),
        (
            world.arguments(json!({"server_file": "nowhere.py"})),
            "nowhere.py",
        ),
        (
            world.arguments(json!({"server_file": "../../x.py"})),
            "x.py",
        ),
    ] {
        says(&client.failure(INSTALL, &arguments), &[text]);
    }
    says(
        &client.failure(UNINSTALL, &json!({})),
        &["`server_name` is missing"],
    );
    world.assert_untouched();
    // A null value counts as absent.
    let nothing = json!({"server_name": null, "server_file": null, "env_vars": null, "requirements_file": null});
    client.success(INSTALL, &world.arguments(nothing));
}

/// All that failed was in a log that nobody sees: "Check the logs for details."
#[test]
fn a_dependency_that_does_not_come() {
    let world = World::needing("fails\n");
    let client = world.serve();
    for tool in [INSTALL, INSTALL_AND_LOAD] {
        let said = client.failure(tool, &world.arguments(json!({})));
        says(
            &said,
            &[
                "Installation failed: cannot prepare the server: `uv pip install ",
                "ended with status 1",
            ],
        );
        let output = said["output"].as_array().unwrap();
        assert_eq!(output.len(), 20);
        assert!(output.contains(&"no such package".into()), "{said}");
        assert!(output.contains(&"line 40".into()), "{said}");
        world.assert_untouched();
    }
    // Mended, it is installed as if nothing had been.
    world.repository.commit(&[("requirements.txt", "comes\n")]);
    let said = client.success(INSTALL, &world.arguments(json!({})));
    assert_eq!(said["outcome"], "installed");
}

/// A failed installation over an installed server leaves that server as it was, and running.
#[test]
fn an_installed_server_outlives_a_failed_replacement() {
    let world = World::simple();
    let client = world.serve();
    client.success(INSTALL_AND_LOAD, &world.arguments(json!({})));
    let config = world.config();
    world
        .repository
        .commit(&[("requirements.txt", "fails\n"), ("server.py", "")]);
    client.failure(
        INSTALL_AND_LOAD,
        &world.arguments(json!({"overwrite": true})),
    );
    assert_eq!(world.config(), config);
    assert_eq!(told(&client, "weather__forecast"), "rain in town");
    assert_eq!(client.loaded("weather")["generation"], 1);
}

#[test]
fn servers_that_answer_badly() {
    let world = World::simple();
    let client = world.serve();
    for (how, text) in [
        ("missing", "repository not found"),
        ("garbage", "cannot fetch https://localhost"),
        ("cut", "cannot fetch https://localhost"),
        ("damaged", "cannot fetch https://localhost"),
    ] {
        let url = world.git.url(&format!("{how}/weather"));
        let said = client.failure(INSTALL, &json!({ "git_url": url }));
        says(&said, &["Installation failed: ", text]);
        world.assert_untouched();
    }
}

#[test]
fn nothing_that_looks_like_a_server() {
    let world = World::new(&[("notes.txt", "none")]);
    let said = world.serve().failure(INSTALL, &world.arguments(json!({})));
    says(&said, &["Installation failed: "]);
    world.assert_untouched();
}

/// The server stays installed, and may be mended or removed.
#[test]
fn a_server_that_does_not_start_after_all() {
    let broken = "import sys; print('no key', file=sys.stderr); sys.exit(4)";
    let world = World::new(&[("server.py", broken)]);
    let client = world.serve();
    let said = client.failure(INSTALL_AND_LOAD, &world.arguments(json!({})));
    says(
        &said,
        &[
            "Installation succeeded but loading failed: Server 'weather' failed to start: ",
            "exited with status 4",
        ],
    );
    assert_eq!(said["server_name"], "weather");
    assert_eq!(said["stderr"], json!(["no key"]));
    let entry = client.success(super::super::INSTALLED, &json!({}))["servers"][1].take();
    let file = entry["path"].as_str().unwrap();
    std::fs::write(file, SERVER).unwrap();
    client.success(LOAD, &json!({"server_name": "weather"}));
    assert_eq!(told(&client, "weather__forecast"), "rain in town");
}

/// `[install]` is read anew each time, like all of the configuration.
#[test]
fn sources_forbidden_by_the_configuration() {
    let world = World::simple();
    let client = world.serve();
    let write = |text: &str| world.stage.project.save("mcp-proxy.toml", text);
    let port = world.url();
    let place = port.strip_suffix("git/weather").unwrap();
    write("[install]\nenabled = false\n");
    let client_of_now = world.serve();
    let refused: [(&str, Value); 2] = [
        (INSTALL, world.arguments(json!({}))),
        (INSTALL_AND_LOAD, world.arguments(json!({}))),
    ];
    for (tool, arguments) in &refused {
        says(
            &client_of_now.failure(tool, arguments),
            &["Installation failed: installing is disabled by `enabled = false` under [install]"],
        );
    }
    write(&format!("[install]\nallow = ['{place}other/*']\n"));
    let said = client_of_now.failure(INSTALL, &world.arguments(json!({})));
    says(
        &said,
        &[
            "`allow` under [install] in mcp-proxy.toml does not permit ",
            &world.url(),
        ],
    );
    world.assert_untouched();
    write(&format!(
        "[install]\nallow = ['{place}other/*', '{place}git/*']\n"
    ));
    client_of_now.success(INSTALL, &world.arguments(json!({})));
    assert_eq!(client.success(LOADED, &json!({}))["count"], 0);
}
