//! Scripts of `package.json` files: finds the package that a call means, in a workspace too, and its script.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command_line::{CommandLine, PackageScript, ScriptCall};

/// Returns the called script; `None` if it does not exist or its package is uncertain. Reads the file system.
pub(crate) fn find(call: &ScriptCall) -> Option<PackageScript> {
    let mut roots = call.base.ancestors().filter(|place| has_manifest(place));
    let package = match &call.workspace {
        Some(name) => roots.find_map(|root| workspace(root, name))?,
        None => roots.next()?.to_owned(),
    };
    let scripts = &manifest(&package)?["scripts"];
    let mut commands = CommandLine::of_shell(scripts[&call.name].as_str()?, &package);
    if let Some(last) = commands.last_mut() {
        last.words.extend(call.args.iter().cloned());
    }
    Some(PackageScript {
        name: call.name.clone(),
        commands,
        has_more: scripts[format!("pre{}", call.name)].is_string(),
    })
}

fn has_manifest(directory: &Path) -> bool {
    directory.join("package.json").is_file()
}

fn manifest(directory: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(directory.join("package.json")).ok()?).ok()
}

/// Returns the directory of a package of the workspace at `root`, given by its name or directory.
fn workspace(root: &Path, name: &str) -> Option<PathBuf> {
    let mut packages: Vec<PathBuf> = patterns(root)
        .iter()
        .flat_map(|pattern| packages(root, pattern))
        .collect();
    packages.sort_unstable();
    packages.dedup();
    let is_meant = |place: &PathBuf| {
        let is_named = || manifest(place).is_some_and(|manifest| manifest["name"] == name);
        *place == root.join(name.trim_end_matches('/')) || is_named()
    };
    packages.into_iter().find(is_meant)
}

/// Returns the patterns of the workspace's packages, of npm, yarn and bun or of pnpm.
fn patterns(root: &Path) -> Vec<String> {
    let manifest = manifest(root).unwrap_or_default();
    let listed = &manifest["workspaces"];
    let listed = listed.as_array().or_else(|| listed["packages"].as_array());
    if let Some(listed) = listed {
        let listed = listed.iter().filter_map(Value::as_str);
        return listed.map(str::to_owned).collect();
    }
    let text = std::fs::read_to_string(root.join("pnpm-workspace.yaml")).unwrap_or_default();
    let mut lines = text
        .lines()
        .skip_while(|line| line.trim_end() != "packages:");
    lines.next();
    lines
        .map_while(|line| line.trim().strip_prefix("- "))
        .map(|pattern| pattern.trim_matches(['\'', '"', ' ']).to_owned())
        .collect()
}

/// Returns the packages at `packages/server` or below `packages/*`; none for other patterns.
fn packages(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
    let (directory, is_below) = match pattern.strip_suffix("/*") {
        Some(directory) => (directory, true),
        None => (pattern, false),
    };
    if directory.contains(['*', '?', '[', '{', '!']) {
        return Vec::new();
    }
    let directory = root.join(directory);
    let places = if is_below {
        let entries = std::fs::read_dir(directory).into_iter().flatten();
        entries.flatten().map(|entry| entry.path()).collect()
    } else {
        vec![directory]
    };
    places.into_iter().filter(|it| has_manifest(it)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Returns directory and command of the script that a command line calls in the project.
    fn found(root: &Path, line: &str) -> Option<(String, String)> {
        let words = shlex::split(line).unwrap();
        let base = root.to_owned();
        let script = find(&ScriptCall::of(&CommandLine { base, words })?)?;
        let command = &script.commands[0];
        let place = command.base.strip_prefix(root).unwrap();
        Some((place.to_str()?.replace('\\', "/"), command.words.join(" ")))
    }

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    const SERVER: (&str, &str) = (
        "packages/srv/package.json",
        r#"{"name":"@me/srv","scripts":{"start":"node dist/index.js"}}"#,
    );
    const TOOL: (&str, &str) = (
        "tool/package.json",
        r#"{"name":"tool","scripts":{"start":"node t.js"}}"#,
    );

    #[test]
    fn scripts_of_a_workspace_are_found() {
        let root = r#"{"scripts":{"start":"node root.js"},"workspaces":["packages/*","./tool"]}"#;
        let folder = project(&[("package.json", root), SERVER, TOOL]);
        let pnpm = project(&[
            ("package.json", r#"{"scripts":{"start":"node root.js"}}"#),
            (
                "pnpm-workspace.yaml",
                "packages:\n  - 'packages/*'\n  - tool\ncatalog:\n  - x\n",
            ),
            SERVER,
            TOOL,
        ]);
        for (folder, line, place, command) in [
            (&folder, "npm start", "", "node root.js"),
            (
                &folder,
                "npm start -w @me/srv -- 1",
                "packages/srv",
                "node dist/index.js 1",
            ),
            (
                &folder,
                "npm -w packages/srv start",
                "packages/srv",
                "node dist/index.js",
            ),
            (
                &folder,
                "npm --prefix packages/srv start",
                "packages/srv",
                "node dist/index.js",
            ),
            (
                &folder,
                "npm --prefix packages/srv -w tool start",
                "tool",
                "node t.js",
            ),
            (&folder, "yarn workspace tool start", "tool", "node t.js"),
            (
                &pnpm,
                "pnpm --filter @me/srv start",
                "packages/srv",
                "node dist/index.js",
            ),
            (&pnpm, "pnpm -F tool start", "tool", "node t.js"),
        ] {
            let expected = (place.to_owned(), command.to_owned());
            assert_eq!(found(folder.path(), line), Some(expected), "{line}");
        }
        for line in ["npm run x", "npm -w x start", "npm -w packages start"] {
            assert_eq!(found(folder.path(), line), None, "{line}");
        }
    }
}
