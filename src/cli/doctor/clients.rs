//! Behaviour of clients that a developer should know.

use super::report::Finding;
use crate::config::ConfigContext;
use crate::config::edit::places_of;
use crate::setup::{ClientEntries, ClientEntry};

/// Clients that do not list the tools again after `tools/list_changed`.
const IGNORE_CHANGES: [&str; 2] = ["claude-desktop", "codex"];

/// Returns the findings about entries that the client itself restarts or debugs. `own` are its entries that run the
/// proxy.
pub(super) fn dev_modes(file: &ClientEntries, own: &[&ClientEntry]) -> Vec<Finding> {
    let entries = own.iter().filter(|entry| entry.has_dev_mode);
    let findings = entries.map(|entry| {
        let text = format!(
            "{} itself restarts entry `{}` on saves or debugs it (`dev`), which ends the session with mcp-proxy",
            file.client.title, entry.name
        );
        let advice = format!(
            "remove `dev` from the entry in {}; mcp-proxy reloads the server",
            file.path.display()
        );
        Finding::problem("client", text).advice(advice)
    });
    findings.collect()
}

/// Returns the findings about entries for which `mcp-proxy.toml` has settings that their command does not apply. `own`
/// are the entries of the file that run the proxy.
pub(super) fn settings(
    file: &ClientEntries,
    own: &[&ClientEntry],
    around: &ConfigContext,
) -> Vec<Finding> {
    let is_lost = |entry: &&&ClientEntry| {
        let mut words = entry.words.split(|word| word == "--");
        let (options, command) = (words.next(), words.next());
        let is_asked = |word: &String| word == "--server" || word.starts_with("--server=");
        let is_asked = options.is_some_and(|options| options.iter().any(is_asked));
        let files = places_of(around, &entry.name);
        command.is_some() && !is_asked && files.len() > 1 && files[0] == file.path
    };
    let findings = own.iter().filter(is_lost).map(|entry| {
        let name = &entry.name;
        let text = format!(
            "entry `{name}` in {} runs without the settings of `{name}` in mcp-proxy.toml",
            file.path.display()
        );
        let advice = format!("write `--server {name}` before `--` in the entry");
        Finding::problem("client", text).advice(advice)
    });
    findings.collect()
}

/// Returns the findings about a client that does not list tools again after a change. `own` are its entries that run
/// the proxy.
pub(super) fn lists(file: &ClientEntries, own: &[&ClientEntry]) -> Vec<Finding> {
    const CHECK: &str = "list_changed";
    let name = file.client.title;
    if !IGNORE_CHANGES.contains(&file.client.id) {
        return Vec::new();
    }
    let findings = own.iter().map(|entry| {
        let text = format!(
            "{name} ignores `tools/list_changed`: entry `{}` shows a new or changed tool in the next session only",
            entry.name
        );
        let mut words = entry.words.iter();
        let is_hidden = words.any(|word| word == "--meta-tools")
            && words.next().is_some_and(|word| word == "none");
        let is_hidden = is_hidden || entry.words.iter().any(|word| word == "--meta-tools=none");
        if is_hidden {
            let advice = "remove `--meta-tools none`: the tool `call_dynamic_server_tool` reaches new tools";
            Finding::problem(CHECK, text).advice(advice)
        } else {
            let advice = "tell the model to call a new tool through `call_dynamic_server_tool`";
            Finding::note(CHECK, text).advice(advice)
        }
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::Severity;
    use super::*;
    use crate::setup::entries;

    #[test]
    fn a_development_mode_of_the_client_is_told() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".vscode")).unwrap();
        let text = r#"{"servers": {"a": {"command": "mcp-proxy", "args": ["dev", "--", "x"], "dev": {"watch": "*.py"}},
            "b": {"command": "mcp-proxy", "args": ["dev", "--", "x"], "dev": {}}}}"#;
        std::fs::write(home.path().join(".vscode/mcp.json"), text).unwrap();
        let files = entries(&ConfigContext {
            home: Some(home.path().to_owned()),
            cwd: home.path().to_owned(),
            ..ConfigContext::default()
        });
        let own: Vec<_> = files[0].entries.as_ref().unwrap().iter().collect();
        let [finding] = &dev_modes(&files[0], &own)[..] else {
            panic!("{own:?}")
        };
        assert!(finding.severity == Severity::Problem && finding.text.contains("entry `a`"));
    }

    #[test]
    fn settings_that_an_entry_does_not_apply_are_told() {
        let home = tempfile::tempdir().unwrap();
        let text = r#"{"mcpServers": {
            "a": {"command": "mcp-proxy", "args": ["dev", "--", "x", "--server"]},
            "b": {"command": "mcp-proxy", "args": ["dev", "--server", "b", "--", "x"]},
            "c": {"command": "mcp-proxy", "args": ["dev", "--", "x"]}}}"#;
        std::fs::write(home.path().join(".mcp.json"), text).unwrap();
        let toml = "[servers.a]\nbuild = 'x'\n[servers.b]\nbuild = 'x'\n";
        std::fs::write(home.path().join("mcp-proxy.toml"), toml).unwrap();
        let around = ConfigContext {
            home: Some(home.path().to_owned()),
            cwd: home.path().to_owned(),
            ..ConfigContext::default()
        };
        let files = entries(&around);
        let own: Vec<_> = files[0].entries.as_ref().unwrap().iter().collect();
        let found = settings(&files[0], &own, &around);
        let advice: Vec<_> = found.iter().flat_map(|it| &it.advice).collect();
        assert_eq!(advice, ["write `--server a` before `--` in the entry"]);
    }

    #[test]
    fn a_client_that_lists_once_needs_the_proxys_tools() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".codex")).unwrap();
        let text = "[mcp_servers.a]\ncommand = 'mcp-proxy'\nargs = ['dev', '--meta-tools', 'none', '--', 'x']\n\
                    [mcp_servers.b]\ncommand = 'mcp-proxy'\nargs = ['serve']\n";
        std::fs::write(home.path().join(".codex/config.toml"), text).unwrap();
        let files = entries(&ConfigContext {
            home: Some(home.path().to_owned()),
            cwd: home.path().to_owned(),
            ..ConfigContext::default()
        });
        let entries: Vec<_> = files[0].entries.as_ref().unwrap().iter().collect();
        let findings = lists(&files[0], &entries);
        let severities: Vec<_> = findings.iter().map(|it| it.severity).collect();
        assert_eq!(severities, [Severity::Problem, Severity::Note]);
    }
}
