//! Entry of a server as it is written: both files together, and no variable expanded.

use super::{ConfigContext, discover, files, own_entry};

/// Entry of a server.
#[derive(Debug)]
pub(crate) struct WrittenEntry {
    /// True if it starts mcp-proxy itself, alone or in front of a server.
    pub(crate) is_own: bool,
    /// Names and values of its variables.
    pub(crate) variables: Vec<(String, String)>,
}

/// Returns the entry of the server `name`; `None` if there is none, or its file cannot be parsed.
pub(crate) fn written_entry(around: &ConfigContext, name: &str) -> Option<WrittenEntry> {
    let program = around.program.as_deref();
    let raw = files::read(&discover::discover(around), program, &mut Vec::new());
    let mut servers = raw.servers.into_iter();
    let (_, section) = servers.find(|(it, _)| it.value == name)?;
    let variables = section.map("env").map_or(&[][..], |(map, _)| map).iter();
    Some(WrittenEntry {
        is_own: section.is_wrapped || own_entry::is_own_entry(&section, program),
        variables: variables
            .map(|(name, value)| (name.value.clone(), value.value.clone()))
            .collect(),
    })
}
