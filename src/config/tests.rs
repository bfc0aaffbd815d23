//! Loading, from files to the effective configuration.

use std::fs;
use std::path::Path;

use super::*;

mod clients;
mod own_entries;
mod showing;
mod variables;

/// Loads a `mcp-proxy.toml` with this text; asserts that there is no fault.
pub(super) fn config(toml: &str) -> Config {
    let loaded = loaded(&[("mcp-proxy.toml", toml)]);
    assert_eq!(messages(&loaded), [""; 0]);
    loaded.config
}

/// Loads these files from one directory, which also has a directory `sub`.
fn loaded(files: &[(&str, &str)]) -> LoadedConfig {
    let folder = tempfile::tempdir().unwrap();
    loaded_in(folder.path(), files)
}

fn loaded_in(folder: &Path, files: &[(&str, &str)]) -> LoadedConfig {
    fs::create_dir_all(folder.join("sub")).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    let variables = [
        ("A", "1"),
        ("EMPTY", ""),
        ("HOST", "api7x.example"),
        ("TEAM", "weather"),
        ("WORD", "geheim"),
        ("WORD2", "losung"),
        ("CODE", "za/9xY7%2Fz"),
        ("ID", "x-1234567"),
    ];
    load(&ConfigContext {
        cwd: folder.to_owned(),
        variables: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..ConfigContext::default()
    })
}

fn messages(loaded: &LoadedConfig) -> Vec<String> {
    let first = |fault: &Fault| fault.to_string().lines().next().unwrap().to_owned();
    loaded.faults.iter().map(first).collect()
}

fn names(loaded: &LoadedConfig) -> Vec<&str> {
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

/// All settings, with values other than the defaults.
const ALL: &str = r#"
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
consent = "required"
[servers.b]
command = "${NO:-uv}"
args = ["run", "${A}"]
env = { K = "${A}", PORT = 80, "x.y" = true }
cwd = "sub"
watch = ["a", "!b"]
build = "make ${A}"
reload = "stop-first"
era = "legacy"
on_broken = "serve-last-good"
on_bad_tool = "leave-out"
rehearse = ["t", 'u {"v": 1}', "recorded"]
rehearse_tools = ["w"]
on_regression = "hold"
rehearse_timeout = "6s"
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
"#;

#[test]
fn every_setting_reaches_what_is_in_force() {
    let config = config(ALL);
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
        listens: None,
        program: "uv".into(),
        args: vec!["run".into(), "1".into()],
        shown: vec!["${NO:-uv}".into(), "run".into(), "${A}".into()],
        hidden: HiddenValues::default(),
        cwd: b.cwd.clone(),
        env: [("K", "1"), ("PORT", "80"), ("x.y", "true")]
            .map(|(k, v)| (k.into(), v.into()))
            .into(),
        watch: vec!["a".into(), "!b".into()],
        build: Some("make ${A}".into()),
        reload: ReloadMode::StopFirst,
        era: EraChoice::Legacy,
        on_broken: OnBroken::ServeLastGood,
        on_bad_tool: OnBadTool::LeaveOut,
        rehearse: ["t", "u {\"v\": 1}", "recorded"]
            .map(|call| RehearsalItem::parse(call).unwrap())
            .into(),
        rehearse_tools: vec!["w".into()],
        on_regression: OnRegression::Hold,
        timeouts: Timeouts {
            rehearsal: Duration::from_secs(6),
            ..times(9)
        },
        prefix: String::new(),
        autostart: false,
        tools: super::spec::ToolFilter {
            allow: vec!["get_*".into()],
            deny: vec!["x".into()],
        },
        warm: StandbyMode::Off,
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
        meta_tools: Some(MetaToolSet::None),
        max_name: 60,
        max_message: 1 << 20,
        warm_limit: 2,
        timeouts: times(3),
        watching: WatchSettings {
            debounce: Duration::from_millis(5),
            ignore: vec!["*.gen.py".into()],
        },
        install: InstallPolicy {
            enabled: false,
            allow: vec!["github.com/me/*".into()],
            scripts: true,
            consent_required: true,
        },
    };
    assert_eq!(config, rest);
    assert_eq!(
        config.servers.iter().map(|it| &it.name).collect::<Vec<_>>(),
        ["b", "a"]
    );
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
fn faults_of_a_file_that_is_no_configuration_stay_short() {
    let loaded = loaded(&[("mcp-proxy.toml", &"[".repeat(10_000))]);
    let texts: Vec<String> = loaded.faults.iter().map(ToString::to_string).collect();
    let length: usize = texts.iter().map(String::len).sum();
    assert!(length < 6000, "{length}: {}", texts[0]);
    assert!(texts[0].contains("mcp-proxy.toml:1:"), "{}", texts[0]);
    let utf16: String = "[servers]".chars().flat_map(|it| [it, '\0']).collect();
    let other = self::loaded(&[("mcp-proxy.toml", &utf16)]);
    assert!(messages(&other)[0].contains("not UTF-8"), "{other:?}");
}

#[test]
fn a_client_file_without_a_table_of_servers_is_told_by_its_own_key() {
    let loaded = loaded(&[(".mcp.json", r#"{"mcpServers": null}"#)]);
    assert_eq!(
        messages(&loaded),
        ["`mcpServers` must be a table, not null"]
    );
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
            headers = { Authorization = "Bearer losung${A}", X-Plain = "p" }
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
    assert_eq!(remote.headers["authorization"], "Bearer losung1");
    assert_eq!(remote.shown, "https://***@x.example/${A}/mcp?***${A}***");
    assert!(!format!("{:?}", remote.headers).contains("losung"));
    // The server may repeat a request.
    let hidden = a.hidden_values().hide("geheim, losung, p".into());
    assert_eq!(hidden, "***, ***, p");
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
