//! Settings with which a client starts one server of its file.

use super::client_variables::VariableForm;
use super::edit::{ClientFile, EntryPath};
use super::files::{RawConfig, client_servers};
use super::location::Located;
use super::node::{Node, Value};
use super::spec::ServerSpec;
use super::{ConfigContext, Fault, LoadedConfig, resolve};

/// Key under which each format of a client's file may have its servers.
const SERVERS: &str = "mcpServers";

/// Reason why a server of a client's file cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    #[error("is not there exactly once")]
    Missing,
    #[error("is disabled in the client")]
    Disabled,
    #[error("{0}")]
    Fault(Box<Fault>),
}

/// Returns the settings with which the client starts the server at `path`, variables of this form expanded. Without a
/// `cwd` of its own, the server runs in the current directory of `around`.
pub(crate) fn client_entry(
    file: &ClientFile,
    path: &EntryPath,
    variables: VariableForm,
    around: &ConfigContext,
) -> Result<ServerSpec, EntryError> {
    let server = file.server(path).ok_or(EntryError::Missing)?;
    let server = variables.node_in_braces(server);
    let server = server.map_err(|fault| EntryError::Fault(Box::new(fault)))?;
    let key = |name: &str| Located {
        value: name.to_owned(),
        at: server.at.clone(),
    };
    let table = |name: &str, node: Node| server.with(Value::Table(vec![(key(name), node)]));
    let tree = table(SERVERS, table(&path.name, server.clone()));
    let mut raw = RawConfig::default();
    let mut loaded = LoadedConfig::default();
    let program = around.program.as_deref();
    raw.servers = client_servers(&tree, program, &mut loaded.faults, &mut raw.notes);
    resolve::resolve(&raw, around, &mut loaded);
    let has_cwd = raw.servers.iter().any(|(_, server)| {
        let cwd = server.text("cwd");
        cwd.is_some_and(|(cwd, _)| !cwd.trim().is_empty())
    });
    if !loaded.config.disabled.is_empty() {
        return Err(EntryError::Disabled);
    }
    if let Some(fault) = loaded.faults.into_iter().next() {
        return Err(EntryError::Fault(Box::new(fault)));
    }
    let spec = loaded.config.servers.into_iter().next();
    let mut spec = spec.ok_or(EntryError::Missing)?;
    if !has_cwd {
        spec.cwd.clone_from(&around.cwd);
    }
    Ok(spec)
}
