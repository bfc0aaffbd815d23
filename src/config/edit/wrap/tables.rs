//! Tables and lists of servers in the tree of a client's file.

use serde_json::Value as Plain;

use super::super::super::node::{Node, Value};
use super::{ARGS, EntryPath, PROGRAM};

/// Returns the table or list of servers below `keys`, each of which must occur once.
pub(super) fn table<'n>(tree: &'n Node, keys: &[String]) -> Option<&'n Node> {
    keys.iter().try_fold(tree, |node, key| {
        let Value::Table(entries) = &node.value else {
            return None;
        };
        let mut same = entries.iter().filter(|(it, _)| it.value == *key);
        same.next()
            .filter(|_| same.next().is_none())
            .map(|it| &it.1)
    })
}

/// Returns the servers below `keys`, each of which must occur once: the entries of a table, or the items of a list with
/// their names.
pub(super) fn servers<'n>(tree: &'n Node, keys: &[String]) -> Vec<(&'n str, &'n Node)> {
    match table(tree, keys).map(|table| &table.value) {
        Some(Value::Table(entries)) => {
            let entries = entries.iter();
            entries
                .map(|(key, node)| (key.value.as_str(), node))
                .collect()
        }
        Some(Value::List(items)) => {
            let named = |node: &'n Node| match &node.get("name")?.value {
                Value::Text(name) => Some((name.as_str(), node)),
                _ => None,
            };
            items.iter().filter_map(named).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the server at `path`.
pub(super) fn value_at<'v>(tree: &'v mut Plain, path: &EntryPath) -> Option<&'v mut Plain> {
    let table = path
        .keys
        .iter()
        .try_fold(tree, |value, key| value.get_mut(key))?;
    match table {
        Plain::Array(items) => items.iter_mut().find(|it| it["name"] == path.name.as_str()),
        table => table.get_mut(&path.name),
    }
}

/// Removes the command from a server.
pub(super) fn without_command(server: &mut Plain) {
    let Some(entries) = server.as_object_mut() else {
        return;
    };
    if let Some(Plain::Object(parts)) = entries.get_mut("command") {
        parts.remove("path");
        parts.remove(ARGS);
        return;
    }
    for key in PROGRAM.iter().chain([&ARGS]) {
        entries.remove(*key);
    }
}
