//! Address on which a process that the proxy starts serves HTTP.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;

use reqwest::header::HeaderMap;

use super::remote::{self, RemoteError};
use super::secrets::guarded;
use super::{Remote, ServerSpec};

/// Placeholder of the port, in `url`, in the arguments and in the values of `env`.
const PLACEHOLDER: &str = "{port}";
/// Variable with the port in the environment of the process.
const VARIABLE: &str = "PORT";
/// Value of `url` for a process whose port and path are found at each start.
const AUTO: &str = "auto";
/// Paths of the endpoint in frameworks, the most frequent first.
const USUAL_PATHS: [&str; 4] = ["/mcp", "/", "/api/mcp", "/sse"];

/// Address on this machine on which a process serves HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessAddress {
    /// URL, in which [`PLACEHOLDER`] stands for the port unless it is fixed; `None` if it is found at each start.
    template: Option<String>,
    headers: HeaderMap,
    is_sse_2024: bool,
    fixed_port: Option<u16>,
    /// URL as configured, with secrets hidden.
    shown: String,
}

impl ProcessAddress {
    /// Parses a URL, with `{port}` in place of the port if each start of the process gets a port of its own, or `auto`;
    /// `shown` is the URL with secrets hidden.
    pub(super) fn parse(
        text: &str,
        headers: HeaderMap,
        is_sse_2024: bool,
        shown: String,
    ) -> Result<Self, RemoteError> {
        let mut parsed = Self {
            template: None,
            headers,
            is_sse_2024,
            fixed_port: None,
            shown,
        };
        if text.trim() != AUTO {
            let url = remote::url(&text.replace(PLACEHOLDER, "1"))?;
            if url.scheme() != "http" || !remote::is_loopback(&url) {
                return Err(RemoteError::NotHere);
            }
            let has_own_ports = text.contains(PLACEHOLDER);
            parsed.template = Some(text.to_owned());
            parsed.fixed_port = url.port_or_known_default().filter(|_| !has_own_ports);
        }
        Ok(parsed)
    }

    /// Parses the URL of an option, for a server without headers.
    pub(crate) fn of_command_line(text: &str) -> Result<Self, RemoteError> {
        Self::parse(text, HeaderMap::new(), false, guarded(text))
    }

    /// Returns the port of every start, or `None` if each start gets a port of its own.
    pub(crate) fn fixed_port(&self) -> Option<u16> {
        self.fixed_port
    }

    /// Returns true if the port and the path are found at each start.
    pub(crate) fn is_auto(&self) -> bool {
        self.template.is_none()
    }

    /// Returns true if each start gets a port of its own, by the placeholder in the URL.
    pub(crate) fn has_own_ports(&self) -> bool {
        !self.is_auto() && self.fixed_port.is_none()
    }

    /// Returns the URL as configured, with its placeholder; `auto` if it is found at each start.
    pub(crate) fn text(&self) -> &str {
        self.template.as_deref().unwrap_or(AUTO)
    }

    /// Returns the URL with its placeholder, and secrets hidden; `auto` if it is found at each start.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Returns the address of a process that serves on `port`: the first of those to try if the path is unknown.
    pub(crate) fn on_port(&self, port: u16) -> Result<Remote, RemoteError> {
        let with_port = |text: &str| text.replace(PLACEHOLDER, &port.to_string());
        if let Some(template) = &self.template {
            return self.remote(&with_port(template), with_port(&self.shown));
        }
        let url = format!("http://127.0.0.1:{port}{}", USUAL_PATHS[0]);
        self.remote(&url, url.clone())
    }

    /// Returns the addresses to try in turn at a process with an unknown path that listens on `socket`; that with the path
    /// `known` first.
    pub(crate) fn usual_paths(
        &self,
        socket: SocketAddr,
        known: Option<&str>,
    ) -> Result<Vec<Remote>, RemoteError> {
        let mut paths = USUAL_PATHS;
        paths.sort_by_key(|path| Some(*path) != known);
        let urls = paths.iter().map(|path| format!("http://{socket}{path}"));
        urls.map(|url| self.remote(&url, url.clone())).collect()
    }

    fn remote(&self, url: &str, shown: String) -> Result<Remote, RemoteError> {
        Ok(Remote {
            url: remote::url(url)?,
            headers: self.headers.clone(),
            is_sse_2024: self.is_sse_2024,
            shown,
        })
    }
}

impl ServerSpec {
    /// Returns true if the process does not learn the port of a start: `env` has another `PORT`, and nothing has the
    /// placeholder.
    pub(crate) fn hides_port(&self) -> bool {
        let has = |text: &OsStr| text.to_string_lossy().contains(PLACEHOLDER);
        let mut values = self.env.iter().map(|(_, value)| value);
        self.env.iter().any(|(name, _)| name == VARIABLE)
            && !self.args.iter().any(|arg| has(arg))
            && !values.any(|value| has(value))
    }

    /// Returns the settings of a start; `port` is that of a process that serves HTTP.
    pub(crate) fn of_start(&self, port: Option<u16>) -> Cow<'_, Self> {
        port.map_or(Cow::Borrowed(self), |port| Cow::Owned(self.on_port(port)))
    }

    /// Returns the settings of a start on `port`: with the port in the arguments and in `env`, and as `PORT` in `env`
    /// unless that is configured.
    pub(crate) fn on_port(&self, port: u16) -> Self {
        let mut spec = self.clone();
        let port = port.to_string();
        let replaced = |text: &OsStr| match text.to_str() {
            Some(text) => text.replace(PLACEHOLDER, &port).into(),
            None => text.to_owned(),
        };
        spec.args = self.args.iter().map(|arg| replaced(arg)).collect();
        let env = self.env.iter();
        spec.env = env
            .map(|(name, value)| (name.clone(), replaced(value)))
            .collect();
        if !spec.env.iter().any(|(name, _)| name == VARIABLE) {
            spec.env.insert(0, (VARIABLE.into(), OsString::from(&port)));
        }
        spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ProcessAddress, RemoteError> {
        ProcessAddress::parse(text, HeaderMap::new(), false, text.to_owned())
    }

    #[test]
    fn each_start_gets_its_port_or_all_the_same() {
        let own = parse("http://127.0.0.1:{port}/mcp").unwrap();
        assert_eq!(own.fixed_port(), None);
        let url = own.on_port(4711).unwrap().url;
        assert_eq!(url.as_str(), "http://127.0.0.1:4711/mcp");
        for (text, port) in [("http://localhost:8000/mcp", 8000), ("http://[::1]/", 80)] {
            let fixed = parse(text).unwrap();
            assert_eq!(fixed.fixed_port(), Some(port), "{text}");
            assert_eq!(fixed.on_port(port).unwrap().url.as_str(), text);
        }
    }

    #[test]
    fn the_usual_paths_are_tried_where_a_process_listens() {
        let auto = parse("auto").unwrap();
        assert!(auto.is_auto() && auto.fixed_port().is_none());
        let first = auto.on_port(4711).unwrap();
        assert_eq!(first.url.as_str(), "http://127.0.0.1:4711/mcp");
        for (known, expected) in [
            (None, ["mcp", "", "api/mcp", "sse"]),
            (Some("/api/mcp"), ["api/mcp", "mcp", "", "sse"]),
        ] {
            let socket = "[::1]:81".parse().unwrap();
            let tried = auto.usual_paths(socket, known).unwrap();
            let tried: Vec<&str> = tried.iter().map(|it| it.url.as_str()).collect();
            let expected = expected.map(|path| format!("http://[::1]:81/{path}"));
            assert_eq!(tried, expected);
        }
    }

    #[test]
    fn only_addresses_of_this_machine_are_allowed() {
        for text in [
            "https://127.0.0.1:{port}/mcp",
            "http://example.com:{port}/mcp",
            "http://192.168.0.1/",
            "{port}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_gets_the_port() {
        let args = ["--port={port}", "{port}", "x"].map(OsString::from);
        let mut spec = ServerSpec::new("x".into(), "run".into(), args.to_vec(), "/".into());
        spec.env = vec![("URL".into(), "http://localhost:{port}".into())];
        let started = spec.on_port(81);
        assert_eq!(started.args, ["--port=81", "81", "x"]);
        let env = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let expected = [env("PORT", "81"), env("URL", "http://localhost:81")];
        assert_eq!(started.env, expected);
        spec.env = vec![env("PORT", "1{port}")];
        assert_eq!(spec.on_port(81).env, [env("PORT", "181")]);
    }

    #[test]
    fn a_port_of_the_definition_hides_that_of_a_start() {
        let hides = |args: &[&str], env: &[(&str, &str)]| {
            let args = args.iter().map(OsString::from).collect();
            let mut spec = ServerSpec::new("x".into(), "run".into(), args, "/".into());
            spec.env = env
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect();
            spec.hides_port()
        };
        assert!(hides(&["server.js"], &[("PORT", "3000")]));
        assert!(!hides(&["server.js"], &[]));
        assert!(!hides(&["server.js"], &[("PORT", "{port}")]));
        assert!(!hides(
            &["server.js"],
            &[("PORT", "3000"), ("HTTP_PORT", "{port}")]
        ));
        assert!(!hides(&["server.js", "--port={port}"], &[("PORT", "3000")]));
    }
}
