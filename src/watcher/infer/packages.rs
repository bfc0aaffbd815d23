//! Origin of the package that a wrapper such as `npx` or `uvx` runs: the user's own, a tool that runs the user's
//! script, or a third-party server.

use std::path::{Path, PathBuf};

use super::language::Language;
use super::project::{DirectoryLimits, is_installed, own_names, python_name, read_json, tidy};
use crate::command_line::{CommandLine, InnerCommand, is_known};

/// Origin of a program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ProgramOrigin {
    /// The user's project in this directory; `bin` is the built file of the package.
    Project {
        directory: PathBuf,
        bin: Option<PathBuf>,
    },
    /// Third-party tool that runs a script of the user.
    Tool,
    /// Third-party package, as given in the command.
    Foreign(String),
}

/// Returns the origin of the program that the wrapper runs.
pub(super) fn owner(inner: &InnerCommand, limits: &DirectoryLimits) -> ProgramOrigin {
    let command = &inner.command;
    let project = |directory| ProgramOrigin::Project {
        directory,
        bin: None,
    };
    let tool = command.words[0].as_str();
    let spec = inner.package.as_deref().unwrap_or(tool);
    if let Some(directory) = [inner.editable.as_deref(), Some(spec)]
        .into_iter()
        .flatten()
        .find_map(|spec| local(spec, command))
    {
        return project(directory);
    }
    let name = plain_name(spec);
    if let Some(own) = limits.project(&command.base)
        && !is_elsewhere(spec)
    {
        let names = own_names(&own);
        if names.contains(name) || names.contains(&python_name(name)) {
            let bin = own_bin(&own, tool);
            return ProgramOrigin::Project {
                directory: own,
                bin,
            };
        }
    }
    if let Some(directory) = linked(name, &command.base, limits) {
        return project(directory);
    }
    if is_inspector(name) || is_known(plain_name(tool)) || names_script(command) {
        return ProgramOrigin::Tool;
    }
    ProgramOrigin::Foreign(spec.to_owned())
}

/// Returns the third-party package that the command runs without a wrapper, such as `deno run npm:weather` or an image.
pub(super) fn run_directly(command: &CommandLine) -> Option<String> {
    let mut words = command.words.iter().skip(1);
    match command.program().as_str() {
        "docker" | "podman" | "nerdctl" | "docker-compose" => Some("the image".to_owned()),
        "deno" => words
            .find(|word| {
                ["npm:", "jsr:", "http://", "https://"]
                    .iter()
                    .any(|scheme| word.starts_with(scheme))
            })
            .cloned(),
        "go" if words.next().is_some_and(|word| word == "run") => {
            let package = words.find(|word| !word.starts_with('-'))?;
            (package.contains('@') && !package.starts_with('.')).then(|| package.clone())
        }
        "mcp-remote" | "supergateway" => Some(command.words[0].clone()),
        _ => None,
    }
}

/// Whether the program is the MCP inspector, which runs another command and shows its responses in a browser.
pub(super) fn is_inspector(program: &str) -> bool {
    matches!(
        plain_name(program),
        "@modelcontextprotocol/inspector" | "mcp-inspector"
    )
}

/// Returns the command that the inspector runs.
pub(super) fn inspected(command: &CommandLine) -> Option<InnerCommand> {
    let words = [&["mcp-inspector".to_owned()], &command.words[1..]].concat();
    command.with(&words).inner()
}

/// Returns the directory named by `.`, `./server`, `file:../server` or an absolute path.
fn local(spec: &str, command: &CommandLine) -> Option<PathBuf> {
    let spec = spec.strip_prefix("file:").unwrap_or(spec);
    let spec = spec
        .strip_prefix("//")
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(spec);
    // Removes extras, as in `.[cli]`.
    let spec = spec.find('[').map_or(spec, |at| &spec[..at]);
    let is_path = spec.starts_with('.') || Path::new(spec).is_absolute();
    let path = command.path(spec);
    (is_path && path.is_dir()).then_some(path)
}

/// Removes version and extras from the name of a package.
fn plain_name(spec: &str) -> &str {
    let end = spec
        .char_indices()
        .skip(1)
        .find(|(_, c)| "@=<>!~[; ".contains(*c))
        .map_or(spec.len(), |(at, _)| at);
    &spec[..end]
}

/// Whether the package comes from an address, so that its name does not identify it.
fn is_elsewhere(spec: &str) -> bool {
    spec.contains("://") || spec.starts_with("github:") || spec.starts_with("git+")
}

/// Returns the file of a program in the project's own `package.json`.
fn own_bin(project: &Path, tool: &str) -> Option<PathBuf> {
    let package = read_json(&project.join("package.json"))?;
    let bin = &package["bin"];
    let only = || {
        let bins = bin.as_object()?;
        bins.values().next().filter(|_| bins.len() == 1)
    };
    let name = plain_name(tool);
    let file = bin.as_str().or_else(|| {
        let named = bin.get(name).or_else(only);
        named.and_then(serde_json::Value::as_str)
    })?;
    Some(tidy(&project.join(file)))
}

/// Returns the user's directory to which the nearest `node_modules` links a package.
fn linked(name: &str, base: &Path, limits: &DirectoryLimits) -> Option<PathBuf> {
    let modules = base
        .ancestors()
        .map(|place| place.join("node_modules"))
        .find(|place| place.is_dir())?;
    let package = modules.join(name);
    let file = [package, modules.join(".bin").join(name)]
        .into_iter()
        .find_map(|place| dunce::canonicalize(place).ok())?;
    if is_installed(&file) {
        return None;
    }
    limits.project(&file)
}

/// Whether an argument, other than the word after an option, is a script of the user.
fn names_script(command: &CommandLine) -> bool {
    let mut previous = "";
    for word in &command.words[1..] {
        let is_value = previous.starts_with('-');
        let path = command.path(word);
        if !is_value && Language::of_source(&path).is_some() && path.is_file() {
            return true;
        }
        previous = word;
    }
    false
}
