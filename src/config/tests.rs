//! The whole way from files to what is in force.

use std::fs;
use std::path::Path;

use super::*;

/// What a `mcp-proxy.toml` of this text means, which must have no fault.
pub(super) fn config(toml: &str) -> Config {
    let loaded = loaded(&[("mcp-proxy.toml", toml)]);
    assert_eq!(messages(&loaded), [""; 0]);
    loaded.config
}

/// Loads these files, all in one directory that has a directory `sub` as well.
fn loaded(files: &[(&str, &str)]) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    loaded_in(folder.path(), files)
}

fn loaded_in(folder: &Path, files: &[(&str, &str)]) -> Loaded {
    fs::create_dir_all(folder.join("sub")).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    let variables = [("A", "1"), ("EMPTY", "")];
    load(&Surroundings {
        cwd: folder.to_owned(),
        variables: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..Surroundings::default()
    })
}

fn messages(loaded: &Loaded) -> Vec<String> {
    let first = |fault: &Fault| fault.to_string().lines().next().unwrap().to_owned();
    loaded.faults.iter().map(first).collect()
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded
        .config
        .servers
        .iter()
        .map(|it| it.name.as_str())
        .collect()
}

#[test]
fn nothing_is_a_configuration_too() {
    let loaded = loaded(&[]);
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.files.is_empty() && loaded.faults.is_empty());
}

#[test]
fn every_setting_reaches_what_is_in_force() {
    let config = config(
        r#"
        [proxy]
        meta_tools = "none"
        max_name = 60
        startup_wait = "1s"
        start_timeout = "2s"
        hold_timeout = "3s"
        drain_timeout = "4s"
        max_message = "1MiB"
        warm_limit = 2
        [watch]
        debounce = "5ms"
        ignore = ["*.gen.py"]
        [install]
        enabled = false
        allow = ["github.com/me/*"]
        scripts = true
        [servers.b]
        command = "${NO:-uv}"
        args = ["run", "${A}"]
        env = { K = "${A}", PORT = 80, "x.y" = true }
        cwd = "sub"
        watch = ["a", "!b"]
        build = "make ${A}"
        reload = "stop-first"
        on_broken = "serve-last-good"
        prefix = ""
        autostart = false
        hold_timeout = "9s"
        warm = "off"
        tools = { allow = ["get_*"], deny = "x" }
        [servers.a]
        command = "x"
        [servers.off]
        enabled = false
        command = "${UNSET}"
        typo = 1
        "#,
    );
    let times = |hold| Timeouts {
        startup_wait: Duration::from_secs(1),
        start: Duration::from_secs(2),
        hold: Duration::from_secs(hold),
        drain: Duration::from_secs(4),
        ..Timeouts::default()
    };
    let b = config.server("b").unwrap();
    let expected = ServerSpec {
        name: "b".into(),
        remote: None,
        program: "uv".into(),
        args: vec!["run".into(), "1".into()],
        cwd: b.cwd.clone(),
        env: [("K", "1"), ("PORT", "80"), ("x.y", "true")]
            .map(|(k, v)| (k.into(), v.into()))
            .into(),
        watch: vec!["a".into(), "!b".into()],
        build: Some("make ${A}".into()),
        reload: Reload::StopFirst,
        on_broken: OnBroken::ServeLastGood,
        timeouts: times(9),
        prefix: String::new(),
        autostart: false,
        tools: super::spec::ToolFilter {
            allow: vec!["get_*".into()],
            deny: vec!["x".into()],
        },
        warm: Warmth::Off,
    };
    assert_eq!(*b, expected);
    assert!(b.cwd.is_absolute() && b.cwd.ends_with("sub"));
    let a = config.server("a").unwrap();
    assert_eq!(
        (a.timeouts, a.prefix.as_str(), a.autostart),
        (times(3), "a", true)
    );
    let rest = Config {
        servers: config.servers.clone(),
        disabled: vec!["off".into()],
        meta_tools: Some(MetaTools::None),
        max_name: 60,
        max_message: 1 << 20,
        warm_limit: 2,
        timeouts: times(3),
        watching: Watching {
            debounce: Duration::from_millis(5),
            ignore: vec!["*.gen.py".into()],
        },
        install: Install {
            enabled: false,
            allow: vec!["github.com/me/*".into()],
            scripts: true,
        },
    };
    assert_eq!(config, rest);
    assert_eq!(
        config.servers.iter().map(|it| &it.name).collect::<Vec<_>>(),
        ["b", "a"]
    );
}

#[test]
fn a_clients_file_is_read_with_comments_and_keys_of_its_own() {
    let loaded = loaded(&[(
        ".mcp.json",
        r#"{
          // Claude Code
          "other": 1,
          "mcpServers": {
            "a": { "type": "stdio", "command": "x", "args": ["${A}"], "env": {"N": 1, "no": null},
                   "alwaysLoad": true, "timeout": 60000, },
            "proxy": { "command": "mcp-proxy", "args": ["dev"], "cwd": "/no/such" },
            "one": { "command": "mcp-proxy", "args": ["dev", "--", "uv", "run", "server.py"] },
          },
        }"#,
    )]);
    assert_eq!(messages(&loaded), [""; 0]);
    assert_eq!(names(&loaded), ["a"]);
    let a = &loaded.config.servers[0];
    assert_eq!(
        (a.args[0].to_str(), &a.env[..]),
        (Some("1"), &[("N".into(), "1".into())][..])
    );
    assert_eq!(loaded.notes.len(), 2);
}

#[test]
fn the_form_of_vs_code_has_its_watch_and_workspace() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(".vscode")).unwrap();
    fs::write(
        folder.path().join(".vscode/mcp.json"),
        r#"{"servers": {
            "a": {"command": "x", "args": ["${workspaceFolder}/a", "${env:A}"], "dev": {"watch": "src/**"}},
            "b": {"command": "x", "cwd": "${workspaceFolder}/sub", "dev": {"watch": ["src/**", "!*.md"], "debug": {}}}
        }}"#,
    )
    .unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let loaded = load(&Surroundings {
        explicit: Some(".vscode/mcp.json".into()),
        cwd: folder.path().to_owned(),
        variables: [("A".to_owned(), "1".to_owned())].into(),
        ..Surroundings::default()
    });
    assert_eq!(messages(&loaded), [""; 0]);
    let [a, b] = &loaded.config.servers[..] else {
        panic!("not two servers")
    };
    let root = folder.path().display();
    assert_eq!(a.args, [format!("{root}/a").as_str(), "1"]);
    assert_eq!(
        (a.watch.join(" "), &a.cwd),
        ("src/**".to_owned(), &folder.path().canonicalize().unwrap())
    );
    assert_eq!(b.watch, [format!("{root}/src/**"), format!("!{root}/*.md")]);
    assert!(b.cwd.ends_with("sub"));
}

#[test]
fn the_toml_adds_to_servers_of_the_same_name() {
    let loaded = loaded(&[
        (
            ".mcp.json",
            r#"{"mcpServers": {"a": {"command": "x", "env": {"K": "1", "L": "2"}}, "b": {"command": "y"}}}"#,
        ),
        (
            "mcp-proxy.toml",
            "[servers.c]\ncommand='z'\n[servers.a]\nwatch='*.py'\nenv.L='3'\n[servers.b]\nenabled=false",
        ),
    ]);
    assert_eq!(messages(&loaded), [""; 0]);
    assert_eq!(names(&loaded), ["a", "c"]);
    let a = loaded.config.server("a").unwrap();
    assert_eq!(
        (a.program.to_str(), &a.watch[..]),
        (Some("x"), &["*.py".to_owned()][..])
    );
    assert_eq!(a.env, [("K".into(), "1".into()), ("L".into(), "3".into())]);
}

#[test]
fn a_fault_of_one_server_leaves_the_others() {
    let loaded = loaded(&[(
        "mcp-proxy.toml",
        "[proxy]\nmax_nmae=3\n[servers.a]\ncommand='x'\ntypo=1\n[servers.b]\ncommand='x'\n\
         [servers.far]\nurl='https://x.example/${NO}'\n[servers.c]\ncommand='${NO}'\ncwd='${NO}'",
    )]);
    assert_eq!(names(&loaded), ["b"]);
    let of: Vec<Option<&str>> = loaded
        .faults
        .iter()
        .map(|it| it.server.as_deref())
        .collect();
    let expected = [None, Some("a"), Some("far"), Some("c"), Some("c")];
    assert_eq!(of, expected, "{:#?}", messages(&loaded));
}

#[test]
fn a_server_elsewhere_has_an_address_headers_and_no_command() {
    let loaded = loaded(&[
        (
            "mcp-proxy.toml",
            r#"
            [servers.a]
            url = "https://me:geheim@x.example/${A}/mcp?k=${A}&l=geheim"
            headers = { Authorization = "Bearer geheim${A}", X-Plain = "p" }
            watch = "*.py"
            "#,
        ),
        (
            ".mcp.json",
            r#"{"mcpServers": {"b": {"type": "http", "url": "http://[::1]/mcp", "env": {}, "args": []}}}"#,
        ),
    ]);
    assert_eq!(messages(&loaded), [""; 0]);
    let config = loaded.config;
    let a = config.server("a").unwrap();
    let remote = a.remote.as_ref().unwrap();
    assert_eq!(
        remote.url.as_str(),
        "https://me:geheim@x.example/1/mcp?k=1&l=geheim"
    );
    assert_eq!(remote.headers["authorization"], "Bearer geheim1");
    assert_eq!(remote.shown, "https://***@x.example/${A}/mcp?***${A}***");
    assert!(!format!("{:?}", remote.headers).contains("geheim"));
    assert_eq!(
        (a.program.to_str(), &a.watch[..]),
        (Some(""), &["*.py".to_owned()][..])
    );
    assert!(a.cwd.is_absolute());
    let b = config.server("b").unwrap();
    assert!(b.remote.is_some() && !a.runs_like(b));
    let mut other = a.clone();
    other.remote.as_mut().unwrap().headers.remove("x-plain");
    assert!(!a.runs_like(&other));
}

#[test]
fn a_file_that_cannot_be_parsed_leaves_no_server() {
    let files = [
        (".mcp.json", r#"{"mcpServers": {"a": {"command": "x"}}}"#),
        ("mcp-proxy.toml", "[servers.a\nbuild = 'make'"),
    ];
    let loaded = loaded(&files);
    assert!(loaded.config.servers.is_empty() && !loaded.faults.is_empty());
    assert!(loaded.faults[0].server.is_none());
}

#[test]
fn secrets_are_not_shown() {
    let loaded = loaded(&[(
        "mcp-proxy.toml",
        r#"
        [servers.a]
        command = "x"
        args = ["--api-key", "s3cret", "--token=s3cret", "--port=80", "postgres://me:s3cret@db/x", "token=s3cret"]
        env = { API_KEY = "s3cret", B_TOKEN = "${B:-s3cret}", PASSWORD = "s3cret${C}", PLAIN = "shown",
                DB = "postgres://me:s3cret@db/x" }
        [servers.b]
        url = "https://me:s3cret@x.example/mcp?k=s3cret"
        headers = { Authorization = "Bearer s3cret", X-Api-Key = "Bearer ${K}", Accept = "shown" }
        "#,
    )]);
    let toml = loaded.shown.toml(true);
    for text in [&toml, &loaded.shown.json(true).to_string()] {
        assert!(!text.contains("s3cret"), "{text}");
        assert_eq!(text.matches("shown").count(), 2, "{text}");
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
    let root = folder.path().display();
    let shown = loaded.shown.json(true);
    let origin = |pointer: &str| {
        let origin = &shown.pointer(pointer).unwrap()["origin"];
        origin.as_str().unwrap().replace(&format!("{root}/"), "")
    };
    assert_eq!(origin("/proxy/hold_timeout"), "mcp-proxy.toml:2");
    assert_eq!(origin("/proxy/max_name"), "default");
    assert_eq!(origin("/servers/a/command"), ".mcp.json:2");
    assert_eq!(origin("/servers/a/env/K"), ".mcp.json:2");
    assert_eq!(origin("/servers/a/env/L"), "mcp-proxy.toml:4");
    assert_eq!(origin("/servers/a/hold_timeout"), "mcp-proxy.toml:2");
    // What is shown says the same.
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
    let example = include_str!("../../mcp-proxy.toml.example");
    fs::create_dir_all(folder.path().join("servers/weather")).unwrap();
    let loaded = loaded_in(folder.path(), &[("mcp-proxy.toml", example)]);
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
        let (keys::Kind::Section(keys) | keys::Kind::Named(keys)) = section.kind else {
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
fn a_client_file_may_call_a_server_anything() {
    let text = r#"{"mcpServers": {"my files.v2": {"command": "x"}, " ": {"command": "x"}}}"#;
    let loaded = loaded(&[(".mcp.json", text)]);
    assert_eq!(names(&loaded), ["my files.v2"]);
    assert_eq!(messages(&loaded), ["` ` cannot be a server's name"]);
}

#[test]
fn the_defaults_of_the_tables_are_those_in_force() {
    let loaded = loaded(&[]);
    let again = loaded_in(
        tempfile::tempdir().unwrap().path(),
        &[("mcp-proxy.toml", &loaded.shown.toml(false))],
    );
    assert_eq!(messages(&again), [""; 0]);
    // Written down, it holds for `serve` as well, which else offers all.
    let dev = Config {
        meta_tools: Some(MetaTools::Dev),
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
