//! Merge of the configuration files into one file form: `.mcp.json` first, then the additions of `mcp-proxy.toml`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::discover::{ConfigPaths, OWN};
use super::fault::Fault;
use super::findings::{Findings, Note, WHOLE_FILE};
use super::keys;
use super::location::{ConfigFile, Located};
use super::node::{self, Node};
use super::section::{Section, SectionReader, Setting};
use super::server_tables;

/// File form of all configuration files together.
#[derive(Debug, Default)]
pub(super) struct RawConfig {
    /// Sections of `mcp-proxy.toml`.
    pub(super) root: Section,
    /// Servers of both files.
    pub(super) servers: Vec<(Located<String>, Section)>,
    /// Notes on servers, which do not prevent them from running.
    pub(super) notes: Vec<Note>,
    /// Whether servers may be missing, because a file is unreadable or repeats a section of servers.
    pub(super) incomplete: bool,
}

/// Reads and merges the files; adds their faults to `faults`. `program` is the path of this executable.
pub(super) fn read(
    places: &ConfigPaths,
    program: Option<&Path>,
    faults: &mut Vec<Fault>,
) -> RawConfig {
    let mut written = RawConfig::default();
    if let Some(path) = &places.json {
        match tree(path, node::json) {
            Ok(tree) => {
                let doubled = server_tables::doubled(&tree);
                written.incomplete = doubled.iter().any(|fault| fault.server.is_none());
                faults.extend(doubled);
                written.servers = client_servers(&tree, program, faults, &mut written.notes);
            }
            Err(found) => written.give_up(found, faults),
        }
    }
    if let Some(path) = &places.toml {
        match tree(path, node::toml) {
            Ok(tree) => written.add_toml(tree, program, faults),
            Err(found) => written.give_up(found, faults),
        }
    }
    written
}

impl RawConfig {
    fn give_up(&mut self, found: Vec<Fault>, faults: &mut Vec<Fault>) {
        faults.extend(found);
        self.incomplete = true;
    }

    /// Adds the settings and servers of a TOML file: `mcp-proxy.toml`, Codex's `config.toml`, or one with keys of both.
    fn add_toml(&mut self, mut tree: Node, program: Option<&Path>, faults: &mut Vec<Fault>) {
        if let Some(theirs) = server_tables::of_codex(&mut tree) {
            let servers = client_servers(&theirs, program, faults, &mut self.notes);
            self.add_servers(servers);
            let is_ours = |node: &Node| keys::ROOT.iter().any(|key| node.get(key.name).is_some());
            if !is_ours(&tree) && !theirs.at.source.path.ends_with(OWN) {
                return;
            }
        }
        let mut reader = SectionReader {
            findings: findings(faults, &mut self.notes),
            tolerant: false,
            program,
        };
        self.root = reader.section(WHOLE_FILE, &tree, &keys::ROOT);
        let own = self.root.named("servers");
        let own = own.map(|(servers, _)| servers.clone());
        self.add_servers(own.unwrap_or_default());
    }

    fn add_servers(&mut self, servers: Vec<(Located<String>, Section)>) {
        for (name, section) in servers {
            match self
                .servers
                .iter_mut()
                .find(|(it, _)| it.value == name.value)
            {
                Some((_, known)) => known.add(section),
                None => self.servers.push((name, section)),
            }
        }
    }
}

/// Reads a text file. The error about another encoding, such as UTF-16, says what to do.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let other_encoding = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not UTF-8; save it in this encoding",
        )
    };
    match std::fs::read_to_string(path) {
        // Every second byte of most texts in UTF-16 is 0.
        Ok(text) if text.contains('\0') => Err(other_encoding()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(other_encoding()),
        read => read,
    }
}

/// Reads and parses a file. Returns at least one fault if it is unreadable.
pub(super) fn tree(
    path: &Path,
    parse: fn(&Arc<ConfigFile>) -> Result<Node, Vec<Fault>>,
) -> Result<Node, Vec<Fault>> {
    let source = |text| {
        Arc::new(ConfigFile {
            path: path.to_owned(),
            text,
        })
    };
    match read_text(path) {
        // Windows editors begin a file with a byte order mark.
        Ok(text) => parse(&source(text.trim_start_matches('\u{feff}').to_owned())),
        Err(error) => {
            let message = format!("cannot read the file: {error}");
            Err(vec![Fault::of_file(path, message)])
        }
    }
}

fn findings<'a>(faults: &'a mut Vec<Fault>, notes: &'a mut Vec<Note>) -> Findings<'a> {
    Findings {
        faults,
        notes,
        server: None,
    }
}

/// Returns the servers of a client's file. An entry that runs one server through the proxy, whose executable is
/// `program`, is that server.
pub(super) fn client_servers(
    tree: &Node,
    program: Option<&Path>,
    faults: &mut Vec<Fault>,
    notes: &mut Vec<Note>,
) -> Vec<(Located<String>, Section)> {
    let mut reader = SectionReader {
        findings: findings(faults, notes),
        tolerant: true,
        program,
    };
    let Some(all) = server_tables::all(&mut reader.findings, tree) else {
        return Vec::new();
    };
    let mut servers = reader.servers(&all, &keys::CLIENT_SERVER);
    for (_, section) in &mut servers {
        take_dev(section);
    }
    servers
}

/// Moves the keys below `dev` to the server. Globs in `dev.watch` are relative to the workspace, as in VS Code.
fn take_dev(section: &mut Section) {
    let Some(at) = section.settings.iter().position(|(key, _)| *key == "dev") else {
        return;
    };
    let (_, dev) = section.settings.remove(at);
    let Setting::Section(dev) = dev.value else {
        return;
    };
    let rebase = section.get("cwd").is_some();
    for (name, mut setting) in dev.settings {
        if let (true, Setting::Texts(globs)) = (rebase, &mut setting.value) {
            let base = setting.at.source.base();
            for glob in globs {
                glob.value = based(&glob.value, base);
            }
        }
        section.settings.push((name, setting));
    }
}

fn based(glob: &str, base: &Path) -> String {
    let (mark, plain) = match glob.strip_prefix('!') {
        Some(plain) => ("!", plain),
        None => ("", glob),
    };
    format!("{mark}{}", base.join(plain).display())
}
