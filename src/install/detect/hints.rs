//! Reads files that describe a server but not its start from sources: `server.json` of the registry, `manifest.json` of
//! a bundle, `Dockerfile`, the README. They supply variables and arguments and decide between proposals.
//! `smithery.yaml` is only noted.

use std::fmt;

use serde_json::Value;

use super::super::plan::Argument;
use super::clone_folder::CloneFolder;
use super::examples::{DOCKERFILE, Example, README, names_of};
use super::{ConfidenceLevel, FolderFindings, StartProposal, node, python};
use crate::config::is_variable_name;

/// Contents of these files.
#[derive(Debug, Default)]
pub(super) struct Hints {
    published: Vec<PublishedPackage>,
    bundle: Option<Bundle>,
    /// Client examples of the README, and the command of the image.
    examples: Vec<Example>,
}

/// One package of `server.json`.
#[derive(Debug)]
struct PublishedPackage {
    registry: String,
    env: Vec<(String, String)>,
    args: Vec<String>,
    /// Values that a person has to add.
    wanting: Vec<MissingValue>,
}

/// Value that `server.json` leaves to a person.
#[derive(Debug)]
enum MissingValue {
    /// Name of an optional variable.
    Variable(String),
    /// Hint at a required argument.
    Argument(String),
}

impl fmt::Display for MissingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "{name} may be set"),
            Self::Argument(hint) => write!(f, "the argument `{hint}` has to be added"),
        }
    }
}

/// `manifest.json` of a bundle.
#[derive(Debug)]
struct Bundle {
    entry_point: String,
    /// Required variables, with a `${NAME}` reference for a person to fill in.
    env: Vec<(String, String)>,
}

pub(super) fn read(tree: &CloneFolder, findings: &mut FolderFindings) -> Hints {
    let published = findings.read("server.json", tree.json("server.json"));
    let bundle = findings.read("manifest.json", tree.json("manifest.json"));
    let mut examples = Example::of_readme(tree);
    if let Some(text) = tree.text(DOCKERFILE) {
        examples.extend(Example::of_image(&text, findings));
    }
    for name in ["smithery.yaml", "smithery.yml"] {
        if tree.has(name) {
            findings.consider(format!("{name}: not used"));
        }
    }
    Hints {
        published: published.iter().flat_map(packages).collect(),
        bundle: bundle.as_ref().and_then(Bundle::of),
        examples,
    }
}

/// Proposes starts from the bundle and the README if there is no other proposal; otherwise only notes them.
pub(super) fn add_last(tree: &CloneFolder, hints: &Hints, findings: &mut FolderFindings) {
    if let Some(Bundle { entry_point, .. }) = &hints.bundle {
        let says = format!("manifest.json: `entry_point` is {entry_point}");
        hints.add(
            tree,
            Some(entry_point.as_str()),
            ConfidenceLevel::Usual,
            says,
            findings,
        );
    }
    let readme = hints.examples.iter().find(|it| it.from == README);
    if let Some(Example { command, .. }) = readme {
        let line = shlex::try_join(command.iter().map(String::as_str)).unwrap_or_default();
        let file = command.iter().find_map(|word| in_tree(tree, word));
        let says = format!("README: clients start `{line}`");
        hints.add(
            tree,
            file.as_deref(),
            ConfidenceLevel::Guessed,
            says,
            findings,
        );
    }
}

/// Returns the longest suffix of a path that is a file of the server: the README has another parent folder.
fn in_tree(tree: &CloneFolder, word: &str) -> Option<String> {
    let mut parts: Vec<&str> = word.split('/').filter(|it| !it.is_empty()).collect();
    while !parts.is_empty() {
        let path = parts.join("/");
        if tree.has(&path) {
            return Some(path);
        }
        parts.remove(0);
    }
    None
}

impl Hints {
    /// Proposes a file if there is no proposal yet; otherwise only notes it.
    fn add(
        &self,
        tree: &CloneFolder,
        file: Option<&str>,
        trust: ConfidenceLevel,
        says: String,
        findings: &mut FolderFindings,
    ) {
        let file = file.filter(|file| findings.proposals.is_empty() && tree.has(file));
        let known = file.is_some_and(|file| {
            node::named(tree, file, findings) || python::named(tree, file, None, findings)
        });
        match findings.proposals.last_mut().filter(|_| known) {
            Some(proposal) => {
                proposal.trust = trust;
                proposal.plan.reason = says;
                self.apply(proposal);
            }
            None => findings.consider(says),
        }
    }

    /// Returns true if `server.json` has a package of the proposal's registry.
    pub(super) fn means(&self, proposal: &StartProposal) -> bool {
        self.published
            .iter()
            .any(|it| it.registry == proposal.registry)
    }

    /// Adds the variables and arguments that a start needs.
    pub(super) fn apply(&self, proposal: &mut StartProposal) {
        let same = self
            .published
            .iter()
            .find(|it| it.registry == proposal.registry);
        let plan = &mut proposal.plan;
        // True if `server.json` lists the arguments.
        let mut is_told = false;
        if let Some(published) = same.or(self.published.first()) {
            plan.env.extend(published.env.iter().cloned());
            if same.is_some() {
                is_told = !published.args.is_empty();
                plan.args
                    .extend(published.args.iter().cloned().map(Argument::Text));
            }
            let wanting = published
                .wanting
                .iter()
                .filter(|it| same.is_some() || matches!(it, MissingValue::Variable(_)));
            plan.considered
                .extend(wanting.map(|it| format!("server.json: {it}")));
        }
        let bundled = self.bundle.iter().flat_map(|it| &it.env);
        for (name, value) in bundled {
            if !plan.env.iter().any(|(known, _)| known == name) {
                plan.env.push((name.clone(), value.clone()));
            }
        }
        let names = names_of(proposal);
        let of_it = self.examples.iter().find(|it| it.behind(&names).is_some());
        if let Some(example) = of_it.filter(|_| !is_told) {
            example.add_arguments(&names, &mut proposal.plan);
        }
        let plan = &mut proposal.plan;
        let example = of_it.or(self.examples.first());
        let names = example.iter().flat_map(|example| &example.env);
        let names: Vec<&str> = names
            .filter(|name| !plan.env.iter().any(|(known, _)| known == *name))
            .map(String::as_str)
            .collect();
        if !names.is_empty() {
            plan.considered
                .push(format!("README: clients set {}", names.join(", ")));
        }
    }
}

/// Reads the packages of `server.json`; older versions have keys with underscores.
fn packages(manifest: &Value) -> Vec<PublishedPackage> {
    let list = |value: &Value, names: [&str; 2]| -> Vec<Value> {
        let list = names
            .into_iter()
            .find_map(|name| value.get(name)?.as_array().cloned());
        list.unwrap_or_default()
    };
    let packages = list(manifest, ["packages", "packages"]);
    let read = |package: &Value| {
        let registry = ["registryType", "registry_type", "registry_name"];
        let mut registry = registry
            .into_iter()
            .filter_map(|key| package.get(key)?.as_str());
        let mut published = PublishedPackage {
            registry: registry.next()?.to_owned(),
            env: Vec::new(),
            args: Vec::new(),
            wanting: Vec::new(),
        };
        for variable in list(package, ["environmentVariables", "environment_variables"]) {
            published.add_variable(&variable);
        }
        for argument in list(package, ["packageArguments", "package_arguments"]) {
            published.add_argument(&argument);
        }
        Some(published)
    };
    packages.iter().filter_map(read).collect()
}

impl PublishedPackage {
    fn add_variable(&mut self, variable: &Value) {
        let Some(name) = text(variable, "name").filter(|name| is_variable_name(name)) else {
            return;
        };
        match fixed(variable) {
            Some(value) => self.env.push((name.to_owned(), value.to_owned())),
            None if is_required(variable) => {
                self.env.push((name.to_owned(), format!("${{{name}}}")));
            }
            None => self.wanting.push(MissingValue::Variable(name.to_owned())),
        }
    }

    fn add_argument(&mut self, argument: &Value) {
        let name = text(argument, "name").filter(|_| text(argument, "type") == Some("named"));
        let value = fixed(argument);
        if value.is_some()
            || (name.is_some() && is_required(argument) && argument.get("format").is_none())
        {
            self.args
                .extend(name.into_iter().chain(value).map(str::to_owned));
        } else if is_required(argument) {
            let hint = ["valueHint", "value_hint", "name", "description"];
            let hint = hint.into_iter().find_map(|key| text(argument, key));
            let hint = hint.unwrap_or("?").to_owned();
            self.wanting.push(MissingValue::Argument(hint));
        }
    }
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

/// Returns the value if it is complete, without a placeholder to fill in.
fn fixed(value: &Value) -> Option<&str> {
    text(value, "value").filter(|it| !it.contains('{'))
}

fn is_required(value: &Value) -> bool {
    let mut keys = ["isRequired", "is_required"].into_iter();
    keys.any(|key| value.get(key) == Some(&Value::Bool(true)))
}

impl Bundle {
    fn of(manifest: &Value) -> Option<Self> {
        // Other tools have a `manifest.json`, too.
        ["manifest_version", "dxt_version"]
            .into_iter()
            .find_map(|key| manifest.get(key))?;
        let server = manifest.get("server")?;
        let env = server.pointer("/mcp_config/env").and_then(Value::as_object);
        let is_wanted = |value: &str| {
            let key = value
                .strip_prefix("${user_config.")
                .and_then(|it| it.strip_suffix('}'));
            let pointer = format!("/user_config/{}/required", key.unwrap_or_default());
            manifest.pointer(&pointer) == Some(&Value::Bool(true))
        };
        let wanted = env.into_iter().flatten().filter(|(name, value)| {
            is_variable_name(name) && value.as_str().is_some_and(is_wanted)
        });
        Some(Self {
            entry_point: text(server, "entry_point")?.to_owned(),
            env: wanted
                .map(|(name, _)| (name.clone(), format!("${{{name}}}")))
                .collect(),
        })
    }
}
