use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    dev: DevArgs,
}

#[derive(Debug, Parser)]
struct Output {
    #[command(flatten)]
    global: Global,
}

/// Parses a command line of `dev`; returns the mission and its first server.
fn mission(words: &[&str]) -> Result<(ServeOptions, ServerSpec), CliError> {
    let dev = Line::parse_from([&["dev"], words].concat()).dev;
    let (mission, _, unusable) = dev.mission(&Output::parse_from(["dev", "-q"]).global)?;
    if let Some(error) = unusable {
        return Err(error);
    }
    let spec = mission.setup.config.servers[0].clone();
    Ok((mission, spec))
}

/// Returns the directory `/`, which has a drive on Windows.
fn root() -> PathBuf {
    std::path::absolute("/").unwrap()
}

#[test]
fn the_defaults_are_those_of_the_configuration() {
    let (mission, spec) = mission(&["--", "srv"]).unwrap();
    let config = Config::default();
    assert_eq!(spec.timeouts, config.timeouts);
    assert_eq!(spec.reload, ReloadMode::default());
    assert_eq!(spec.on_broken, OnBroken::default());
    assert_eq!(spec.cwd, std::env::current_dir().unwrap());
    assert_eq!(mission.max_message, config.max_message);
    assert_eq!(mission.meta_tools, Set::Dev);
    assert!(mission.setup.is_transparent && mission.setup.reader.is_none());
    let watch = mission.watch.unwrap();
    assert_eq!(watch.quiet, config.watching.debounce);
    assert_eq!(watch.quiet, WatchOptions::default().quiet);
}

#[test]
fn options_reach_the_specification() {
    let line = "--watch a --watch !b --reload stop-first --build make --on-broken serve-last-good \
        --on-bad-tool leave-out --rehearse a --rehearse b --rehearse recorded --rehearse-tools c --on-regression hold --rehearse-timeout 3s \
        --name w --cwd / --env A=1 --hold-timeout 2s -- srv -x";
    let (_, spec) = mission(&line.split_whitespace().collect::<Vec<_>>()).unwrap();
    assert_eq!(spec.watch, ["a", "!b"]);
    assert_eq!(spec.reload, ReloadMode::StopFirst);
    assert_eq!(spec.build.as_deref(), Some("make"));
    assert_eq!(spec.on_broken, OnBroken::ServeLastGood);
    assert_eq!(spec.on_bad_tool, OnBadTool::LeaveOut);
    let calls = spec.rehearsed_calls();
    let rehearsed: Vec<String> = calls.iter().map(ToString::to_string).collect();
    assert_eq!(rehearsed, ["a", "b"]);
    assert!(spec.rehearses_recorded() && spec.rehearse_tools == ["c"]);
    assert_eq!((spec.name.as_str(), spec.cwd), ("w", root()));
    assert_eq!(spec.env, [("A".into(), "1".into())]);
    assert_eq!((spec.program, spec.args), ("srv".into(), vec!["-x".into()]));
    assert_eq!(spec.timeouts.hold, Duration::from_secs(2));
    assert_eq!(spec.on_regression, OnRegression::Hold);
    assert_eq!(spec.timeouts.rehearsal, Duration::from_secs(3));
}

#[test]
fn a_rehearsed_call_that_cannot_be_read_is_an_error_with_its_place() {
    let words = ["dev", "--rehearse", "forecast {\"city\": }", "--", "srv"];
    let error = Line::try_parse_from(words).unwrap_err().to_string();
    for part in [
        "--rehearse",
        "the arguments are not JSON",
        "line 1 column 10",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_recording_is_not_watched() {
    let folder = std::env::current_dir().unwrap();
    for (watch, words) in [("", &[][..]), ("**", &["--watch", "**"])] {
        let words = [words, &["--record", "a[b].ndjson", "--", "srv"]].concat();
        let (_, spec) = mission(&words).unwrap();
        let excluded = format!("!{}", folder.join("a[[]b[]].ndjson").display());
        let (last, others) = spec.watch.split_last().unwrap();
        assert_eq!((last, others.concat()), (&excluded, watch.to_owned()));
    }
}

/// Settings that differ from all defaults and from those in [`FLAGS`].
const FILE: &str = r#"
    [proxy]
    meta_tools = "all"
    hold_timeout = "7s"
    max_message = "1MiB"
    [watch]
    debounce = "8ms"
    ignore = ["gen/**"]
    [servers.a]
    command = "srv"
    env = { A = "file" }
    watch = ["src/**"]
    build = "make"
    reload = "stop-first"
    drain_timeout = "9s"
    [servers.b]
    command = "other"
"#;
const FLAGS: &str = "--meta-tools none --hold-timeout 1s --max-message 2MiB --debounce 1ms --env A=flag \
    --watch x --build ninja --reload overlap --drain-timeout 2s --name c --cwd /";

fn mission_of(file: &str, words: &[&str]) -> Result<(ServeOptions, ServerSpec), CliError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp-proxy.toml");
    std::fs::write(&path, file).unwrap();
    mission(&[&["--config", path.to_str().unwrap()], words].concat())
}

#[test]
fn a_configuration_that_no_longer_fits_the_command_line_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path().join("there");
    std::fs::create_dir(&cwd).unwrap();
    let file = folder.path().join("mcp-proxy.toml");
    std::fs::write(&file, FILE).unwrap();
    let [cwd, file] = [&cwd, &file].map(|path| path.to_str().unwrap());
    let options = ["--config", file, "--server", "a", "--cwd", cwd];
    let (mission, _) = mission(&options).unwrap();
    let reader = mission.setup.reader.unwrap();
    assert!(reader().is_some());
    std::fs::remove_dir(cwd).unwrap();
    assert!(reader().is_none());
}

#[test]
fn settings_of_the_configuration_are_in_force() {
    let (mission, spec) = mission_of(FILE, &["--server", "a"]).unwrap();
    assert!(mission.setup.is_transparent);
    assert_eq!(
        (spec.name.as_str(), spec.program.to_str()),
        ("a", Some("srv"))
    );
    assert_eq!(spec.env, [("A".into(), "file".into())]);
    assert_eq!(spec.watch, ["src/**", "!gen/**"]);
    assert_eq!(spec.build.as_deref(), Some("make"));
    assert_eq!(spec.reload, ReloadMode::StopFirst);
    assert_eq!(spec.timeouts.hold, Duration::from_secs(7));
    assert_eq!(spec.timeouts.drain, Duration::from_secs(9));
    assert_eq!(
        (mission.meta_tools, mission.max_message),
        (Set::All, 1 << 20)
    );
    assert_eq!(mission.watch.unwrap().quiet, Duration::from_millis(8));
}

#[test]
fn options_win_over_the_configuration() {
    let flags: Vec<&str> = FLAGS.split_whitespace().collect();
    let (mission, spec) = mission_of(FILE, &[&["--server", "a"], &flags[..]].concat()).unwrap();
    assert_eq!((spec.name.as_str(), &spec.cwd), ("c", &root()));
    assert_eq!(spec.env.last(), Some(&("A".into(), "flag".into())));
    assert_eq!(spec.watch, ["x", "!gen/**"]);
    assert_eq!(spec.build.as_deref(), Some("ninja"));
    assert_eq!(spec.reload, ReloadMode::Overlap);
    assert_eq!(spec.timeouts.hold, Duration::from_secs(1));
    assert_eq!(spec.timeouts.drain, Duration::from_secs(2));
    assert_eq!(
        (mission.meta_tools, mission.max_message),
        (Set::None, 2 << 20)
    );
    assert_eq!(mission.watch.unwrap().quiet, Duration::from_millis(1));
}

#[test]
fn all_servers_are_run_unless_one_is_chosen() {
    let usage = |file, words: &[&str]| match mission_of(file, words).err().unwrap() {
        CliError::Usage(text) => text,
        error => panic!("{error:?}"),
    };
    let (mission, _) = mission_of(FILE, &["--hold-timeout", "1s"]).unwrap();
    let servers = &mission.setup.config.servers;
    assert_eq!(servers.len(), 2);
    assert!(
        servers
            .iter()
            .all(|it| it.timeouts.hold == Duration::from_secs(1))
    );
    assert!(
        servers
            .iter()
            .all(|it| it.watch.ends_with(&["!gen/**".to_owned()]))
    );
    assert!(!mission.setup.is_transparent);
    assert!(usage(FILE, &["--server", "weather"]).ends_with("it has `a`, `b`"));
    for words in [
        "--watch a",
        "--build a",
        "--rehearse a",
        "--rehearse-tools a",
        "--name a",
        "--cwd /",
        "--env A=1",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let text = usage(FILE, &words);
        let expected = format!("{} applies to one server", words[0]);
        assert!(text.starts_with(&expected), "{text}");
    }
    let broken = |file, words: &[&str]| matches!(mission_of(file, words), Err(CliError::Config(_)));
    let one_of_two = "[servers.a]\ncommand='x'\n[servers.b]\ntypo=1";
    assert_eq!(mission_of(one_of_two, &[]).unwrap().1.name, "a");
    assert!(broken(one_of_two, &["--server", "b"]));
    assert!(broken("[servers.b]\ntypo=1", &[]));
    assert!(broken("[servers.b", &[]));
}
