//! How the meta-tools present themselves to a model.

use serde_json::{Value, json};

use super::{CALL, INFO, LOADED, RELOAD};
use crate::mcp::Entry;

/// All definitions, in the order in which they are listed.
pub(super) fn all() -> Vec<Entry> {
    let server = json!({ "type": ["string", "null"], "default": null,
        "description": "The server's name; may be left out while there is only one." });
    let tool = json!({ "type": "string", "description": "The tool's name." });
    vec![
        entry(
            RELOAD,
            "Reload server",
            "Restart the MCP server from its current source now, without losing the session. Needed only when no \
             watched file changed. Tells which tools were added, removed or changed, or why the code does not start.",
            &json!({ "server_name": server }),
            &[],
            &json!({ "readOnlyHint": false, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false }),
        ),
        entry(
            LOADED,
            "Loaded servers",
            "Show the MCP server behind this proxy: state, generation, tools, last reload, last error.",
            &json!({}),
            &[],
            &json!({ "readOnlyHint": true, "openWorldHint": false }),
        ),
        entry(
            INFO,
            "Tool details",
            "Show one tool's newest description and input schema, also of a tool that was added a moment ago.",
            &json!({ "tool_name": tool }),
            &["tool_name"],
            &json!({ "readOnlyHint": true, "openWorldHint": false }),
        ),
        entry(
            CALL,
            "Call a tool by name",
            "Call any tool of the server by name, also one that is missing from your tool list because it was added \
             after you read it. Gives the tool's own result.",
            &json!({ "server_name": server, "tool_name": tool,
                "parameters": { "type": ["object", "null"], "default": null, "description": "The tool's arguments." } }),
            &["tool_name"],
            &json!({ "readOnlyHint": false, "destructiveHint": true, "openWorldHint": true }),
        ),
    ]
}

fn entry(
    name: &str,
    title: &str,
    description: &str,
    properties: &Value,
    required: &[&str],
    hints: &Value,
) -> Entry {
    let raw = json!({
        "name": name,
        "title": title,
        "description": description,
        "inputSchema": { "type": "object", "properties": properties, "required": required },
        "annotations": hints,
        "_meta": { "anthropic/alwaysLoad": true },
    });
    Entry {
        name: name.to_owned(),
        raw: raw.to_string(),
    }
}
