//! One command of a preparation, and the folder and permissions that it runs with.

use std::path::{Path, PathBuf};

use crate::quoting;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::install) struct PrepareCommand {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) folder: PathBuf,
    /// True if it may run scripts of packages and build packages.
    pub(super) scripts: bool,
    /// True if the program is a Python that runs its pip.
    pub(super) pip: bool,
    /// Environment variables that override settings of the repository.
    pub(super) env: Vec<(&'static str, String)>,
}

impl PrepareCommand {
    /// Returns the line for a shell, with the full path of the program, since `PATH` may differ later.
    pub(in crate::install) fn shell(&self) -> String {
        let program = self.program.to_string_lossy();
        shlex::try_join(self.words(&program)).unwrap_or_default()
    }

    /// Returns the line that a person reads before agreeing.
    pub(in crate::install) fn line(&self) -> String {
        let name = self.program.file_name().unwrap_or_default();
        quoting::command(self.words(&name.to_string_lossy()))
    }

    fn words<'a>(&'a self, program: &'a str) -> impl Iterator<Item = &'a str> {
        std::iter::once(program).chain(self.args.iter().map(String::as_str))
    }
}

/// Inputs of the commands besides the plan.
#[derive(Debug, Clone, Copy)]
pub(in crate::install) struct CommandInputs<'a> {
    /// Folder of the repository.
    pub(in crate::install) root: &'a Path,
    /// Folder of the server in the repository.
    pub(in crate::install) folder: &'a Path,
    /// True if packages may run install scripts and be built.
    pub(in crate::install) scripts: bool,
    /// True if lock files are followed.
    pub(in crate::install) locks: bool,
}

impl<'a> CommandInputs<'a> {
    /// Iterates from `folder` up to the repository's folder: tools look for settings in each of these folders.
    pub(super) fn way_up<'f>(&self, folder: &'f Path) -> impl Iterator<Item = &'f Path>
    where
        'a: 'f,
    {
        let root = self.root;
        folder
            .ancestors()
            .take_while(move |it| it.starts_with(root))
    }

    pub(super) fn errand(self, program: PathBuf, args: Vec<String>) -> PrepareCommand {
        PrepareCommand {
            program,
            args,
            folder: self.folder.to_owned(),
            scripts: self.scripts,
            pip: false,
            env: Vec::new(),
        }
    }
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&it| it.to_owned()).collect()
}
