//! `mcp-proxy dev`: runs the server of the command line, or those of the configuration, and reloads them on saves.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::args::{RecordArgs, ServerArgs};
use super::http::HttpArgs;
use super::page::PageArgs;
use super::selection::{NO_FILE, check_known};
use super::{CliError, EXIT_INTERRUPTED, EXIT_OK, Global, config};
use crate::app::{self, AppError, EndReason, ServeOptions};
use crate::config::{
    Config, ConfigContext, LoadedConfig, OnBadTool, OnBroken, OnRegression, RehearsalItem,
    ReloadMode, ServerSpec, StandbyMode, Timeouts, parse_duration,
};
use crate::error_chain::with_causes;
use crate::event::Event;
use crate::fleet::{FleetSetup, Loading};
use crate::meta_tools::Set;
use crate::output::{self, OutputOptions};
use crate::page::{Page, PageWish};
use crate::recorder::{Recording, RecordingFile};
use crate::state::RunOptions;
use crate::watcher::WatchOptions;

/// Interval at which `--poll` checks the files.
const POLL: Duration = Duration::from_millis(500);

/// The options of `dev`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DevArgs {
    /// Watch the files that match GLOB; repeatable, `!` excludes, the last match wins [default: by the command's
    /// language]
    #[arg(long, value_name = "GLOB", conflicts_with = "no_watch")]
    pub(crate) watch: Vec<String>,
    /// Watch nothing; the `reload_mcp_server` tool still reloads
    #[arg(long)]
    pub(crate) no_watch: bool,
    /// Poll the files for changes, for mounts without file events
    #[arg(long, conflicts_with = "no_watch")]
    pub(crate) poll: bool,
    /// How the new code replaces the old [default: overlap]
    #[arg(long, value_name = "HOW", value_enum)]
    pub(crate) reload: Option<ReloadMode>,
    /// Shell command that must succeed before each start
    #[arg(long, value_name = "CMD")]
    pub(crate) build: Option<String>,
    /// How calls are answered while the saved code does not run [default: report]
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) on_broken: Option<OnBroken>,
    /// Treatment of a tool for which the client would drop all tools of the server [default: report]
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) on_bad_tool: Option<OnBadTool>,
    /// Call that new code answers before it goes live, such as 'forecast {"city": "Oslo"}'; repeatable
    ///
    /// Its answer is compared with that of the code before. The call runs at each save, so that it should have no
    /// effects that you do not want. `recorded` stands for recent calls of the client to tools that declare
    /// `readOnlyHint` or `idempotentHint`.
    #[arg(long, value_name = "CALL", value_parser = RehearsalItem::parse)]
    pub(crate) rehearse: Vec<RehearsalItem>,
    /// Tool whose recorded calls may run at each save, even without these annotations; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) rehearse_tools: Vec<String>,
    /// Reaction to new code that answers such a call with an error, unlike the code before [default: report]
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) on_regression: Option<OnRegression>,
    /// How much later a reload may be because of these calls [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) rehearse_timeout: Option<Duration>,
    /// The proxy's own tools to offer [default: dev]
    #[arg(long, value_name = "WHICH", value_enum)]
    pub(crate) meta_tools: Option<Set>,
    /// Time without changes after which a save counts [default: 30ms]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) debounce: Option<Duration>,
    /// How long the client's first request waits for the first start [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) startup_wait: Option<Duration>,
    /// How long a call waits for a reload [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) hold_timeout: Option<Duration>,
    /// How long calls in flight may take to finish on the old code [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) drain_timeout: Option<Duration>,
    /// Keep no standby process, in which a server's packages are loaded ahead of the next save
    #[arg(long)]
    pub(crate) no_warm: bool,
    #[command(flatten)]
    pub(crate) record: RecordArgs,
    #[command(flatten)]
    pub(crate) page: PageArgs,
    /// Configuration file [default: `MCP_PROXY_CONFIG`, or the nearest mcp-proxy.toml and .mcp.json]
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub(crate) config: Option<PathBuf>,
    /// Run only this server of the configuration, or CMD with its settings; its tools keep their own names
    #[arg(long = "server", value_name = "NAME")]
    server_name: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
}

impl DevArgs {
    /// Builds the mission from these options and the configuration. Returns it with the folder that stands for its
    /// project, and with an error if there is no server to run but a change of the configuration may provide one.
    fn mission(
        &self,
        global: &Global,
    ) -> Result<(ServeOptions, PathBuf, Option<CliError>), CliError> {
        let around = config::surroundings(self.config.as_ref())?;
        let given = self.server.spec()?.filter(|_| !self.is_configured(&around));
        let (plan, config, project, unusable) = match given {
            Some(mut spec) => {
                self.note_defaults(global);
                spec.warm = StandbyMode::AtOnce;
                self.adjust(&mut spec);
                let mut config = Config::default();
                self.adjust_times(&mut config.timeouts);
                let project = spec.cwd.clone();
                config.servers.push(spec);
                (FleetSetup::of_one(config.clone()), config, project, None)
            }
            None => self.configured(&around, global)?,
        };
        let mission = ServeOptions {
            http: self.http.options(&plan)?,
            page: None,
            config_context: Some(around).filter(|_| !plan.is_transparent),
            cache: config::cache(),
            setup: plan,
            max_message: self.server.max_message.unwrap_or(config.max_message),
            warm_limit: config.warm_limit,
            era: self.server.era,
            meta_tools: self.meta_tools.or(config.meta_tools).unwrap_or_default(),
            watch: (!self.no_watch).then(|| WatchOptions {
                quiet: self.debounce.unwrap_or(config.watching.debounce),
                poll: self.poll.then_some(POLL),
                ..WatchOptions::default()
            }),
        };
        Ok((mission, project, unusable))
    }

    /// Whether the configuration has the server of `--server`.
    fn is_configured(&self, around: &ConfigContext) -> bool {
        self.server_name.as_ref().is_some_and(|name| {
            let servers = crate::config::load(around).config.servers;
            servers.iter().any(|spec| spec.name == *name)
        })
    }

    /// Tells that the command runs without settings of the configuration, although `--server` asks for them.
    fn note_defaults(&self, global: &Global) {
        let note = |name| {
            format!(
                "the configuration has no server `{name}` that can run; CMD runs without its settings"
            )
        };
        let notes: Vec<String> = self.server_name.iter().map(note).collect();
        config::print_notes(&notes, global);
    }

    fn adjust(&self, spec: &mut ServerSpec) {
        if !self.watch.is_empty() {
            spec.watch.clone_from(&self.watch);
        }
        spec.watch.extend(self.record.exclusion());
        spec.build = self.build.clone().or(spec.build.take());
        spec.reload = self.reload.unwrap_or(spec.reload);
        spec.on_broken = self.on_broken.unwrap_or(spec.on_broken);
        spec.on_bad_tool = self.on_bad_tool.unwrap_or(spec.on_bad_tool);
        if !self.rehearse.is_empty() {
            spec.rehearse.clone_from(&self.rehearse);
        }
        if !self.rehearse_tools.is_empty() {
            spec.rehearse_tools.clone_from(&self.rehearse_tools);
        }
        spec.on_regression = self.on_regression.unwrap_or(spec.on_regression);
        if self.no_warm {
            spec.warm = StandbyMode::Off;
        }
        self.adjust_times(&mut spec.timeouts);
    }

    fn adjust_times(&self, times: &mut Timeouts) {
        times.startup_wait = self.startup_wait.unwrap_or(times.startup_wait);
        times.hold = self.hold_timeout.unwrap_or(times.hold);
        times.drain = self.drain_timeout.unwrap_or(times.drain);
        times.rehearsal = self.rehearse_timeout.unwrap_or(times.rehearsal);
    }

    /// Returns the servers of the configuration, or the one chosen by `--server`, and the project. There may be no
    /// server yet, which the error explains.
    fn configured(
        &self,
        around: &ConfigContext,
        global: &Global,
    ) -> Result<(FleetSetup, Config, PathBuf, Option<CliError>), CliError> {
        self.fits_several()?;
        let loaded = self.read(around)?;
        let unusable = self.usable(&loaded).err();
        let chosen = self.server_name.clone();
        let args = self.clone();
        let config = loaded.config.clone();
        let project = config::project(around, &loaded.files);
        let reader_around = around.clone();
        let setup = FleetSetup {
            config: loaded.config,
            is_transparent: chosen.is_some(),
            loading: Loading::AtStart,
            watches_sources: true,
            files: config::places(around, &loaded.files),
            faults: loaded.faults,
            faults_reported: false,
            reader: config::reader(&loaded.files, move || {
                // If a directory no longer exists, the options cannot be applied, and the previous configuration stays
                // in force.
                args.read(&reader_around).ok()
            }),
        };
        config::print_notes(&loaded.notes, global);
        Ok((setup, config, project, unusable))
    }

    /// Reads the configuration and applies these options to it.
    fn read(&self, around: &ConfigContext) -> Result<LoadedConfig, CliError> {
        let mut loaded = crate::config::load(around);
        let config = &mut loaded.config;
        if let Some(name) = &self.server_name {
            config.servers.retain(|spec| spec.name == *name);
            loaded
                .faults
                .retain(|fault| fault.server.as_ref().is_none_or(|it| it == name));
        }
        let given = self.server.spec()?;
        for spec in &mut config.servers {
            if let Some(given) = &given {
                spec.hidden.add(&given.hidden);
                spec.program.clone_from(&given.program);
                spec.args.clone_from(&given.args);
                spec.shown.clone_from(&given.shown);
            }
            self.server.adjust(spec)?;
            self.adjust(spec);
            let ignored = config.watching.ignore.iter();
            spec.watch.extend(ignored.map(|glob| format!("!{glob}")));
        }
        self.adjust_times(&mut config.timeouts);
        Ok(loaded)
    }

    /// Reads the configuration again; returns an error if there still is no server to run.
    fn unusable(&self) -> Option<CliError> {
        let around = config::surroundings(self.config.as_ref()).ok()?;
        let loaded = self.read(&around).ok()?;
        self.usable(&loaded).err()
    }

    /// Returns an error if there is no server to run.
    fn usable(&self, loaded: &LoadedConfig) -> Result<(), CliError> {
        let there = !loaded.config.servers.is_empty();
        if let Some(name) = self.server_name.as_ref().filter(|_| !there) {
            if !loaded.faults.is_empty() {
                return Err(config::faults_error(loaded));
            }
            check_known(name, loaded)?;
        }
        if !there && !loaded.faults.is_empty() {
            return Err(config::faults_error(loaded));
        }
        if loaded.files.is_empty() {
            let text = format!("no server command after `--`, and {NO_FILE}");
            return Err(CliError::Usage(text));
        }
        Ok(())
    }

    /// Returns an error if an option for a single server is given for several.
    fn fits_several(&self) -> Result<(), CliError> {
        let of_one = [
            (!self.watch.is_empty(), "--watch"),
            (self.build.is_some(), "--build"),
            (!self.rehearse.is_empty(), "--rehearse"),
            (!self.rehearse_tools.is_empty(), "--rehearse-tools"),
            (self.server.name.is_some(), "--name"),
            (self.server.cwd.is_some(), "--cwd"),
            (!self.server.env.is_empty(), "--env"),
        ];
        match of_one
            .iter()
            .find(|(given, _)| *given && self.server_name.is_none())
        {
            Some((_, option)) => Err(CliError::Usage(format!(
                "{option} applies to one server: select it with --server NAME, or set it in the configuration"
            ))),
            None => Ok(()),
        }
    }
}

/// Serves clients until the end. A client whose configuration provides no server yet is served as well, since clients
/// do not restart a server on stdio; a person at a terminal gets the error instead.
pub(crate) fn run(args: &DevArgs, global: &Global) -> Result<u8, CliError> {
    let (mission, project, unusable) = args.mission(global)?;
    let run = args.record.options("dev", project);
    let Some(unusable) = unusable else {
        return serve(mission, None, args.page.page, run, global);
    };
    if mission.http.is_none() && io::stdin().is_terminal() {
        config::load(args.config.as_ref(), global)?;
        return Err(unusable);
    }
    let code = serve(
        mission,
        Some(unusable.to_string()),
        args.page.page,
        run,
        global,
    )?;
    match args.unusable() {
        Some(unusable) if code == EXIT_OK => Ok(unusable.exit_code()),
        _ => Ok(code),
    }
}

/// Runs `mission`, with a page if one is wished for, and keeps a record of it; `unusable` says why there is no server
/// yet.
pub(super) fn serve(
    mut mission: ServeOptions,
    unusable: Option<String>,
    page: Option<PageWish>,
    run: RunOptions,
    global: &Global,
) -> Result<u8, CliError> {
    let file = run.recording.as_deref().map(RecordingFile::open);
    let file = file.transpose();
    let file = file.map_err(|error| CliError::Config(error.to_string()))?;
    let page = page.map(|wish| Page::bind(wish, &run.project)).transpose();
    let page = page.map_err(|error| CliError::Failure(with_causes(&error)))?;
    let options = OutputOptions {
        run: Some(run),
        copy: page.as_ref().map(Page::event_sink),
        ..global.output_options()
    };
    let (events, printer) =
        output::start(&options).map_err(|error| CliError::Config(error.to_string()))?;
    // The fleet reports faults in files with their places.
    let untold = unusable.filter(|_| mission.setup.faults.is_empty());
    if let Some(text) = untold {
        events.send(Event::ConfigFault { text });
    }
    let copy = page.as_ref().map(Page::message_receiver);
    let is_recorded = file.is_some() || copy.is_some();
    let recording = is_recorded.then(|| Recording::start(file, copy, &events));
    let recording = recording.transpose();
    let recording = recording.map_err(|error| CliError::Failure(error.to_string()))?;
    let recorder = recording.as_ref().map(Recording::recorder);
    mission.page = page;
    let end = app::serve(mission, recorder, &events);
    if let Some(recording) = recording {
        recording.finish();
    }
    if let Err(error) = &end {
        let reason = with_causes(error);
        events.send(Event::Failed { reason });
    }
    drop(events);
    printer.finish();
    match end {
        Ok(EndReason::ClientGone) => Ok(EXIT_OK),
        Ok(EndReason::Signal) => Ok(EXIT_INTERRUPTED),
        Err(AppError::Watch(error)) => Err(CliError::Config(with_causes(&error))),
        Err(error) => Err(CliError::Failure(with_causes(&error))),
    }
}

#[cfg(test)]
mod tests;
