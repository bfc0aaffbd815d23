//! Reasons why globs select a file or not, in words.

use std::path::Path;

use super::{IgnoreReason, Ignores, Matcher};

impl Matcher {
    /// Returns the reason for the glob with this index.
    pub(in super::super) fn glob_reason(&self, index: usize) -> &'static str {
        let glob = self.globs.get(index).map_or("", String::as_str);
        let name = glob.rsplit('/').next().unwrap_or(glob);
        if index >= self.inferred {
            "named by `watch` or --watch"
        } else if glob.starts_with('!') {
            "the configuration of the proxy, which restarts no server by itself"
        } else if name.starts_with(".env") {
            "variables that programs load from `.env`"
        } else if name.starts_with('*') {
            "sources, inferred from the command"
        } else if glob.starts_with("**/") || matches!(name, "Cargo.lock" | "go.mod" | "go.sum") {
            "manifest, inferred from the command"
        } else {
            "named by the command"
        }
    }

    /// Returns the reason why a file is not watched, as a sentence; the glob that selects it if it does not exist.
    pub(in super::super) fn refusal(&self, path: &Path) -> Result<String, &str> {
        let mut matching = self.rules.iter().rev().filter(|rule| rule.matches(path));
        let Some(rule) = matching.next() else {
            return Ok(self.unmatched(path));
        };
        let glob = self.globs.get(rule.glob_index).map_or("", String::as_str);
        if !rule.include {
            return Ok(format!("`{glob}` excludes it."));
        }
        if let Some((part, reason)) = self.ignored_part(rule, path, false) {
            let advice = format!("`{glob}` covers it, but does not name it.");
            return Ok(format!(
                "{} {advice}",
                self.ignored(&part, reason, &rule.ignores_from)
            ));
        }
        let between = path.ancestors().skip(1);
        let mut between = between.take_while(|directory| directory.starts_with(&rule.root));
        if let Some(marked) = between.clone().find(|it| Ignores::is_marked(it)) {
            return Ok(format!(
                "A tool has generated the directory `{}`.",
                marked.display()
            ));
        }
        let is_other = |it: &&Path| *it != rule.root && Ignores::is_checkout(it);
        if let Some(other) = between.find(is_other) {
            return Ok(format!(
                "`{}` is a git work tree of its own.",
                other.display()
            ));
        }
        if path.exists() {
            Ok(format!(
                "`{glob}` matches it, but no walk from the root of the glob reaches it."
            ))
        } else {
            Err(glob)
        }
    }

    /// Returns the reason why part of a path is ignored.
    fn ignored(&self, part: &Path, reason: IgnoreReason, from: &Path) -> String {
        let shown = part.strip_prefix(&self.cwd).unwrap_or(part).display();
        match reason {
            IgnoreReason::ToolDirectory => format!("`{shown}` is a directory of tools."),
            IgnoreReason::SkippedDirectory => {
                format!("`{shown}` is a directory of built or third-party files.")
            }
            IgnoreReason::Leftover => {
                format!("`{shown}` looks like a leftover of an editor or a log.")
            }
            IgnoreReason::Listed { is_dir } => match self.ignores.rule(part, is_dir, from) {
                Some(rule) => {
                    let file = rule
                        .file
                        .strip_prefix(&self.cwd)
                        .unwrap_or(&rule.file)
                        .display();
                    let line = rule
                        .line
                        .map_or_else(String::new, |it| format!(", line {it},"));
                    format!("`{file}`{line} ignores `{shown}` by `{}`.", rule.pattern)
                }
                None => format!("An ignore file lists `{shown}`."),
            },
        }
    }

    fn unmatched(&self, path: &Path) -> String {
        if path.is_dir() {
            return "It is a directory; ask for a file.".to_owned();
        }
        if self.roots().any(|root| path.starts_with(root)) {
            return "No glob matches it.".to_owned();
        }
        "It lies outside of the watched directories.".to_owned()
    }
}
