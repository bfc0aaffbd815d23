//! Everything that the loaded servers offer together, and which of them to ask for what.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::Arc;

use super::names::public_name;
use crate::jsonrpc::{Members, quoted, unquoted};
use crate::mcp::{Entry, ListKind, Template, headers};
use crate::server::{ServerHandle, Snapshot};

/// One moment of the fleet, never changed: whoever holds it sees all of one state.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// The loaded servers, in the order of the configuration.
    pub(crate) servers: Vec<ServerHandle>,
    /// There is one server, and a client is to see nothing but it.
    transparent: bool,
    max_name: usize,
    /// All entries under the names that a client sees, by [`ListKind::index`].
    lists: [Vec<Entry>; 4],
    tools: HashMap<String, Route>,
    prompts: HashMap<String, Route>,
    /// By URI: the place of the server.
    resources: HashMap<String, usize>,
    templates: Vec<(Template, usize)>,
    /// Names that two servers want.
    pub(crate) collisions: Vec<Collision>,
}

/// Where a tool or a prompt is.
#[derive(Debug)]
pub(crate) struct Route {
    server: usize,
    /// The server's own name for it, raw; nothing if it is the one that clients use.
    pub(crate) rename: Option<Arc<str>>,
}

/// A name that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collision {
    /// `tool`, `prompt`, `resource` or `resource template`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// The server that has it.
    pub(crate) first: String,
    /// The server that cannot have it as well.
    pub(crate) second: String,
}

impl Catalog {
    /// What the one server offers, as it offers it.
    pub(super) fn transparent(server: ServerHandle) -> Self {
        Self {
            servers: vec![server],
            transparent: true,
            ..Self::default()
        }
    }

    /// What these servers offer; no name is longer than `max_name` characters.
    pub(super) fn new(servers: Vec<ServerHandle>, max_name: usize) -> Self {
        let mut catalog = Self {
            max_name,
            ..Self::default()
        };
        for (at, server) in servers.iter().enumerate() {
            catalog.add(at, &servers, &server.snapshot());
        }
        catalog.servers = servers;
        catalog
    }

    /// The raw definition of the tool that clients see under this name, if it says that arguments are to be
    /// headers.
    pub(crate) fn mirrored(&self, name: &str) -> Option<String> {
        let raw = |entry: &Entry| {
            let mirrored = entry.raw.contains(headers::ANNOTATION);
            mirrored.then(|| entry.raw.clone())
        };
        match self.sole() {
            Some(server) => raw(server.snapshot().list(ListKind::Tools)?.find(name)?),
            None => raw(self
                .entries(ListKind::Tools)
                .iter()
                .find(|it| it.name == name)?),
        }
    }

    fn add(&mut self, at: usize, servers: &[ServerHandle], snapshot: &Snapshot) {
        let prefix = &servers[at].spec().prefix;
        for kind in [ListKind::Tools, ListKind::Prompts] {
            let (routes, word) = match kind {
                ListKind::Tools => (&mut self.tools, "tool"),
                _ => (&mut self.prompts, "prompt"),
            };
            for entry in snapshot
                .list(kind)
                .into_iter()
                .flat_map(|list| &list.entries)
            {
                let name = public_name(prefix, &entry.name, self.max_name);
                let vacant = match routes.entry(name.clone()) {
                    hash_map::Entry::Vacant(vacant) => vacant,
                    hash_map::Entry::Occupied(taken) => {
                        let [first, second] =
                            [taken.get().server, at].map(|at| servers[at].spec().name.clone());
                        self.collisions.push(Collision {
                            kind: word,
                            name,
                            first,
                            second,
                        });
                        continue;
                    }
                };
                let renamed = name != entry.name;
                vacant.insert(Route {
                    server: at,
                    rename: renamed.then(|| quoted(&entry.name).into()),
                });
                let mut raw = entry.raw.clone();
                if renamed {
                    let mut members = Members::of(&entry.raw);
                    members.set("name", quoted(&name));
                    raw = members.to_string();
                }
                self.lists[kind.index()].push(Entry { name, raw });
            }
        }
        for entry in entries(snapshot, ListKind::Resources) {
            // The first in the order of the configuration has it.
            match self.resources.entry(entry.name.clone()) {
                hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(at);
                    self.lists[ListKind::Resources.index()].push(entry.clone());
                }
                hash_map::Entry::Occupied(holder) => {
                    let first = *holder.get();
                    self.collide("resource", &entry.name, [first, at], servers);
                }
            }
        }
        let templates = self.templates.iter();
        let mut holders: HashMap<String, usize> = templates
            .zip(&self.lists[ListKind::Templates.index()])
            .map(|((_, holder), entry)| (entry.name.clone(), *holder))
            .collect();
        for entry in entries(snapshot, ListKind::Templates) {
            match holders.entry(entry.name.clone()) {
                hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(at);
                    self.lists[ListKind::Templates.index()].push(entry.clone());
                    self.templates.push((Template::new(&entry.name), at));
                }
                hash_map::Entry::Occupied(holder) => {
                    let first = *holder.get();
                    self.collide("resource template", &entry.name, [first, at], servers);
                }
            }
        }
    }

    /// Notes that two servers have the same URI, once for those two: they may have thousands. One that has it twice
    /// itself is nobody's rival.
    fn collide(
        &mut self,
        kind: &'static str,
        name: &str,
        rivals: [usize; 2],
        servers: &[ServerHandle],
    ) {
        let [first, second] = rivals.map(|at| servers[at].spec().name.clone());
        let is_noted = |it: &Collision| it.kind == kind && it.first == first && it.second == second;
        if first != second && !self.collisions.iter().any(is_noted) {
            self.collisions.push(Collision {
                kind,
                name: name.to_owned(),
                first,
                second,
            });
        }
    }

    /// The kinds of list that differ from those of `before`.
    pub(super) fn changes(&self, before: &Self) -> Vec<ListKind> {
        let kinds = [ListKind::Tools, ListKind::Prompts, ListKind::Resources];
        let differ = |kind: &ListKind| {
            let differs = |kind: ListKind| self.entries(kind) != before.entries(kind);
            match (self.sole(), before.sole()) {
                (None, None) if *kind == ListKind::Resources => {
                    differs(ListKind::Resources) || differs(ListKind::Templates)
                }
                (None, None) => differs(*kind),
                (now, then) => now.is_some() != then.is_some(),
            }
        };
        kinds.into_iter().filter(differ).collect()
    }

    /// The server to which everything goes, if there is just one and it is to be seen as it is.
    pub(crate) fn sole(&self) -> Option<&ServerHandle> {
        self.servers.first().filter(|_| self.transparent)
    }

    /// The loaded server of that name.
    pub(crate) fn server(&self, name: &str) -> Option<&ServerHandle> {
        self.servers
            .iter()
            .find(|server| server.spec().name == name)
    }

    /// The entries of a list, under the names that clients use. Of a server that is seen as it is
    /// they are not here but in its own snapshot.
    pub(crate) fn entries(&self, kind: ListKind) -> &[Entry] {
        &self.lists[kind.index()]
    }

    /// Where the tool of that name is.
    pub(crate) fn tool(&self, name: &str) -> Option<(&ServerHandle, &Route)> {
        let route = self.tools.get(name)?;
        Some((&self.servers[route.server], route))
    }

    /// The server that has the tool of that name, and what it calls it itself.
    pub(crate) fn own_name<'a>(
        &'a self,
        name: &'a str,
    ) -> Option<(&'a ServerHandle, Cow<'a, str>)> {
        let (server, route) = self.tool(name)?;
        let own = route.rename.as_deref().and_then(unquoted);
        Some((server, own.unwrap_or(Cow::Borrowed(name))))
    }

    /// The tool that a client means: the one it sees under that name, or else the only one whose server calls it so.
    pub(crate) fn meant_tool(&self, name: &str) -> Option<(&ServerHandle, &Route)> {
        self.tool(name).or_else(|| match self.bare(name)[..] {
            [only] => self.tool(only),
            _ => None,
        })
    }

    /// The names under which clients see those tools that their servers call `own`.
    pub(crate) fn bare(&self, own: &str) -> Vec<&str> {
        let is_meant = |(_, it): &(&str, Cow<'_, str>)| it == own;
        let named = self.own_names().filter(is_meant);
        named.map(|(name, _)| name).collect()
    }

    /// All tools: the names that clients see, and those of their servers.
    pub(crate) fn own_names(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        self.tool_names()
            .filter_map(|name| Some((name, self.own_name(name)?.1)))
    }

    /// Who has lost the tool of that name with its last reload: the server and its own name for it.
    pub(crate) fn lost(&self, name: &str) -> Option<(&ServerHandle, String)> {
        self.servers.iter().find_map(|server| {
            let (snapshot, spec) = (server.snapshot(), server.spec());
            let mut removed = snapshot.diff.removed.iter();
            let own = removed.find(|own| public_name(&spec.prefix, own, self.max_name) == name)?;
            Some((server, own.clone()))
        })
    }

    /// Where the prompt of that name is.
    pub(crate) fn prompt(&self, name: &str) -> Option<(&ServerHandle, &Route)> {
        let route = self.prompts.get(name)?;
        Some((&self.servers[route.server], route))
    }

    /// The server that lists the resource, or the first with a template that it fits, which may
    /// also be named itself.
    pub(crate) fn resource(&self, uri: &str) -> Option<&ServerHandle> {
        let listed = self.resources.get(uri).copied();
        let fitting = || {
            let mut templates = self.templates.iter();
            templates.find_map(|(template, at)| template.matches(uri).then_some(*at))
        };
        let named = || {
            let list = &self.lists[ListKind::Templates.index()];
            let place = list.iter().position(|entry| entry.name == uri)?;
            Some(self.templates[place].1)
        };
        let at = listed.or_else(named).or_else(fitting)?;
        Some(&self.servers[at])
    }

    /// The names of all tools, as clients use them.
    pub(crate) fn tool_names(&self) -> impl Iterator<Item = &str> {
        self.entries(ListKind::Tools)
            .iter()
            .map(|entry| entry.name.as_str())
    }
}

fn entries(snapshot: &Snapshot, kind: ListKind) -> impl Iterator<Item = &Entry> {
    snapshot
        .list(kind)
        .into_iter()
        .flat_map(|list| &list.entries)
}
