//! Builds the commands that carry out the steps of a plan.

use std::path::{Path, PathBuf};

use super::PrepareError;
use super::prepare_command::{CommandInputs, PrepareCommand, words};
use super::{node, python};
use crate::install::plan::{PackageManager, PrepareStep};
use crate::program_search;

impl CommandInputs<'_> {
    /// Builds the commands for `steps`, in order, to be shown before they run. Runs no program except a system Python,
    /// to learn its version.
    pub(in crate::install) fn commands(
        self,
        steps: &[PrepareStep],
    ) -> Result<Vec<PrepareCommand>, PrepareError> {
        let errands = steps.iter().map(|step| self.step(step));
        Ok(errands.collect::<Result<Vec<_>, _>>()?.concat())
    }

    fn step(self, step: &PrepareStep) -> Result<Vec<PrepareCommand>, PrepareError> {
        match step {
            PrepareStep::Venv(wanted) => python::errands(self, wanted),
            PrepareStep::Node {
                packager,
                locked,
                build,
                root,
            } => self.node(*packager, *locked && self.locks, build.as_deref(), root),
            PrepareStep::Deno {
                entry,
                locked,
                scripts,
            } => {
                if let Some(reason) = scripts.clone().filter(|_| !self.scripts) {
                    return Err(PrepareError::Leave(reason));
                }
                let frozen = if *locked && self.locks {
                    "--frozen"
                } else {
                    "--frozen=false"
                };
                // The `./` keeps a name with a leading `-` from being an option.
                let entry = format!("./{}", entry.display());
                let args = words(&["install", frozen, "--entrypoint", &entry]);
                Ok(vec![self.errand(found("deno", "a server for Deno")?, args)])
            }
            PrepareStep::Cargo { bin } => {
                // The user may have configured another target directory.
                let mut args = words(&["build", "--release", "--target-dir", "target"]);
                if self.locks && self.folder.join("Cargo.lock").is_file() {
                    args.push("--locked".to_owned());
                }
                if let Some(bin) = bin {
                    args.extend(["--bin".to_owned(), bin.clone()]);
                }
                let cargo = found("cargo", "a server in Rust")?;
                Ok(vec![self.errand(cargo, args)])
            }
            PrepareStep::Go { package, output } => {
                let mut args = words(&["build"]);
                if !self.locks {
                    args.push("-mod=mod".to_owned());
                }
                args.extend([
                    "-o".to_owned(),
                    output.display().to_string(),
                    package.clone(),
                ]);
                Ok(vec![self.errand(found("go", "a server in Go")?, args)])
            }
        }
    }

    fn node(
        self,
        packager: PackageManager,
        locked: bool,
        build: Option<&str>,
        root: &Path,
    ) -> Result<Vec<PrepareCommand>, PrepareError> {
        let name = node_words(packager, locked, false).0;
        let program = found(name, "the packages of this server")?;
        self.node_by(program, packager, locked, build, root)
    }

    fn node_by(
        self,
        program: PathBuf,
        packager: PackageManager,
        locked: bool,
        build: Option<&str>,
        root: &Path,
    ) -> Result<Vec<PrepareCommand>, PrepareError> {
        let folder = self.folder.join(root);
        let berry = packager == PackageManager::Yarn && node::is_berry(&folder);
        let (_, install, quiet) = node_words(packager, locked, berry);
        let errand = |args: Vec<String>| PrepareCommand {
            folder: folder.clone(),
            ..self.errand(program.clone(), args)
        };
        let mut install = errand(words(install));
        let mut errands = Vec::new();
        if !self.scripts {
            node::check(packager, self.root, &folder)?;
            install.args.extend(words(quiet));
            install.env = node::pins(packager);
            if berry {
                // yarn 1 does not know this command and fails. It would ignore `--mode` and run scripts.
                errands.push(errand(words(&["workspaces", "list"])));
            }
        }
        let pinned = install.env.clone();
        errands.push(install);
        if let Some(script) = build {
            let mut build = self.errand(program, words(&["run", script]));
            if packager == PackageManager::Pnpm {
                // pnpm may install once more before.
                build.env = pinned;
            }
            errands.push(build);
        }
        Ok(errands)
    }
}

/// Returns the program, its arguments (to install from the lock file, or without writing one) and the options that
/// disable scripts. `berry` is yarn 2 or later, whose options differ.
fn node_words(
    packager: PackageManager,
    locked: bool,
    berry: bool,
) -> (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
) {
    const QUIET: &[&str] = &["--ignore-scripts"];
    const QUIET_BERRY: &[&str] = &["--mode=skip-build"];
    const QUIET_PNPM: &[&str] = &["--ignore-scripts", "--ignore-pnpmfile"];
    match (packager, locked) {
        (PackageManager::Npm, true) => ("npm", &["ci", "--no-audit", "--no-fund"], QUIET),
        (PackageManager::Npm, false) => {
            let install = &["install", "--no-audit", "--no-fund", "--no-package-lock"];
            ("npm", install, QUIET)
        }
        (PackageManager::Pnpm, true) => ("pnpm", &["install", "--frozen-lockfile"], QUIET_PNPM),
        (PackageManager::Pnpm, false) => ("pnpm", &["install", "--no-lockfile"], QUIET_PNPM),
        (PackageManager::Yarn, true) if berry => ("yarn", &["install", "--immutable"], QUIET_BERRY),
        (PackageManager::Yarn, false) if berry => {
            // With `CI` set, yarn refuses to change a lock file without this option.
            ("yarn", &["install", "--no-immutable"], QUIET_BERRY)
        }
        (PackageManager::Yarn, true) => ("yarn", &["install", "--frozen-lockfile"], QUIET),
        (PackageManager::Yarn, false) => ("yarn", &["install", "--no-lockfile"], QUIET),
        (PackageManager::Bun, true) => ("bun", &["install", "--frozen-lockfile"], QUIET),
        (PackageManager::Bun, false) => ("bun", &["install", "--no-save"], QUIET),
    }
}

fn found(program: &'static str, what: &'static str) -> Result<PathBuf, PrepareError> {
    program_search::find_own(program).ok_or(PrepareError::NoProgram { program, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_code_of_the_repository_are_disabled() {
        for locked in [true, false] {
            let quiet = |packager, berry| node_words(packager, locked, berry).2;
            assert_eq!(quiet(PackageManager::Npm, false), ["--ignore-scripts"]);
            assert_eq!(
                quiet(PackageManager::Pnpm, false),
                ["--ignore-scripts", "--ignore-pnpmfile"]
            );
            assert_eq!(quiet(PackageManager::Yarn, false), ["--ignore-scripts"]);
            assert_eq!(quiet(PackageManager::Yarn, true), ["--mode=skip-build"]);
            assert_eq!(quiet(PackageManager::Bun, false), ["--ignore-scripts"]);
        }
    }

    #[test]
    fn yarn_1_gets_no_words_of_later_versions() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".yarnrc.yml"), "").unwrap();
        let site = CommandInputs {
            root: folder.path(),
            folder: folder.path(),
            scripts: false,
            locks: true,
        };
        let errands = site.node_by(
            "yarn".into(),
            PackageManager::Yarn,
            true,
            None,
            Path::new("."),
        );
        let lines: Vec<_> = errands.unwrap().iter().map(PrepareCommand::line).collect();
        assert_eq!(
            lines,
            [
                "yarn workspaces list",
                "yarn install --immutable --mode=skip-build"
            ]
        );
    }
}
