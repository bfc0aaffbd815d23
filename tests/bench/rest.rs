//! The cost of the proxy while nothing happens, and of a large tree at its start.

use std::fs;
use std::io;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::link::Link;
use super::process;
use super::rows::{Bench, Variant};
use super::table::Compare;

/// The work that follows a start has ended by then, and with it its threads.
const SETTLING: Duration = Duration::from_secs(15);
const COUNTED: Duration = Duration::from_secs(10);
const ROUNDS: usize = 5;
const DIRECTORIES: [usize; 3] = [1_000, 4_000, 16_000];

/// A server in Python that needs no package.
const PYTHON: &str = "import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get('method') == 'initialize':
        result = {'protocolVersion': '2025-11-25', 'capabilities': {}, 'serverInfo': {'name': 'x', 'version': '1'}}
        print(json.dumps({'jsonrpc': '2.0', 'id': message['id'], 'result': result}), flush=True)
";
/// The same in Node.js.
const NODE: &str =
    "require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const { id, method } = JSON.parse(line);
    if (method !== 'initialize') return;
    const serverInfo = { name: 'x', version: '1' };
    const result = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo };
    console.log(JSON.stringify({ jsonrpc: '2.0', id, result }));
});
";

impl Bench {
    /// How often the proxy wakes up before servers that nobody calls or saves.
    pub(crate) fn rest(&mut self) -> io::Result<()> {
        fs::create_dir_all(self.path("rest/server"))?;
        fs::write(self.path("rest/server/server.py"), PYTHON)?;
        fs::write(self.path("rest/server/server.cjs"), NODE)?;
        fs::write(self.path("rest/server/server.json"), "{}")?;
        let own = std::env::current_exe()?;
        let own = own.to_string_lossy();
        let commands: [(&str, &[&str]); 3] = [
            ("native", &[&own, "serve", "server.json"]),
            ("Python", &["python3", "server.py"]),
            ("Node.js", &["node", "server.cjs"]),
        ];
        for (name, words) in commands {
            let mut proxy = self.watching("rest/server", "**/*");
            let link = Link::open(proxy.args(words))?;
            sleep(SETTLING);
            let (before, begun) = (process::wake_ups(link.pid()), Instant::now());
            sleep(COUNTED);
            if let (Some(before), Some(after)) = (before, process::wake_ups(link.pid())) {
                let row = format!("wake-ups/s at rest, {name}");
                let row = self.table.row(&row, Compare::Alone, "1");
                row.add(
                    Variant::Proxy,
                    (after - before) / begun.elapsed().as_secs_f64(),
                );
            }
        }
        Ok(())
    }

    /// From the start of the process to the lists of its server, whose tree has so many directories.
    pub(crate) fn trees(&mut self) -> io::Result<()> {
        let own = std::env::current_exe()?;
        for directories in DIRECTORIES {
            let place = format!("tree-{directories}");
            for number in 0..directories {
                let below = format!("{place}/src/{}/{}", number / 100, number % 100);
                fs::create_dir_all(self.path(&below))?;
            }
            fs::write(self.path(&place).join("server.json"), "{}")?;
            for _ in 0..ROUNDS {
                let begun = Instant::now();
                let mut proxy = self.watching(&place, "**/*.json");
                let mut link = Link::open(proxy.arg(&own).args(["serve", "server.json"]))?;
                link.request("tools/list", "{}")?;
                let row = format!("start with {directories} directories, ms");
                let aim = if directories == 16_000 { "1000" } else { "" };
                let row = self.table.row(&row, Compare::Alone, aim);
                row.add(Variant::Proxy, begun.elapsed().as_secs_f64() * 1e3);
            }
        }
        Ok(())
    }

    /// The proxy in a directory, watching this glob; the server's command is to follow.
    fn watching(&self, place: &str, glob: &str) -> Command {
        let mut command = self.here(env!("CARGO_BIN_EXE_mcp-proxy"));
        command.current_dir(self.path(place));
        command.args(["dev", "--watch", glob, "--startup-wait", "60s"]);
        command.args(["--meta-tools", "none", "--"]);
        command
    }
}
