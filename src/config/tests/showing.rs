//! Display of a configuration, and agreement of the key tables with the effective values.

use super::*;

#[test]
fn secrets_are_not_shown() {
    let loaded = loaded(&[(
        "mcp-proxy.toml",
        r#"
        [servers.a]
        command = "x"
        args = ["--api-key", "s3cret", "--token=s3cret", "--port=80", "postgres://me:s3cret@db/x", "token=s3cret"]
        env = { API_KEY = "s3cret", B_TOKEN = "${B:-s3cret}", PASSWORD = "s3cret${C}", PLAIN = "s3cret",
                DB = "postgres://me:s3cret@db/x" }
        [servers.b]
        url = "https://me:s3cret@x.example/mcp?k=s3cret"
        headers = { Authorization = "Bearer s3cret", X-Api-Key = "Bearer ${K}", Accept = "s3cret" }
        "#,
    )]);
    let toml = loaded.shown.toml(true);
    for text in [&toml, &loaded.shown.json(true).to_string()] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    for shown in [
        r#"env.API_KEY = "***""#,
        r#"env.B_TOKEN = "${B:-***}""#,
        r#"env.PASSWORD = "***${C}""#,
        r#"headers.X-Api-Key = "Bearer ${K}""#,
        r#"url = "https://***@x.example/mcp?***""#,
        r#"args = ["--api-key", "***", "--token=***", "--port=80", "postgres://***@db/x", "token=***"]"#,
    ] {
        assert!(toml.contains(shown), "{shown}\n{toml}");
    }
}

#[test]
fn each_value_is_shown_with_its_origin() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = loaded_in(
        folder.path(),
        &[
            (
                ".mcp.json",
                "{\"mcpServers\": {\n\"a\": {\"command\": \"x\", \"env\": {\"K\": \"1\"}}}}",
            ),
            (
                "mcp-proxy.toml",
                "[proxy]\nhold_timeout = '7s'\n[servers.a]\nenv.L = '3'\nwatch = ['a', 'b']",
            ),
        ],
    );
    let root = folder.path().join("");
    let shown = loaded.shown.json(true);
    let origin = |pointer: &str| {
        let origin = &shown.pointer(pointer).unwrap()["origin"];
        origin.as_str().unwrap().replace(root.to_str().unwrap(), "")
    };
    assert_eq!(origin("/proxy/hold_timeout"), "mcp-proxy.toml:2");
    assert_eq!(origin("/proxy/max_name"), "default");
    assert_eq!(origin("/servers/a/command"), ".mcp.json:2");
    assert_eq!(origin("/servers/a/env/K"), ".mcp.json:2");
    assert_eq!(origin("/servers/a/env/L"), "mcp-proxy.toml:4");
    assert_eq!(origin("/servers/a/hold_timeout"), "mcp-proxy.toml:2");
    // The displayed form loads to the same values.
    let again = loaded_in(
        tempfile::tempdir().unwrap().path(),
        &[("mcp-proxy.toml", &loaded.shown.toml(false))],
    );
    assert_eq!(again.config.server("a").unwrap().watch, ["a", "b"]);
    assert_eq!(again.config.timeouts, loaded.config.timeouts);
}

#[test]
fn the_example_is_read_and_has_every_key() {
    let folder = tempfile::tempdir().unwrap();
    let example = include_str!("../../../mcp-proxy.toml.example");
    fs::create_dir_all(folder.path().join("servers/weather")).unwrap();
    let files = [("mcp-proxy.toml", example), (".env", "A=1\n")];
    let loaded = loaded_in(folder.path(), &files);
    assert_eq!(messages(&loaded), [""; 0]);
    let value: toml::de::DeTable = toml::de::DeTable::parse(example).unwrap().into_inner();
    let has = |section: &str, key: &str| {
        let mut places = vec![value.get(section).unwrap().get_ref().as_table().unwrap()];
        if section == "servers" {
            places = places[0]
                .values()
                .map(|it| it.get_ref().as_table().unwrap())
                .collect();
        }
        places.iter().any(|place| place.contains_key(key))
    };
    for section in &keys::ROOT {
        let (keys::ValueKind::Section(keys) | keys::ValueKind::Named(keys)) = section.kind else {
            panic!("{} is no section", section.name)
        };
        for key in keys {
            assert!(has(section.name, key.name), "{}.{}", section.name, key.name);
        }
    }
    for part in ["allow =", "deny ="] {
        assert!(example.contains(part), "tools.{part}");
    }
}

#[test]
fn the_defaults_of_the_tables_are_those_in_force() {
    let loaded = loaded(&[]);
    let again = loaded_in(
        tempfile::tempdir().unwrap().path(),
        &[("mcp-proxy.toml", &loaded.shown.toml(false))],
    );
    assert_eq!(messages(&again), [""; 0]);
    // A written value also applies to `serve`, whose own default is `all`.
    let dev = Config {
        meta_tools: Some(MetaToolSet::Dev),
        ..Config::default()
    };
    assert_eq!(again.config, dev);
}

#[test]
fn the_schema_has_every_key_and_forbids_others() {
    let schema = schema();
    let server = schema
        .pointer("/properties/servers/additionalProperties")
        .unwrap();
    assert_eq!(server["additionalProperties"], false);
    assert_eq!(
        server["properties"].as_object().unwrap().len(),
        keys::SERVER.len()
    );
    assert_eq!(
        server.pointer("/properties/reload/default").unwrap(),
        "overlap"
    );
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
}

#[test]
fn secrets_of_an_address_and_of_headers_are_hidden_and_settings_are_not() {
    let config = config(
        r#"
        [servers.a]
        url = "https://${HOST}/mcp?token=${WORD}&k=${CODE}"
        headers = { X-Team = "${TEAM}", X-Key = "${WORD2}", X-Id = "${ID}" }

        [servers.b]
        url = "https://me:p%40ssword@x.example/mcp?code=pa%2Fss%2BZr7Lm2"
        "#,
    );
    let shown = |server: &str, text: &str| {
        let server = config.server(server).unwrap();
        server.hidden_values().hide(text.to_owned())
    };
    for (server, text, expected) in [
        ("a", "weather_now", "weather_now"),
        (
            "a",
            "https://api7x.example/mcp",
            "https://api7x.example/mcp",
        ),
        ("a", "geheim losung", "*** ${WORD2}"),
        ("a", "x-1234567 za/9xY7%2Fz", "${ID} ${CODE}"),
        ("a", "za/9xY7/z", "***"),
        ("b", "pa%2Fss%2BZr7Lm2 pa/ss+Zr7Lm2", "*** ***"),
        ("b", "p%40ssword p@ssword", "*** ***"),
        ("b", "Basic bWU6cEBzc3dvcmQ=", "Basic ***"),
    ] {
        assert_eq!(shown(server, text), expected);
    }
}
