//! `mcp-proxy dev`: one server, watched and reloaded, behind one client's session.

use std::time::Duration;

use clap::Args;

use super::args::{ServerArgs, parse_duration};
use super::{CliError, EXIT_INTERRUPTED, EXIT_OK, Global};
use crate::app::{self, AppError, End, Mission};
use crate::config::{OnBroken, Reload, ServerSpec, Timeouts};
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
    /// How the new code replaces the old
    #[arg(long, value_name = "HOW", value_enum, default_value = "overlap")]
    pub(crate) reload: Reload,
    /// A shell command that must succeed before each start
    #[arg(long, value_name = "CMD")]
    pub(crate) build: Option<String>,
    /// What answers calls while the saved code does not run
    #[arg(long, value_name = "WHAT", value_enum, default_value = "report")]
    pub(crate) on_broken: OnBroken,
    /// The proxy's own tools to offer
    #[arg(long, value_name = "WHICH", value_enum, default_value = "dev")]
    pub(crate) meta_tools: Set,
    /// How long files must be quiet before a save counts
    #[arg(long, value_name = "DURATION", default_value = "30ms", value_parser = parse_duration)]
    pub(crate) debounce: Duration,
    /// How long the client's first message waits for the first start
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    pub(crate) startup_wait: Duration,
    /// How long a call waits for a reload
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub(crate) hold_timeout: Duration,
    /// How long calls in flight may finish on the old code
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub(crate) drain_timeout: Duration,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

impl DevArgs {
    /// The server with everything these options say about it.
    pub(crate) fn spec(&self) -> Result<ServerSpec, CliError> {
        Ok(ServerSpec {
            watch: self.watch.clone(),
            build: self.build.clone(),
            reload: self.reload,
            on_broken: self.on_broken,
            ..self.server.spec()?
        })
    }

    /// The limits of every wait.
    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts {
            startup_wait: self.startup_wait,
            start: self.server.start_timeout,
            hold: self.hold_timeout,
            drain: self.drain_timeout,
            ..Timeouts::default()
        }
    }
}

/// Serves the client on stdio until it goes away.
pub(crate) fn run(args: &DevArgs, global: &Global) -> Result<u8, CliError> {
    let mission = Mission {
        spec: args.spec()?,
        timeouts: args.timeouts(),
        max_message: args.server.max_message,
        era: args.server.era.era(),
        meta_tools: args.meta_tools,
        watch: (!args.no_watch).then(|| WatchOptions {
            quiet: args.debounce,
            poll: args.poll.then_some(POLL),
            ..WatchOptions::default()
        }),
    };
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

    #[test]
    fn the_defaults_are_those_of_the_configuration() {
        let dev = Line::parse_from(["dev", "--", "srv"]).dev;
        assert_eq!(
            format!("{:?}", dev.timeouts()),
            format!("{:?}", Timeouts::default())
        );
        let spec = dev.spec().unwrap();
        assert_eq!(spec.reload, Reload::default());
        assert_eq!(spec.on_broken, OnBroken::default());
        assert_eq!(spec.cwd, std::env::current_dir().unwrap());
        assert_eq!(dev.server.max_message, 64 << 20);
    }

    #[test]
    fn options_reach_the_specification() {
        let dev = Line::parse_from([
            "dev",
            "--watch",
            "a",
            "--watch",
            "!b",
            "--reload",
            "stop-first",
            "--build",
            "make x",
            "--on-broken",
            "serve-last-good",
            "--name",
            "w",
            "--cwd",
            "/",
            "--env",
            "A=1",
            "--hold-timeout",
            "2s",
            "--",
            "srv",
            "-x",
        ])
        .dev;
        let spec = dev.spec().unwrap();
        assert_eq!(spec.watch, ["a", "!b"]);
        assert_eq!(spec.reload, Reload::StopFirst);
        assert_eq!(spec.build.as_deref(), Some("make x"));
        assert_eq!(spec.on_broken, OnBroken::ServeLastGood);
        assert_eq!((spec.name.as_str(), spec.cwd.to_str()), ("w", Some("/")));
        assert_eq!(spec.env, [("A".into(), "1".into())]);
        assert_eq!((spec.program, spec.args), ("srv".into(), vec!["-x".into()]));
        assert_eq!(dev.timeouts().hold, Duration::from_secs(2));
    }
}
