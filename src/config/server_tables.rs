//! Location of the servers in a file: each client uses its own key, plugins use none.

use std::collections::HashMap;

use super::client_keys::is_server;
use super::fault::Fault;
use super::findings::{Findings, WHOLE_FILE};
use super::location::{FileSpan, Located};
use super::node::{Node, Value};
use crate::suggestions::nearest;

/// Key paths that contain only servers: Claude Code, Cursor and most others; VS Code; Codex; Zed.
const CERTAIN: [&[&str]; 4] = [
    &["mcpServers"],
    &["servers"],
    &[CODEX],
    &["context_servers"],
];
/// Key paths that may contain other data; used only if all tables below them look like servers.
const POSSIBLE: [&[&str]; 4] = [
    // VS Code settings; OpenCode; settings with dots in their names.
    &["mcp", "servers"],
    &["mcp"],
    &["mcp.servers"],
    &["amp.mcpServers"],
];

/// Key of the servers in Codex's file.
pub(super) const CODEX: &str = "mcp_servers";

/// Keys of other kinds of files, each with advice.
#[rustfmt::skip] // A table.
const FOREIGN: [(&str, &str); 5] = [
    ("command", NAMELESS),
    ("url", NAMELESS),
    ("extensions", "the file looks like Goose's; write {\"mcpServers\": {\"NAME\": {\"command\": …}}}"),
    ("packages", "the file looks like a server.json of the registry; pass the repository to `mcp-proxy install`"),
    (
        "mcp_config",
        "the file looks like the manifest of a bundle; write {\"mcpServers\": {\"NAME\": {\"command\": …}}}",
    ),
];

const NAMELESS: &str =
    "the file has one server without a name; write {\"mcpServers\": {\"NAME\": {…}}}";

/// Table of servers with its key path. The path is empty if the servers are top-level entries.
#[derive(Debug)]
pub(super) struct ServerTable<'n> {
    pub(super) keys: &'static [&'static str],
    pub(super) servers: &'n Node,
}

/// Returns all tables of servers in a JSON file, the preferred one first.
pub(super) fn places(tree: &Node) -> Vec<ServerTable<'_>> {
    let mut places: Vec<ServerTable<'_>> = Vec::new();
    let certain = CERTAIN.into_iter().map(|keys| (keys, true));
    let possible = POSSIBLE.into_iter().map(|keys| (keys, false));
    for (keys, is_certain) in certain.chain(possible) {
        let found = keys.iter().try_fold(tree, |node, key| node.get(key));
        let Some(servers) = found else { continue };
        // Where servers were found already, another key may mean something else.
        if is_certain && places.is_empty() || are_servers(servers) {
            places.push(ServerTable { keys, servers });
        }
    }
    if places.is_empty() && are_servers(tree) {
        let (keys, servers) = (&[][..], tree);
        places.push(ServerTable { keys, servers });
    }
    places
}

/// Returns all tables of servers in a TOML file, which may be `mcp-proxy.toml` or Codex's.
pub(super) fn places_in_toml(tree: &Node) -> Vec<ServerTable<'_>> {
    let places = [&["servers"][..], &[CODEX][..]];
    let place = |keys: &'static [&'static str]| {
        let servers = tree.get(keys[0])?;
        Some(ServerTable { keys, servers })
    };
    places.into_iter().filter_map(place).collect()
}

/// Moves Codex's servers out of a TOML tree; `None` if there are none.
pub(super) fn of_codex(tree: &mut Node) -> Option<Node> {
    let Value::Table(entries) = &mut tree.value else {
        return None;
    };
    let at = entries.iter().position(|(key, _)| key.value == CODEX)?;
    let servers = Value::Table(vec![entries.remove(at)]);
    Some(tree.with(servers))
}

/// Whether `node` contains tables and all of them are servers.
fn are_servers(node: &Node) -> bool {
    let Value::Table(entries) = &node.value else {
        return false;
    };
    let mut tables = entries
        .iter()
        .filter(|(_, node)| matches!(node.value, Value::Table(_)))
        .peekable();
    tables.peek().is_some() && tables.all(|(_, node)| is_server(node))
}

/// Returns faults for duplicate keys on the path to the servers and in them. Programs disagree on the effective
/// duplicate, so none is used.
pub(super) fn doubled(tree: &Node) -> Vec<Fault> {
    let mut faults = Vec::new();
    for keys in CERTAIN.into_iter().chain(POSSIBLE) {
        let parent = keys[..keys.len() - 1].iter();
        let parent = parent.copied().try_fold(tree, |node, key| node.get(key));
        let twice = parent.and_then(|parent| twice(parent, Some(keys[keys.len() - 1])));
        faults.extend(twice.map(|(key, message)| {
            let fault = Fault::new(&key.at, format!("duplicate `{}` {message}", key.value));
            fault.help("move all servers under one of them")
        }));
    }
    for place in places(tree) {
        let Value::Table(servers) = &place.servers.value else {
            continue;
        };
        if let Some((name, message)) = twice(place.servers, None) {
            let fault = Fault::new(
                &name.at,
                format!("duplicate server `{}` {message}", name.value),
            );
            faults.push(
                fault
                    .help("rename or remove one of them")
                    .of(Some(&name.value)),
            );
        }
        for (name, server) in servers {
            if let Some((key, message)) = twice(server, None) {
                let fault = Fault::new(&key.at, format!("duplicate `{}` {message}", key.value));
                faults.push(fault.help("remove one of them").of(Some(&name.value)));
            }
        }
    }
    faults
}

/// Returns the second of two equal keys in a table (only the key `wanted`, if given) and a message with their lines.
fn twice<'n>(table: &'n Node, wanted: Option<&str>) -> Option<(&'n Located<String>, String)> {
    let Value::Table(entries) = &table.value else {
        return None;
    };
    let mut known = HashMap::new();
    let mut keys = entries.iter().map(|(key, _)| key);
    keys.find_map(|key| {
        let is_wanted = wanted.is_none_or(|wanted| key.value == wanted);
        let first: &FileSpan = known.insert(&key.value, &key.at).filter(|_| is_wanted)?;
        let line = |at: &FileSpan| at.line_and_column().0;
        let message = match (line(first), line(&key.at)) {
            (one, other) if one == other => format!("in line {one}"),
            (one, other) => format!("in lines {one} and {other}"),
        };
        Some((key, message))
    })
}

/// Returns all servers of a client's file; a file with entries but without servers is a fault. Among servers with the
/// same name, the first table wins.
pub(super) fn all(findings: &mut Findings<'_>, tree: &Node) -> Option<Node> {
    let entries = findings.entries(WHOLE_FILE, tree)?;
    let places = places(tree);
    let Some((first, more)) = places.split_first() else {
        if let Some((key, _)) = entries.first() {
            let fault = nowhere(&key.at, entries);
            findings.fault(fault);
        }
        return None;
    };
    let name = first.keys.last().copied().unwrap_or(WHOLE_FILE);
    findings.entries(name, first.servers)?;
    let mut servers = first.servers.clone();
    if let Value::Table(all) = &mut servers.value {
        if first.keys.is_empty() {
            all.retain(|(_, node)| matches!(node.value, Value::Table(_)));
        }
        for place in more {
            let Value::Table(others) = &place.servers.value else {
                continue;
            };
            for (name, server) in others {
                let Some((_, known)) = all.iter().find(|(it, _)| it.value == name.value) else {
                    all.push((name.clone(), server.clone()));
                    continue;
                };
                if known.at.text() != server.at.text() {
                    findings.server = Some(name.value.clone());
                    let known = first.keys.join(".");
                    findings.note(
                        &name.at,
                        &format!("this duplicate is ignored; the server in `{known}` is used"),
                    );
                }
            }
        }
    }
    findings.server = None;
    Some(servers)
}

fn nowhere(first: &FileSpan, entries: &[(Located<String>, Node)]) -> Fault {
    let message = "the file has neither `mcpServers` nor `servers`";
    let has = |key: &str| entries.iter().any(|(it, _)| it.value == key);
    if let Some((_, advice)) = FOREIGN.iter().find(|(key, _)| has(key)) {
        return Fault::new(first, message).help(*advice);
    }
    let usual = ["mcpServers", "servers"];
    let mut keys = entries.iter().map(|(key, _)| key);
    match keys.find(|key| !nearest(&key.value, usual).is_empty()) {
        Some(key) => Fault::new(&key.at, message).did_you_mean(&key.value, usual),
        None => Fault::new(first, message),
    }
}
