//! Builds the environment of a Python server: with uv, or with pip and a system Python that is new enough.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pep440_rs::{Version, VersionSpecifiers};

use super::prepare_command::{CommandInputs, PrepareCommand, words};
use super::requirements::Installer;
use super::{PrepareError, requirements, settings, uv};
use crate::install::plan::{UvSources, Venv};
use crate::program_search;

/// Time limit for a Python to report its version.
const ANSWER: Duration = Duration::from_secs(10);
/// Minor versions of Python to look up by name, the newest first.
const MINOR: std::ops::RangeInclusive<u32> = 9..=20;

pub(super) fn errands(
    site: CommandInputs<'_>,
    wanted: &Venv,
) -> Result<Vec<PrepareCommand>, PrepareError> {
    let uv = program_search::find_own("uv");
    if !site.scripts {
        let installer = if uv.is_some() {
            Installer::Uv
        } else {
            Installer::Pip
        };
        requirements::check_packages(&wanted.packages, installer)?;
        if let Some(file) = &wanted.requirements {
            requirements::check_requirements(site, &site.folder.join(file), installer)?;
        }
        settings::check_environment(site.folder)?;
    }
    let Some(program) = uv else {
        return by_pip(site, wanted);
    };
    uv::check_pins(site)?;
    uv::check(site)?;
    if wanted.locked && site.locks {
        return Ok(vec![sync(site, program)]);
    }
    by_uv(site, &program, wanted)
}

impl Venv {
    fn for_uv_alone(&self, UvSources { file, packages }: &UvSources) -> PrepareError {
        PrepareError::Sources {
            file: file.clone(),
            is_script: self.is_script,
            packages: packages.clone(),
        }
    }
}

/// Installs `.venv` from `uv.lock`.
fn sync(site: CommandInputs<'_>, uv: PathBuf) -> PrepareCommand {
    let mut args = words(&["sync", "--frozen"]);
    if !site.scripts {
        args.push("--no-build".to_owned());
    }
    site.errand(uv, args)
}

fn by_uv(
    site: CommandInputs<'_>,
    uv: &Path,
    wanted: &Venv,
) -> Result<Vec<PrepareCommand>, PrepareError> {
    let mut make = words(&["venv", "--quiet"]);
    // uv reads the versions of a project itself. Text other than versions could be the path of a program.
    let versions = wanted.python.as_deref().filter(|_| wanted.is_script);
    if let Some(versions) = versions.and_then(|it| it.parse::<VersionSpecifiers>().ok()) {
        make.extend(["--python".to_owned(), versions.to_string()]);
    }
    make.push(".venv".to_owned());
    let python = site.folder.join(".venv/bin/python");
    let mut args = words(&["pip", "install", "--python", &python.to_string_lossy()]);
    let make = site.errand(uv.to_owned(), make);
    let packages = match &wanted.sources {
        Some(sources) if wanted.is_script => return Err(wanted.for_uv_alone(sources)),
        // uv reads the sources of the packages from this file.
        Some(sources) if !wanted.project => words(&["-r", &sources.file]),
        _ => packages(site, wanted),
    };
    if packages.is_empty() {
        return Ok(vec![make]);
    }
    args.extend(only_built(site));
    args.extend(packages);
    Ok(vec![make, site.errand(uv.to_owned(), args)])
}

fn by_pip(site: CommandInputs<'_>, wanted: &Venv) -> Result<Vec<PrepareCommand>, PrepareError> {
    if let Some(sources) = &wanted.sources {
        return Err(wanted.for_uv_alone(sources));
    }
    let system = system_python(wanted.python.as_deref())?;
    let packages = packages(site, wanted);
    let mut make = words(&["-I", "-m", "venv", ".venv"]);
    if packages.is_empty() {
        // The installation of pip takes seconds.
        make.push("--without-pip".to_owned());
        return Ok(vec![site.errand(system, make)]);
    }
    let make = site.errand(system, make);
    let python = site.folder.join(".venv/bin/python");
    let mut args = words(&[
        // `-I` keeps files of the repository from being imported as modules.
        "-I",
        // The encoding of the locale could have other line ends than the check of the requirements knows.
        "-X",
        "utf8",
        "-m",
        "pip",
        "install",
        "--no-input",
        "--progress-bar",
        "off",
    ]);
    args.extend(only_built(site));
    args.extend(packages);
    let install = PrepareCommand {
        pip: true,
        ..site.errand(python, args)
    };
    Ok(vec![make, install])
}

/// Returns options that forbid builds unless scripts are permitted: a build runs code of the package.
fn only_built(site: CommandInputs<'_>) -> Vec<String> {
    if site.scripts {
        Vec::new()
    } else {
        words(&["--only-binary", ":all:"])
    }
}

/// Returns the install arguments that uv and pip share.
fn packages(site: CommandInputs<'_>, wanted: &Venv) -> Vec<String> {
    let mut packages = Vec::new();
    if let Some(file) = &wanted.requirements {
        let file = site.folder.join(file).to_string_lossy().into_owned();
        packages.extend(["-r".to_owned(), file]);
    }
    if wanted.project {
        packages.extend(words(&["-e", "."]));
    }
    packages.extend(wanted.packages.iter().cloned());
    packages
}

/// Returns the first Python in `PATH` that matches the `wanted` versions.
fn system_python(wanted: Option<&str>) -> Result<PathBuf, PrepareError> {
    let usual = ["python3".to_owned(), "python".to_owned()];
    let (program, what) = ("python3", "a server in Python");
    let missing = PrepareError::NoProgram { program, what };
    // Without a valid specifier, take any Python; pip checks the version.
    let Some(versions) = wanted.and_then(|it| it.parse::<VersionSpecifiers>().ok()) else {
        let mut found = usual.iter().filter_map(program_search::find_own);
        return found.next().ok_or(missing);
    };
    let others = MINOR.rev().map(|minor| format!("python3.{minor}"));
    let mut unfit = Vec::new();
    for name in usual.into_iter().chain(others) {
        let Some((path, version)) = program_search::find_own(&name).and_then(versioned) else {
            continue;
        };
        if versions.contains(&version) {
            return Ok(path);
        }
        let version = version.to_string();
        if !unfit.contains(&version) {
            unfit.push(version);
        }
    }
    Err(PrepareError::Python {
        wanted: versions.to_string(),
        found: unfit,
    })
}

/// Returns the Python with its version, if it reports that within the time limit.
fn versioned(path: PathBuf) -> Option<(PathBuf, Version)> {
    let mut command = Command::new(&path);
    command.args([
        "-I",
        "-c",
        "import platform; print(platform.python_version())",
    ]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut stdout = child.stdout.take()?;
    let (sender, version) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let _ = stdout.read_to_string(&mut text);
        let _ = sender.send(text);
    });
    let version = version.recv_timeout(ANSWER);
    // A Python that has answered is about to exit.
    let _ = child.kill();
    let _ = child.wait();
    let version = version.ok()?;
    Some((path, version.trim().parse().ok()?))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn a_python_that_is_new_enough_is_taken() {
        assert!(system_python(Some(">=3.8")).is_ok());
        // An invalid specifier does not prevent an attempt.
        assert!(system_python(Some("whatever")).is_ok());
        let error = system_python(Some(">=3.99,<4")).unwrap_err().to_string();
        assert!(error.contains("Python >=3.99, <4"), "{error}");
        assert!(error.contains("only 3."), "{error}");
    }
}
