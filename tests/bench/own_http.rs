//! Servers over HTTP that the proxy starts: calls beside a TCP pipe, and saves beside the server's own start.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Instant;

use super::http::Site;
use super::link::Link;
use super::rows::{Bench, CALLS, ROUNDS, Variant};
use super::table::{Compare, quantile};

/// Address of a server on a port of its own.
pub(crate) const URL: &str = "http://127.0.0.1:{port}/mcp";

impl Bench {
    /// Calls by HTTP to a server that the proxy starts, and saves of one that needs no time to start.
    pub(crate) fn own_http(&mut self) -> io::Result<()> {
        if !self.variants.contains(&Variant::Proxy) {
            return Ok(());
        }
        self.calls_by_http()?;
        self.saves_by_http()
    }

    fn calls_by_http(&mut self) -> io::Result<()> {
        self.save_by_http("called", 0)?;
        let port = free_port()?;
        let words = ["serve", "called.json"];
        let mut direct = self.here(&self.program);
        let direct = Site::on_port(direct.args(words).arg(port.to_string()), port)?;
        let mut pipe = self.here(&self.program);
        let pipe = Site::legacy(pipe.args(["pipe-to", &port.to_string()]))?;
        let mut proxy = self.here(env!("CARGO_BIN_EXE_mcp-proxy"));
        proxy.args(["dev", "--http", "127.0.0.1:0", "--no-watch", "--url", URL]);
        proxy
            .args(["--meta-tools", "none", "--"])
            .arg(&self.program);
        let proxy = Site::legacy(proxy.args(words).arg("{port}"))?;
        for _ in 0..ROUNDS {
            for (variant, site) in [
                (Variant::Direct, &direct),
                (Variant::Pipe, &pipe),
                (Variant::Proxy, &proxy),
            ] {
                let times = site.sequence(CALLS / 4)?;
                for (name, share) in [
                    ("HTTP to a started server, p50, µs", 0.5),
                    ("HTTP to a started server, p99, µs", 0.99),
                ] {
                    let figure = quantile(&times, share).unwrap_or_default();
                    let row = self.table.row(name, Compare::Added, "");
                    row.add(variant, figure);
                }
            }
        }
        Ok(())
    }

    fn saves_by_http(&mut self) -> io::Result<()> {
        self.save_by_http("served", 0)?;
        let mut proxy = self.here(env!("CARGO_BIN_EXE_mcp-proxy"));
        proxy.args(["dev", "--watch", "served.json", "--url", URL]);
        proxy
            .args(["--meta-tools", "none", "--"])
            .arg(&self.program);
        let mut link = Link::open(proxy.args(["serve", "served.json", "{port}"]))?;
        link.request("tools/list", "{}")?;
        for round in 1..=ROUNDS {
            let row = "save to new tool listed by HTTP, ms";
            let start = Instant::now();
            let port = free_port()?;
            let mut own = self.here(&self.program);
            let own = own.args(["serve", "called.json", &port.to_string()]);
            Site::on_port(own, port)?.list()?;
            let direct = start.elapsed();
            let start = Instant::now();
            self.save_by_http("served", round)?;
            link.notification("notifications/tools/list_changed")?;
            let tool = format!(r#""tool-{round}""#);
            let list = link.request("tools/list", "{}")?;
            if memchr::memmem::find(list, tool.as_bytes()).is_none() {
                return Err(io::Error::other("the saved tool is not listed"));
            }
            for (variant, time) in [(Variant::Direct, direct), (Variant::Proxy, start.elapsed())] {
                let row = self.table.row(row, Compare::Beyond, "");
                row.add(variant, time.as_secs_f64() * 1e3);
            }
        }
        Ok(())
    }

    /// Writes a script with one tool of this number, whole or not at all.
    fn save_by_http(&self, script: &str, number: usize) -> io::Result<()> {
        let path = self.path(&format!("{script}.json"));
        let new = path.with_extension("new");
        let tool = format!(r#"{{"name":"tool-{number}","inputSchema":{{"type":"object"}}}}"#);
        fs::write(&new, format!(r#"{{"eras":["legacy"],"tools":[{tool}]}}"#))?;
        fs::rename(new, path)
    }
}

/// Returns a port on which nothing listens.
pub(crate) fn free_port() -> io::Result<u16> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(socket.local_addr()?.port())
}
