//! Finds the cause of a failure in the output of a command.

use std::fmt;

/// Maximum number of lines to show.
const SHOWN: usize = 20;

/// Cause that a user can do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureCause {
    /// The lock file does not match the other files.
    Lock,
    /// Packages may neither run scripts nor be built.
    Scripts,
    /// The server is meant for yarn 2 or later, and the yarn in `PATH` is yarn 1.
    Yarn,
}

impl fmt::Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lock => {
                "the lock file of the server does not match its other files; --ignore-lock ignores the lock file and \
                 installs versions that the authors may not have tested"
            }
            Self::Scripts => {
                "packages may neither run scripts nor be built; permit both with --scripts, or with `scripts = true` \
                 under [install]"
            }
            Self::Yarn => {
                "the server requires yarn 2 or later, and the yarn in PATH is yarn 1, which would run scripts of \
                 packages; `corepack enable` provides the right one"
            }
        })
    }
}

/// Texts in the output of tools that identify a cause.
#[rustfmt::skip] // A table.
const SIGNS: [(&str, FailureCause); 21] = [
    // npm
    ("are in sync. Please update your lock file", FailureCause::Lock),
    ("ERR_PNPM_OUTDATED_LOCKFILE", FailureCause::Lock),
    ("ERR_PNPM_LOCKFILE_CONFIG_MISMATCH", FailureCause::Lock),
    ("ERR_PNPM_BROKEN_LOCKFILE", FailureCause::Lock),
    // yarn 1, and the later versions
    ("Your lockfile needs to be updated", FailureCause::Lock),
    ("The lockfile would have been", FailureCause::Lock),
    // The first command for yarn 2, which yarn 1 does not know.
    ("Invalid subcommand. Try", FailureCause::Yarn),
    // bun
    ("lockfile had changes, but lockfile is frozen", FailureCause::Lock),
    // deno
    ("The lockfile is out of date", FailureCause::Lock),
    // cargo
    ("--locked was passed to prevent this", FailureCause::Lock),
    // go
    ("missing go.sum entry", FailureCause::Lock),
    ("updates to go.mod needed", FailureCause::Lock),
    // uv
    ("building from source is disabled", FailureCause::Scripts),
    ("Building source distributions is disabled", FailureCause::Scripts),
    ("it is marked as `--no-build`", FailureCause::Scripts),
    // Messages of packages whose install script did not run.
    ("Could not locate the bindings file", FailureCause::Scripts),
    (".node'", FailureCause::Scripts),
    ("prisma generate", FailureCause::Scripts),
    ("npm rebuild", FailureCause::Scripts),
    ("--ignore-scripts", FailureCause::Scripts),
    // git, if yarn may not fetch by it.
    ("fatal: transport '", FailureCause::Scripts),
];

/// Returns the cause, if known. A lack of scripts is no cause if `scripts` were permitted.
pub(super) fn cause(output: &[String], scripts: bool) -> Option<FailureCause> {
    let of_line = |line: &String| SIGNS.iter().find(|(sign, _)| line.contains(sign));
    let mut causes = output.iter().filter_map(of_line).map(|(_, cause)| *cause);
    causes.find(|cause| !(scripts && *cause == FailureCause::Scripts))
}

/// Returns the last lines, or the lines from the first known message on if that is earlier, without npm's usage text.
pub(super) fn relevant_lines(output: &[String]) -> Vec<String> {
    let is_usage = |line: &String| matches!(line.as_str(), "npm error Usage:" | "npm ERR! Usage:");
    let end = output.iter().position(is_usage).unwrap_or(output.len());
    let said = &output[..end];
    let tells = |line: &String| SIGNS.iter().any(|(sign, _)| line.contains(sign));
    let last = said.len().saturating_sub(SHOWN);
    let begin = said.iter().position(tells).map_or(last, |at| at.min(last));
    said[begin..].iter().take(SHOWN).cloned().collect()
}

/// Returns the package that pip did not find, and the versions that pip could choose from.
pub(super) fn not_found(output: &[String]) -> Option<(&str, Vec<&str>)> {
    let sign = "Could not find a version that satisfies the requirement ";
    let line = output.iter().find_map(|line| line.split_once(sign))?.1;
    let (requirement, versions) = line.split_once("(from versions: ")?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let end = requirement.find(|c| !is_name(c));
    let package = &requirement[..end.unwrap_or(requirement.len())];
    let versions = versions.trim_end().trim_end_matches(')').split(", ");
    (!package.is_empty() && !package.starts_with('-'))
        .then(|| (package, versions.filter(|it| *it != "none").collect()))
}

/// Iterates over the versions in the output of `pip index`.
pub(super) fn available(output: &[String]) -> impl Iterator<Item = &str> {
    let lines = output.iter();
    let told = lines.filter_map(|line| line.strip_prefix("Available versions: "));
    told.flat_map(|versions| versions.split(", ").map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn usage_lines_of_npm_are_left_out() {
        let help = "npm error   --omit\n".repeat(90);
        let output = lines(&format!(
            "npm error code EUSAGE\nnpm error\nnpm error Missing: zod@4.1.0 from lock file\nnpm error Usage:\n{help}"
        ));
        assert_eq!(relevant_lines(&output).len(), 3);
        assert_eq!(relevant_lines(&output[..2]), output[..2]);
    }

    #[test]
    fn only_the_last_lines_are_shown() {
        let output = lines(&"a\n".repeat(30));
        assert_eq!(relevant_lines(&output).len(), SHOWN);
        let difference = lines(&format!(
            "error: The lockfile is out of date.\n{}",
            "+ a\n".repeat(30)
        ));
        assert_eq!(relevant_lines(&difference), difference[..SHOWN]);
    }

    #[test]
    fn a_reason_that_is_permitted_already_is_none() {
        let output = lines("hint: building from source is disabled");
        assert_eq!(cause(&output, false), Some(FailureCause::Scripts));
        assert_eq!(cause(&output, true), None);
        let output = lines("fatal: transport 'https' not allowed");
        assert_eq!(cause(&output, false), Some(FailureCause::Scripts));
    }

    #[test]
    fn packages_that_pip_did_not_find_are_named() {
        let said = "ERROR: Could not find a version that satisfies the requirement ";
        let output = lines(&format!(
            "Looking\n{said}docopt==0.6.2 (from versions: none)"
        ));
        assert_eq!(not_found(&output), Some(("docopt", vec![])));
        let output = lines(&format!("{said}a.b_c[x]>=3 (from versions: 1.0, 2.0)"));
        assert_eq!(not_found(&output), Some(("a.b_c", vec!["1.0", "2.0"])));
        assert_eq!(not_found(&lines("ERROR: no network")), None);
        let output = lines("docopt (0.6.2)\nAvailable versions: 0.6.2, 0.6.1");
        assert_eq!(available(&output).collect::<Vec<_>>(), ["0.6.2", "0.6.1"]);
    }

    #[test]
    fn yarn_1_in_place_of_a_later_one_is_told() {
        let output = lines("yarn workspaces v1.22.22\nerror Invalid subcommand. Try \"info, run\"");
        let cause = cause(&output, false).unwrap();
        assert!(cause.to_string().contains("corepack enable"), "{cause}");
    }
}
