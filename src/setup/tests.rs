//! Whole files of clients: wrapped, undone, changed meanwhile.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::*;
use crate::config::ConfigContext;
use crate::state::{StateDirectory, StateFolder};

mod at_once;
mod clients;
mod combining;
mod shapes;

/// User with a home directory, a project in it, and a state directory.
struct User {
    folder: tempfile::TempDir,
}

impl User {
    fn new() -> Self {
        let user = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(user.path("home/project/.git")).unwrap();
        user
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Returns a user with one file below the home directory, and its path.
    fn with(relative: &str, text: &str) -> (Self, PathBuf) {
        let user = Self::new();
        let path = user.path("home").join(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        (user, path)
    }

    fn around(&self) -> ConfigContext {
        ConfigContext {
            cwd: self.path("home/project"),
            home: Some(self.path("home")),
            variables: [("KEY".to_owned(), "k".to_owned())].into(),
            program: Some(PathBuf::from("/opt/bin/mcp-proxy")),
            users: vec![rustix::process::geteuid().as_raw()],
            ..ConfigContext::default()
        }
    }

    fn plan(&self, selection: &Selection) -> Plan {
        plan(&self.around(), selection)
    }

    fn wrap(&self) -> Result<(), SetupError> {
        let plan = self.plan(&Selection::default());
        self.wrap_all(&plan)
    }

    /// Wraps the proposals; returns the first error.
    fn wrap_all(&self, plan: &Plan) -> Result<(), SetupError> {
        let (_, errors) = wrap(&plan.proposals, &self.records_folder());
        errors.into_iter().next().map_or(Ok(()), Err)
    }

    fn records_folder(&self) -> StateFolder {
        StateDirectory::at(self.path("state"))
            .folder(RECORDS)
            .unwrap()
    }

    fn undo_all(&self, keep_changes: bool) -> Vec<Result<Restored, UndoError>> {
        let folder = self.records_folder();
        let records = records(&folder).unwrap().known;
        let outcomes = records
            .iter()
            .map(|record| undo(record, &folder, keep_changes));
        outcomes.collect()
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Wraps the first server that `text` has; asserts that undo restores each byte.
#[track_caller]
fn round_trip(relative: &str, text: &str) {
    let (user, path) = User::with(relative, text);
    let mode = fs::Permissions::from_mode(0o640);
    fs::set_permissions(&path, mode).unwrap();
    let plan = user.plan(&Selection::default());
    let skipped: Vec<&str> = plan.skipped.iter().map(|it| it.why.as_str()).collect();
    assert!(
        !plan.proposals.is_empty(),
        "{relative}: {text}\n{skipped:?} {:?}",
        plan.faults
    );
    let (done, errors) = wrap(&plan.proposals, &user.records_folder());
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(done.len(), plan.proposals.len());
    let after = read(&path);
    assert!(
        after != text && after.contains("/opt/bin/mcp-proxy"),
        "{after}"
    );
    let again = user.plan(&Selection::default());
    assert_eq!(again.proposals.len(), 0, "{after}");

    // A change at the end of the file survives an undo of the servers alone.
    fs::write(&path, after.clone() + "\n").unwrap();
    assert!(matches!(
        user.undo_all(false)[..],
        [Err(UndoError::Changed(_))]
    ));
    let folder = user.records_folder();
    let record = &records(&folder).unwrap().known[0];
    let restored = undo(record, &folder, true).unwrap();
    assert!(matches!(&restored, Restored::Servers(servers) if servers.len() == done.len()));
    assert_eq!(read(&path), format!("{text}\n"), "from\n{after}");

    fs::write(&path, text).unwrap();
    user.wrap().unwrap();
    assert_eq!(read(&path), after);
    assert_eq!(user.undo_all(false)[0].as_ref().unwrap(), &Restored::File);
    assert_eq!(read(&path), text, "from\n{after}");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(records(&folder).unwrap().known.is_empty());
    assert_eq!(
        fs::read_dir(path.parent().unwrap())
            .unwrap()
            .filter(|it| {
                it.as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .contains("mcp-proxy-new")
            })
            .count(),
        0
    );
}

#[test]
fn undo_restores_each_byte_that_setup_changed() {
    let shapes = shapes::all();
    assert!(shapes.len() >= 40, "{}", shapes.len());
    for (relative, text) in shapes {
        round_trip(relative, &text);
    }
}

const PROJECT: &str = "project/.mcp.json";
const ONE: &str =
    "{\n  \"mcpServers\": {\n    \"a\": {\"command\": \"x\", \"args\": [\"y\"]}\n  }\n}\n";

#[test]
fn entries_that_need_no_wrapping_are_told_and_left() {
    let text = r#"{"mcpServers": {"own": {"command": "mcp-proxy", "args": ["dev", "--", "x"]},
        "far": {"url": "https://x.example/"}, "off": {"command": "x", "disabled": true}, "odd": {},
        "unset": {"command": "x", "env": {"A": "${NO}"}}, "input": {"command": "x", "args": ["${input:k}"]}}}"#;
    let (user, path) = User::with(".cursor/mcp.json", text);
    let plan = user.plan(&Selection::default());
    assert!(plan.proposals.is_empty());
    let skipped = plan.skipped.iter().map(|it| {
        let why = it.why.lines().next().unwrap();
        format!("{} {why} {}", it.name, it.is_fault)
    });
    let skipped: Vec<String> = skipped.collect();
    assert_eq!(
        skipped,
        [
            "own already runs through mcp-proxy false",
            "far has an address, and setup wraps commands only false",
            "off is disabled in the client false",
            "odd has no command that setup can wrap false",
            "unset variable `NO` is not set true",
            "input VS Code prompts for this value, mcp-proxy cannot true",
        ]
    );
    user.wrap().unwrap();
    assert_eq!(read(&path), text);
    assert!(user.undo_all(false).is_empty());
}

#[test]
fn servers_clients_and_scopes_are_selected() {
    let (user, _) = User::with(PROJECT, ONE);
    let cursor = user.path("home/.cursor");
    fs::create_dir(&cursor).unwrap();
    let two = r#"{"mcpServers": {"a": {"command": "x"}, "b": {"command": "x"}}}"#;
    fs::write(cursor.join("mcp.json"), two).unwrap();
    let claude = format!(
        "{{\"mcpServers\": {{\"u\": {{\"command\": \"x\"}}}}, \"projects\": {{{:?}: {{\"mcpServers\": {{\"l\": {{\"command\": \"x\"}}}}}}}}}}",
        user.path("home/project")
    );
    fs::write(user.path("home/.claude.json"), claude).unwrap();
    let found = |servers: &[&str], clients: &[&str], scope| {
        let owned = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        let plan = user.plan(&Selection {
            servers: owned(servers),
            clients: owned(clients),
            scope,
            combines: false,
        });
        let found = plan.proposals.iter();
        let found: Vec<String> = found
            .map(|it| format!("{}:{}", it.client.id, it.entry.name))
            .collect();
        found.join(" ")
    };
    let all = "claude-code:u cursor:a cursor:b claude-code:a claude-code:l";
    assert_eq!(found(&[], &[], None), all);
    assert_eq!(found(&["a"], &[], None), "cursor:a claude-code:a");
    assert_eq!(found(&[], &["cursor"], None), "cursor:a cursor:b");
    assert_eq!(
        found(&[], &[], Some(Scope::Project)),
        "claude-code:a claude-code:l"
    );
    assert_eq!(found(&["a"], &["cursor"], Some(Scope::Project)), "");
    user.wrap().unwrap();
    assert_eq!(found(&[], &[], None), "");
    assert_eq!(user.undo_all(false).len(), 3);
    assert_eq!(found(&[], &[], None), all);
}

#[test]
fn a_file_is_edited_behind_its_symlink() {
    let (user, real) = User::with("dotfiles/mcp", ONE);
    let link = user.path("home/.cursor/mcp.json");
    fs::create_dir(link.parent().unwrap()).unwrap();
    symlink("../dotfiles/mcp", &link).unwrap();
    user.wrap().unwrap();
    assert!(fs::read_link(&link).is_ok() && read(&real).contains("mcp-proxy"));
    user.undo_all(false).remove(0).unwrap();
    assert!(fs::read_link(&link).is_ok());
    assert_eq!(read(&real), ONE);
}

#[test]
fn a_read_only_file_is_refused_and_leaves_no_record() {
    let (user, path) = User::with(PROJECT, ONE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let error = user.wrap().unwrap_err().to_string();
    assert!(
        error.ends_with("/project/.mcp.json is read-only"),
        "{error}"
    );
    assert_eq!(read(&path), ONE);
    assert!(records(&user.records_folder()).unwrap().known.is_empty());
}

#[test]
fn a_file_that_cannot_be_edited_does_not_stop_the_others() {
    let (user, path) = User::with(".cursor/mcp.json", ONE);
    let other = user.path("home").join(PROJECT);
    fs::write(&other, ONE).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let error = user.wrap().unwrap_err().to_string();
    assert!(error.ends_with("mcp.json is read-only"), "{error}");
    assert!(read(&other).contains("mcp-proxy"));
    assert_eq!(read(&path), ONE);
    assert_eq!(records(&user.records_folder()).unwrap().known.len(), 1);
}

#[test]
fn a_broken_file_is_reported_and_the_others_are_found() {
    let (user, broken) = User::with(".cursor/mcp.json", "{\"mcpServers\": {,}}");
    fs::write(user.path("home/project/.mcp.json"), ONE).unwrap();
    let plan = user.plan(&Selection::default());
    assert_eq!((plan.proposals.len(), plan.faults.len()), (1, 1));
    assert!(plan.faults[0].to_string().contains("mcp.json:1:17"));
    // As a redirection of PowerShell writes it.
    fs::write(&broken, [0xFF, 0xFE, b'{', 0, b'}', 0]).unwrap();
    let plan = user.plan(&Selection::default());
    assert!(
        plan.faults[0]
            .to_string()
            .contains("it is not UTF-8; save it")
    );
    fs::write(&broken, "{\"mcpServers\": {,}}").unwrap();
    user.wrap().unwrap();
    assert_eq!(read(&broken), "{\"mcpServers\": {,}}");
}

#[test]
fn edits_of_one_file_are_undone_in_reverse_order() {
    let text = r#"{"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}}}"#;
    let (user, path) = User::with(PROJECT, text);
    for name in ["a", "b"] {
        let servers = vec![name.to_owned()];
        let plan = user.plan(&Selection {
            servers,
            ..Selection::default()
        });
        user.wrap_all(&plan).unwrap();
    }
    let folder = user.records_folder();
    let all = records(&folder).unwrap().known;
    assert_eq!(all[0].servers[0].entry.name, "b");
    // The older edit alone can only be taken out of the newer text.
    assert!(matches!(
        undo(&all[1], &folder, false),
        Err(UndoError::Changed(_))
    ));
    assert_eq!(
        user.undo_all(false)
            .into_iter()
            .map(Result::unwrap)
            .collect::<Vec<_>>(),
        [Restored::File, Restored::File]
    );
    assert_eq!(read(&path), text);
}

#[test]
fn a_server_that_was_changed_or_removed_since_stays_so() {
    let text =
        r#"{"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}, "c": {"command": "z"}}}"#;
    let (user, path) = User::with(PROJECT, text);
    user.wrap().unwrap();
    let edited = r#"{"mcpServers": {"new": {"url": "http://x/"},
        "b": {"command": "/opt/bin/mcp-proxy", "args": ["dev", "--", "y", "more"], "env": {"A": "1"}}, "c": {"command": "w"}}}"#;
    fs::write(&path, edited).unwrap();
    let outcomes = user.undo_all(true);
    assert!(matches!(&outcomes[0], Ok(Restored::Servers(servers)) if servers == &["b"]));
    let expected = edited
        .replace("\"/opt/bin/mcp-proxy\"", "\"y\"")
        .replace("\"dev\", \"--\", \"y\", ", "");
    assert_eq!(read(&path), expected);
    assert!(user.undo_all(false).is_empty());
}

#[test]
fn options_and_another_path_of_the_proxy_are_taken_out_too() {
    let (user, path) = User::with(
        PROJECT,
        r#"{"mcpServers": {"b": {"command": "y", "args": ["1"]}}}"#,
    );
    user.wrap().unwrap();
    let edited = r#"{"mcpServers": {"b": {"command": "/new/mcp-proxy", "args": ["dev", "--watch", "src", "--", "y", "1"]}}}"#;
    fs::write(&path, edited).unwrap();
    let outcomes = user.undo_all(true);
    assert!(matches!(&outcomes[0], Ok(Restored::Servers(servers)) if servers == &["b"]));
    let expected = r#"{"mcpServers": {"b": {"command": "y", "args": ["1"]}}}"#;
    assert_eq!(read(&path), expected);
}

#[test]
fn a_server_that_cannot_be_unwrapped_keeps_its_record() {
    let (user, path) = User::with(PROJECT, ONE);
    user.wrap().unwrap();
    let edited = read(&path).replace("\"--\", ", "");
    fs::write(&path, &edited).unwrap();
    for _ in 0..2 {
        assert!(matches!(
            user.undo_all(true)[..],
            [Err(UndoError::StillWrapped { .. })]
        ));
    }
    assert_eq!(read(&path), edited);
}

#[test]
fn a_file_that_is_gone_is_refused_and_can_be_forgotten() {
    let (user, path) = User::with(PROJECT, ONE);
    user.wrap().unwrap();
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        user.undo_all(false)[..],
        [Err(UndoError::Gone(_))]
    ));
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert!(matches!(
        user.undo_all(false)[..],
        [Err(UndoError::Gone(_))]
    ));
    assert!(matches!(&user.undo_all(true)[..], [Ok(Restored::Servers(none))] if none.is_empty()));
    assert!(!path.exists() && user.undo_all(false).is_empty());
}

#[test]
fn an_edit_that_never_happened_is_undone_in_silence() {
    let (user, path) = User::with(PROJECT, ONE);
    user.wrap().unwrap();
    fs::write(&path, ONE).unwrap();
    assert_eq!(user.undo_all(false).remove(0).unwrap(), Restored::File);
    assert_eq!(read(&path), ONE);
}

#[test]
fn a_record_of_another_version_is_told_and_does_not_hide_the_others() {
    let (user, path) = User::with(PROJECT, ONE);
    user.wrap().unwrap();
    let folder = user.records_folder();
    let name = folder.names().unwrap().remove(0);
    let text = read(&folder.file(&name));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(folder.path()), mode(&folder.file(&name))),
        (0o700, 0o600)
    );
    fs::write(
        folder.file(&name),
        text.replace("\"version\": 1", "\"version\": 2"),
    )
    .unwrap();
    folder.write("0.json", b"{").unwrap();
    let found = records(&folder).unwrap();
    let errors: Vec<String> = found.unreadable.iter().map(ToString::to_string).collect();
    assert!(
        errors[0].contains(&name) && errors[0].contains("another version"),
        "{errors:?}"
    );
    assert!(
        errors[1].contains("0.json") && errors.len() == 2,
        "{errors:?}"
    );
    assert!(found.known.is_empty() && read(&path).contains("mcp-proxy"));
    fs::write(folder.file(&name), text).unwrap();
    assert_eq!(user.undo_all(false).remove(0).unwrap(), Restored::File);
    assert_eq!(read(&path), ONE);
}

#[test]
fn a_server_that_changes_before_the_edit_is_an_error() {
    let (user, path) = User::with(PROJECT, ONE);
    let plan = user.plan(&Selection::default());
    fs::write(&path, ONE.replace("\"y\"", "\"z\"")).unwrap();
    let error = user.wrap_all(&plan).unwrap_err();
    assert!(matches!(error, SetupError::Changed { .. }), "{error}");
    assert!(records(&user.records_folder()).unwrap().known.is_empty());
}
