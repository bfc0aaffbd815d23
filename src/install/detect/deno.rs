//! Detects servers for Deno: the file that a task of `deno.json` starts, or a file with a usual name.

use std::path::Path;

use serde_json::Value;

use super::super::plan::{Argument, PrepareStep};
use super::clone_folder::{CloneFolder, cleaned, joined};
use super::{ConfidenceLevel, FolderFindings, StartProposal, plan};
use crate::quoting;

const MANIFESTS: [&str; 2] = ["deno.json", "deno.jsonc"];
/// Files and folders beside a manifest that Deno writes.
const WRITTEN: [&str; 3] = ["deno.lock", "node_modules", "vendor"];
/// Settings of a manifest that are paths or lists of paths.
#[rustfmt::skip] // A table.
const PATHS: [&str; 10] = [
    "/lock", "/lock/path", "/vendor", "/nodeModulesDir", "/importMap", "/workspace", "/workspace/members",
    "/workspaces", "/links", "/patch",
];
/// Tasks that may start a server.
const TASKS: [&str; 4] = ["start:stdio", "mcp", "start", "server"];
/// File names that suggest a server.
#[rustfmt::skip] // A table.
const USUAL: [&str; 8] = [
    "main.ts", "server.ts", "mod.ts", "index.ts", "src/main.ts", "src/server.ts", "src/mod.ts", "src/index.ts",
];
const WATCH: [&str; 2] = ["**/*.{ts,tsx,mts,js,mjs,json,jsonc}", "!node_modules/**"];
/// Grants all permissions, since servers in other languages have them, too.
const ALLOW: &str = "--allow-all";

/// Proposes a file that the caller named. Returns `false` if it is not a script of a Deno project.
pub(super) fn named(tree: &CloneFolder, file: &str, findings: &mut FolderFindings) -> bool {
    if manifest(tree, findings).is_none() || !is_script(tree, file) {
        return false;
    }
    let what = format!("{file}: named as the server's file");
    propose_file(
        tree,
        file,
        vec![ALLOW.to_owned()],
        ConfidenceLevel::Named,
        what,
        findings,
    );
    true
}

/// Proposes the file that a task starts, or a file with a usual name for servers.
pub(super) fn propose(tree: &CloneFolder, findings: &mut FolderFindings) {
    let Some((name, manifest)) = manifest(tree, findings) else {
        return;
    };
    for task in TASKS {
        let pointer = format!("/tasks/{task}");
        let Some(line) = manifest.pointer(&pointer).and_then(|task| {
            let line = task.get("command").unwrap_or(task);
            line.as_str()
        }) else {
            continue;
        };
        let what = format!("{name}: task `{task}` is `{line}`");
        match started(tree, line) {
            Some((options, file)) => {
                return propose_file(
                    tree,
                    &file,
                    options,
                    ConfidenceLevel::Declared,
                    what,
                    findings,
                );
            }
            None => findings.consider(what),
        }
    }
    let usual = USUAL.into_iter().find(|file| tree.has(file));
    if let Some(file) = usual {
        let what = format!("{file}: usual name of a server");
        propose_file(
            tree,
            file,
            vec![ALLOW.to_owned()],
            ConfidenceLevel::Usual,
            what,
            findings,
        );
    } else {
        findings.consider(format!("{name}: does not define a start command"));
    }
}

/// Reads the manifest of a Deno project. A Node.js package may have one too, for tests or publishing.
fn manifest(tree: &CloneFolder, findings: &mut FolderFindings) -> Option<(&'static str, Value)> {
    let mut names = MANIFESTS.into_iter().filter(|_| !tree.has("package.json"));
    let name = names.find(|name| tree.has(name))?;
    Some((name, findings.read(name, tree.jsonc(name))?))
}

/// Parses `deno run OPTIONS FILE` into its options and file.
fn started(tree: &CloneFolder, line: &str) -> Option<(Vec<String>, String)> {
    let words = shlex::split(line)?;
    let [deno, run, rest @ ..] = &words[..] else {
        return None;
    };
    let (file, options) = rest.split_last()?;
    let starts = deno == "deno" && run == "run" && is_script(tree, file);
    // The proxy watches the files itself.
    let mut options: Vec<String> = options.to_vec();
    options.retain(|option| !option.starts_with("--watch"));
    let known = options.iter().all(|option| is_permission(option));
    (starts && known).then(|| (options, file.clone()))
}

/// Returns true if an option only sets permissions and does not select code to run.
fn is_permission(option: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=,.:/*@".contains(c);
    let known = [
        "--allow-",
        "--deny-",
        "--unstable-",
        "--no-prompt",
        "--quiet",
    ];
    let short = ["-A", "-R", "-W", "-N", "-E", "-S", "-q"];
    option.chars().all(plain)
        && (short.contains(&option) || known.iter().any(|it| option.starts_with(it)))
}

/// Returns the reason why installing needs leave: something here or above, that lets packages run install scripts, or
/// Deno write outside the clone.
fn needs_leave(tree: &CloneFolder) -> Option<String> {
    let folders = Path::new(&tree.folder).ancestors().filter_map(Path::to_str);
    let mut trees = folders.filter_map(|folder| tree.at(folder));
    trees.find_map(|tree| {
        let shown = |name: &str| quoting::command([&*joined(&tree.folder, name)]);
        let written = MANIFESTS.into_iter().chain(WRITTEN);
        let mut leading = written.filter(|name| tree.leads_out(name));
        if let Some(name) = leading.next() {
            return Some(format!("{} leads out of the repository", shown(name)));
        }
        MANIFESTS.into_iter().find_map(|name| {
            let what = risk(&tree, name)?;
            Some(format!("{} {what}", shown(name)))
        })
    })
}

/// Describes the first setting of a manifest that needs leave.
fn risk(tree: &CloneFolder, manifest: &str) -> Option<String> {
    let Ok(manifest) = tree.jsonc(manifest) else {
        // Deno may understand more of it.
        return Some("cannot be parsed, and may let packages run scripts".to_owned());
    };
    let manifest = manifest?;
    let scripts = manifest.get("allowScripts");
    if scripts.is_some_and(|it| *it != Value::Bool(false)) {
        return Some("lets packages run scripts (`allowScripts`)".to_owned());
    }
    PATHS.into_iter().find_map(|pointer| {
        let values = manifest.pointer(pointer)?;
        let values = values
            .as_array()
            .map_or(std::slice::from_ref(values), Vec::as_slice);
        let mut paths = values.iter().filter_map(Value::as_str);
        let path = paths.find(|path| leads_out(tree, pointer, path))?;
        let key = pointer[1..].replace('/', ".");
        let path = quoting::value(path);
        Some(format!("sets `{key}` to {path}, outside of the repository"))
    })
}

fn leads_out(tree: &CloneFolder, pointer: &str, path: &str) -> bool {
    if pointer == "/importMap" && path.starts_with("https://") {
        return false;
    }
    let (fixed, pattern) =
        path.split_at(path.find(['*', '?', '[', '{', '!']).unwrap_or(path.len()));
    // Deno reads some of these paths as addresses, in which `%2e` is a dot.
    path.contains([':', '%', '\\']) || pattern.contains("..") || tree.leads_out(fixed)
}

fn is_script(tree: &CloneFolder, file: &str) -> bool {
    // A name with a leading `-` would be an option.
    if cleaned(file).is_none_or(|file| file.starts_with('-')) {
        return false;
    }
    let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
    tree.has(file) && ["ts", "tsx", "mts", "js", "mjs"].contains(&ending)
}

fn propose_file(
    tree: &CloneFolder,
    file: &str,
    options: Vec<String>,
    trust: ConfidenceLevel,
    reason: String,
    findings: &mut FolderFindings,
) {
    let Some(file) = cleaned(file) else { return };
    let prepare = vec![PrepareStep::Deno {
        entry: file.clone().into(),
        locked: tree.has("deno.lock"),
        scripts: needs_leave(tree),
    }];
    let mut args = vec![Argument::Text("run".to_owned())];
    args.extend(options.into_iter().map(Argument::Text));
    args.push(Argument::File(file.clone().into()));
    let plan = plan(prepare, "deno", args, &WATCH, reason);
    let texts = [Some(file.as_str()), Some(MANIFESTS[0]), Some(MANIFESTS[1])];
    let speaks = |file: &str| {
        let text = tree.text(file).unwrap_or_default();
        text.contains("@modelcontextprotocol/") || text.contains("npm:fastmcp")
    };
    findings.proposals.push(StartProposal {
        registry: "jsr",
        name: file.clone(),
        package: String::new(),
        trust,
        speaks_mcp: texts.into_iter().flatten().any(speaks),
        plan,
    });
}

#[cfg(test)]
mod tests {
    use std::fs;
    #[cfg(unix)]
    use std::os::unix::fs::symlink;

    use super::*;

    /// Returns the reason for leave in `sub` of a clone with a file at `path`.
    fn reason(path: &str, text: impl AsRef<[u8]>) -> Option<String> {
        let clone = tempfile::tempdir().unwrap();
        fs::create_dir_all(clone.path().join("sub")).unwrap();
        fs::write(clone.path().join(path), text).unwrap();
        needs_leave(&CloneFolder::new(clone.path(), "sub").unwrap())
    }

    #[test]
    fn a_manifest_that_cannot_be_read_as_a_whole_needs_leave() {
        let long = format!("{{}}{}\"", " ".repeat(256 * 1024));
        for text in [
            &b"{ \"allowScripts\": true"[..],
            b"{ \"name\": \"\xff\" }",
            long.as_bytes(),
        ] {
            for path in ["sub/deno.json", "deno.jsonc"] {
                let reason = reason(path, text).unwrap();
                assert!(
                    reason.starts_with(&format!("{path} cannot be parsed")),
                    "{reason}"
                );
            }
        }
    }

    #[test]
    fn paths_that_lead_out_need_leave() {
        for (name, value) in [
            ("lock", r#""../../deno.lock""#),
            ("lock", r#"{ "path": "/tmp/x.lock" }"#),
            ("lock", r#""file:///tmp/x""#),
            ("vendor", r#""../../x""#),
            ("nodeModulesDir", r#""/tmp/x""#),
            ("importMap", r#""%2e%2e/%2e%2e/x.json""#),
            ("importMap", r#""http://x.example/y""#),
            ("workspace", r#"["./a", "../../b"]"#),
            ("workspace", r#"{ "members": ["a/*/../../../../b"] }"#),
            ("links", r#"["../../b"]"#),
        ] {
            let reason = reason("sub/deno.json", format!("{{ \"{name}\": {value} }}")).unwrap();
            assert!(reason.contains(&format!("sets `{name}")), "{reason}");
        }
    }

    #[test]
    fn usual_manifests_need_no_leave() {
        let text = r#"{
            // The workspace.
            "lock": { "path": "../deno.lock", "frozen": true }, "vendor": true, "nodeModulesDir": "auto",
            "importMap": "./import_map.json", "workspace": ["./a", "./packages/*"], "allowScripts": false,
        }"#;
        assert_eq!(reason("sub/deno.json", text), None);
        let text = r#"{ "importMap": "https://x.example/map.json", "lock": false }"#;
        assert_eq!(reason("deno.jsonc", text), None);
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_out_need_leave() {
        let (clone, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(clone.path().join("a folder")).unwrap();
        fs::create_dir(clone.path().join("modules")).unwrap();
        let tree = CloneFolder::new(clone.path(), "a folder").unwrap();
        symlink("../modules", clone.path().join("a folder/node_modules")).unwrap();
        assert_eq!(needs_leave(&tree), None);
        for name in ["deno.json", "deno.lock", "node_modules", "vendor"] {
            for (folder, target) in [("", outside.path()), ("a folder", Path::new("../../none"))] {
                let link = clone.path().join(folder).join(name);
                let _ = fs::remove_file(&link);
                symlink(target, &link).unwrap();
                let reason = needs_leave(&tree).unwrap();
                let expected = format!(
                    "{name}{} leads out",
                    if folder.is_empty() { "" } else { "\"" }
                );
                assert!(reason.contains(&expected), "{reason}");
                fs::remove_file(link).unwrap();
            }
        }
    }
}
