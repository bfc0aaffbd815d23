//! How long a save takes to be listed with a process that waits for it and without one, beside the
//! server's own start, for servers on the real SDKs.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::http::Site;
use super::link::Link;
use super::own_http::{URL, free_port};
use super::rows::{Bench, Variant};
use super::table::Compare;

const ROUNDS: usize = 5;
/// How many edits in quick succession, and how many ms apart: one tool that writes many files, and many writes
/// of which each is a save of its own.
const FLURRIES: [(usize, u64); 5] = [(1, 0), (5, 20), (20, 20), (5, 100), (20, 100)];
/// As an agent makes edits, and faster.
const QUICK: [(usize, u64); 3] = [(6, 1500), (6, 500), (6, 100)];

/// A server whose only tool has the number that stands in its source as `0000`.
struct Kind {
    name: &'static str,
    source: &'static str,
    text: &'static str,
    command: &'static [&'static str],
}

const TS_V1: &str = "import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { z } from 'zod';
const server = new McpServer({ name: 'x', version: '1' });
server.registerTool('tool-0000', { inputSchema: { text: z.string() } }, async () => ({ content: [] }));
await server.connect(new StdioServerTransport());
";
const TS_V2: &str = "import { McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';
serveStdio(() => {
    const server = new McpServer({ name: 'x', version: '1' });
    server.registerTool('tool-0000', { inputSchema: z.object({ text: z.string() }) }, async () => ({ content: [] }));
    return server;
});
";
const KINDS: [Kind; 6] = [
    Kind {
        name: "FastMCP",
        source: "fast.py",
        text: "from fastmcp import FastMCP
mcp = FastMCP('x')
@mcp.tool(name='tool-0000')
def tool(text: str) -> str:
    return text
mcp.run('stdio', show_banner=False)
",
        command: &["python", "fast.py"],
    },
    Kind {
        name: "Python SDK",
        source: "mcp_server.py",
        text: "from mcp.server.mcpserver import MCPServer
mcp = MCPServer('x')
@mcp.tool(name='tool-0000')
def tool(text: str) -> str:
    return text
mcp.run('stdio')
",
        command: &["python", "mcp_server.py"],
    },
    Kind {
        name: "TS v1, node",
        source: "v1.mjs",
        text: TS_V1,
        command: &["node", "v1.mjs"],
    },
    Kind {
        name: "TS v2, node",
        source: "v2.mjs",
        text: TS_V2,
        command: &["node", "v2.mjs"],
    },
    Kind {
        name: "TS v1, tsx",
        source: "v1.mts",
        text: TS_V1,
        command: &["node_modules/.bin/tsx", "v1.mts"],
    },
    Kind {
        name: "TS v2, tsx",
        source: "v2.mts",
        text: TS_V2,
        command: &["node_modules/.bin/tsx", "v2.mts"],
    },
];

const HTTP_KINDS: [Kind; 2] = [
    Kind {
        name: "FastMCP over HTTP",
        source: "fast_http.py",
        text: "import sys
from fastmcp import FastMCP
mcp = FastMCP('x')
@mcp.tool(name='tool-0000')
def tool(text: str) -> str:
    return text
mcp.run('http', port=int(sys.argv[1]), stateless_http=True, json_response=True, show_banner=False)
",
        command: &["python", "fast_http.py", "{port}"],
    },
    Kind {
        name: "TS v1, express",
        source: "express.mjs",
        text: "import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';
import { z } from 'zod';
const app = express();
app.use(express.json());
app.post('/mcp', async (request, response) => {
    const server = new McpServer({ name: 'x', version: '1' });
    server.registerTool('tool-0000', { inputSchema: { text: z.string() } }, async () => ({ content: [] }));
    const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true });
    await server.connect(transport);
    await transport.handleRequest(request, response, request.body);
});
app.all('/mcp', (_, response) => response.status(405).end());
app.listen(Number(process.argv[2]), '127.0.0.1');
",
        command: &["node", "express.mjs", "{port}"],
    },
];

impl Kind {
    fn serves_http(&self) -> bool {
        self.command.contains(&"{port}")
    }
}

impl Bench {
    /// From the last save to its tool's being listed.
    pub(crate) fn warm(&mut self) -> io::Result<()> {
        self.reloads(&KINDS, &FLURRIES)
    }

    /// As [`warm`](Self::warm), for a server that is saved again before the next process can be ready.
    pub(crate) fn quick(&mut self) -> io::Result<()> {
        self.reloads(&KINDS[..1], &QUICK)
    }

    /// As [`warm`](Self::warm), for single saves of servers over HTTP.
    pub(crate) fn warm_http(&mut self) -> io::Result<()> {
        self.reloads(&HTTP_KINDS, &FLURRIES[..1])
    }

    fn reloads(&mut self, kinds: &[Kind], flurries: &[(usize, u64)]) -> io::Result<()> {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
        let modules = self.path("node_modules");
        if !modules.is_symlink() {
            symlink(peers.join("node/node_modules"), modules)?;
        }
        let python = peers.join("python/.venv/bin/python");
        if !python.exists() {
            self.table
                .note("warm rows skipped: run tests/peers/install".to_owned());
            return Ok(());
        }
        for kind in kinds {
            let mut command: Vec<_> = kind
                .command
                .iter()
                .map(|word| Path::new(word).to_owned())
                .collect();
            if kind.command[0] == "python" {
                command[0].clone_from(&python);
            }
            for flurry in flurries {
                for options in [&["--no-warm"][..], &[]] {
                    self.reload(kind, &command, *flurry, options)?;
                }
            }
        }
        Ok(())
    }

    fn reload(
        &mut self,
        kind: &Kind,
        command: &[PathBuf],
        (edits, apart): (usize, u64),
        options: &[&str],
    ) -> io::Result<()> {
        let (how, aim) = match options {
            [] if QUICK.contains(&(edits, apart)) => ("warm", "at most 150 ms after a save"),
            [] => ("warm", "debounce + 60 ms"),
            _ => ("cold", ""),
        };
        let times = if edits == 1 {
            "1 edit".to_owned()
        } else {
            format!("{edits} edits {apart} ms apart")
        };
        let name = format!("{}, {times}, {how}, ms", kind.name);
        let write = |number: usize| {
            fs::write(
                self.path(kind.source),
                kind.text.replace("0000", &format!("{number:04}")),
            )
        };
        write(0)?;
        let log = self.path("warm.ndjson");
        let _ = fs::remove_file(&log);
        let mut proxy = self.here(env!("CARGO_BIN_EXE_mcp-proxy"));
        proxy.args([
            "dev",
            "--meta-tools",
            "none",
            "--log-format",
            "json",
            "--watch",
            kind.source,
            "--log",
        ]);
        proxy.arg(&log).args(options);
        if kind.serves_http() {
            proxy.args(["--url", URL]);
        }
        proxy.arg("--").args(command);
        let mut link = Link::open(&mut proxy)?;
        listed(&mut link, 0)?;
        let mut figures = Vec::new();
        for round in 1..=ROUNDS {
            figures.push((Variant::Direct, self.start_alone(kind, command)?));
            until_prepared(&log, options.is_empty())?;
            for edit in 1..=edits {
                write(round * 100 + edit)?;
                if edit < edits {
                    std::thread::sleep(Duration::from_millis(apart));
                }
            }
            let start = Instant::now();
            while listed(&mut link, round * 100 + edits).is_err() {
                link.notification("notifications/tools/list_changed")?;
            }
            figures.push((Variant::Proxy, start.elapsed()));
        }
        for (variant, time) in figures {
            self.table
                .row(&name, Compare::Beyond, aim)
                .add(variant, time.as_secs_f64() * 1e3);
        }
        Ok(())
    }

    /// Starts a server and asks for its tools; returns how long that takes.
    fn start_alone(&self, kind: &Kind, command: &[PathBuf]) -> io::Result<Duration> {
        let mut own = Command::new(&command[0]);
        own.current_dir(self.path(""));
        if kind.serves_http() {
            let port = free_port()?;
            own.args(&command[1..command.len() - 1]);
            own.arg(port.to_string());
            let start = Instant::now();
            let site = Site::on_port(&mut own, port)?;
            site.list()?;
            return Ok(start.elapsed());
        }
        let start = Instant::now();
        let mut own = Link::open(own.args(&command[1..]))?;
        own.request("tools/list", "{}")?;
        Ok(start.elapsed())
    }
}

/// Waits until a process is ready for the next save, or, without one, until the last reload is over.
fn until_prepared(log: &Path, warm: bool) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = fs::read_to_string(log)?;
        let newest = |event: &str| text.rfind(&format!(r#""event":"{event}""#));
        let live = newest("ready").max(newest("reloaded"));
        if newest("changed") < live && (!warm || newest("standby") > live) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(io::Error::other("nothing is prepared"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn listed(link: &mut Link, number: usize) -> io::Result<()> {
    let tool = format!(r#""tool-{number:04}""#);
    let list = link.request("tools/list", "{}")?;
    match memchr::memmem::find(list, tool.as_bytes()) {
        Some(_) => Ok(()),
        None => Err(io::Error::other("the saved tool is not listed")),
    }
}
