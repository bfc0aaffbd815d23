//! Definitions of the meta-tools as a model sees them.

use serde_json::{Map, Value, json};

use super::{
    ALL_TOOLS, AVAILABLE, CALL, INFO, INSTALL, INSTALL_AND_LOAD, INSTALLED, LOAD, LOADED, RELOAD,
    SEARCH, Set, UNINSTALL, UNLOAD,
};
use crate::mcp::Entry;

/// Effect of a tool, reported to the client as hints.
#[derive(Clone, Copy)]
enum ToolEffect {
    /// Reads data of the proxy.
    Reads,
    /// Starts or stops configured processes.
    Runs,
    /// Runs a server's tool or a repository's code, which may have any effect.
    Anything,
    /// Removes existing data.
    Removes,
}

/// Definition before serialization to JSON.
struct MetaToolDefinition {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    /// Parameters: name, schema, true if required.
    parameters: Vec<(&'static str, Value, bool)>,
    does: ToolEffect,
    /// Members of a successful result: names and JSON types. Empty if the result is that of a server's tool.
    gives: &'static [(&'static str, &'static str)],
}

/// Returns the definitions of `set`, in list order. With `several` servers, the server's name is required; the
/// installing tools are included only if there is a place `to_install` servers.
pub(super) fn of(set: Set, several: bool, to_install: bool) -> Vec<Entry> {
    let dev = [RELOAD, LOADED, INFO, CALL];
    let is_offered = |definition: &MetaToolDefinition| match set {
        Set::None => false,
        Set::Dev => dev.contains(&definition.name),
        Set::All => {
            to_install || ![INSTALL, INSTALL_AND_LOAD, UNINSTALL].contains(&definition.name)
        }
    };
    let all = servers(several)
        .into_iter()
        .chain(tools())
        .chain(installing());
    all.filter(is_offered)
        .map(MetaToolDefinition::entry)
        .collect()
}

fn servers(several: bool) -> Vec<MetaToolDefinition> {
    let server = if several {
        json!({ "type": "string", "description": "The server's name." })
    } else {
        json!({ "type": ["string", "null"], "default": null, "description": "The server's name (optional)." })
    };
    vec![
        MetaToolDefinition {
            name: RELOAD,
            title: "Reload server",
            description: "Restart an MCP server from its current source and keep the session. Needed only if no \
                watched file changed. Returns the added, removed and changed tools, or why the server does not start.",
            parameters: vec![("server_name", server.clone(), several)],
            does: ToolEffect::Runs,
            gives: &[
                ("message", "string"),
                ("tools", "array"),
                ("tool_count", "integer"),
                ("diff", "object"),
            ],
        },
        MetaToolDefinition {
            name: LOADED,
            title: "Loaded servers",
            description: "List the MCP servers loaded by this proxy: state, generation, tools, last reload, last \
                error.",
            parameters: vec![],
            does: ToolEffect::Reads,
            gives: &[("servers", "array"), ("count", "integer")],
        },
        MetaToolDefinition {
            name: LOAD,
            title: "Load server",
            description: "Start a configured MCP server and add its tools. Returns its tools, or why it does not \
                start. call_dynamic_server_tool loads a tool's server automatically.",
            parameters: vec![("server_name", server.clone(), several)],
            does: ToolEffect::Runs,
            gives: &[
                ("message", "string"),
                ("tools", "array"),
                ("tool_count", "integer"),
            ],
        },
        MetaToolDefinition {
            name: UNLOAD,
            title: "Unload server",
            description: "Stop an MCP server and remove its tools, after calls in flight have finished.",
            parameters: vec![("server_name", server, several)],
            does: ToolEffect::Runs,
            gives: &[("message", "string")],
        },
        MetaToolDefinition {
            name: AVAILABLE,
            title: "Available servers",
            description: "List all configured MCP servers, loaded or not, with their state.",
            parameters: vec![],
            does: ToolEffect::Reads,
            gives: &[
                ("servers", "array"),
                ("count", "integer"),
                ("details", "array"),
            ],
        },
        MetaToolDefinition {
            name: INSTALLED,
            title: "Installed servers",
            description: "List the command, path and names of environment variables of each configured MCP server.",
            parameters: vec![],
            does: ToolEffect::Reads,
            gives: &[
                ("servers", "array"),
                ("count", "integer"),
                ("config_file", "string"),
            ],
        },
    ]
}

fn tools() -> Vec<MetaToolDefinition> {
    let optional_server = json!({ "type": ["string", "null"], "default": null,
        "description": "The server's name; optional if only one server has the tool." });
    let tool = json!({ "type": "string", "description": "The tool's name." });
    vec![
        MetaToolDefinition {
            name: INFO,
            title: "Tool details",
            description: "Show a tool's current description and input schema, even if the tool was just added.",
            parameters: vec![
                ("tool_name", tool.clone(), true),
                ("server_name", optional_server.clone(), false),
            ],
            does: ToolEffect::Reads,
            gives: &[("tool", "object"), ("call_with", "string")],
        },
        MetaToolDefinition {
            name: CALL,
            title: "Call a tool by name",
            description: "Call any tool of any server by name, even if it is missing from your tool list because its \
                server is not loaded or the tool is new. Returns the tool's own result.",
            parameters: vec![
                ("server_name", optional_server, false),
                ("tool_name", tool, true),
                (
                    "parameters",
                    json!({ "type": ["object", "null"], "default": null, "description": "The tool's arguments." }),
                    false,
                ),
                (
                    "rehearse",
                    json!({ "type": ["boolean", "null"], "default": null, "description": "true: at each later reload, \
                        new code also answers this call before it goes live; get_loaded_servers shows what differs. \
                        Only for tools without effects. false: no longer." }),
                    false,
                ),
            ],
            does: ToolEffect::Anything,
            gives: &[],
        },
        MetaToolDefinition {
            name: SEARCH,
            title: "Search tools",
            description: "Find tools by a plain-text description of the task, best match first. Includes tools of \
                unloaded servers that were loaded before.",
            parameters: vec![
                (
                    "query",
                    json!({ "type": "string", "description": "Description of the task." }),
                    true,
                ),
                (
                    "max_results",
                    json!({ "type": "integer", "default": 10, "minimum": 1 }),
                    false,
                ),
            ],
            does: ToolEffect::Reads,
            gives: &[
                ("query", "string"),
                ("tools", "array"),
                ("count", "integer"),
                ("tip", "string"),
            ],
        },
        MetaToolDefinition {
            name: ALL_TOOLS,
            title: "All tools",
            description: "List the tools of all loaded servers with shortened descriptions.",
            parameters: vec![],
            does: ToolEffect::Reads,
            gives: &[
                ("tools", "array"),
                ("count", "integer"),
                ("servers", "array"),
                ("server_count", "integer"),
            ],
        },
    ]
}

/// Returns the parameters of both installing tools; `source` describes the repository. The rest is described once, in
/// the text of the first tool, since every word costs a model tokens.
fn sources(source: &str) -> Vec<(&'static str, Value, bool)> {
    let text = || json!({ "type": ["string", "null"] });
    let switch = |default: bool| json!({ "type": "boolean", "default": default });
    let variables =
        json!({ "type": ["object", "null"], "additionalProperties": { "type": "string" } });
    let source = json!({ "type": "string", "description": source });
    vec![
        ("git_url", source, true),
        ("server_name", text(), false),
        ("server_file", text(), false),
        ("env_vars", variables, false),
        ("requirements_file", text(), false),
        ("auto_detect", switch(true), false),
        ("overwrite", switch(false), false),
    ]
}

fn installing() -> Vec<MetaToolDefinition> {
    vec![
        MetaToolDefinition {
            name: INSTALL,
            title: "Install server from git",
            description: "Clone an MCP server, install its dependencies into a separate folder and add it to the \
                configuration. Runs code of the repository: use only sources that the user trusts. Name, start file \
                and Python requirements are detected unless given; overwrite replaces a server with the same name.",
            parameters: sources(
                "https://host/owner/repo, or owner/repo on GitHub; optionally followed by @branch, @tag or @commit, \
                 and #folder.",
            ),
            does: ToolEffect::Anything,
            gives: &[
                ("message", "string"),
                ("server_name", "string"),
                ("next_step", "string"),
            ],
        },
        MetaToolDefinition {
            name: INSTALL_AND_LOAD,
            title: "Install server from git and load it",
            description: "Like install_mcp_server_from_git, then start the server and add its tools.",
            parameters: sources("See install_mcp_server_from_git."),
            does: ToolEffect::Anything,
            gives: &[
                ("message", "string"),
                ("server_name", "string"),
                ("tools", "array"),
                ("tool_count", "integer"),
            ],
        },
        MetaToolDefinition {
            name: UNINSTALL,
            title: "Uninstall server",
            description: "Stop an MCP server and remove it from the configuration; delete_files also deletes its \
                installed files.",
            parameters: vec![
                (
                    "server_name",
                    json!({ "type": "string", "description": "The server's name." }),
                    true,
                ),
                (
                    "delete_files",
                    json!({ "type": "boolean", "default": false }),
                    false,
                ),
                (
                    "force",
                    json!({ "type": "boolean", "default": false, "description": "Also delete changed files." }),
                    false,
                ),
            ],
            does: ToolEffect::Removes,
            gives: &[("message", "string"), ("files_deleted", "boolean")],
        },
    ]
}

impl MetaToolDefinition {
    fn entry(self) -> Entry {
        let required: Vec<&str> = self
            .parameters
            .iter()
            .filter(|(_, _, required)| *required)
            .map(|(name, ..)| *name)
            .collect();
        let properties: Map<String, Value> = self
            .parameters
            .iter()
            .map(|(name, schema, _)| ((*name).to_owned(), schema.clone()))
            .collect();
        let hints = match self.does {
            ToolEffect::Reads => json!({ "readOnlyHint": true, "openWorldHint": false }),
            ToolEffect::Runs => {
                json!({ "readOnlyHint": false, "destructiveHint": false, "idempotentHint": true,
                "openWorldHint": false })
            }
            ToolEffect::Removes => {
                json!({ "readOnlyHint": false, "destructiveHint": true, "idempotentHint": true,
                "openWorldHint": false })
            }
            ToolEffect::Anything => {
                json!({ "readOnlyHint": false, "destructiveHint": true, "openWorldHint": true })
            }
        };
        let mut raw = json!({
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": { "type": "object", "properties": properties, "required": required,
                "additionalProperties": false },
            "annotations": hints,
            "_meta": { "anthropic/alwaysLoad": true },
        });
        if !self.gives.is_empty() {
            let mut members =
                json!({ "success": { "type": "boolean" }, "error": { "type": "string" } });
            for (name, kind) in self.gives {
                members[*name] = json!({ "type": kind });
            }
            raw["outputSchema"] =
                json!({ "type": "object", "properties": members, "required": ["success"] });
        }
        Entry {
            name: self.name.to_owned(),
            raw: raw.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
