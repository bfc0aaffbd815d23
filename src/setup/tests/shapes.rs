//! Files of clients in the styles of people and programs: the path below the home directory, and the text.

const MCP_JSON: &str = "project/.mcp.json";
const CURSOR: &str = ".cursor/mcp.json";
const VS_CODE: &str = "project/.vscode/mcp.json";
const DESKTOP: &str = ".config/Claude/claude_desktop_config.json";
const ZED: &str = ".config/zed/settings.json";
const CODEX: &str = ".codex/config.toml";

const GOOSE: &str = ".config/goose/config.yaml";
const CONTINUE: &str = ".continue/config.yaml";

/// Servers in JSON, each the value of an entry.
const ENTRIES: [&str; 12] = [
    r#"{"command":"npx","args":["-y","@acme/weather@latest"]}"#,
    r#"{ "command": "uv", "args": [ "run", "server.py" ], "env": { "API_KEY": "${KEY}" } }"#,
    "{\n      \"command\": \"uv\",\n      \"args\": [\n        \"--directory\",\n        \"/srv/weather\",\n        \"run\",\n        \"server.py\"\n      ],\n      \"env\": {\n        \"API_KEY\": \"k\"\n      }\n    }",
    "{\n\t\t\t\"args\": [\"server.js\"],\n\t\t\t\"command\": \"node\"\n\t\t}",
    r#"{"command": "docker", "args": ["run", "-i", "--rm", "-e", "TOKEN", "mcp/weather"], "env": {"TOKEN": "t"}}"#,
    r#"{"command": "./target/debug/weather"}"#,
    "{\n      // the binary\n      \"command\": \"./weather\" /* built by make */,\n      \"cwd\": \"/\" // anywhere\n    }",
    r#"{"command": "x", "args": []}"#,
    "{\"command\": \"x\", \"args\": [\n    ]}",
    "{\"command\": \"x\", \"args\": [ // none yet\n    ]}",
    "{\n      \"command\": \"bash\",\n      \"args\": [\"-c\", \"cd \\\"$HOME/a b\\\" && exec ./run\\n\"], // quoting\n      \"timeout\": 60000,\n    }",
    "{\"type\": \"stdio\",\n \"command\" : \"\\u0075v\" ,\n \"args\" : [\"run\"\n , \"server.py\"] }",
];

/// Files in JSON of which each `@` is an entry.
const FILES: [(&str, &str); 13] = [
    (MCP_JSON, "{\"mcpServers\":{\"weather\":@}}"),
    (
        MCP_JSON,
        "{\n  \"mcpServers\": {\n    \"weather\": @\n  }\n}\n",
    ),
    (
        CURSOR,
        "{\n  \"mcpServers\": {\n    \"far\": {\"url\": \"https://x.example/mcp\"},\n    \"weather\": @,\n    \"tickets\": @\n  }\n}\n",
    ),
    (
        VS_CODE,
        "// servers of this workspace\n{\n\t\"inputs\": [],\n\t\"servers\": {\n\t\t\"weather\": @, // own\n\t},\n}\n",
    ),
    (
        DESKTOP,
        "\u{feff}{\r\n  \"globalShortcut\": \"\",\r\n  \"mcpServers\": {\r\n    \"weather\": @\r\n  }\r\n}\r\n",
    ),
    (
        ZED,
        "// Zed settings\n{\n  \"theme\": \"One Dark\", \"vim_mode\": true,\n  \"context_servers\": {\n    \"weather\": @,\n  },\n  \"lsp\": {\"x\": {\"command\": [\"y\"]}},\n}\n",
    ),
    (
        ".gemini/settings.json",
        "{\"theme\": \"Dark\", \"mcp\": {\"allowed\": [\"weather\"]}, \"mcpServers\": {\"weather\": @}}\n",
    ),
    (
        ".copilot/mcp-config.json",
        "{\n  \"mcpServers\": {\n    \"weather\": @\n  }\n}",
    ),
    (
        ".codeium/windsurf/mcp_config.json",
        "{\n    \"mcpServers\": {\n        \"weather\": @\n    }\n}\n",
    ),
    (
        ".config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
        "{\n  \"mcpServers\": {\n    \"weather\": @\n  }\n}\n",
    ),
    (
        ".config/Code/User/settings.json",
        "{\n  // editor\n  \"editor.fontSize\": 13,\n  \"mcp\": {\"servers\": {\"my server.v2\": @}},\n}\n",
    ),
    (
        ".config/amp/settings.json",
        "{\"amp.mcpServers\": {\"weather\": @}, \"amp.url\": \"https://x/\"}",
    ),
    (
        ".claude.json",
        "{\n  \"numStartups\": 3,\n  \"projects\": {},\n  \"mcpServers\": {\n    \"weather\": @\n  },\n  \"tipsHistory\": {\"a\": 1}\n}",
    ),
];

/// Whole files with shapes of their own.
const WHOLE: [(&str, &str); 24] = [
    (
        "project/opencode.json",
        "{\n  \"$schema\": \"https://opencode.ai/config.json\",\n  \"mcp\": {\n    \"weather\": {\n      \"type\": \"local\",\n      \"command\": [\"uv\", \"run\", \"server.py\"],\n      \"environment\": {\"A\": \"1\"},\n      \"enabled\": true\n    }\n  }\n}\n",
    ),
    (
        ".config/opencode/opencode.jsonc",
        "{\"mcp\": {\"weather\": {\"type\": \"local\", \"command\": [\n  // program\n  \"x\", // first\n  \"y\",\n]}}}",
    ),
    (
        ZED,
        "{\"context_servers\": {\"weather\": {\"command\": {\"path\": \"x\", \"args\": [\"y\"], \"env\": null}, \"settings\": {}}}}",
    ),
    (
        ZED,
        "{\"context_servers\": {\"weather\": {\"source\": \"custom\", \"command\": {\n  \"path\": \"x\"\n}}, \"b\": {\"source\": \"extension\"}}}",
    ),
    (
        CODEX,
        "[mcp_servers.weather]\ncommand = \"uv\"\nargs = [\"run\", \"server.py\"]\n",
    ),
    (
        CODEX,
        "# Codex\nmodel = \"gpt-5\"\n\n[mcp_servers.weather] # own\ncommand = 'uv' # runner\nargs = [\n  \"run\", # verb\n  'server.py',\n]\nstartup_timeout_sec = 20\n\n[mcp_servers.weather.env]\nAPI_KEY = \"k\"\n\n[projects.\"/srv/x\"]\ntrust_level = \"trusted\"\n",
    ),
    (
        CODEX,
        "\u{feff}[mcp_servers.weather]\r\ncommand = \"x\"\r\n\r\n[tui]\r\ntheme = 1\r\n",
    ),
    (CODEX, "[mcp_servers.weather]\ncommand = \"x\""),
    (
        CODEX,
        "mcp_servers.weather.command = \"x\"\nmcp_servers.weather.args = []\n",
    ),
    (
        CODEX,
        "mcp_servers.\"my server\".command = \"x\" # no arguments\nmodel = \"m\"\n",
    ),
    (
        CODEX,
        "mcp_servers = { weather = { command = \"x\", args = [\"y\"] } }\n",
    ),
    (
        CODEX,
        "[mcp_servers]\nweather = { command = 'x' }\nother = {command='''y''',args=['z']}\n",
    ),
    (
        CODEX,
        "[mcp_servers.weather]\n\tenv = { A = \"1\" }\n\targs = []\n\tcommand = '''C:\\x y\\z'''\n",
    ),
    (
        "project/.codex/config.toml",
        "[mcp_servers.a]\ncommand = \"x\"\n[mcp_servers.b]\nurl = \"https://x.example/mcp\"\n[mcp_servers.c]\ncommand = \"y\"\nargs = [ \"--port\" , \"80\" ]\n",
    ),
    (
        ".config/Code/User/mcp.json",
        "{\n\t\"servers\": {\n\t\t\"weather\": {\n\t\t\t\"type\": \"stdio\",\n\t\t\t\"command\": \"node\",\n\t\t\t\"args\": [\n\t\t\t\t\"${workspaceFolder}/build/index.js\"\n\t\t\t],\n\t\t\t\"dev\": {}\n\t\t}\n\t},\n\t\"inputs\": []\n}",
    ),
    (
        ".lmstudio/mcp.json",
        "{ \"mcpServers\" : { \"größer ☂\" : { \"args\" : [ ] , \"command\" : \"x\" } } }",
    ),
    (
        GOOSE,
        "GOOSE_PROVIDER: anthropic\nextensions:\n  developer:\n    bundled: true\n    enabled: true\n    name: developer\n    timeout: 300\n    type: builtin\n  weather:\n    args:\n    - run\n    - server.py\n    bundled: null\n    cmd: uv\n    description: ''\n    enabled: true\n    env_keys: []\n    envs: {}\n    name: weather\n    timeout: 300\n    type: stdio\n",
    ),
    (
        GOOSE,
        "extensions:\n  weather: {type: stdio, cmd: x, args: [a, \"b c\"], enabled: true}\n",
    ),
    (
        GOOSE,
        "extensions: # all\n\n  weather: # own\n    cmd: 'x' # program\n    # arguments\n    args:\n\n      # first\n      - \"a\" # one\n      - b\n",
    ),
    (
        GOOSE,
        "---\nextensions:\n    weather:\n        cmd: x\n        args: []\n",
    ),
    (
        GOOSE,
        "\u{feff}extensions:\r\n  weather:\r\n    cmd: x\r\n    envs:\r\n      A: ☂\r\n",
    ),
    (
        CONTINUE,
        "name: me\nversion: 1.0.0\nschema: v1\nmodels:\n  - &m\n    name: a\n  - <<: *m\nrules:\n  - |\n    Be: brief\n    - always\nmcpServers:\n  - name: weather\n    command: npx\n    args:\n      - \"-y\"\n      - \"@acme/weather\"\n    env:\n      A: ${HOME:-x}\n  - name: far\n    type: sse\n    url: https://x.example/\n",
    ),
    (
        CONTINUE,
        "mcpServers:\n- command: x\n  name: \"my server\"\n",
    ),
    (
        CONTINUE,
        "{\"mcpServers\": [{\"name\": \"weather\", \"command\": \"x\", \"args\": [\"a\"]}]}\n",
    ),
];

/// Returns all shapes.
pub(super) fn all() -> Vec<(&'static str, String)> {
    let filled = FILES.iter().flat_map(|(path, text)| {
        ENTRIES.iter().map(move |entry| {
            // A file with Windows line endings has them everywhere.
            let entry = if text.contains("\r\n") {
                entry.replace('\n', "\r\n")
            } else {
                (*entry).to_owned()
            };
            (*path, text.replace('@', &entry))
        })
    });
    let whole = WHOLE.iter().map(|(path, text)| (*path, (*text).to_owned()));
    filled.chain(whole).collect()
}
