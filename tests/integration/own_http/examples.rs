//! Examples of the help topic, each with a save.

use std::ffi::OsString;

use serde_json::json;

use super::{OWN_PORT, Served};
use crate::harness::{
    DEADLINE, Project, ServerOn, eventually, example, initialize_params, peers, symlink,
};
use crate::real_clients::{AFTER, BEFORE};

const TOPIC: &str = include_str!("../../../src/cli/topics/http.md");
/// Application and program in one, whose path is not the most usual one when it runs itself.
const PYTHON: &str = r#"from fastmcp import FastMCP
mcp = FastMCP("own")
@mcp.tool
def mark() -> str:
    return "v0"
app = mcp.http_app()
if __name__ == "__main__":
    mcp.run(transport="http", port=0, path="/", show_banner=False)
"#;
/// Gives the port of the environment to a server that takes it as an argument.
const NODE: &str = "process.argv[2] = process.env.PORT;\nawait import('./ts_v1.mjs');\n";

/// Tools of the servers below.
const TOOLS: &str = r#"import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
const mark = () => ({ content: [{ type: 'text', text: "v0" }] });
function addTools(server) {
    server.registerTool('mark', {}, mark);
    server.registerTool('wait', {}, async () => {
        console.log('waiting');
        while (!existsSync('go')) await setTimeout(20);
        return mark();
    });
}
"#;
/// Server on the TypeScript SDK v1 and express, with sessions.
const EXPRESS: &str = r"import { randomUUID } from 'node:crypto';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';
const sessions = new Map();
async function begin() {
    const transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (id) => sessions.set(id, transport),
    });
    const server = new McpServer({ name: 'own', version: '1.0.0' });
    addTools(server);
    await server.connect(transport);
    return transport;
}
const app = express();
app.all('/mcp', async (request, response) => {
    const id = request.headers['mcp-session-id'];
    const transport = id === undefined ? await begin() : sessions.get(id);
    await (transport ? transport.handleRequest(request, response) : response.status(404).end());
});
app.listen(Number(process.env.PORT), '127.0.0.1');
";
/// Server on the TypeScript SDK v2 and hono, at an unusual path.
const HONO: &str = r"import { serve } from '@hono/node-server';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';
import { Hono } from 'hono';
const handler = createMcpHandler(() => {
    const server = new McpServer({ name: 'own', version: '1.0.0' });
    addTools(server);
    return server;
});
const app = new Hono();
app.all('/api/mcp', (context) => handler.fetch(context.req.raw));
serve({ fetch: app.fetch, port: Number(process.env.PORT), hostname: '127.0.0.1' });
";

/// Files of a project.
type Files = &'static [(&'static str, &'static str)];

/// Server on mcp-use.
const MCP_USE: Files = &[
    ("package.json", r#"{"type":"module"}"#),
    (
        "index.ts",
        r#"import { MCPServer } from 'mcp-use';
const server = new MCPServer({ name: 'own', version: '1.0.0' });
server.tool({ name: 'mark' }, async () => ({ content: [{ type: 'text', text: "v0" }] }));
export default server;
"#,
    ),
];
/// Server on xmcp; checking its types would take most of the time.
const XMCP: Files = &[
    ("package.json", r#"{"type":"module"}"#),
    ("tsconfig.json", "{}"),
    (
        "xmcp.config.ts",
        r"export default {
    http: { port: Number(process.env.PORT) },
    paths: { prompts: false, resources: false },
    typescript: { skipTypeCheck: true },
};
",
    ),
    (
        "src/tools/mark.ts",
        r#"export const metadata = { name: 'mark', description: 'Returns the version.' };
export default () => "v0";
"#,
    ),
];

/// Server on Next.js, whose packages lie outside of the project.
const NEXT: Files = &[
    ("package.json", r#"{"type":"module"}"#),
    (
        "next.config.js",
        "export default { turbopack: { root: '/' } };\n",
    ),
    (
        "app/api/mcp/route.js",
        r#"import { createMcpHandler } from 'mcp-handler';
const mark = () => ({ content: [{ type: 'text', text: "v0" }] });
const handler = createMcpHandler((server) => {
    server.registerTool('mark', {}, mark);
});
export { handler as GET, handler as POST };
"#,
    ),
];
const NEXT_OPTIONS: &[&str] = &["--env", "NEXT_TELEMETRY_DISABLED=1"];

/// Standbys have tests of their own, and import the SDK once more.
const WATCH: &[&str] = &["--watch", "*.*", "--no-warm"];

/// Starts a command of the topic, with its program found in `programs`.
#[track_caller]
fn start(project: Project, command: &str, url: &str, programs: &str, options: &[&str]) -> Served {
    let row = format!("`{command}`");
    assert!(TOPIC.contains(&row) && TOPIC.contains(url), "{row} {url}");
    let mut words: Vec<OsString> = command.split(' ').map(OsString::from).collect();
    if !programs.is_empty() {
        words[0] = peers().join(programs).join(&words[0]).into();
    }
    let served = Served::start(project, words, url, options);
    served.peer.initialize(&initialize_params()).result();
    served
}

#[test]
fn servers_in_python() {
    for (command, url) in [
        (
            "fastmcp run server.py --transport http --port {port}",
            OWN_PORT,
        ),
        ("uvicorn server:app --port {port}", OWN_PORT),
        ("python server.py", "auto"),
    ] {
        let project = Project::new();
        project.write("server.py", PYTHON);
        let served = start(project, command, url, "python/.venv/bin", WATCH);
        assert_eq!(served.mark(), "v0", "{command}");
        served.project.edit("server.py", "\"v0\"", "\"v1\"");
        eventually(DEADLINE, || served.mark() == "v1");
        served.log.until("reloaded", 1);
    }
}

#[test]
fn servers_on_express_and_hono() {
    for source in [EXPRESS, HONO] {
        let project = Project::new();
        project.write("server.mjs", &format!("{TOOLS}{source}"));
        // Its packages are those that the test needs.
        ServerOn::TypeScriptV1.command(&project);
        let served = start(project, "node server.mjs", "auto", "", WATCH);
        assert_eq!(served.mark(), "v0", "{source}");
        // Ends on the code that it has reached, beside calls to the saved code.
        let waiting = served.begin_wait("go", 1);
        served.project.edit("server.mjs", "\"v0\"", "\"v1\"");
        assert_eq!(served.mark(), "v1", "{source}");
        served.project.write("go", "");
        let waited = served.peer.await_response(waiting).tool_text();
        assert_eq!(waited, "v0", "{source}");
        served.log.until("reloaded", 1);
    }
}

/// Edits a server whose framework reloads it, and whose answer `"v0"` stands in the last of `files`.
#[track_caller]
fn reloads_itself(command: &str, packages: &str, files: Files, options: &[&str]) -> Served {
    let project = Project::new();
    for (name, text) in files {
        project.write(name, text);
    }
    let modules = peers().join(packages).join("node_modules");
    symlink(&modules, project.path("node_modules")).unwrap();
    let programs = format!("{packages}/node_modules/.bin");
    let served = start(project, command, "auto", &programs, options);
    let (source, _) = files.last().unwrap();
    assert_eq!(served.mark(), "v0", "{command}");
    served.project.edit(source, "\"v0\"", "\"v1\"");
    assert_eq!(served.mark(), "v1", "{command}: {}", served.log.text());
    served.log.until("reloaded", 1);
    served.project.edit(source, "\"v1\"", "\"v1");
    served.log.until("broken", 1);
    served
}

#[test]
fn frameworks_that_reload_themselves() {
    for (command, files, telemetry) in [
        (
            "mcp-use dev --no-open",
            MCP_USE,
            "MCP_USE_ANONYMIZED_TELEMETRY=false",
        ),
        ("xmcp dev", XMCP, "XMCP_TELEMETRY_DISABLED=true"),
    ] {
        let (source, _) = files.last().unwrap();
        let options = ["--watch", source, "--env", telemetry];
        let served = reloads_itself(command, "web", files, &options);
        // Both frameworks would go on with the former code.
        let told = served.mark();
        assert!(told.contains("the code before the save"), "{told}");
        served.project.edit(source, "\"v1", "\"v2\"");
        eventually(DEADLINE, || served.mark() == "v2");
        served.leaves_nothing();
    }
}

#[test]
fn a_server_on_next_js() {
    let served = reloads_itself("next dev", "next", NEXT, NEXT_OPTIONS);
    let told = served.mark();
    for part in ["/api/mcp with HTTP 500", "Unterminated string constant"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // The save that mends the code adds a tool, too.
    let (route, text) = NEXT.last().unwrap();
    let mended = text.replace("\"v0\"", "\"v2\"");
    let tool = "server.registerTool('mark', {}, mark);";
    let more = format!("{tool}\n{}", tool.replace("'mark'", "'more'"));
    served.project.save(route, &mended.replace(tool, &more));
    eventually(DEADLINE, || served.mark() == "v2");
    assert_eq!(served.peer.call("more", &json!({})).tool_text(), "v2");
    served.log.exactly("spawned", 1);
    served.leaves_nothing();
}

/// A compiler would take too long: in its place, `sed` changes the built program by the source.
#[cfg(unix)]
#[test]
fn a_server_in_rust() {
    let project = Project::new();
    project.write("src/main.rs", "");
    let program = example("rmcp_server");
    // Like a compiler, it replaces the file of a running program.
    let build = format!(
        "mkdir -p target/debug && LC_ALL=C sed -f src/main.rs '{}' > target/new && chmod +x target/new && \
         mv target/new target/debug/server",
        program.display()
    );
    let command = "target/debug/server {port}";
    assert!(TOPIC.contains("`--build 'cargo build'`"));
    let options = ["--watch", "src/**", "--build", &build];
    let served = start(project, command, OWN_PORT, "", &options);
    assert_eq!(served.description(), BEFORE);
    // A constant of the program keeps its length.
    let after = AFTER.trim_end_matches('.');
    let saved = format!("s/{}/{after}/\n", BEFORE.replace('.', "\\."));
    served.project.save("src/main.rs", &saved);
    served.log.until("reloaded", 1);
    assert_eq!(served.description(), after);
    let text = served.peer.call("echo", &json!({"text": "hi"})).tool_text();
    assert_eq!(text, "echo: hi");
}

#[test]
fn servers_in_typescript() {
    for (command, programs) in [
        ("node server.mjs", ""),
        ("tsx server.mjs", "node/node_modules/.bin"),
    ] {
        let project = Project::new();
        project.write("server.mjs", NODE);
        ServerOn::TypeScriptV1.command(&project);
        let served = start(project, command, "auto", programs, WATCH);
        assert_eq!(served.description(), BEFORE, "{command}");
        served.project.edit("ts_v1.mjs", BEFORE, AFTER);
        served.log.until("reloaded", 1);
        assert_eq!(served.description(), AFTER, "{command}");
        let text = served.peer.call("echo", &json!({"text": "hi"})).tool_text();
        assert_eq!(text, "echo: hi", "{command}");
    }
}
