//! File form of a configuration: values with positions, each checked in isolation. Checks against other files and the
//! environment belong to `resolve`.

use std::path::Path;
use std::time::Duration;

use globset::Glob;

use super::client_keys;
use super::fault::Fault;
use super::findings::Findings;
use super::keys::{self, Key, ValueKind};
use super::location::{FileSpan, Located};
use super::node::{Node, Value};
use super::own_entry::{self, WrappedEntry};
use super::units::{parse_duration, parse_size};

/// Advice on the characters that [`is_name_char`] accepts.
pub(crate) const NAME_ADVICE: &str = "use only A-Z, a-z, 0-9, `_` and `-`";

/// Returns true for the characters of server names, of prefixes, and of tool names as clients see them.
pub(crate) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// Table of a configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) settings: Vec<(&'static str, Located<Setting>)>,
    /// True if it is the entry of a server behind the proxy.
    pub(super) is_wrapped: bool,
}

/// Value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setting {
    Text(String),
    Flag(bool),
    Count(usize),
    Duration(Duration),
    Size(usize),
    Choice(&'static str),
    Texts(Vec<Located<String>>),
    Map(Vec<(Located<String>, Located<String>)>),
    Section(Section),
    Named(Vec<(Located<String>, Section)>),
}

impl Setting {
    /// Whether the value is an empty list, an empty map or blank text.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Texts(all) => all.is_empty(),
            Self::Map(all) => all.is_empty(),
            Self::Text(text) => text.trim().is_empty(),
            _ => false,
        }
    }
}

macro_rules! getter {
    ($name:ident, $variant:ident, $kind:pat, $type:ty) => {
        pub(super) fn $name(&self, name: &str) -> Option<(&$type, &FileSpan)> {
            debug_assert!(
                keys::is_defined(name, |kind| matches!(kind, $kind)),
                "{name}"
            );
            match self.get(name)? {
                Located {
                    value: Setting::$variant(value),
                    at,
                } => Some((value, at)),
                _ => None,
            }
        }
    };
}

impl Section {
    pub(super) fn get(&self, name: &str) -> Option<&Located<Setting>> {
        debug_assert!(keys::is_defined(name, |_| true), "{name}");
        let mut settings = self.settings.iter();
        settings.find(|(key, _)| *key == name).map(|(_, it)| it)
    }

    getter!(text, Text, ValueKind::Text, String);
    getter!(flag, Flag, ValueKind::Flag, bool);
    getter!(count, Count, ValueKind::Count(..), usize);
    getter!(duration, Duration, ValueKind::Duration, Duration);
    getter!(size, Size, ValueKind::Size, usize);
    getter!(choice, Choice, ValueKind::Choice(_), &'static str);
    getter!(
        texts,
        Texts,
        ValueKind::Texts | ValueKind::Calls | ValueKind::Globs,
        Vec<Located<String>>
    );
    getter!(
        map,
        Map,
        ValueKind::Map,
        Vec<(Located<String>, Located<String>)>
    );
    getter!(section, Section, ValueKind::Section(_), Section);
    getter!(
        named,
        Named,
        ValueKind::Named(_),
        Vec<(Located<String>, Section)>
    );

    /// Returns the values of a list, without positions.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let list = self.texts(name).map(|(list, _)| list.iter());
        list.into_iter()
            .flatten()
            .map(|it| it.value.clone())
            .collect()
    }

    /// Adds the settings of `other`, which take precedence; maps are joined.
    pub(super) fn add(&mut self, other: Self) {
        for (name, mut setting) in other.settings {
            let old = self.settings.iter().position(|(key, _)| *key == name);
            let Some(old) = old else {
                self.settings.push((name, setting));
                continue;
            };
            let old = &mut self.settings[old].1;
            if let (Setting::Map(old), Setting::Map(new)) = (&old.value, &mut setting.value) {
                let kept = old
                    .iter()
                    .filter(|(key, _)| !new.iter().any(|(it, _)| it.value == key.value));
                let kept: Vec<_> = kept.cloned().collect();
                new.splice(0..0, kept);
            }
            *old = setting;
        }
    }
}

/// Converts trees to sections.
#[derive(Debug)]
pub(super) struct SectionReader<'a> {
    pub(super) findings: Findings<'a>,
    /// Whether the file belongs to a client: its keys are translated, and unknown keys are ignored.
    pub(super) tolerant: bool,
    /// Path of this executable, which entries of a client may run.
    pub(super) program: Option<&'a Path>,
}

impl SectionReader<'_> {
    pub(super) fn section(&mut self, what: &str, node: &Node, keys: &'static [Key]) -> Section {
        let mut section = Section::default();
        for (name, value) in self.findings.entries(what, node).unwrap_or_default() {
            match keys.iter().find(|key| key.name == name.value) {
                Some(key) => {
                    if let Some(value) = self.setting(key, value) {
                        section.settings.push((key.name, value));
                    }
                }
                None if self.tolerant => {}
                None => self.unknown(name, keys),
            }
        }
        section
    }

    fn unknown(&mut self, name: &Located<String>, keys: &'static [Key]) {
        let fault = Fault::new(&name.at, format!("unknown key `{}`", name.value));
        // Advice on a key copied from a client's file.
        let ours = self
            .findings
            .server
            .as_ref()
            .and(client_keys::spelling(&name.value));
        self.findings
            .fault(match (keys::section_of(&name.value), ours) {
                (Some(section), _) => fault.help(format!("`{}` belongs in {section}", name.value)),
                (None, Some(ours)) => fault.help(ours),
                (None, None) => fault.did_you_mean(&name.value, keys.iter().map(|key| key.name)),
            });
    }

    fn setting(&mut self, key: &Key, node: &Node) -> Option<Located<Setting>> {
        let value = match (key.kind, &node.value) {
            (ValueKind::Section(keys), _) => Setting::Section(self.section(key.name, node, keys)),
            (ValueKind::Named(keys), _) => Setting::Named(self.servers(node, keys)),
            (ValueKind::Map, _) => Setting::Map(self.map(key, node)?),
            (ValueKind::Texts | ValueKind::Calls | ValueKind::Globs, _) => {
                Setting::Texts(self.texts(key, node)?)
            }
            (ValueKind::Text, Value::Text(text)) => Setting::Text(text.clone()),
            (ValueKind::Flag, Value::Flag(flag)) => Setting::Flag(*flag),
            (ValueKind::Count(least, most), Value::Number(number)) => {
                let count = number
                    .parse()
                    .ok()
                    .filter(|count| (least..=most).contains(count));
                let Some(count) = count else {
                    let message = format!(
                        "`{}` must be a whole number from {least} to {most}",
                        key.name
                    );
                    self.findings.fault(Fault::new(&node.at, message));
                    return None;
                };
                Setting::Count(count)
            }
            (ValueKind::Duration, Value::Text(text)) => {
                Setting::Duration(self.parsed(key, node, parse_duration(text))?)
            }
            (ValueKind::Size, Value::Text(text)) => {
                Setting::Size(self.parsed(key, node, parse_size(text))?)
            }
            (ValueKind::Choice(choices), Value::Text(text)) => {
                Setting::Choice(self.choice(key, node, text, choices)?)
            }
            (kind, _) => {
                self.findings.wrong(key.name, node, expected(kind));
                return None;
            }
        };
        let at = node.at.clone();
        Some(Located { value, at })
    }

    fn parsed<T>(&mut self, key: &Key, node: &Node, parsed: Result<T, String>) -> Option<T> {
        let explain = |reason| Fault::new(&node.at, format!("`{}`: {reason}", key.name));
        parsed
            .map_err(|reason| self.findings.fault(explain(reason)))
            .ok()
    }

    fn choice(
        &mut self,
        key: &Key,
        node: &Node,
        text: &str,
        choices: &'static [&'static str],
    ) -> Option<&'static str> {
        let choice = choices.iter().find(|choice| **choice == text);
        if choice.is_none() {
            let all = choices.iter().map(|choice| format!("`{choice}`"));
            let all = all.collect::<Vec<_>>().join(", ");
            let message = format!("`{}` is `{text}`, but must be one of {all}", key.name);
            let fault = Fault::new(&node.at, message);
            self.findings
                .fault(fault.did_you_mean(text, choices.iter().copied()));
        }
        choice.copied()
    }

    fn texts(&mut self, key: &Key, node: &Node) -> Option<Vec<Located<String>>> {
        let globs = matches!(key.kind, ValueKind::Globs);
        let single = std::slice::from_ref(node);
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::Text(_) if globs || matches!(key.kind, ValueKind::Calls) => single,
            _ => {
                self.findings.wrong(key.name, node, "a list of strings");
                return None;
            }
        };
        let mut texts = Vec::new();
        for item in items {
            let Value::Text(text) = &item.value else {
                self.findings
                    .wrong(&format!("{}[{}]", key.name, texts.len()), item, "a string");
                return None;
            };
            if globs {
                self.check_glob(&item.at, text);
            }
            texts.push(Located {
                value: text.clone(),
                at: item.at.clone(),
            });
        }
        Some(texts)
    }

    fn check_glob(&mut self, at: &FileSpan, glob: &str) {
        let plain = glob.strip_prefix('!').unwrap_or(glob);
        if plain.is_empty() {
            let fault = Fault::new(at, "a glob is empty");
            self.findings
                .fault(fault.help("remove it or name files, as in \"src/**/*.py\""));
        } else if let Err(error) = Glob::new(plain) {
            let message = format!("glob `{glob}` is not valid: {}", error.kind());
            self.findings.fault(Fault::new(at, message));
        }
    }

    fn map(&mut self, key: &Key, node: &Node) -> Option<Vec<(Located<String>, Located<String>)>> {
        let mut map = Vec::new();
        for (name, node) in self.findings.entries(key.name, node)? {
            let value = match &node.value {
                Value::Text(text) | Value::Number(text) => text.clone(),
                Value::Flag(flag) => flag.to_string(),
                // VS Code uses `null` for an unset variable.
                Value::Null => continue,
                _ => {
                    self.findings
                        .wrong(&format!("{}.{}", key.name, name.value), node, "a string");
                    continue;
                }
            };
            let at = node.at.clone();
            map.push((name.clone(), Located { value, at }));
        }
        Some(map)
    }

    /// Reads each server separately, so that its faults name it.
    pub(super) fn servers(
        &mut self,
        node: &Node,
        keys: &'static [Key],
    ) -> Vec<(Located<String>, Section)> {
        let mut servers: Vec<(Located<String>, Section)> = Vec::new();
        for (name, node) in self.findings.entries("servers", node).unwrap_or_default() {
            self.findings.server = Some(name.value.clone());
            self.check_name(name);
            let section = if self.tolerant {
                let node = client_keys::translated(&mut self.findings, node);
                self.client_server(&name.value, &node, keys)
            } else {
                self.section(&name.value, node, keys)
            };
            servers.push((name.clone(), section));
        }
        self.findings.server = None;
        servers
    }

    /// Reads a server of a client's file, behind the proxy or not.
    fn client_server(&mut self, name: &str, node: &Node, keys: &'static [Key]) -> Section {
        match own_entry::unwrapped(node, self.program) {
            Some(WrappedEntry { server, options }) => {
                let mut section = self.client_server(name, &server, keys);
                section.add(self.section(name, &options, &keys::SERVER));
                section.is_wrapped = true;
                section
            }
            None => self.section(name, node, keys),
        }
    }

    fn check_name(&mut self, name: &Located<String>) {
        // Clients accept any name; tool names are derived with other characters replaced.
        let is_fine = |c: char| is_name_char(c) || (self.tolerant && !c.is_control());
        if !name.value.trim().is_empty() && name.value.chars().all(is_fine) {
            return;
        }
        let message = format!("invalid server name `{}`", name.value);
        let better: String = name
            .value
            .chars()
            .map(|c| if is_name_char(c) { c } else { '-' })
            .collect();
        let help = match better.trim_matches('-') {
            "" => NAME_ADVICE.to_owned(),
            better => format!("{NAME_ADVICE}: `{better}`"),
        };
        self.findings
            .fault(Fault::new(&name.at, message).help(help));
    }
}

/// Returns the expected form of a scalar, for messages.
fn expected(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Flag => "true or false",
        ValueKind::Count(..) => "a number",
        ValueKind::Duration => "a string with a unit, as in \"30s\"",
        ValueKind::Size => "a string with a unit, as in \"64MiB\"",
        _ => "a string",
    }
}
