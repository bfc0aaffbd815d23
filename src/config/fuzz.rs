//! Fuzz target for hostile and broken configuration files.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::edit::{self, NewServer};
use super::{ConfigContext, load};

/// Files that receive the input, each with the configuration file named by the user.
const FILES: [(&str, Option<&str>); 6] = [
    ("mcp-proxy.toml", None),
    (".mcp.json", None),
    (".vscode/mcp.json", Some(".vscode/mcp.json")),
    (".codex/config.toml", Some(".codex/config.toml")),
    ("any.json", Some("any.json")),
    ("server.env", None),
];
/// Configuration that names the env file.
const WITH_FILE: &str =
    "servers.a = { command = \"x\", args = [\"${A}${B}${C}\"], envFile = \"server.env\" }";
/// Value of a variable; no output may contain it.
const SECRET: &str = "canary-7f3a9c52e1";

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// Loads and edits a configuration file. The first byte of `data` selects the file, the rest is its content.
pub fn configuration(data: &[u8]) {
    let [which, text @ ..] = data else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let (name, explicit) = FILES[usize::from(*which) % FILES.len()];
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir().expect("a folder"));
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(&file, text).expect("a file");
        let own = folder.path().join("mcp-proxy.toml");
        if name == "server.env" {
            fs::write(&own, WITH_FILE).expect("a file");
        }
        read(folder.path(), explicit);
        if name != "server.env" {
            written(&file, text);
        }
        fs::remove_file(&file).expect("the file");
        let _ = fs::remove_file(own);
    });
}

/// Loads the file; no fault, note or display contains the value of a variable.
fn read(folder: &Path, explicit: Option<&str>) {
    let variables = [("A", "1"), ("B", ""), ("SECRET", SECRET)];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let loaded = load(&ConfigContext {
        explicit: explicit.map(Into::into),
        cwd: folder.to_owned(),
        home: Some(folder.to_owned()),
        variables: variables.into(),
        ..ConfigContext::default()
    });
    let faults = loaded.faults.iter().map(ToString::to_string);
    let shown = [loaded.shown.toml(true), loaded.shown.json(true).to_string()];
    for said in faults.chain(loaded.notes).chain(shown) {
        assert!(!said.contains(SECRET), "{said}");
    }
}

/// Adds a server to the file and removes it again; the file must be unchanged.
fn written(file: &Path, text: &str) {
    let server = NewServer {
        command: "uv".to_owned(),
        args: vec!["run".to_owned(), "a \"b\"\u{7f}.py".to_owned()],
        env: vec![("API.KEY".to_owned(), "${KEY:-}".to_owned())],
        ..NewServer::default()
    };
    let read = || fs::read_to_string(file).expect("the file");
    if edit::add(file, "added", &server, None).is_err() {
        return assert_eq!(read(), text);
    }
    // A blank JSON file keeps the object that `add` created.
    let is_blank = text.trim_start_matches('\u{feff}').trim().is_empty();
    let with = read();
    let removed = edit::remove(file, "added", |_| Ok(()));
    assert!(matches!(removed, Ok(Some(()))), "{removed:?} from\n{with}");
    assert!(is_blank || read() == text, "after removing it from\n{with}");
}
