//! Recognizes messages to the server's MCP endpoint among the requests for other paths.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use percent_encoding::percent_decode_str;

use crate::config::ProcessAddress;

/// Returns the path of the endpoint at `address`; `None` if it is found at each start.
pub(super) fn known_endpoint(address: &ProcessAddress) -> Option<String> {
    // The path does not depend on the port.
    let remote = address.on_port(address.fixed_port().unwrap_or(1)).ok();
    let remote = remote.filter(|_| !address.is_auto())?;
    Some(remote.url.path().to_owned())
}

/// Returns true if the request is an MCP message to the server's own endpoint, which has the path `endpoint`. The front
/// answers it like one to its own endpoint: a session with the process itself would end with the next save, and could
/// call tools that the configuration hides.
pub(super) fn is_of_endpoint(request: &Request, endpoint: &str) -> bool {
    let is_page =
        matches!(*request.method(), Method::GET | Method::HEAD) && !wants_events(request.headers());
    !is_page && leads_to(request.uri().path(), endpoint)
}

/// Returns true if the client names the content type of an event stream.
fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.to_ascii_lowercase().contains("text/event-stream"))
}

/// Returns true if a server might take `path` for `endpoint`: in another case, percent-encoded, or with empty segments.
fn leads_to(path: &str, endpoint: &str) -> bool {
    segments(path) == segments(endpoint)
}

fn segments(path: &str) -> Vec<String> {
    let path = percent_decode_str(path).decode_utf8_lossy();
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment.to_ascii_lowercase()),
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_of_the_endpoint_lead_to_it() {
        for path in [
            "/api/mcp",
            "/api/mcp/",
            "//api//MCP",
            "/api/%6dcp",
            "/x/../api/./mcp",
        ] {
            assert!(leads_to(path, "/api/mcp"), "{path}");
        }
        for path in ["/", "/mcp", "/api", "/api/mcp/x", "/api/mcp2"] {
            assert!(!leads_to(path, "/api/mcp"), "{path}");
        }
        assert!(leads_to("/", "/"));
    }
}
