//! Shell commands that send a recorded request again with curl: to the endpoint of its server or, for a server on stdin
//! and stdout, to the HTTP front of the proxy.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use reqwest::header::HeaderMap;
use serde_json::json;

use super::json_tree::escaped;
use super::message_detail::{MAX_ARGUMENTS, parsed};
use super::messages::{Exchange, ExchangeOutcome};
use super::routes::Site;
use crate::config::Remote;
use crate::jsonrpc::{Envelope, Members, RawJson};
use crate::lock::locked;
use crate::mcp::{LATEST_LEGACY, headers};
use crate::output::clean;
use crate::server::ServerHandle;

/// Variable that stands for an address with secrets.
const URL_VARIABLE: &str = "$MCP_URL";

/// HTTP front of the proxy.
#[derive(Debug, Clone)]
pub(crate) struct FrontOfPage {
    /// File with the token that clients send.
    pub(crate) token_file: Option<PathBuf>,
    /// URL of the endpoint, or address of the socket, once the front listens.
    pub(crate) url: Arc<OnceLock<String>>,
}

/// Receiver of the commands.
#[derive(Debug)]
struct CurlTarget {
    /// Quoted for a shell.
    url: String,
    /// Headers of every request, quoted for a shell.
    headers: Vec<String>,
}

/// Returns the commands that send the request of an exchange again, if it can be sent.
pub(super) fn commands(site: &Site, exchange: &Exchange) -> Option<String> {
    if exchange.outcome == ExchangeOutcome::Notice || &*exchange.from == "server" {
        return None;
    }
    let lines: Vec<_> = parsed(exchange).collect();
    let link = server(site, exchange).and_then(|server| server.connection());
    if let Some(link) = link.as_ref().and_then(|it| it.link().http()) {
        let remote = link.remote();
        let to_server = lines.iter().find(|it| it.to == "server")?.message?.get();
        let described = link.body_headers(to_server.to_owned());
        return (!remote.is_sse_2024)
            .then(|| commands_to(&of_remote(site, &remote)?, to_server, described.as_ref()))?;
    }
    let of_client = lines.iter().find(|it| it.from == "client")?.message?.get();
    commands_to(&of_front(site)?, of_client, description(of_client).as_ref())
}

/// Returns the server of an exchange: that of its session, or one of the same name.
fn server(site: &Site, exchange: &Exchange) -> Option<ServerHandle> {
    let (_, number) = exchange.session.split_once('-')?;
    let mut fleets = site.fleets.all();
    fleets.sort_by_key(|(session, _)| session.to_string() != number);
    let mut fleets = fleets.iter();
    fleets.find_map(|(_, fleet)| fleet.loaded(&exchange.server))
}

fn of_remote(site: &Site, remote: &Remote) -> Option<CurlTarget> {
    let url = remote.url.as_str();
    let is_public = remote.hide(url) == url && locked(&site.hidden).hide(url.to_owned()) == url;
    Some(CurlTarget {
        url: if is_public {
            quoted(url)?
        } else {
            format!("\"{URL_VARIABLE}\"")
        },
        headers: remote
            .headers
            .keys()
            .map(|name| secret_header(name.as_str()))
            .collect::<Option<_>>()?,
    })
}

fn of_front(site: &Site) -> Option<CurlTarget> {
    let front = site.front.as_ref()?;
    let url = front.url.get().filter(|it| it.starts_with("http"))?;
    let token = front.token_file.as_ref().map(|file| {
        let file = quoted(file.to_str()?)?;
        Some(format!("-H \"Authorization: Bearer $(head -n 1 {file})\""))
    });
    Some(CurlTarget {
        url: quoted(url)?,
        headers: match token {
            None => Vec::new(),
            Some(token) => vec![token?],
        },
    })
}

/// Returns a header whose value a variable of the shell has: `X-Api-Key` → `$X_API_KEY`, `1-Key` → `$_1_KEY`.
fn secret_header(name: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    let mut variable = upper.replace(|it: char| !it.is_ascii_alphanumeric(), "_");
    if variable.starts_with(|it: char| it.is_ascii_digit()) {
        variable.insert(0, '_');
    }
    // A name may contain characters of the shell.
    let name = quoted(&format!("{name}: "))?;
    Some(format!("-H {name}\"${{{variable}}}\""))
}

/// Returns the headers of a modern message to the HTTP front; `None` for a legacy one.
fn description(message: &str) -> Option<HeaderMap> {
    let envelope = Envelope::parse(message).ok()?;
    let revision = envelope
        .params
        .meta
        .protocol_version
        .and_then(RawJson::text)?;
    let method = envelope.method.as_deref().unwrap_or_default();
    let params = Members::of(message)
        .get("params")
        .unwrap_or("{}")
        .to_owned();
    let name = headers::name_of(method, &params);
    let all = [
        (headers::REVISION, Some(&*revision)),
        (headers::METHOD, Some(method)),
        (headers::NAME, name.as_deref()),
    ];
    let mut described = HeaderMap::new();
    for (name, value) in all {
        if let Some(value) = value {
            described.insert(name, headers::encode(value).parse().ok()?);
        }
    }
    Some(described)
}

/// Returns the commands that send `message` to `target`: with the headers of the modern era, or in a session of their own.
fn commands_to(target: &CurlTarget, message: &str, modern: Option<&HeaderMap>) -> Option<String> {
    let message = escaped(message);
    if message.len() > MAX_ARGUMENTS || clean(&message) != message {
        return None;
    }
    let body = quoted(&message)?;
    let mut curl = "curl -sS -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream'".to_owned();
    for header in &target.headers {
        let _ = write!(curl, " {header}");
    }
    let url = &target.url;
    if let Some(headers) = modern {
        for (name, value) in headers {
            let header = quoted(&format!("{name}: {}", value.to_str().ok()?))?;
            let _ = write!(curl, " -H {header}");
        }
        return Some(format!("{curl} --data-raw {body} {url}"));
    }
    if Members::of(&message).get("method") == Some(r#""initialize""#) {
        return Some(format!("{curl} --data-raw {body} {url}"));
    }
    // A server of the legacy era answers in a session only. An empty header is not sent, for servers without sessions.
    let hello = json!({
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": LATEST_LEGACY,
            "capabilities": {},
            "clientInfo": { "name": "curl", "version": "1" },
        },
    });
    let ready = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    Some(format!(
        "(mcp() {{ {curl} \"$@\" {url}; }}
s=$(mcp -o /dev/null -D - --data-raw '{hello}' | tr -d '\\r' | sed -n 's/^[Mm][Cc][Pp]-[Ss]ession-[Ii][Dd]: //p')
mcp -H \"Mcp-Session-Id: $s\" -o /dev/null --data-raw '{ready}'
mcp -H \"Mcp-Session-Id: $s\" --data-raw {body}
mcp -H \"Mcp-Session-Id: $s\" -o /dev/null -X DELETE)"
    ))
}

/// Quotes a word for a POSIX shell.
fn quoted(word: &str) -> Option<String> {
    Some(shlex::try_quote(word).ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> CurlTarget {
        CurlTarget {
            url: quoted("http://127.0.0.1:1/mcp?a=1").unwrap(),
            headers: vec![secret_header("X-Api-Key").unwrap()],
        }
    }

    #[test]
    fn words_of_messages_reach_the_shell_as_they_are() {
        let message = r#"{"method":"tools/call","params":{"name":"it's $HOME `ls` \"x\""}}"#;
        let commands = commands_to(&target(), message, None).unwrap();
        let words = shlex::split(&commands).unwrap();
        assert!(words.iter().any(|word| word == message), "{commands}");
        assert!(
            commands.contains("-H 'X-Api-Key: '\"${X_API_KEY}\""),
            "{commands}"
        );
        assert!(commands.contains("notifications/initialized"), "{commands}");
    }

    #[test]
    fn names_of_headers_reach_the_shell_as_they_are() {
        let header = secret_header("1-`id`$HOME!'").unwrap();
        let words = shlex::split(&header).unwrap();
        assert_eq!(words, ["-H", "1-`id`$HOME!': ${_1__ID__HOME__}"]);
        assert!(!header.contains("\"1"), "{header}");
    }

    #[test]
    fn a_modern_request_is_one_command() {
        let message = r#"{"method":"tools/call","params":{"name":"é","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let described = description(message).unwrap();
        let commands = commands_to(&target(), message, Some(&described)).unwrap();
        assert!(
            !commands.contains('\n') && !commands.contains("initialize"),
            "{commands}"
        );
        for header in [
            "mcp-protocol-version: 2026-07-28",
            "mcp-method: tools/call",
            "mcp-name: =?base64?w6k=?=",
        ] {
            assert!(commands.contains(header), "{commands}");
        }
        assert!(description(r#"{"method":"tools/call"}"#).is_none());
    }

    #[test]
    fn long_requests_have_no_commands() {
        let long = format!(r#"{{"method":"{}"}}"#, "x".repeat(MAX_ARGUMENTS));
        assert_eq!(commands_to(&target(), &long, None), None);
    }
}
