//! Headers of requests and responses that pass through, rewritten as by a reverse proxy.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::Url;

use super::super::SESSION_ID;
use crate::config::is_loopback;

/// Headers that concern one connection only.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const WEBSOCKET: &str = "websocket";

/// Sender of a request.
#[derive(Debug)]
pub(super) struct Sender {
    /// Its address, if it has one.
    pub(super) address: Option<IpAddr>,
    /// True if its `Authorization` has the token of the front.
    pub(super) has_token: bool,
}

/// Returns true if the request asks for a websocket. No other protocol is passed on: over HTTP/2, for instance, further
/// requests would follow that the front does not check.
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).map(HeaderValue::as_bytes);
    upgrade.is_some_and(|it| it.eq_ignore_ascii_case(WEBSOCKET.as_bytes()))
        && connection_names(headers).any(|name| name == header::UPGRADE)
}

/// Rewrites the headers of a request to the site with this MCP endpoint.
pub(super) fn rewrite_request(headers: &mut HeaderMap, endpoint: &Url, sender: &Sender) {
    let is_websocket = is_websocket(headers);
    remove_hop_by_hop(headers);
    if is_websocket {
        set_websocket(headers);
    }
    // Credentials for the front.
    headers.remove(SESSION_ID);
    if sender.has_token {
        headers.remove(header::AUTHORIZATION);
    }
    let own = endpoint.origin().ascii_serialization();
    let authority = own.strip_prefix("http://").unwrap_or(&own);
    let (Ok(authority), Ok(origin)) = (
        HeaderValue::from_str(authority),
        HeaderValue::from_str(&own),
    ) else {
        return;
    };
    let host = headers.insert(header::HOST, authority);
    let before = headers.get(header::ORIGIN);
    if before.is_some_and(|it| host.as_ref().is_some_and(|host| is_at(it, host))) {
        // A page of the site. Servers compare the two headers.
        headers.insert(header::ORIGIN, origin);
    }
    set_forwarded(headers, host, sender.address);
}

/// Rewrites the headers of a response of the site with this MCP endpoint. `switches` is true if it begins a websocket.
pub(super) fn rewrite_response(headers: &mut HeaderMap, endpoint: &Url, switches: bool) {
    remove_hop_by_hop(headers);
    if switches {
        set_websocket(headers);
    }
    let location = headers.get(header::LOCATION);
    if let Some(path) = location.and_then(|it| own_path(it, endpoint)) {
        headers.insert(header::LOCATION, path);
    }
}

/// Tells the server how the client reached the proxy. Host and scheme that another proxy in front has set stay.
fn set_forwarded(headers: &mut HeaderMap, host: Option<HeaderValue>, client: Option<IpAddr>) {
    headers.remove(header::FORWARDED);
    if let Some(host) = host {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
    let scheme = HeaderValue::from_static("http");
    headers.entry(FORWARDED_PROTO).or_insert(scheme);
    let Some(client) = client else {
        return;
    };
    let before = headers.get_all(FORWARDED_FOR).iter();
    let before = before.filter_map(|value| value.to_str().ok().map(ToOwned::to_owned));
    let client = client.to_canonical().to_string();
    let chain: Vec<String> = before.chain([client]).collect();
    if let Ok(chain) = HeaderValue::from_str(&chain.join(", ")) {
        headers.insert(FORWARDED_FOR, chain);
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // It does not hold beside this header.
        headers.remove(header::CONTENT_LENGTH);
    }
    let named: Vec<HeaderName> = connection_names(headers).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Returns the names of the headers that, according to `Connection`, concern only this connection.
fn connection_names(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(','));
    names.filter_map(|name| name.trim().parse().ok())
}

fn set_websocket(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(WEBSOCKET));
}

/// Returns true if `origin` is that of the pages at `host`.
fn is_at(origin: &HeaderValue, host: &HeaderValue) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let place = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    place.is_some_and(|place| place.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
}

/// Returns the path of a redirect to the process's own address, for which the client must stay at the front: the
/// process has another port after the next save. Returns `None` for other targets.
fn own_path(location: &HeaderValue, endpoint: &Url) -> Option<HeaderValue> {
    let target = Url::parse(location.to_str().ok()?).ok()?;
    let is_own = matches!(target.scheme(), "http" | "https")
        && is_loopback(&target)
        && target.port_or_known_default() == endpoint.port_or_known_default();
    if !is_own {
        return None;
    }
    let mut path = target.path().to_owned();
    if path.starts_with("//") {
        // Two slashes would begin the name of a host.
        path.insert_str(0, "/.");
    }
    for (sign, part) in [('?', target.query()), ('#', target.fragment())] {
        if let Some(part) = part {
            path.push(sign);
            path.push_str(part);
        }
    }
    HeaderValue::from_str(&path).ok()
}

#[cfg(test)]
mod tests;
