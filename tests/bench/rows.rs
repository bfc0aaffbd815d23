//! The measured variants and the rows of the table.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use super::link::Link;
use super::process::{self, Pinned};
use super::table::{Compare, Table, quantile};

pub(super) const ROUNDS: usize = 15;
pub(super) const CALLS: usize = 4000;
const MIB: usize = 1024 * 1024;
/// A record of structured content, followed by the comma before the next one.
const RECORD: &str = r#"{"id":4711,"name":"alice","score":515.12,"active":false,"at":[7201,-3,0.25e-1],"note":null},"#;
/// Tools and subscriptions where many are.
const LARGE: usize = 6000;
const LARGE_ROUNDS: usize = 5;
const MIDDLE: [Variant; 2] = [Variant::Pipe, Variant::Proxy];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Direct,
    Pipe,
    Proxy,
}

pub(crate) struct Bench {
    pub(crate) table: Table,
    /// The variants that work here.
    pub(super) variants: Vec<Variant>,
    /// This program, which is also the server and the pipe.
    pub(super) program: PathBuf,
    /// Holds the servers' scripts; the processes run in it.
    pub(super) directory: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut bench = Self {
            table: Table::default(),
            variants: vec![Variant::Direct, Variant::Pipe],
            program: std::env::current_exe()?,
            directory,
        };
        bench.save("plain", 0)?;
        fs::write(
            bench.directory.path().join("gathering.json"),
            r#"{"gather":true}"#,
        )?;
        match Link::open(&mut bench.command(Variant::Proxy, "plain")) {
            Ok(_) => bench.variants.push(Variant::Proxy),
            Err(error) => bench
                .table
                .note(format!("proxy skipped: `mcp-proxy dev` fails: {error}")),
        }
        Ok(bench)
    }

    /// Calls without pinning, their CPU time, throughput and memory.
    pub(crate) fn steady(&mut self) -> io::Result<()> {
        let mut links = self.open_all("plain")?;
        let mut gathering = self.open_all("gathering")?;
        for _ in 0..ROUNDS {
            self.sequences(&mut links, ["p50 of a call, µs", "p99 of a call, µs"], "")?;
            for (variant, link) in &mut links {
                let rate = link.burst(5 * CALLS, 64, false)?;
                self.table
                    .row("calls/s, 64 in flight", Compare::Share, "70 %")
                    .add(*variant, rate);
            }
            for (variant, link) in &mut gathering {
                let rate = link.burst(5 * CALLS, 64, true)?;
                self.table
                    .row("calls/s, 64 in flight, in batches", Compare::Share, "")
                    .add(*variant, rate);
            }
        }
        drop(gathering);
        self.memory(&links, "VmRSS", "resident after that, MiB", "10 MiB");
        let text = format!("{{\"text\":\"{}\"}}", "x".repeat(MIB));
        let records = format!("{{\"rows\":[{}0]}}", RECORD.repeat(MIB / RECORD.len()));
        for _ in 0..ROUNDS {
            for (name, arguments, aim) in [
                ("MiB/s of 1 MiB echoes, 4 in flight", &text, "80 %"),
                ("MiB/s of 1 MiB of records, 4 in flight", &records, ""),
            ] {
                for (variant, link) in &mut links {
                    let rate = link.bulk(arguments, 48, 4)?;
                    self.table
                        .row(name, Compare::Share, aim)
                        .add(*variant, rate);
                }
            }
        }
        self.memory(&links, "VmHWM", "peak resident, MiB", "");
        Ok(())
    }

    /// Calls with client, server and proxy on one CPU.
    pub(crate) fn pinned(&mut self) -> io::Result<()> {
        let Some(_pinned) = Pinned::new() else {
            self.table
                .note("pinned rows skipped: they need taskset".to_owned());
            return Ok(());
        };
        let mut links = self.open_all("plain")?;
        for _ in 0..ROUNDS {
            let names = ["p50 of a call, pinned, µs", "p99 of a call, pinned, µs"];
            self.sequences(&mut links, names, "2x")?;
        }
        Ok(())
    }

    /// Calls to a server without a watch and with one: before each call the proxy reads the changes that the
    /// system has queued for the watch. And calls whose four messages are recorded, at most 2 µs each.
    pub(crate) fn watched(&mut self) -> io::Result<()> {
        if !self.variants.contains(&Variant::Proxy) {
            return Ok(());
        }
        let mut links = Vec::new();
        for (watching, p50, cpu) in [
            (
                &["--no-watch"][..],
                "p50 without a watch, µs",
                "CPU of the proxy per call without a watch, µs",
            ),
            (
                &["--watch", "*.json"],
                "p50 with a watch, µs",
                "CPU of the proxy per call with a watch, µs",
            ),
            (
                &["--no-watch", "--record", "messages.ndjson"],
                "p50 without a watch, recorded, µs",
                "CPU of the proxy per call, recorded, µs",
            ),
        ] {
            let link = Link::open(&mut self.proxy("plain", watching))?;
            links.push((link, p50, cpu));
        }
        for _ in 0..ROUNDS {
            for (link, p50, cpu) in &mut links {
                let before = process::cpu_ns(link.pid());
                let times = link.sequence(CALLS)?;
                let after = process::cpu_ns(link.pid());
                if let Some(time) = quantile(&times, 0.5) {
                    self.table
                        .row(p50, Compare::Alone, "")
                        .add(Variant::Proxy, time);
                }
                if let (Some(before), Some(after)) = (before, after) {
                    self.table
                        .row(cpu, Compare::Alone, "")
                        .add(Variant::Proxy, per_call_us(after - before));
                }
            }
        }
        Ok(())
    }

    /// From the start of the process to the answer of `initialize`.
    pub(crate) fn starts(&mut self) -> io::Result<()> {
        for _ in 0..ROUNDS {
            for variant in self.variants.clone() {
                let start = Instant::now();
                let link = Link::open(&mut self.command(variant, "plain"))?;
                let ms = start.elapsed().as_secs_f64() * 1e3;
                drop(link);
                self.table
                    .row("start to initialize, ms", Compare::Beyond, "+5 ms")
                    .add(variant, ms);
            }
        }
        Ok(())
    }

    /// From a save to the new tool's being listed, against the server's own start with that script.
    pub(crate) fn saves(&mut self) -> io::Result<()> {
        self.save("watched", 0)?;
        let mut watched = None;
        if self.variants.contains(&Variant::Proxy) {
            watched = Some(Link::open(
                &mut self.proxy("watched", &["--watch", "watched.json"]),
            )?);
        }
        for round in 1..=ROUNDS {
            self.save("alone", round)?;
            let start = Instant::now();
            let mut alone = Link::open(&mut self.server("alone"))?;
            listed(&mut alone, round)?;
            self.saved(Variant::Direct, start);
            if let Some(link) = &mut watched {
                let start = Instant::now();
                self.save("watched", round)?;
                link.notification("notifications/tools/list_changed")?;
                listed(link, round)?;
                self.saved(Variant::Proxy, start);
            }
        }
        Ok(())
    }

    /// A save of a server of so many tools that comparing them takes time, and as many subscriptions.
    pub(crate) fn large(&mut self) -> io::Result<()> {
        if !self.variants.contains(&Variant::Proxy) {
            return Ok(());
        }
        self.save_many("large", 1..=LARGE)?;
        let mut watched = Link::open(&mut self.proxy("large", &["--watch", "large.json"]))?;
        for round in 1..=LARGE_ROUNDS {
            let last = LARGE + round;
            self.save_many("alone", round..=last)?;
            let start = Instant::now();
            let mut alone = Link::open(&mut self.server("alone"))?;
            listed(&mut alone, last)?;
            let direct = start.elapsed().as_secs_f64() * 1e3;
            let start = Instant::now();
            self.save_many("large", round..=last)?;
            watched.notification("notifications/tools/list_changed")?;
            listed(&mut watched, last)?;
            let through = start.elapsed().as_secs_f64() * 1e3;
            let mut fresh = Link::open(&mut self.proxy("alone", &["--no-watch"]))?;
            let subscribed = [alone.subscribe(LARGE)?, fresh.subscribe(LARGE)?];
            for (name, figures) in [
                (
                    "save of 6,000 tools to a new one listed, ms",
                    [direct, through],
                ),
                ("6,000 subscriptions at once, ms", subscribed),
            ] {
                let row = self.table.row(name, Compare::Beyond, "");
                row.add(Variant::Direct, figures[0]);
                row.add(Variant::Proxy, figures[1]);
            }
        }
        Ok(())
    }

    /// The same calls through a configuration of one server and of twenty.
    pub(crate) fn fleets(&mut self) -> io::Result<()> {
        if !self.variants.contains(&Variant::Proxy) {
            return Ok(());
        }
        let rows = [
            (1, "p50 with 1 server configured, µs", ""),
            (20, "p50 with 20 servers configured, µs", "as with 1"),
        ];
        let mut links = Vec::new();
        for (servers, name, aim) in rows {
            let start = Instant::now();
            let mut link = Link::open(&mut self.configured(servers)?)?;
            link.request("tools/list", "{}")?;
            let ms = start.elapsed().as_secs_f64() * 1e3;
            if servers > 1 {
                self.table
                    .row("start to the lists of 20 servers, ms", Compare::Alone, "")
                    .add(Variant::Proxy, ms);
            }
            link.tool = format!("server-{}__bench", servers / 2);
            links.push((name, aim, link));
        }
        for _ in 0..ROUNDS {
            for (name, aim, link) in &mut links {
                if let Some(time) = quantile(&link.sequence(CALLS)?, 0.5) {
                    let row = self.table.row(name, Compare::Alone, aim);
                    row.add(Variant::Proxy, time);
                }
            }
        }
        if let [_, (_, _, twenty)] = &links[..]
            && let Some(mib) = process::memory_mib(twenty.pid(), "VmRSS")
        {
            self.table
                .row("resident with 20 servers, MiB", Compare::Alone, "16 MiB")
                .add(Variant::Proxy, mib);
        }
        Ok(())
    }

    /// The proxy in front of so many servers of a configuration, each with its watch.
    fn configured(&self, servers: usize) -> io::Result<Command> {
        let mut text = String::new();
        for number in 0..servers {
            let program = self.program.display();
            let _ = write!(
                text,
                "[servers.server-{number}]\ncommand = '{program}'\nargs = ['serve', 'plain.json']\nwatch = 'plain.json'\n"
            );
        }
        let file = self.directory.path().join(format!("{servers}.toml"));
        fs::write(&file, text)?;
        let mut command = self.here(env!("CARGO_BIN_EXE_mcp-proxy"));
        command
            .args(["dev", "--meta-tools", "none", "--config"])
            .arg(file);
        command.env("XDG_CACHE_HOME", self.directory.path());
        Ok(command)
    }

    fn saved(&mut self, variant: Variant, start: Instant) {
        self.table
            .row("save to new tool listed, ms", Compare::Beyond, "+80 ms")
            .add(variant, start.elapsed().as_secs_f64() * 1e3);
    }

    fn sequences(
        &mut self,
        links: &mut [(Variant, Link)],
        [p50, p99]: [&'static str; 2],
        aim: &'static str,
    ) -> io::Result<()> {
        for (variant, link) in links {
            let before = process::cpu_ns(link.pid());
            let times = link.sequence(CALLS)?;
            let after = process::cpu_ns(link.pid());
            for (name, share, aim) in [(p50, 0.5, aim), (p99, 0.99, "")] {
                if let Some(time) = quantile(&times, share) {
                    self.table
                        .row(name, Compare::Added, aim)
                        .add(*variant, time);
                }
            }
            if MIDDLE.contains(variant)
                && let (Some(before), Some(after), "") = (before, after, aim)
            {
                self.table
                    .row("CPU of the middle per call, µs", Compare::Share, "")
                    .add(*variant, per_call_us(after - before));
            }
        }
        Ok(())
    }

    fn memory(
        &mut self,
        links: &[(Variant, Link)],
        field: &str,
        name: &'static str,
        aim: &'static str,
    ) {
        for (variant, link) in links.iter().filter(|(v, _)| MIDDLE.contains(v)) {
            if let Some(mib) = process::memory_mib(link.pid(), field) {
                self.table.row(name, Compare::Alone, aim).add(*variant, mib);
            }
        }
    }

    fn open_all(&self, script: &str) -> io::Result<Vec<(Variant, Link)>> {
        self.variants
            .iter()
            .map(|variant| Ok((*variant, Link::open(&mut self.command(*variant, script))?)))
            .collect()
    }

    fn command(&self, variant: Variant, script: &str) -> Command {
        match variant {
            Variant::Direct => self.server(script),
            Variant::Pipe => {
                let mut command = self.here(&self.program);
                command.arg("pipe").arg(&self.program);
                command.args(["serve", &format!("{script}.json")]);
                command
            }
            Variant::Proxy => self.proxy(script, &["--no-watch"]),
        }
    }

    fn server(&self, script: &str) -> Command {
        let mut command = self.here(&self.program);
        command.args(["serve", &format!("{script}.json")]);
        command
    }

    fn proxy(&self, script: &str, watching: &[&str]) -> Command {
        let mut command = self.here(env!("CARGO_BIN_EXE_mcp-proxy"));
        command.arg("dev").args(watching);
        command.args(["--meta-tools", "none", "--"]);
        command.arg(&self.program);
        command.args(["serve", &format!("{script}.json")]);
        command
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn here(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.directory.path());
        command
    }

    /// Writes a script with one tool of this number, whole or not at all.
    fn save(&self, script: &str, number: usize) -> io::Result<()> {
        self.save_many(script, number..=number)
    }

    /// Lets the script list a tool of each number.
    fn save_many(&self, script: &str, numbers: RangeInclusive<usize>) -> io::Result<()> {
        let path = self.directory.path().join(format!("{script}.json"));
        let new = path.with_extension("new");
        let tool =
            |number| format!(r#"{{"name":"tool-{number}","inputSchema":{{"type":"object"}}}}"#);
        let tools: Vec<String> = numbers.map(tool).collect();
        let resource = r#"{"uri":"file:///some/where/1","name":"x"}"#;
        let tools = tools.join(",");
        fs::write(
            &new,
            format!(r#"{{"tools":[{tools}],"resources":[{resource}]}}"#),
        )?;
        fs::rename(new, path)
    }
}

impl super::table::Row {
    pub(crate) fn add(&mut self, variant: Variant, figure: f64) {
        self.figures[variant as usize].push(figure);
    }
}

/// The share of one of `CALLS` calls in so many ns, in µs.
#[expect(clippy::cast_precision_loss, reason = "a small count")]
fn per_call_us(ns: f64) -> f64 {
    ns / 1e3 / CALLS as f64
}

fn listed(link: &mut Link, number: usize) -> io::Result<()> {
    let tool = format!(r#""tool-{number}""#);
    let list = link.request("tools/list", "{}")?;
    match memchr::memmem::find(list, tool.as_bytes()) {
        Some(_) => Ok(()),
        None => Err(io::Error::other("the saved tool is not listed")),
    }
}
