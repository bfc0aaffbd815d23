//! Access control: Origin allow-list against unknown browser pages, Host check against DNS rebinding and, if the user
//! configured one, a bearer token.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use subtle::ConstantTimeEq as _;

#[cfg(unix)]
use self::unix::is_exposed;
#[cfg(windows)]
use self::windows::is_exposed;

use super::responses::ErrorResponse;
use super::{Address, HttpOptions};
use crate::jsonrpc::INVALID_REQUEST;

/// Reason why access control cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessControlError {
    /// Every host in the network could start processes.
    #[error(
        "{0} is reachable from other machines, which could run tools: pass `--token-file FILE` as well, or listen on \
         127.0.0.1"
    )]
    Open(SocketAddr),
    /// The token file cannot be read.
    #[error("the token file {} cannot be read", .0.display())]
    Token(PathBuf, #[source] std::io::Error),
    /// Other users can read the token.
    #[error(
        "other users can read the token file {}: run `chmod 600 {}`, and change the token if they may have read it", .0.display(), .0.display()
    )]
    Exposed(PathBuf),
    /// The token file contains no token.
    #[error("the token file {} is empty: its first line must be the token", .0.display())]
    NoToken(PathBuf),
}

/// Access rules.
#[derive(Debug)]
pub(crate) struct AccessControl {
    /// `None` for a Unix socket, which neither a host name nor a browser page can reach.
    address: Option<SocketAddr>,
    token: Option<String>,
    origins: Vec<String>,
    hosts: Vec<String>,
}

impl AccessControl {
    /// Builds the rules from `options`.
    pub(super) fn new(options: &HttpOptions) -> Result<Self, AccessControlError> {
        let token = options.token_file.as_ref().map(|file| {
            let unreadable = |error| AccessControlError::Token(file.clone(), error);
            if is_exposed(&std::fs::metadata(file).map_err(unreadable)?) {
                return Err(AccessControlError::Exposed(file.clone()));
            }
            let text = std::fs::read_to_string(file).map_err(unreadable)?;
            let line = text.lines().next().unwrap_or_default().trim().to_owned();
            if line.is_empty() {
                return Err(AccessControlError::NoToken(file.clone()));
            }
            Ok(line)
        });
        let token = token.transpose()?;
        let address = network(&options.address);
        let remote = address.filter(|it| !it.ip().is_loopback());
        if let (None, Some(address)) = (&token, remote) {
            return Err(AccessControlError::Open(address));
        }
        Ok(Self {
            address,
            token,
            origins: options.origins.clone(),
            hosts: options.hosts.clone(),
        })
    }

    /// Builds the rules for a network address with neither a token nor allowed names.
    pub(crate) fn of_address(address: SocketAddr) -> Self {
        Self {
            address: Some(address),
            token: None,
            origins: Vec::new(),
            hosts: Vec::new(),
        }
    }

    /// Returns true if the request is for this server, and not from the page of another site.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        self.check_host_and_origin(headers).is_ok()
    }

    /// Sets the actual address, once the port is known.
    pub(super) fn with_address(self, address: &Address) -> Self {
        let address = network(address);
        Self { address, ..self }
    }

    /// Checks the `Host` and `Origin` headers of a request.
    pub(super) fn check_host_and_origin(&self, headers: &HeaderMap) -> Result<(), ErrorResponse> {
        let host = one(headers, &header::HOST)?;
        if self
            .address
            .is_some_and(|address| !host.is_some_and(|host| self.is_host(host, address)))
        {
            let message = format!(
                "the header `Host` names {}, not this server: pass `--allow-host` to accept this name",
                host.unwrap_or("nothing")
            );
            return Err(forbidden(message));
        }
        if let Some(origin) = one(headers, &header::ORIGIN)?
            && !self.is_origin(origin)
        {
            let message = format!(
                "the origin `{origin}` is not allowed: pass `--allow-origin` to allow its pages"
            );
            return Err(forbidden(message));
        }
        Ok(())
    }

    /// Checks the token, if one is configured.
    pub(super) fn check_token(&self, headers: &HeaderMap) -> Result<(), ErrorResponse> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        let shown = one(headers, &header::AUTHORIZATION)?.and_then(bearer);
        let known = shown.is_some_and(|shown| shown.as_bytes().ct_eq(token.as_bytes()).into());
        if known {
            return Ok(());
        }
        let message = "the header `Authorization: Bearer <token>` is missing, or its token is not the one in the file \
            of `--token-file`";
        Err(
            ErrorResponse::new(StatusCode::UNAUTHORIZED, INVALID_REQUEST, message)
                .with(header::WWW_AUTHENTICATE, "Bearer"),
        )
    }

    /// Returns true if clients must send the token.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Returns true if the client uses a local or allowed name for this host, or one of its addresses.
    fn is_host(&self, host: &str, address: SocketAddr) -> bool {
        let port = address.port();
        // A page from elsewhere has a name as its host, however that name is resolved.
        let is_own = address.ip().is_unspecified() && is_ip_at(host, port);
        is_own
            || self.is_local(host)
            || self.is_address(host)
            || self
                .hosts
                .iter()
                .any(|allowed| host.eq_ignore_ascii_case(allowed) || is_at(host, allowed, port))
    }

    /// Returns true if pages of this origin are allowed: the server's own origins and the configured ones.
    fn is_origin(&self, origin: &str) -> bool {
        let host = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        let allowed = |allowed: &String| origin.eq_ignore_ascii_case(allowed.trim_end_matches('/'));
        host.is_some_and(|host| self.is_local(host) || self.is_address(host))
            || self.origins.iter().any(allowed)
    }

    /// Returns true if `host` is the address of this server. Browsers leave out port 80.
    fn is_address(&self, host: &str) -> bool {
        self.address.is_some_and(|address| {
            let name = match address.ip() {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            };
            is_at(host, &name, address.port())
        })
    }

    fn is_local(&self, host: &str) -> bool {
        let names = ["localhost", "127.0.0.1", "[::1]"];
        let is_local = |it: SocketAddr| names.iter().any(|name| is_at(host, name, it.port()));
        self.address.is_some_and(is_local)
    }
}

fn network(address: &Address) -> Option<SocketAddr> {
    match address {
        Address::Tcp(address) => Some(*address),
        Address::Unix(_) => None,
    }
}

/// Returns true if `host` is `name` with this `port`.
fn is_at(host: &str, name: &str, port: u16) -> bool {
    let (before, after) = host.rsplit_once(':').unwrap_or((host, ""));
    let is_number = after.bytes().all(|it| it.is_ascii_digit());
    before.eq_ignore_ascii_case(name) && is_number && after.parse() == Ok(port)
        || port == 80 && host.eq_ignore_ascii_case(name)
}

/// Returns true if `host` is an IP address with this `port`.
fn is_ip_at(host: &str, port: u16) -> bool {
    let with_port = host.parse::<SocketAddr>();
    with_port.is_ok_and(|address| address.port() == port)
        || port == 80 && host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// Returns the token from an `Authorization` header.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Returns the value of a header that may occur only once.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ErrorResponse> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value)),
        _ => Err(ErrorResponse::invalid(format!(
            "the header `{name}` must occur exactly once, in plain text"
        ))),
    }
}

fn forbidden(message: String) -> ErrorResponse {
    ErrorResponse::new(StatusCode::FORBIDDEN, INVALID_REQUEST, message)
}

#[cfg(test)]
mod tests;
