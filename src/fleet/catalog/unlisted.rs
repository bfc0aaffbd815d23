//! Tools that clients do not see, so that a call of one can be explained.

use super::Catalog;
use crate::fleet::names::public_name;
use crate::mcp::{ListKind, WithheldEntry};
use crate::server::ServerHandle;

impl Catalog {
    /// Returns the server that lost the tool with that name in its last reload, and its own name for the tool.
    pub(crate) fn removed_tool(&self, name: &str) -> Option<(&ServerHandle, String)> {
        self.servers.iter().find_map(|server| {
            let (snapshot, spec) = (server.snapshot(), server.spec());
            let mut removed = snapshot.diff.removed.iter();
            let own = removed.find(|own| public_name(&spec.prefix, own, self.max_name) == name)?;
            Some((server, own.clone()))
        })
    }

    /// Returns the servers whose filter in the configuration leaves out the tool that clients would see under that name
    /// or that has that own name, each with its own name for it.
    pub(crate) fn left_out(&self, name: &str) -> impl Iterator<Item = (&ServerHandle, String)> {
        self.servers.iter().filter_map(move |server| {
            let (snapshot, prefix) = (server.snapshot(), &server.spec().prefix);
            let is_match =
                |own: &&String| *own == name || public_name(prefix, own, self.max_name) == name;
            let own = snapshot
                .list(ListKind::Tools)?
                .left_out()
                .iter()
                .find(is_match)?;
            Some((server, own.clone()))
        })
    }

    /// Returns the server that withholds the tool that clients would see under that name, and the tool.
    pub(crate) fn withheld(&self, name: &str) -> Option<(&ServerHandle, WithheldEntry)> {
        self.servers.iter().find_map(|server| {
            let (snapshot, prefix) = (server.snapshot(), &server.spec().prefix);
            let is_match =
                |it: &&WithheldEntry| public_name(prefix, &it.entry.name, self.max_name) == name;
            let mut withheld = snapshot.list(ListKind::Tools)?.withheld().iter();
            Some((server, withheld.find(is_match)?.clone()))
        })
    }
}
