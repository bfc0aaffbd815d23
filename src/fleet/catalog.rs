//! Entries that the loaded servers offer together, and the server that each entry belongs to.

mod unlisted;

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::Arc;

use super::catalog_part::CatalogPart;
use crate::jsonrpc::OwnedJson;
use crate::mcp::{Entry, ListKind, Template, headers};
use crate::server::ServerHandle;

/// State of the fleet at one moment. Never changed, so every holder sees one consistent state.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// The loaded servers, in the order of the configuration.
    pub(crate) servers: Vec<ServerHandle>,
    /// True if there is only one server and clients see it unchanged.
    is_transparent: bool,
    max_name: usize,
    /// Parts of all servers, in the order of `servers`, including names that an earlier server has taken.
    parts: Vec<Arc<CatalogPart>>,
    /// All entries under the names that clients see, by [`ListKind::index`].
    lists: [Vec<Arc<Entry>>; 4],
    /// Servers of the entries, by these names.
    routes: [HashMap<Arc<str>, Route>; 4],
    /// Resource templates, each with the index of its server.
    templates: Vec<(Arc<Template>, usize)>,
    /// Names that two servers claim.
    pub(crate) collisions: Vec<Collision>,
}

/// Location of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    server: usize,
    /// The server's own name for it; None if clients use the same name.
    pub(crate) rename: Option<OwnedJson>,
}

/// Name that is already taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collision {
    /// `tool`, `prompt`, `resource` or `resource template`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// The server that has it.
    pub(crate) first: String,
    /// The server that cannot have it too.
    pub(crate) second: String,
}

impl Catalog {
    /// Creates the catalog of a single server, which clients see unchanged.
    pub(super) fn transparent(server: ServerHandle) -> Self {
        Self {
            servers: vec![server],
            is_transparent: true,
            ..Self::default()
        }
    }

    /// Creates the catalog of these servers. A name has at most `max_name` characters. Parts of `before` are reused
    /// for servers whose lists have not changed.
    pub(super) fn new(servers: Vec<ServerHandle>, max_name: usize, before: &Self) -> Self {
        let mut catalog = Self {
            max_name,
            ..Self::default()
        };
        for (at, server) in servers.iter().enumerate() {
            let part = before.part(server, max_name);
            catalog.add(at, &servers, &part);
            catalog.parts.push(part);
        }
        catalog.servers = servers;
        catalog
    }

    /// Returns the definition of the tool that clients see under this name, if it maps arguments to headers.
    pub(crate) fn mirrored(&self, name: &str) -> Option<String> {
        let raw = |entry: &Entry| {
            let mirrored = entry.raw.contains(headers::ANNOTATION);
            mirrored.then(|| entry.raw.clone())
        };
        match self.sole() {
            Some(server) => raw(server.snapshot().list(ListKind::Tools)?.find(name)?),
            None => raw(self.entries(ListKind::Tools).find(|it| it.name == name)?),
        }
    }

    /// Returns the part of a server: that of this catalog if the server's lists have not changed, else a new one.
    fn part(&self, server: &ServerHandle, max_name: usize) -> Arc<CatalogPart> {
        let (snapshot, spec) = (server.snapshot(), server.spec());
        let mut parts = self.parts.iter();
        let same = parts.find(|it| it.is_of(&snapshot, &spec.prefix, max_name));
        let new = || Arc::new(CatalogPart::new(snapshot.clone(), &spec.prefix, max_name));
        same.cloned().unwrap_or_else(new)
    }

    fn add(&mut self, at: usize, servers: &[ServerHandle], part: &CatalogPart) {
        for kind in ListKind::ALL {
            let items = part.items(kind);
            self.routes[kind.index()].reserve(items.len());
            self.lists[kind.index()].reserve(items.len());
            for item in items {
                match self.routes[kind.index()].entry(item.name.clone()) {
                    // The first server in the order of the configuration gets the name.
                    hash_map::Entry::Vacant(vacant) => {
                        vacant.insert(Route {
                            server: at,
                            rename: item.rename.clone(),
                        });
                        self.lists[kind.index()].push(item.entry.clone());
                        let template = item.template.iter();
                        self.templates.extend(template.map(|it| (it.clone(), at)));
                    }
                    hash_map::Entry::Occupied(taken) => {
                        let first = taken.get().server;
                        self.collide(kind, &item.name, [first, at], servers);
                    }
                }
            }
        }
    }

    /// Records that a name is taken. For URIs, one collision per pair of servers is recorded, since there may be
    /// thousands. A server that lists a URI twice does not collide with itself.
    fn collide(
        &mut self,
        kind: ListKind,
        name: &str,
        indexes: [usize; 2],
        servers: &[ServerHandle],
    ) {
        let [first, second] = indexes.map(|at| servers[at].spec().name.clone());
        let (kind_name, is_uri) = match kind {
            ListKind::Tools => ("tool", false),
            ListKind::Prompts => ("prompt", false),
            ListKind::Resources => ("resource", true),
            ListKind::Templates => ("resource template", true),
        };
        let is_recorded =
            |it: &Collision| it.kind == kind_name && it.first == first && it.second == second;
        if is_uri && (first == second || self.collisions.iter().any(is_recorded)) {
            return;
        }
        self.collisions.push(Collision {
            kind: kind_name,
            name: name.to_owned(),
            first,
            second,
        });
    }

    /// Returns the kinds of list that differ from those of `before`.
    pub(super) fn changes(&self, before: &Self) -> Vec<ListKind> {
        let kinds = [ListKind::Tools, ListKind::Prompts, ListKind::Resources];
        let differ = |kind: &ListKind| {
            let differs = |kind: ListKind| {
                let at = kind.index();
                self.lists[at] != before.lists[at]
            };
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

    /// Returns the server that gets all requests, if there is just one and clients see it unchanged.
    pub(crate) fn sole(&self) -> Option<&ServerHandle> {
        self.servers.first().filter(|_| self.is_transparent)
    }

    /// Returns the loaded server with that name.
    pub(crate) fn server(&self, name: &str) -> Option<&ServerHandle> {
        self.servers
            .iter()
            .find(|server| server.spec().name == name)
    }

    /// Returns the entries of a list under the names that clients use. Empty for a server that clients see unchanged:
    /// its entries are in its own snapshot.
    pub(crate) fn entries(&self, kind: ListKind) -> impl Iterator<Item = &Entry> {
        self.lists[kind.index()].iter().map(|entry| &**entry)
    }

    fn route(&self, kind: ListKind, name: &str) -> Option<(&ServerHandle, &Route)> {
        let route = self.routes[kind.index()].get(name)?;
        Some((&self.servers[route.server], route))
    }

    /// Returns the location of the tool with that name.
    pub(crate) fn tool(&self, name: &str) -> Option<(&ServerHandle, &Route)> {
        self.route(ListKind::Tools, name)
    }

    /// Returns the server that has the tool with that name, and the server's own name for it.
    pub(crate) fn own_name<'a>(
        &'a self,
        name: &'a str,
    ) -> Option<(&'a ServerHandle, Cow<'a, str>)> {
        let (server, route) = self.tool(name)?;
        let own = route.rename.as_ref().and_then(|own| own.as_raw().text());
        Some((server, own.unwrap_or(Cow::Borrowed(name))))
    }

    /// Returns the tool that a client means: the one it sees under that name, or else the only one with that own name.
    pub(crate) fn find_tool(&self, name: &str) -> Option<(&ServerHandle, &Route)> {
        self.tool(name)
            .or_else(|| match self.names_of_own(name)[..] {
                [only] => self.tool(only),
                _ => None,
            })
    }

    /// Returns the names under which clients see the tools that servers call `own`.
    pub(crate) fn names_of_own(&self, own: &str) -> Vec<&str> {
        let is_meant = |(_, it): &(&str, Cow<'_, str>)| it == own;
        let named = self.own_names().filter(is_meant);
        named.map(|(name, _)| name).collect()
    }

    /// Returns all tools: the names that clients see, and the servers' own names.
    pub(crate) fn own_names(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        self.tool_names()
            .filter_map(|name| Some((name, self.own_name(name)?.1)))
    }

    /// Returns the location of the prompt with that name.
    pub(crate) fn prompt(&self, name: &str) -> Option<(&ServerHandle, &Route)> {
        self.route(ListKind::Prompts, name)
    }

    /// Returns the server that lists the resource, or the first one with a template that matches it. `uri` may also be
    /// a template itself.
    pub(crate) fn resource(&self, uri: &str) -> Option<&ServerHandle> {
        let server = |kind: ListKind| Some(self.route(kind, uri)?.0);
        let matching_template = || {
            let mut templates = self.templates.iter();
            let (_, at) = templates.find(|(template, _)| template.matches(uri))?;
            Some(&self.servers[*at])
        };
        let listed = server(ListKind::Resources);
        listed
            .or_else(|| server(ListKind::Templates))
            .or_else(matching_template)
    }

    /// Returns the server that the resource `uri` belongs to: the one of [`Self::resource`], or else of
    /// [`Self::server_of_view`].
    pub(crate) fn owner(&self, uri: &str) -> Option<&ServerHandle> {
        self.resource(uri).or_else(|| self.server_of_view(uri))
    }

    /// Returns the only server with a tool whose view is the resource `uri`. Servers need not list such resources.
    fn server_of_view(&self, uri: &str) -> Option<&ServerHandle> {
        if !uri.starts_with("ui://") {
            return None;
        }
        let shows = |tool: &&Entry| tool.view().is_some_and(|view| view == uri);
        let tools = self.entries(ListKind::Tools).filter(shows);
        let mut servers = tools.filter_map(|tool| Some(self.tool(&tool.name)?.0));
        let first = servers.next()?;
        servers.all(|server| server.is(first)).then_some(first)
    }

    /// Returns the names of all tools, as clients use them.
    pub(crate) fn tool_names(&self) -> impl Iterator<Item = &str> {
        self.entries(ListKind::Tools)
            .map(|entry| entry.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::config::ServerSpec;
    use crate::event::EventSender;
    use crate::mcp::List;
    use crate::server::{Lists, ProxyResources};
    use crate::transport::reaper::Reaper;

    /// Names that collide behind [`PREFIXES`], names that must be altered, and templates.
    const NAMES: [&str; 5] = ["x", "b__x", "y.z", "file:///a", "file:///{a}"];
    const PREFIXES: [&str; 4] = ["a", "a__b", "c", "a"];

    /// Returns a server that is never started.
    fn server(prefix: &str) -> ServerHandle {
        let (name, cwd) = (format!("of_{prefix}"), std::env::temp_dir());
        let mut spec = ServerSpec::new(name, "none".into(), Vec::new(), cwd);
        prefix.clone_into(&mut spec.prefix);
        let mut resources = ProxyResources::new(EventSender::silent(), 1 << 20, None);
        resources.reaper = Reaper::absent();
        ServerHandle::new(Arc::new(spec), resources)
    }

    /// Returns lists with these names, by kind. Repeated names of a kind get different definitions.
    fn lists(names: &[(usize, usize)]) -> Lists {
        ListKind::ALL.map(|kind| {
            let mut list = List::default();
            for (at, (of, name)) in names.iter().enumerate() {
                if *of == kind.index() {
                    let name = NAMES[*name].to_owned();
                    let raw = format!(r#"{{"name":"{name}","description":"{at}"}}"#);
                    list.entries.push(Entry { name, raw });
                }
            }
            Ok(list)
        })
    }

    /// Returns the whole content of a catalog.
    fn content(catalog: &Catalog) -> impl PartialEq + std::fmt::Debug + use<> {
        let routes = catalog.routes.clone().map(BTreeMap::from_iter);
        let servers: Vec<_> = catalog.servers.iter().map(ServerHandle::spec).collect();
        (
            (catalog.max_name, catalog.is_transparent, servers),
            (catalog.lists.clone(), routes),
            (catalog.templates.clone(), catalog.collisions.clone()),
        )
    }

    /// One step of a test: a change to a server.
    #[derive(Debug, Clone)]
    enum Step {
        ComesOrGoes,
        /// From now on it lists these names.
        Lists(Vec<(usize, usize)>),
        /// From now on its names have this prefix.
        Prefix(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
        let names = prop::collection::vec((0..4_usize, 0..NAMES.len()), 0..6);
        let step = prop_oneof![
            2 => Just(Step::ComesOrGoes),
            3 => names.prop_map(Step::Lists),
            1 => (0..PREFIXES.len()).prop_map(Step::Prefix),
        ];
        prop::collection::vec((0..PREFIXES.len(), step), 1..20)
    }

    proptest! {
        #[test]
        fn whatever_changes_it_is_as_if_it_were_made_of_nothing(steps in steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _entered = runtime.enter();
            let servers = PREFIXES.map(server);
            let mut is_loaded = [false; PREFIXES.len()];
            let mut catalog = Catalog::default();
            for (at, step) in steps {
                match step {
                    Step::ComesOrGoes => is_loaded[at] ^= true,
                    Step::Lists(names) => servers[at].show(lists(&names)),
                    Step::Prefix(prefix) => {
                        let mut spec = ServerSpec::clone(&servers[at].spec());
                        PREFIXES[prefix].clone_into(&mut spec.prefix);
                        servers[at].redefine(Arc::new(spec), Vec::new());
                    }
                }
                let loaded = servers.iter().zip(is_loaded).filter(|(_, it)| *it);
                let loaded: Vec<_> = loaded.map(|(server, _)| server.clone()).collect();
                catalog = Catalog::new(loaded.clone(), 48, &catalog);
                let anew = Catalog::new(loaded, 48, &Catalog::default());
                prop_assert_eq!(content(&catalog), content(&anew));
            }
        }
    }

    #[tokio::test]
    async fn only_what_changed_is_made_anew() {
        let servers: Vec<_> = ["a", "c"].map(server).into();
        for server in &servers {
            server.show(lists(&[(0, 0), (2, 3)]));
        }
        let before = Catalog::new(servers.clone(), 48, &Catalog::default());
        servers[1].show(lists(&[(0, 0), (0, 1)]));
        let after = Catalog::new(servers.clone(), 48, &before);
        let is_same = |name: &str| {
            let raw = |catalog: &Catalog| {
                let mut tools = catalog.entries(ListKind::Tools);
                tools.find(|it| it.name == name).map(std::ptr::from_ref)
            };
            raw(&before) == raw(&after)
        };
        assert!(is_same("a__x"));
        assert!(!is_same("c__x"));
        // A shorter limit alters names.
        let short = Catalog::new(servers, 16, &after);
        assert_ne!(
            short
                .entries(ListKind::Tools)
                .next()
                .map(std::ptr::from_ref),
            after
                .entries(ListKind::Tools)
                .next()
                .map(std::ptr::from_ref)
        );
    }
}
