//! Options of subcommands that accept clients over HTTP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::CliError;
use crate::config::parse_duration;
use crate::fleet::FleetSetup;
use crate::front::http::{Address, HttpOptions, PassThrough};

/// Options of the HTTP front.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub(crate) struct HttpArgs {
    /// Accept clients over HTTP at ADDR, such as 127.0.0.1:8808 or unix:PATH, instead of one on stdin and stdout
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    http: Option<Address>,
    /// File with the token that clients must send; required unless ADDR is a loopback address or a socket, and over TCP
    /// for installing and removing servers
    #[arg(long, value_name = "FILE", requires = "http")]
    token_file: Option<PathBuf>,
    /// Admit browser pages of this origin; repeatable
    #[arg(long = "allow-origin", value_name = "ORIGIN", requires = "http", value_parser = parse_origin)]
    origins: Vec<String>,
    /// Admit requests for this host name; repeatable
    #[arg(long = "allow-host", value_name = "HOST", requires = "http", value_parser = parse_host)]
    hosts: Vec<String>,
    /// Maximum number of concurrent sessions, each with its own servers
    #[arg(long, value_name = "N", default_value_t = 256, requires = "http", value_parser = parse_count)]
    max_sessions: usize,
    /// Time after which an idle session ends [default: 30m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "http")]
    session_idle: Option<Duration>,
    /// Pass requests for other paths than /mcp to the site of the server, if it serves HTTP: pages, assets, websockets;
    /// SERVER names one of several
    #[arg(long, value_name = "SERVER", num_args = 0..=1, require_equals = true, default_missing_value = "",
          requires = "http")]
    pass_through: Option<PassThrough>,
}

/// Default of `--session-idle`.
const IDLE: Duration = Duration::from_secs(30 * 60);

impl HttpArgs {
    /// Returns the settings of the HTTP front; `None` without `--http`. Returns an error if none of the servers of
    /// `setup` has the site that is to be passed through.
    pub(crate) fn options(&self, setup: &FleetSetup) -> Result<Option<HttpOptions>, CliError> {
        let Some(address) = self.http.clone() else {
            return Ok(None);
        };
        let pass_through = self.pass_through.clone();
        // Otherwise, a change of the configuration may still provide the server.
        let is_complete = setup.faults.is_empty() && !setup.config.servers.is_empty();
        if let Some(pass_through) = pass_through.as_ref().filter(|_| is_complete) {
            let chosen = pass_through.choose(&setup.config);
            chosen.map_err(|error| CliError::Usage(format!("--pass-through: {error}")))?;
        }
        Ok(Some(HttpOptions {
            address,
            token_file: self.token_file.clone(),
            origins: self.origins.clone(),
            hosts: self.hosts.clone(),
            max_sessions: self.max_sessions,
            session_idle: self.session_idle.unwrap_or(IDLE),
            pass_through,
        }))
    }
}

/// Parses an address; `localhost` and a port alone mean 127.0.0.1.
pub(super) fn parse_address(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:").filter(|it| !it.is_empty()) {
        return Ok(Address::Unix(path.into()));
    }
    let port = text.strip_prefix("localhost:").unwrap_or(text);
    let local = port
        .parse()
        .map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)));
    let address = local.or_else(|_| text.parse()).map(Address::Tcp);
    address.map_err(|_| {
        "expected an address and a port, such as 127.0.0.1:8808 or localhost:8808, or a socket path, such as \
         unix:/run/user/1000/mcp.sock"
            .to_owned()
    })
}

/// Parses an origin as browsers send it; `null` is that of pages without one.
fn parse_origin(text: &str) -> Result<String, String> {
    let origin = text.trim_end_matches('/');
    let (scheme, host) = origin.split_once("://").unwrap_or_default();
    if origin == "null" || !scheme.is_empty() && is_plain_host(host) {
        return Ok(origin.to_owned());
    }
    Err(
        "expected one origin with its scheme and without a path, such as https://ide.example or http://localhost:5173; \
         there are no wildcards"
            .to_owned(),
    )
}

/// Parses a host name with or without a port.
fn parse_host(text: &str) -> Result<String, String> {
    if is_plain_host(text) {
        return Ok(text.to_owned());
    }
    Err(
        "expected one host name, with or without a port, such as dev.example or dev.example:8808; there are no wildcards"
            .to_owned(),
    )
}

/// Returns true if a header can name this host.
fn is_plain_host(host: &str) -> bool {
    !host.is_empty() && !host.contains(|it: char| it.is_whitespace() || "/?#*@,".contains(it))
}

fn parse_count(text: &str) -> Result<usize, String> {
    let count = text
        .parse()
        .ok()
        .filter(|count| (1..=100_000).contains(count));
    count.ok_or_else(|| "expected a whole number from 1 to 100000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_or_host_that_no_request_can_have_is_refused() {
        for origin in [
            "https://ide.example",
            "https://ide.example/",
            "http://[::1]:5173",
            "vscode-webview://x",
            "null",
        ] {
            assert!(parse_origin(origin).is_ok(), "{origin}");
        }
        for origin in [
            "",
            "*",
            "https://*.example",
            "ide.example",
            "https://ide.example/app",
            "://x",
        ] {
            assert!(parse_origin(origin).is_err(), "{origin}");
        }
        for host in ["dev.example", "dev.example:8808", "[::1]:1", "192.168.1.5"] {
            assert!(parse_host(host).is_ok(), "{host}");
        }
        for host in [
            "",
            "*",
            "*.example",
            "https://dev.example",
            "dev.example/mcp",
        ] {
            assert!(parse_host(host).is_err(), "{host}");
        }
    }
}
