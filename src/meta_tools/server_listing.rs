//! `get_loaded_servers`, `list_available_servers`, `list_installed_mcp_servers`: list servers.

use std::sync::atomic::Ordering;

use reqwest::header::HeaderName;
use serde_json::{Value, json};

use super::InstallResources;
use super::diff_value;
use crate::config::ProcessAddress;
use crate::event::ToolDiff;
use crate::fleet::Fleet;
use crate::lock::locked;
use crate::mcp::{List, ListKind};
use crate::server::ServerHandle;

pub(super) fn loaded(fleet: &Fleet) -> Value {
    let servers: Vec<Value> = fleet.catalog().servers.iter().map(loaded_server).collect();
    json!({ "count": servers.len(), "servers": servers })
}

fn loaded_server(server: &ServerHandle) -> Value {
    let (snapshot, status, spec) = (server.snapshot(), server.status(), server.spec());
    let tools = snapshot.tool_names();
    let watched = server.watched_files();
    let globs = watched.as_ref().map(|watched| {
        let globs = locked(&watched.globs);
        globs.iter().map(|(glob, _)| glob.clone()).collect()
    });
    // At the first start all tools are new, which is not worth a model's context.
    let diff = match status.reloads {
        0 => ToolDiff::default(),
        _ => snapshot.diff.clone(),
    };
    let mut value = json!({
        "name": spec.name,
        "status": status.state,
        "generation": snapshot.generation,
        "tool_count": tools.len(),
        "tools": tools,
        "reloads": status.reloads,
        "start_ms": u64::try_from(snapshot.took.as_millis()).unwrap_or(u64::MAX),
        "uptime_s": snapshot.since.map(|since| since.elapsed().as_secs()),
        "last_reload_s_ago": status.reloaded.map(|at| at.elapsed().as_secs()),
        "last_diff": diff_value(&diff),
        "last_error": status.last_error,
        "standby": server.standby_cost().map(|prepared| json!({
            "prepared_ms": u64::try_from(prepared.took.as_millis()).unwrap_or(u64::MAX),
            "memory_mib": prepared.memory.map(|bytes| bytes >> 20),
        })),
        "watch": globs.unwrap_or_else(|| spec.watch.clone()),
        "watched_files": watched.as_ref().map(|watched| watched.count.load(Ordering::Relaxed)),
    });
    let list = snapshot.list(ListKind::Tools);
    let withheld = list.map_or(&[][..], List::withheld).iter();
    let left_out: Vec<Value> = withheld
        .map(|it| json!({ "tool": it.entry.name, "reason": it.reason }))
        .collect();
    if !left_out.is_empty() {
        value["left_out"] = left_out.into();
    }
    if let Some(rehearsal) = status.rehearsal {
        value["rehearsal"] = rehearsal.value();
    }
    if let Some(hint) = status.hint {
        value["hint"] = hint.into();
    }
    let remote = spec.remote.as_ref().map(|remote| remote.shown.as_str());
    let listens = spec.listens.as_ref().map(ProcessAddress::shown);
    if let Some(url) = remote.or(listens) {
        value["url"] = url.into();
    }
    value
}

/// Returns all configured servers, in the order of the configuration.
pub(super) async fn available(fleet: &Fleet) -> Value {
    fleet.reread().await;
    let config = fleet.config();
    let names = config.server_names();
    let details: Vec<Value> = config
        .servers
        .iter()
        .map(|spec| match fleet.loaded(&spec.name) {
            Some(server) => loaded_server(&server),
            None => json!({ "name": spec.name, "status": "not loaded", "watch": spec.watch }),
        })
        .collect();
    let mut value = json!({ "servers": names, "count": names.len(), "details": details });
    if !config.disabled.is_empty() {
        value["disabled"] = json!(config.disabled);
    }
    let faults = fleet.faults();
    if !faults.is_empty() {
        value["faults"] = json!(faults);
    }
    value
}

/// Returns how each configured server is started or reached. Shows only the names of variables and headers, and no
/// secrets of the command line or the address.
pub(super) async fn installed(fleet: &Fleet, workshop: Option<&InstallResources>) -> Value {
    fleet.reread().await;
    let config = fleet.config();
    let sources = workshop
        .map(|workshop| workshop.installed(fleet))
        .unwrap_or_default();
    let servers: Vec<Value> = config
        .servers
        .iter()
        .map(|spec| {
            let (program, args) = spec
                .shown
                .split_first()
                .map_or(("", &[][..]), |(it, args)| (it, args));
            let names: Vec<_> = spec
                .env
                .iter()
                .map(|(name, _)| name.to_string_lossy())
                .collect();
            let mut value = match &spec.remote {
                Some(remote) => json!({
                    "name": spec.name,
                    "url": remote.shown,
                    "headers": remote.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
                }),
                None => json!({
                    "name": spec.name,
                    "path": args.first().map_or("unknown", String::as_str),
                    "command": program,
                    "args": args,
                    "cwd": spec.cwd.to_string_lossy(),
                    "env_vars": names,
                }),
            };
            if let Some((_, source, commit)) = sources.iter().find(|(name, ..)| *name == spec.name)
            {
                value["source"] = source.as_str().into();
                value["commit"] = commit.as_str().into();
            }
            value
        })
        .collect();
    let files: Vec<_> = fleet
        .files()
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    json!({ "count": servers.len(), "servers": servers, "config_file": files.join(", ") })
}
