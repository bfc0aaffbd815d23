//! Turns a plan into an entry of a configuration file, and replaces the folder in an entry.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::InstallError;
use super::containment::place_below;
use super::detect::{self, DetectError};
use super::plan::{Argument, Plan, PrepareStep, Venv};
use super::request::InstallRequest;
use super::store::{InstallRecord, StoreSlot};
use crate::config::WrittenEntry;
use crate::config::edit::{self, NewServer};

/// Returns the working directory of a server.
pub(super) fn home(folder: &Path, subdir: Option<&Path>) -> Result<PathBuf, InstallError> {
    let Some(subdir) = subdir else {
        return Ok(folder.to_owned());
    };
    let home = folder.join(subdir);
    if !home.is_dir() || place_below(folder, &home).is_none() {
        return Err(InstallError::NoSubdir(subdir.to_owned()));
    }
    Ok(home)
}

/// Returns the plan for the server in `subdir` of `folder`.
pub(super) fn plan(
    folder: &Path,
    subdir: Option<&Path>,
    request: &InstallRequest,
) -> Result<Plan, InstallError> {
    let choices = &request.choices;
    let below = subdir.map(Path::to_string_lossy).unwrap_or_default();
    let detected = || detect::detect(folder, &below, choices);
    match choices.command.split_first() {
        Some((program, args)) => {
            let around = if request.auto_detect {
                around(detected())?
            } else {
                Plan::default()
            };
            let requirements = choices.requirements_file.as_deref();
            Ok(commanded(program, args, around, requirements))
        }
        None if request.auto_detect || choices.server_file.is_some() => Ok(detected()?),
        None => Err(InstallError::NothingSaid),
    }
}

/// Returns a detected start, for the requirements of a server whose command is given; an empty plan unless all detected
/// starts share the same preparation.
fn around(detected: Result<Plan, DetectError>) -> Result<Plan, InstallError> {
    let plans = match detected {
        Ok(plan) => vec![plan],
        Err(DetectError::Ambiguous { choices, .. }) => {
            choices.into_iter().map(|it| it.plan).collect()
        }
        Err(DetectError::Nothing { .. } | DetectError::Elsewhere { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let alike = plans
        .windows(2)
        .all(|pair| pair[0].prepare == pair[1].prepare);
    let first = plans.into_iter().next().filter(|_| alike);
    Ok(first.unwrap_or_default())
}

/// Builds the plan for a given command, with the requirements of the detected start `around`.
fn commanded(program: &str, args: &[String], around: Plan, requirements: Option<&str>) -> Plan {
    let mut prepare = around.prepare;
    // `uv run` itself prepares a script with sources that only uv can read.
    let is_for_uv = |venv: &Venv| venv.is_script && venv.sources.is_some();
    prepare.retain(|step| !matches!(step, PrepareStep::Venv(venv) if is_for_uv(venv)));
    if let (true, Some(file)) = (prepare.is_empty(), requirements) {
        prepare.push(PrepareStep::Venv(Venv {
            requirements: Some(file.into()),
            ..Venv::default()
        }));
    }
    Plan {
        prepare,
        command: program.to_owned(),
        args: args.iter().cloned().map(Argument::Text).collect(),
        examples: 0,
        reason: "the command was given".to_owned(),
        considered: Vec::new(),
        ..around
    }
}

/// Returns the whole command, with absolute paths for files in `home`.
pub(super) fn command(plan: &Plan, home: &Path) -> Vec<String> {
    let full = |path: &Path| home.join(path).to_string_lossy().into_owned();
    let program = match Path::new(&plan.command) {
        program if program.components().count() > 1 => full(program),
        _ => plan.command.clone(),
    };
    let args = plan.args.iter().map(|argument| match argument {
        Argument::Text(text) => text.clone(),
        Argument::File(path) => full(path),
    });
    std::iter::once(program).chain(args).collect()
}

/// Builds the entry for the configuration.
pub(super) fn entry(
    record: &InstallRecord,
    plan: &Plan,
    build: Option<String>,
    home: &Path,
    request: &InstallRequest,
) -> NewServer {
    let (program, args) = record
        .command
        .split_first()
        .expect("a command has a program");
    let mut env = plan.env.clone();
    for (name, value) in &request.env {
        env.retain(|(known, _)| known != name);
        env.push((name.clone(), value.clone()));
    }
    NewServer {
        command: program.clone(),
        args: args.to_vec(),
        env,
        cwd: Some(home.to_string_lossy().into_owned()),
        watch: plan.watch.clone(),
        build,
    }
}

/// Returns a note that lists the variables the server needs and the environment lacks.
pub(super) fn missing(server: &NewServer, is_set: impl Fn(&str) -> bool) -> Option<String> {
    let unset = |(_, value): &(String, String)| {
        let name = value.strip_prefix("${")?.strip_suffix('}')?;
        (!name.contains(":-") && !is_set(name)).then(|| name.to_owned())
    };
    let names: Vec<String> = server.env.iter().filter_map(unset).collect();
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        format!("the server needs {names}: set this in the environment, or write the value into the entry")
    })
}

/// Returns a note on the replaced entry of the server `name`: its `backup`, and the variables that the entry `now` lacks.
pub(super) fn replacement(
    name: &str,
    replaced: &WrittenEntry,
    now: Option<WrittenEntry>,
    backup: &Path,
) -> String {
    let backup = backup.display();
    let mut text = format!("replaced the former entry `{name}`, which is kept in {backup}");
    let kept = now.map(|it| it.variables).unwrap_or_default();
    let is_lost = |name: &&str| !kept.iter().any(|(it, _)| it == name);
    let names = replaced.variables.iter().map(|(name, _)| &**name);
    let lost: Vec<&str> = names.filter(is_lost).collect();
    if !lost.is_empty() {
        let _ = write!(text, "; the new entry lacks its {}", lost.join(", "));
    }
    if replaced.is_own {
        text.push_str("; it started mcp-proxy itself, so the client no longer has the proxy");
    }
    text
}

/// Replaces the folder of `before` with that of `after` in `files`; returns notes on failures.
pub(super) fn repath(
    slot: &StoreSlot,
    before: &InstallRecord,
    after: &InstallRecord,
    files: &[PathBuf],
) -> Vec<String> {
    let (from, to) = (slot.folder(&before.folder), slot.folder(&after.folder));
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    let changed = files
        .iter()
        .map(|file| (file, edit::replace_path(file, &from, &to)));
    let notes = changed.filter_map(|(file, changed)| match changed {
        Ok(true) => None,
        Ok(false) => Some(format!(
            "{} does not contain {from} and stays unchanged",
            file.display()
        )),
        Err(error) => Some(format!(
            "{} still has the old version: {error}",
            file.display()
        )),
    });
    notes.collect()
}
