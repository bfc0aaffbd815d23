//! `mcp-proxy dev`: one server, of the command line or of the configuration, watched and reloaded, behind one client's session.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::args::ServerArgs;
use super::{CliError, EXIT_INTERRUPTED, EXIT_OK, Global, config};
use crate::app::{self, AppError, End, Mission};
use crate::config::{Config, Fault, OnBroken, Reload, ServerSpec, parse_duration};
use crate::meta_tools::Set;
use crate::output;
use crate::watcher::WatchOptions;

/// How often `--poll` looks at the files.
const POLL: Duration = Duration::from_millis(500);

/// The options of `dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Watch the files of GLOB; repeatable, `!` excludes, the last match wins [default: by the command's language]
    #[arg(long, value_name = "GLOB", conflicts_with = "no_watch")]
    pub(crate) watch: Vec<String>,
    /// Watch nothing; the `reload_mcp_server` tool still reloads
    #[arg(long)]
    pub(crate) no_watch: bool,
    /// Look for changes by polling, for mounts without file events
    #[arg(long, conflicts_with = "no_watch")]
    pub(crate) poll: bool,
    /// How the new code replaces the old [default: overlap]
    #[arg(long, value_name = "HOW", value_enum)]
    pub(crate) reload: Option<Reload>,
    /// A shell command that must succeed before each start
    #[arg(long, value_name = "CMD")]
    pub(crate) build: Option<String>,
    /// What answers calls while the saved code does not run [default: report]
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) on_broken: Option<OnBroken>,
    /// The proxy's own tools to offer [default: dev]
    #[arg(long, value_name = "WHICH", value_enum)]
    pub(crate) meta_tools: Option<Set>,
    /// How long files must be quiet before a save counts [default: 30ms]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) debounce: Option<Duration>,
    /// How long the client's first message waits for the first start [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) startup_wait: Option<Duration>,
    /// How long a call waits for a reload [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) hold_timeout: Option<Duration>,
    /// How long calls in flight may finish on the old code [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) drain_timeout: Option<Duration>,
    /// The configuration [default: `MCP_PROXY_CONFIG`, or the nearest mcp-proxy.toml and .mcp.json]
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub(crate) config: Option<PathBuf>,
    /// The server of the configuration to run, where it has several
    #[arg(long = "server", value_name = "NAME", conflicts_with = "command")]
    server_name: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

impl DevArgs {
    /// What is to be run: the server of the command line or that of the configuration, with everything
    /// that these options say about it.
    fn mission(&self, global: &Global) -> Result<Mission, CliError> {
        let (mut spec, config) = match self.server.spec()? {
            Some(spec) => (spec, Config::default()),
            None => self.configured(global)?,
        };
        self.adjust(&mut spec);
        let ignored = config.watching.ignore.iter();
        spec.watch.extend(ignored.map(|glob| format!("!{glob}")));
        Ok(Mission {
            spec,
            max_message: self.server.max_message.unwrap_or(config.max_message),
            era: self.server.era.era(),
            meta_tools: self.meta_tools.unwrap_or(config.meta_tools),
            watch: (!self.no_watch).then(|| WatchOptions {
                quiet: self.debounce.unwrap_or(config.watching.debounce),
                poll: self.poll.then_some(POLL),
                ..WatchOptions::default()
            }),
        })
    }

    fn adjust(&self, spec: &mut ServerSpec) {
        if !self.watch.is_empty() {
            spec.watch.clone_from(&self.watch);
        }
        spec.build = self.build.clone().or(spec.build.take());
        spec.reload = self.reload.unwrap_or(spec.reload);
        spec.on_broken = self.on_broken.unwrap_or(spec.on_broken);
        let times = &mut spec.timeouts;
        times.startup_wait = self.startup_wait.unwrap_or(times.startup_wait);
        times.hold = self.hold_timeout.unwrap_or(times.hold);
        times.drain = self.drain_timeout.unwrap_or(times.drain);
    }

    /// The one server that the configuration or `--server` leaves to be run.
    fn configured(&self, global: &Global) -> Result<(ServerSpec, Config), CliError> {
        let loaded = config::load(self.config.as_ref(), global)?;
        let config = &loaded.config;
        let wanted = self.server_name.as_deref();
        let fits = |spec: &&ServerSpec| wanted.is_none_or(|name| spec.name == name);
        let fitting: Vec<&ServerSpec> = config.servers.iter().filter(fits).collect();
        let is_to_blame = |fault: &Fault| {
            fault.server.is_none() || wanted.is_none() || fault.server.as_deref() == wanted
        };
        let names = || {
            let names = config.servers.iter().map(|spec| format!("`{}`", spec.name));
            names.collect::<Vec<_>>().join(", ")
        };
        match (&fitting[..], wanted) {
            ([spec], _) => {
                let mut spec = (*spec).clone();
                self.server.adjust(&mut spec)?;
                Ok((spec, loaded.config))
            }
            ([], _) if loaded.faults.iter().any(is_to_blame) => Err(config::broken(&loaded)),
            (_, Some(name)) if config.servers.is_empty() => Err(CliError::Usage(format!(
                "the configuration has no server `{name}`"
            ))),
            (_, Some(name)) => Err(CliError::Usage(format!(
                "the configuration has no server `{name}`; it has {}",
                names()
            ))),
            ([], None) if loaded.files.is_empty() => Err(CliError::Usage(
                "there is no command after `--` and no configuration: neither mcp-proxy.toml nor .mcp.json".to_owned(),
            )),
            ([], None) => Err(CliError::Usage(
                "there is no command after `--`, and the configuration has no server to run".to_owned(),
            )),
            (_, None) => Err(CliError::Usage(format!(
                "the configuration has several servers; choose one with --server: {}",
                names()
            ))),
        }
    }
}

/// Serves the client on stdio until it goes away.
pub(crate) fn run(args: &DevArgs, global: &Global) -> Result<u8, CliError> {
    let mission = args.mission(global)?;
    let (events, printer) = output::start(&global.output_options())
        .map_err(|error| CliError::Config(error.to_string()))?;
    let end = app::dev(mission, &events);
    drop(events);
    printer.finish();
    match end {
        Ok(End::ClientGone) => Ok(EXIT_OK),
        Ok(End::Signal) => Ok(EXIT_INTERRUPTED),
        Err(AppError::Watch(error)) => Err(CliError::Config(with_source(&error))),
        Err(error) => Err(CliError::Failure(with_source(&error))),
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

#[cfg(test)]
mod tests {
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

    fn mission(words: &[&str]) -> Result<Mission, CliError> {
        let dev = Line::parse_from([&["dev"], words].concat()).dev;
        dev.mission(&Output::parse_from(["dev", "-q"]).global)
    }

    #[test]
    fn the_defaults_are_those_of_the_configuration() {
        let mission = mission(&["--", "srv"]).unwrap();
        let config = Config::default();
        let spec = mission.spec;
        assert_eq!(spec.timeouts, config.timeouts);
        assert_eq!(spec.reload, Reload::default());
        assert_eq!(spec.on_broken, OnBroken::default());
        assert_eq!(spec.cwd, std::env::current_dir().unwrap());
        assert_eq!(mission.max_message, config.max_message);
        assert_eq!(mission.meta_tools, config.meta_tools);
        let watch = mission.watch.unwrap();
        assert_eq!(watch.quiet, config.watching.debounce);
        assert_eq!(watch.quiet, WatchOptions::default().quiet);
    }

    #[test]
    fn options_reach_the_specification() {
        let line = "--watch a --watch !b --reload stop-first --build make --on-broken serve-last-good \
            --name w --cwd / --env A=1 --hold-timeout 2s -- srv -x";
        let spec = mission(&line.split_whitespace().collect::<Vec<_>>())
            .unwrap()
            .spec;
        assert_eq!(spec.watch, ["a", "!b"]);
        assert_eq!(spec.reload, Reload::StopFirst);
        assert_eq!(spec.build.as_deref(), Some("make"));
        assert_eq!(spec.on_broken, OnBroken::ServeLastGood);
        assert_eq!((spec.name.as_str(), spec.cwd.to_str()), ("w", Some("/")));
        assert_eq!(spec.env, [("A".into(), "1".into())]);
        assert_eq!((spec.program, spec.args), ("srv".into(), vec!["-x".into()]));
        assert_eq!(spec.timeouts.hold, Duration::from_secs(2));
    }

    /// Settings that differ from every default, and from those of [`FLAGS`].
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

    fn mission_of(file: &str, words: &[&str]) -> Result<Mission, CliError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mcp-proxy.toml");
        std::fs::write(&path, file).unwrap();
        mission(&[&["--config", path.to_str().unwrap()], words].concat())
    }

    #[test]
    fn settings_of_the_configuration_are_in_force() {
        let mission = mission_of(FILE, &["--server", "a"]).unwrap();
        let spec = mission.spec;
        assert_eq!(
            (spec.name.as_str(), spec.program.to_str()),
            ("a", Some("srv"))
        );
        assert_eq!(spec.env, [("A".into(), "file".into())]);
        assert_eq!(spec.watch, ["src/**", "!gen/**"]);
        assert_eq!(spec.build.as_deref(), Some("make"));
        assert_eq!(spec.reload, Reload::StopFirst);
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
        let mission = mission_of(FILE, &[&["--server", "a"], &flags[..]].concat()).unwrap();
        let spec = mission.spec;
        assert_eq!((spec.name.as_str(), spec.cwd.to_str()), ("c", Some("/")));
        assert_eq!(spec.env.last(), Some(&("A".into(), "flag".into())));
        assert_eq!(spec.watch, ["x", "!gen/**"]);
        assert_eq!(spec.build.as_deref(), Some("ninja"));
        assert_eq!(spec.reload, Reload::Overlap);
        assert_eq!(spec.timeouts.hold, Duration::from_secs(1));
        assert_eq!(spec.timeouts.drain, Duration::from_secs(2));
        assert_eq!(
            (mission.meta_tools, mission.max_message),
            (Set::None, 2 << 20)
        );
        assert_eq!(mission.watch.unwrap().quiet, Duration::from_millis(1));
    }

    #[test]
    fn one_server_has_to_be_left() {
        let usage = |file, words: &[&str]| match mission_of(file, words).unwrap_err() {
            CliError::Usage(text) => text,
            error => panic!("{error:?}"),
        };
        assert!(usage(FILE, &[]).ends_with("--server: `a`, `b`"));
        assert!(usage(FILE, &["--server", "c"]).ends_with("it has `a`, `b`"));
        assert!(usage("", &[]).ends_with("no server to run"));
        let broken =
            |file, words: &[&str]| matches!(mission_of(file, words), Err(CliError::Config(_)));
        let one_of_two = "[servers.a]\ncommand='x'\n[servers.b]\ntypo=1";
        assert_eq!(mission_of(one_of_two, &[]).unwrap().spec.name, "a");
        assert!(broken(one_of_two, &["--server", "b"]));
        assert!(broken("[servers.b]\ntypo=1", &[]));
        assert!(broken("[servers.b", &[]));
    }
}
