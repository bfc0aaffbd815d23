//! Distinction of options, their values and other words, by the table of the program.

use super::programs::{Options, Program};
use super::{is_assignment, program_name};

/// Option with its value, or another word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Argument<'a> {
    /// Index of its first word in the command line.
    pub(crate) at: usize,
    /// Its first word.
    pub(crate) word: &'a str,
    /// Name of the option; for another word, the option before it, whose value it may be.
    pub(crate) option: &'a str,
    /// Value of the option, or the other word.
    pub(crate) value: Option<&'a str>,
    pub(crate) kind: ArgumentKind,
}

/// Kind of an argument, by the table of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArgumentKind {
    /// Subcommand, command, script or argument of the script.
    Plain,
    /// Variable, as in `env A=1`.
    Assignment,
    /// Option without a value.
    Flag,
    /// Option with a value.
    Valued,
    /// Valued option that may load code before the script.
    Early,
    /// Valued option that sets the working directory.
    Directory,
    /// Valued option that names the package with the command.
    Package,
    /// Option before the name of a module of Python.
    Module,
    /// Option that restarts the script on changes.
    Watching,
    /// Option that the table lacks.
    Unknown,
}

/// Program of a command line with its options, and the words that it runs.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) program: &'static Program,
    /// Options and assignments before `rest`.
    pub(super) options: Vec<Argument<'a>>,
    /// Command, script or module, and its arguments; may be empty.
    pub(super) rest: &'a [String],
    pub(super) is_module: bool,
}

/// Returns the arguments of a command line, without the program.
pub(super) fn arguments(words: &[String]) -> impl Iterator<Item = Argument<'_>> {
    let name = words.first().map(|word| program_name(word));
    let row = Program::rows(&name.unwrap_or_default()).first().copied();
    let options = row.map_or(&[][..], |row| row.options);
    let mut at = 1;
    let mut before = "";
    std::iter::from_fn(move || {
        let (mut argument, next) = Argument::at(at, words, options)?;
        at = next;
        if argument.option.is_empty() {
            argument.option = before;
        }
        before = if argument.value.is_none() {
            argument.option
        } else {
            ""
        };
        Some(argument)
    })
}

impl<'a> Argument<'a> {
    /// Returns the argument at an index, and the index after it.
    fn at(at: usize, words: &'a [String], options: Options) -> Option<(Self, usize)> {
        let word = words.get(at)?.as_str();
        let argument = |option, value, kind| Self {
            at,
            word,
            option,
            value,
            kind,
        };
        if !word.starts_with('-') {
            let kind = if is_assignment(word) {
                ArgumentKind::Assignment
            } else {
                ArgumentKind::Plain
            };
            return Some((argument("", Some(word), kind), at + 1));
        }
        let kind = ArgumentKind::of(word, options);
        if kind.takes_value() {
            let value = words.get(at + 1).map(String::as_str);
            return Some((argument(word, value, kind), at + 2));
        }
        let named = word.split_once('=').filter(|(name, _)| {
            let kind = ArgumentKind::of(name, options);
            kind.takes_value() || kind == ArgumentKind::Watching
        });
        let attached = word.split_at_checked(2);
        let attached = attached.filter(|(name, _)| ArgumentKind::of(name, options).takes_value());
        let argument = match named.or(attached) {
            Some((name, value)) => argument(name, Some(value), ArgumentKind::of(name, options)),
            None => argument(word, None, kind),
        };
        Some((argument, at + 1))
    }
}

impl<'a> Reading<'a> {
    /// Reads a command line; `None` if the program is unknown or lacks its subcommand.
    pub(super) fn of(words: &'a [String]) -> Option<Self> {
        let mut rows = Program::rows(&program_name(words.first()?));
        let mut options = Vec::new();
        let mut depth = 0;
        let mut at = 1;
        loop {
            let complete = rows.iter().find(|row| row.subcommands().count() == depth);
            let reading = |options, from, is_module| {
                Some(Self {
                    program: complete?,
                    options,
                    rest: words.get(from..).unwrap_or_default(),
                    is_module,
                })
            };
            // Before a subcommand, the options of the first row count.
            let Some((argument, next)) = Argument::at(at, words, rows.first()?.options) else {
                return reading(options, at, false);
            };
            let is_next = |row: &&Program| row.subcommands().nth(depth) == Some(argument.word);
            match argument.kind {
                ArgumentKind::Plain if rows.iter().any(is_next) => {
                    rows.retain(is_next);
                    depth += 1;
                }
                ArgumentKind::Plain => return reading(options, at, false),
                ArgumentKind::Module if complete.is_some() => return reading(options, next, true),
                _ => options.push(argument),
            }
            at = next;
        }
    }

    /// Whether all options are known and load no code before the script.
    pub(super) fn is_certain(&self) -> bool {
        self.options.iter().all(|argument| match argument.kind {
            ArgumentKind::Flag
            | ArgumentKind::Valued
            | ArgumentKind::Directory
            | ArgumentKind::Package => true,
            // The loader of TypeScript.
            ArgumentKind::Early => (argument.option, argument.value) == ("--import", Some("tsx")),
            _ => false,
        })
    }
}

impl ArgumentKind {
    fn of(option: &str, options: Options) -> Self {
        let mut kinds = options.iter();
        let kind = kinds.find(|(_, names)| names.split(' ').any(|name| name == option));
        kind.map_or(Self::Unknown, |(kind, _)| *kind)
    }

    fn takes_value(self) -> bool {
        matches!(
            self,
            Self::Valued | Self::Early | Self::Directory | Self::Package
        )
    }
}
