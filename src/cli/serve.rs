//! `mcp-proxy serve`: runs the servers of the configuration for a client's session, each loaded when it is first
//! needed, or at the start if the client is offered no tool that loads servers.

use std::path::PathBuf;

use clap::Args;

use super::args::RecordArgs;
use super::http::HttpArgs;
use super::page::PageArgs;
use super::{CliError, Global, config, dev};
use crate::app::ServeOptions;
use crate::fleet::{FleetSetup, Loading};
use crate::meta_tools::Set;
use crate::watcher::WatchOptions;

/// The options of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Configuration file [default: `MCP_PROXY_CONFIG`, or the nearest mcp-proxy.toml and .mcp.json]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The proxy's own tools to offer [default: all]
    #[arg(long, value_name = "WHICH", value_enum)]
    meta_tools: Option<Set>,
    /// Do not watch the configuration either; each tool that depends on it reads it again
    #[arg(long)]
    no_watch: bool,
    #[command(flatten)]
    record: RecordArgs,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    http: HttpArgs,
}

/// Serves clients until the end.
pub(crate) fn run(args: &ServeArgs, global: &Global) -> Result<u8, CliError> {
    let around = config::surroundings(args.config.as_ref())?;
    let loaded = crate::config::load(&around);
    config::print_notes(&loaded.notes, global);
    let now = loaded.config.clone();
    let meta_tools = args.meta_tools.or(now.meta_tools).unwrap_or(Set::All);
    let project = config::project(&around, &loaded.files);
    let run = args.record.options("serve", project);
    let files = config::places(&around, &loaded.files);
    let setup = FleetSetup {
        config: loaded.config,
        is_transparent: false,
        // Without the tools that load servers, they would never be loaded.
        loading: match meta_tools {
            Set::None => Loading::AtStart,
            Set::All | Set::Dev => Loading::OnDemand,
        },
        watches_sources: false,
        files,
        faults: loaded.faults,
        faults_reported: false,
        reader: config::reader(&loaded.files, {
            let around = around.clone();
            move || Some(crate::config::load(&around))
        }),
    };
    let mission = ServeOptions {
        http: args.http.options(&setup)?,
        page: None,
        config_context: Some(around),
        setup,
        max_message: now.max_message,
        warm_limit: now.warm_limit,
        era: None,
        meta_tools,
        watch: (!args.no_watch).then(|| WatchOptions {
            quiet: now.watching.debounce,
            ..WatchOptions::default()
        }),
        cache: config::cache(),
    };
    dev::serve(mission, None, args.page.page, run, global)
}
