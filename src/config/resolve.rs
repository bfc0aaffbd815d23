//! Resolution of the file form to effective values: variables, defaults, directories, required keys.

mod address;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::env_file;
use super::expand::{DEEPEST, ENVIRONMENT, ExpandError, expand, foreign};
use super::fault::Fault;
use super::files::RawConfig;
use super::findings::Note;
use super::location::{FileSpan, Located, values};
use super::own_entry;
use super::pipes::{self, PipeReader, is_pipe};
use super::secrets::{self, shown_words};
use super::section::{NAME_ADVICE, Section, is_name_char};
use super::spec::{
    EraChoice, MetaToolSet, OnBadTool, OnBroken, OnRegression, ReloadMode, ServerSpec, StandbyMode,
    Timeouts, ToolFilter,
};
use super::{
    Config, ConfigContext, HiddenValues, InstallPolicy, LoadedConfig, RehearsalItem, WatchSettings,
};

/// Resolves all settings; leaves out faulty servers.
pub(super) fn resolve(written: &RawConfig, around: &ConfigContext, loaded: &mut LoadedConfig) {
    let (config, none) = (&mut loaded.config, Section::default());
    let section = |name| {
        written
            .root
            .section(name)
            .map_or(&none, |(section, _)| section)
    };
    let (proxy, watch, install) = (section("proxy"), section("watch"), section("install"));
    global(config, proxy, watch, install);
    if written.incomplete {
        return;
    }
    let common = config.timeouts;
    let mut pipes = PipeReader::default();
    let note = |note: &Note| {
        let server = note.server.as_deref().unwrap_or_default();
        format!("server `{server}`: {}", note.text)
    };
    for (name, section) in &written.servers {
        let is_mine = |fault: &Fault| fault.server.as_deref() == Some(name.value.as_str());
        if section.flag("enabled").is_some_and(|(enabled, _)| !enabled) {
            loaded.faults.retain(|fault| !is_mine(fault));
            loaded.config.disabled.push(name.value.clone());
            continue;
        }
        let was_good = !loaded.faults.iter().any(is_mine);
        let mut resolver = Resolver {
            name,
            section,
            around,
            faults: &mut loaded.faults,
            notes: &mut loaded.notes,
            env_files: &mut loaded.env_files,
            pipes: &mut pipes,
        };
        if resolver.is_own() {
            loaded.faults.retain(|fault| !is_mine(fault));
            let name = &name.value;
            let args = section.list("args");
            let file = own_entry::config_file(&args)
                .map(|file| format!("; its servers are in {file}, see --config"));
            loaded.notes.push(format!(
                "`{name}` is mcp-proxy itself and is left out{}",
                file.unwrap_or_default()
            ));
            continue;
        }
        let notes = written.notes.iter();
        let notes = notes.filter(|it| it.server.as_ref() == Some(&name.value));
        resolver.notes.extend(notes.map(note));
        let found = resolver.faults.len();
        let spec = resolver.spec(common);
        if was_good && resolver.faults.len() == found {
            loaded.config.servers.extend(spec);
        }
    }
}

fn global(config: &mut Config, proxy: &Section, watch: &Section, install: &Section) {
    config.meta_tools = match proxy.choice("meta_tools") {
        Some((&"all", _)) => Some(MetaToolSet::All),
        Some((&"none", _)) => Some(MetaToolSet::None),
        Some(_) => Some(MetaToolSet::Dev),
        None => None,
    };
    config.timeouts = timeouts(proxy, Timeouts::default());
    let debounce = watch.duration("debounce").map(|(it, _)| *it);
    config.watching = WatchSettings {
        debounce: debounce.unwrap_or(config.watching.debounce),
        ignore: watch.list("ignore"),
    };
    config.install = InstallPolicy {
        enabled: install.flag("enabled").is_none_or(|(it, _)| *it),
        allow: install.list("allow"),
        scripts: install.flag("scripts").is_some_and(|(it, _)| *it),
        consent_required: matches!(install.choice("consent"), Some((&"required", _))),
    };
    if let Some((max, _)) = proxy.count("max_name") {
        config.max_name = *max;
    }
    if let Some((max, _)) = proxy.size("max_message") {
        config.max_message = *max;
    }
    if let Some((limit, _)) = proxy.count("warm_limit") {
        config.warm_limit = *limit;
    }
}

fn timeouts(section: &Section, or: Timeouts) -> Timeouts {
    let get = |name, or: Duration| section.duration(name).map_or(or, |(it, _)| *it);
    Timeouts {
        startup_wait: get("startup_wait", or.startup_wait),
        start: get("start_timeout", or.start),
        hold: get("hold_timeout", or.hold),
        drain: get("drain_timeout", or.drain),
        rehearsal: get("rehearse_timeout", or.rehearsal),
        ..or
    }
}

/// Resolution of one server.
struct Resolver<'a> {
    name: &'a Located<String>,
    section: &'a Section,
    around: &'a ConfigContext,
    faults: &'a mut Vec<Fault>,
    notes: &'a mut Vec<String>,
    env_files: &'a mut Vec<PathBuf>,
    pipes: &'a mut PipeReader,
}

/// Returns the filter of the section `tools`, which admits all tools by default.
fn tool_filter(section: &Section) -> ToolFilter {
    let filter = section.section("tools").map(|(tools, _)| ToolFilter {
        allow: tools.list("allow"),
        deny: tools.list("deny"),
    });
    filter.unwrap_or_default()
}

impl<'a> Resolver<'a> {
    fn fault(&mut self, fault: Fault) {
        self.faults.push(fault.of(Some(&self.name.value)));
    }

    fn is_own(&self) -> bool {
        own_entry::is_own_entry(self.section, self.around.program.as_deref())
    }

    /// Returns the command or the address; `None` if it is blank and `other` is not, as in templates with both keys.
    fn command_or_url(&self, name: &str, other: &str) -> Option<(&'a String, &'a FileSpan)> {
        let is_blank = |(text, _): &(&String, &FileSpan)| text.trim().is_empty();
        let given = self.section.text(name);
        let is_left = self.section.text(other).is_some_and(|it| !is_blank(&it));
        given.filter(|it| !(is_left && is_blank(it)))
    }

    fn spec(&mut self, common: Timeouts) -> Option<ServerSpec> {
        let section = self.section;
        let command = self.command_or_url("command", "url");
        let (mut remote, mut listens) = (None, None);
        match self.command_or_url("url", "command") {
            Some((address, at)) if command.is_none() => remote = self.remote(address, at),
            Some((address, at)) if !address.trim().is_empty() => {
                listens = self.process_address(address, at);
            }
            _ => self.reject_headers(),
        }
        let program = if command.is_none() && section.text("url").is_some() {
            Some(String::new())
        } else {
            self.program()
        };
        let written = section.texts("args").map_or(&[][..], |(args, _)| args);
        let command = command.map(|(command, _)| secrets::line(command));
        let shown: Vec<String> = command
            .into_iter()
            .chain(shown_words(values(written)))
            .collect();
        let args = written
            .iter()
            .map(|arg| self.expanded(&arg.value, &arg.at))
            .collect();
        let env = self.env();
        let cwd = self.cwd();
        let prefix = self.prefix();
        let rehearse = self.rehearsal();
        Some(ServerSpec {
            name: self.name.value.clone(),
            remote,
            listens,
            program: program?.into(),
            args,
            hidden: self.hidden(written, &shown, cwd.as_deref()?),
            shown,
            cwd: cwd?,
            env,
            watch: section.list("watch"),
            build: section.text("build").map(|(it, _)| it.clone()),
            reload: match section.choice("reload") {
                Some((&"stop-first", _)) => ReloadMode::StopFirst,
                _ => ReloadMode::Overlap,
            },
            era: match section.choice("era") {
                Some((&"legacy", _)) => EraChoice::Legacy,
                Some((&"modern", _)) => EraChoice::Modern,
                _ => EraChoice::Auto,
            },
            on_broken: match section.choice("on_broken") {
                Some((&"serve-last-good", _)) => OnBroken::ServeLastGood,
                _ => OnBroken::Report,
            },
            on_bad_tool: match section.choice("on_bad_tool") {
                Some((&"leave-out", _)) => OnBadTool::LeaveOut,
                _ => OnBadTool::Report,
            },
            rehearse,
            rehearse_tools: section.list("rehearse_tools"),
            on_regression: match section.choice("on_regression") {
                Some((&"hold", _)) => OnRegression::Hold,
                _ => OnRegression::Report,
            },
            timeouts: timeouts(section, common),
            prefix,
            autostart: section.flag("autostart").is_none_or(|(it, _)| *it),
            tools: tool_filter(section),
            warm: match section.choice("warm") {
                Some((&"off", _)) => StandbyMode::Off,
                _ => StandbyMode::Auto,
            },
        })
    }

    /// Resolves the command of a local server.
    fn program(&mut self) -> Option<String> {
        let command = self.command_or_url("command", "url");
        let Some((command, at)) = command else {
            // Another fault, such as a wrong type, may explain the missing command.
            let name = &self.name.value;
            if !self
                .faults
                .iter()
                .any(|fault| fault.server.as_ref() == Some(name))
            {
                let fault = Fault::new(&self.name.at, format!("server `{name}` has no `command`"));
                let toml = self.name.at.source.path.extension() == Some("toml".as_ref());
                let example = if toml {
                    "command = \"uv\""
                } else {
                    "\"command\": \"uv\""
                };
                self.fault(fault.help(format!(
                    "name the program that starts the server: {example}"
                )));
            }
            return None;
        };
        let expanded = self.expanded(command, at).into_string().ok()?;
        if command.trim() != command {
            self.fault(Fault::new(at, "`command` begins or ends with white space"));
        } else if command.is_empty() {
            self.fault(Fault::new(at, "`command` is empty"));
        } else if let Some(help) = self.as_words(command) {
            let message = "`command` must be a program, not a command line";
            self.fault(Fault::new(at, message).help(help));
        }
        Some(expanded)
    }

    /// Returns the correction for a `command` that is a command line; `None` for a path, which may contain spaces.
    fn as_words(&self, command: &str) -> Option<String> {
        let words = shlex::split(command)?;
        let (program, args) = words.split_first()?;
        let is_line = !args.is_empty() && !program.contains(['/', '\\', '$']);
        if !is_line || self.section.get("args").is_some() {
            return None;
        }
        let shown = shown_words(&words);
        let (program, args) = shown.split_first()?;
        let args: Vec<String> = args.iter().map(|word| format!("{word:?}")).collect();
        Some(format!(
            "command = {program:?}, args = [{}]",
            args.join(", ")
        ))
    }

    /// Returns the values of variables in the definition, and the secrets that `shown`, the command for people, hides.
    fn hidden(&self, args: &[Located<String>], shown: &[String], folder: &Path) -> HiddenValues {
        let text = |key| self.section.text(key).map(|(text, _)| text.as_str());
        let texts = ["command", "cwd"].into_iter().filter_map(text);
        let env = self.section.map("env").map_or(&[][..], |(map, _)| map);
        let env = env.iter().map(|(_, value)| value.value.as_str());
        let texts = texts.chain(values(args)).chain(env);
        let mut hidden = HiddenValues::of(texts, &self.around.variables, folder);
        let command = self.command_or_url("command", "url");
        let command = command.into_iter().map(|(command, _)| command.as_str());
        hidden.add_words(command.chain(values(args)), shown, folder);
        hidden.add(&self.hidden_in_requests(folder));
        hidden
    }

    /// Returns the calls that new code answers before it goes live.
    fn rehearsal(&mut self) -> Vec<RehearsalItem> {
        let written = self.section.texts("rehearse").map_or(&[][..], |(it, _)| it);
        let mut calls = Vec::new();
        for text in written {
            match RehearsalItem::parse(&text.value) {
                Ok(call) => calls.push(call),
                Err(error) => self.fault(Fault::new(&text.at, format!("`rehearse`: {error}"))),
            }
        }
        calls
    }

    fn prefix(&mut self) -> String {
        let Some((prefix, at)) = self.section.text("prefix") else {
            return self.name.value.clone();
        };
        if !prefix.chars().all(is_name_char) {
            let fault = Fault::new(at, format!("`{prefix}` is not a valid prefix"));
            self.fault(fault.help(NAME_ADVICE));
        }
        prefix.clone()
    }

    /// Returns the working directory: as configured, or the base directory of the file with the command or address.
    fn cwd(&mut self) -> Option<PathBuf> {
        let cwd = self.section.text("cwd");
        let cwd = cwd.filter(|(cwd, _)| !cwd.trim().is_empty());
        let (folder, at) = if let Some((cwd, at)) = cwd {
            (PathBuf::from(self.expanded(cwd, at)), at)
        } else {
            let command = self.command_or_url("command", "url");
            let way = command.or_else(|| self.command_or_url("url", "command"));
            (PathBuf::new(), way?.1)
        };
        let path = at.source.base().join(folder);
        let shown = secrets::path(cwd.map_or("", |(cwd, _)| cwd), &path);
        let reason = match dunce::canonicalize(path) {
            Ok(path) if path.is_dir() => return Some(path),
            Ok(_) => "is not a directory".to_owned(),
            Err(error) => format!("cannot be used: {error}"),
        };
        // Such a fault, for example an unset variable, already explains a bad directory.
        let message = format!("the working directory {shown} {reason}");
        if !self.faults.iter().any(|fault| fault.is_in(at)) {
            self.fault(Fault::new(at, message));
        }
        None
    }

    /// Returns the variables of the env file and of `env`; `env` takes precedence.
    fn env(&mut self) -> Vec<(OsString, OsString)> {
        let mut env = self.variables_of_file();
        let map = self.section.map("env").map_or(&[][..], |(map, _)| map);
        for (key, value) in map {
            let value = self.expanded(&value.value, &value.at);
            env.retain(|(name, _)| *name != *key.value);
            env.push((OsString::from(&key.value), value));
        }
        env
    }

    fn variables_of_file(&mut self) -> Vec<(OsString, OsString)> {
        let given = self.section.text("env_file");
        let Some((file, at)) = given.filter(|(file, _)| !file.trim().is_empty()) else {
            return Vec::new();
        };
        let path = PathBuf::from(self.expanded(file, at));
        // Such a fault, for example an unset variable, already explains an unusable path.
        if self.faults.iter().any(|fault| fault.is_in(at)) {
            return Vec::new();
        }
        let home = self.around.home.as_deref();
        let path = match (path.strip_prefix("~"), home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => at.source.base().join(path),
        };
        // Each read of a pipe has a writer, whose work looks like a save.
        if !is_pipe(&path) {
            self.env_files.push(path.clone());
        }
        let text = match self.pipes.read(&path) {
            Ok(text) => text,
            Err(error) => {
                let message = format!(
                    "cannot read the variables in {}: {error}",
                    secrets::path(file, &path)
                );
                self.fault(Fault::new(at, message).help(pipes::advice(&error)));
                return Vec::new();
            }
        };
        let found = env_file::parse(&text);
        for line in found.odd {
            let (server, file) = (&self.name.value, path.display());
            self.notes.push(format!(
                "server `{server}`: line {line} of {file} sets no variable and is left out"
            ));
        }
        let mut variables: Vec<(OsString, OsString)> = Vec::new();
        for (name, value) in found.variables {
            variables.retain(|(it, _)| *it != *name);
            variables.push((name.into(), value.into()));
        }
        variables
    }

    fn expanded(&mut self, text: &str, at: &FileSpan) -> OsString {
        let base = at.source.base();
        if let Some((written, why)) = foreign(text) {
            let fault = Fault::new(&at.part(&written), why);
            self.fault(fault.help("use an environment variable: ${VAR}"));
        }
        match expand(text, &|name| self.around.variable(name, base)) {
            Ok(text) => text.into(),
            Err(ExpandError::Deep) => {
                let message = format!("defaults of variables are nested more than {DEEPEST} deep");
                let fault = Fault::new(at, message);
                self.fault(fault.help("keep only the innermost variable: ${VAR:-…}"));
                OsString::new()
            }
            Err(ExpandError::Missing(missing)) => {
                for (written, name) in missing {
                    let name = name.strip_prefix(ENVIRONMENT).unwrap_or(&name);
                    let fault =
                        Fault::new(&at.part(&written), format!("variable `{name}` is not set"));
                    self.fault(fault.help(format!(
                        "set the variable, or give a default: ${{{name}:-…}}"
                    )));
                }
                OsString::new()
            }
        }
    }
}
