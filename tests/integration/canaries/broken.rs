//! Files with mistakes beside a secret.

use super::{Canaries, run};
use crate::harness::Project;

/// Files with something wrong in them, each with a secret in place of `SEED`.
const BROKEN_JSON: [&str; 15] = [
    r#"{"mcpServers": {"a": {"command": "x", "env": {"K": "SEED"}"#,
    r#"{"mcpServers": {"a": {"command": "x", "env": {"K" "SEED"}}}}"#,
    r#"{"mcpServers": {"a": {"command": "x", "env": {"K": SEED}}}}"#,
    r#"{"mcpServers": {"a": {"command": "x", "env": "K=SEED"}}}"#,
    r#"{"mcpServers": {"a": {"command": "x", "env": ["K=SEED"]}}}"#,
    r#"{"mcpServers": {"a": {"command": "x", "args": ["--key" "SEED"]}}}"#,
    r#"{"mcpServers": {"a": {"command": 1, "args": ["--key", "SEED"], "headers": {"X": "SEED"}}}}"#,
    r#"{"mcpServers": {"a": {"url": "x://me:SEED@h"}}}"#,
    r#"{"mcpServers": {"a": {"url": "https://me:SEED@h:port/"}}}"#,
    r#"{"mcpServers": {"a": {"url": "https://h", "headers": {"X": "a\nSEED"}}}}"#,
    r#"{"mcpServers": {"a": {"command": "x", "env": {"K": {"v": "SEED"}}}}}"#,
    r#"{"mcpServers": {"a": {"command": "x", "env": {"K": "\xSEED"}}}}"#,
    r#"{"mcpServers": "SEED"}"#,
    r#""SEED""#,
    "SEED",
];
const BROKEN_TOML: [&str; 16] = [
    "[servers.a]\ncommand = 'x'\nenv = { K = \"SEED }\n",
    "[servers.a]\ncommand = 'x'\nenv = { K = SEED }\n",
    "[servers.a]\ncommand = 'x'\n[servers.a.env]\nK = SEED\n",
    "[servers.a]\ncommand = 'x'\n[servers.a.env]\nK \"SEED\"\n",
    "[servers.a]\ncommand = 'x'\n[servers.a.env]\nK = '1'\nK = \"SEED\"\n",
    "[servers.a]\ncommand = 'x'\nenv = ['K=SEED']\n",
    "[servers.a]\ncommand = 'x --api-key SEED'\n",
    "[servers.a]\ncommand = ['x', 'SEED']\n",
    "[servers.a]\ncommand = 'x'\nargs = '--key SEED'\n",
    "[servers.a]\ncommand = 'x'\nenv.K = \"\"\"\nSEED\\z\n\"\"\"\n",
    "[servers.a]\nurl = 'https://h'\nheaders = 'Authorization: Bearer SEED'\n",
    "[servers.a]\nurl = 'https://h/#SEED'\n",
    "[servers.a]\nurl = 'https://h'\nheaders = { 'a b' = 'SEED' }\n",
    "[servers.a]\ncommand = 'API_KEY=SEED npx x'\n",
    "[servers.a]\ncommand = 'x'\nenv.K = \"\"\"\nSEED ${NOT_SET_AT_ALL}\"\"\"\n",
    "SEED\n",
];

#[test]
fn no_broken_file_shows_a_secret() {
    let mut canaries = Canaries::default();
    let secret = canaries.put("a broken file");
    let json = BROKEN_JSON.map(|text| (".mcp.json", text));
    let toml = BROKEN_TOML.map(|text| ("mcp-proxy.toml", text));
    for (name, text) in json.into_iter().chain(toml) {
        let project = Project::new();
        project.write(name, &text.replace("SEED", &secret));
        for words in [&["config", "show"][..], &["list", "--json"], &["check"]] {
            let said = run(&project, &[], words);
            canaries.are_not_in(&said, &format!("{} of {text}", words.join(" ")));
        }
    }
}
