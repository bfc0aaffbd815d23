//! The proxy's own tools: their contract, through real clients, and faults that must never happen.
//!
//! `rows` is the contract tool by tool, over rmcp and the official Python and TypeScript SDKs (`real`). The
//! others speak as a raw client, which sees each byte and decides when it answers: `arguments`, `calls` on their way to a
//! server and back, `loading` of servers that misbehave, `configured` by files with faults, `finding` of tools,
//! `definitions` of the tools themselves, `one_server` of the command line, `installing` of servers from git.

mod arguments;
mod calls;
mod changes;
mod client;
mod configured;
mod definitions;
mod finding;
mod installing;
mod loading;
mod one_server;
mod real;
mod rows;
mod stage;

const ALL_TOOLS: &str = "list_all_tools";
const AVAILABLE: &str = "list_available_servers";
const CALL: &str = "call_dynamic_server_tool";
const INFO: &str = "get_tool_info";
const INSTALL: &str = "install_mcp_server_from_git";
const INSTALL_AND_LOAD: &str = "install_and_load_mcp_server";
const INSTALLED: &str = "list_installed_mcp_servers";
const LOAD: &str = "load_mcp_server_dynamically";
const LOADED: &str = "get_loaded_servers";
const RELOAD: &str = "reload_mcp_server";
const SEARCH: &str = "search_tools";
const UNINSTALL: &str = "uninstall_mcp_server";
const UNLOAD: &str = "unload_mcp_server";
