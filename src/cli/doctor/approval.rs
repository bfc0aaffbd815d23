//! Claude Code starts the servers of a project's `.mcp.json` only after the user has approved them. Its files record
//! the decisions.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::report::Finding;
use crate::setup::ClientEntries;

const CHECK: &str = "approval";

/// Returns findings about the approval of the project's servers; none if Claude Code has not been used here.
pub(super) fn findings(home: &Path, project: &Path, files: &[ClientEntries]) -> Vec<Finding> {
    let file = project.join(".mcp.json");
    let file = files.iter().find(|it| it.path == file);
    let Some(Ok(entries)) = file.map(|it| &it.entries) else {
        return Vec::new();
    };
    let read = |path| -> Option<Value> { serde_json::from_slice(&fs::read(path).ok()?).ok() };
    let own = files.iter().find(|it| it.path.ends_with(".claude.json"));
    let Some(own) = own.and_then(|it| read(it.path.clone())) else {
        return Vec::new();
    };
    let of_project = own["projects"].get(&*project.to_string_lossy());
    let settings = [
        home.join(".claude/settings.json"),
        project.join(".claude/settings.json"),
        project.join(".claude/settings.local.json"),
    ];
    let mut sources: Vec<Value> = settings.into_iter().filter_map(read).collect();
    sources.extend(of_project.cloned());
    let names = entries.iter().map(|entry| entry.name.as_str());
    names.filter_map(|name| finding(name, &sources)).collect()
}

/// Returns the finding about one server, unless it is approved.
fn finding(name: &str, sources: &[Value]) -> Option<Finding> {
    let is_listed = |key: &str| {
        let lists = sources.iter().filter_map(|it| it[key].as_array());
        lists.flatten().any(|it| it == name)
    };
    if is_listed("disabledMcpjsonServers") {
        let text = format!("server `{name}` of .mcp.json is rejected in Claude Code");
        let advice = "run `claude mcp reset-project-choices`, start `claude` here and approve it";
        return Some(Finding::problem(CHECK, text).advice(advice));
    }
    let all = |it: &Value| it["enableAllProjectMcpServers"] == true;
    if is_listed("enabledMcpjsonServers") || sources.iter().any(all) {
        return None;
    }
    let text = format!("server `{name}` of .mcp.json is not approved in Claude Code yet");
    let advice = "start `claude` here and approve it";
    Some(Finding::problem(CHECK, text).advice(advice))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::ConfigContext;

    fn files(home: &Path, project: &Path) -> Vec<ClientEntries> {
        crate::setup::entries(&ConfigContext {
            home: Some(home.to_owned()),
            cwd: project.to_owned(),
            ..ConfigContext::default()
        })
    }

    /// Returns the findings with these settings of the project in Claude Code's own file.
    fn with(settings: &Value) -> Vec<String> {
        let home = tempfile::tempdir().unwrap();
        let project = home.path().join("project");
        fs::create_dir(&project).unwrap();
        let entries = json!({"mcpServers": {"a": {"command": "x"}, "b": {"command": "x"}}});
        fs::write(project.join(".mcp.json"), entries.to_string()).unwrap();
        let mut own = json!({"projects": {}});
        own["projects"][project.to_str().unwrap()] = settings.clone();
        fs::write(home.path().join(".claude.json"), own.to_string()).unwrap();
        let files = files(home.path(), &project);
        let findings = findings(home.path(), &project, &files);
        findings.into_iter().map(|it| it.text).collect()
    }

    #[test]
    fn each_server_needs_an_approval() {
        assert_eq!(with(&json!({})).len(), 2);
        let some = with(&json!({"enabledMcpjsonServers": ["a"], "disabledMcpjsonServers": ["b"]}));
        assert_eq!(some, ["server `b` of .mcp.json is rejected in Claude Code"]);
        assert_eq!(with(&json!({"enableAllProjectMcpServers": true})), [""; 0]);
    }

    #[test]
    fn without_claude_code_nothing_needs_an_approval() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(".mcp.json"), "{}").unwrap();
        let files = files(home.path(), home.path());
        assert_eq!(findings(home.path(), home.path(), &files), []);
    }
}
