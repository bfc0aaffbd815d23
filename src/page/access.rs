//! Access to the page: only requests for its own host, from its own pages, with the token of the link or the cookie that
//! the link sets.

use std::net::SocketAddr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::{DOCTYPE, html};
use subtle::ConstantTimeEq as _;

use super::layout::html_response;
use crate::front::http::AccessControl;

/// Answer to a request without the cookie.
const EXPIRED: &str = "This link has expired, the page was opened without it, or the browser keeps no cookies of it. \
    Open the link that mcp-proxy has printed at its start; `mcp-proxy status` prints those of running proxies.\n";

/// Answer to a request for another host or from elsewhere.
const FOREIGN: &str = "The request names another host, or comes from another site or port. Open the link that \
    mcp-proxy has printed at its start; `mcp-proxy status` prints those of running proxies.\n";

/// Names of the hosts that a tunnel may listen on.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Number in the place of a port that the browser leaves out, for HTTP or HTTPS.
const DEFAULT_PORT: u16 = 80;

/// Access rules.
#[derive(Debug)]
pub(super) struct PageAccess {
    address: SocketAddr,
    control: AccessControl,
    /// Token of the link of this run.
    token: String,
    /// Value of the cookie of this run: the browser has also sent the value of the last run to other ports.
    key: String,
}

impl PageAccess {
    /// Creates the rules of the page at `address`, with the token of its link and the value of its cookie.
    pub(super) fn new(address: SocketAddr, token: String, key: String) -> Self {
        Self {
            address,
            control: AccessControl::of_address(address),
            token,
            key,
        }
    }

    /// Returns the link that opens the page.
    pub(super) fn link(&self) -> String {
        format!("http://{}/?token={}", self.address, self.token)
    }

    /// Returns the response to a request that is not admitted, or that brings the token; `None` for others.
    pub(super) fn refuse(&self, request: &Parts, token: Option<&str>) -> Option<Response> {
        let headers = &request.headers;
        let token = token.filter(|_| request.uri.path() == "/");
        let has_token = token.is_some_and(|it| is_equal(it, &self.token));
        // The link may stand anywhere; cookies come with requests from pages at other ports as well.
        let is_local = self.control.admits(headers) || is_forwarded(headers);
        if !is_local || !(has_token || is_from_here(headers)) {
            return Some(refused(StatusCode::FORBIDDEN, FOREIGN));
        }
        if request.method != Method::GET && !is_own_action(headers) {
            let text = "Only the page itself may act.\n";
            return Some(refused(StatusCode::FORBIDDEN, text));
        }
        if has_token {
            return Some(self.admission(headers));
        }
        let is_admitted = token.is_none() && self.has_cookie(headers);
        (!is_admitted).then(|| refused(StatusCode::UNAUTHORIZED, EXPIRED))
    }

    /// Sets the cookie and continues without the token in the address. A redirect would not do: a browser withholds the
    /// cookie from all requests that a link of another site leads to.
    fn admission(&self, headers: &HeaderMap) -> Response {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta http-equiv="refresh" content="0;url=/";
                    link rel="icon" href="data:,";
                    title { "mcp-proxy" }
                }
                body { a href="/" { "Continue" } }
            }
        };
        let mut response = html_response(page);
        let cookie = format!(
            "{}={}; Path=/; HttpOnly; SameSite=Strict",
            cookie_name(headers),
            self.key
        );
        if let Ok(cookie) = cookie.parse() {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        response
    }

    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let known = cookie_name(headers);
        let values = headers.get_all(header::COOKIE).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let mut cookies = texts.flat_map(|text| text.split(';'));
        cookies.any(|cookie| {
            let (name, value) = cookie.trim().split_once('=').unwrap_or_default();
            name == known && is_equal(value, &self.key)
        })
    }
}

/// Returns the name of the cookie for the port that the browser has asked. Browsers send cookies to all ports of a
/// host, and a server at another port may forward requests of its own pages with all their headers.
fn cookie_name(headers: &HeaderMap) -> String {
    format!("mcp-proxy-{}", place(headers).map_or(0, |(_, port)| port))
}

/// Returns the name and the port that the browser has asked. It leaves out the port of the scheme.
fn place(headers: &HeaderMap) -> Option<(&str, u16)> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => Some((name, port.parse().ok()?)),
        _ => Some((host, DEFAULT_PORT)),
    }
}

/// Returns true for a request of the page's own through a tunnel, as of ssh or of a development container, which may
/// listen on another port of a local host.
fn is_forwarded(headers: &HeaderMap) -> bool {
    let hosts = headers.get_all(header::HOST);
    let is_own = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|it| it.split_once("://"));
        origin.is_some_and(|(_, host)| hosts.iter().all(|it| it == host))
    };
    hosts.iter().count() == 1
        && place(headers).is_some_and(|(name, _)| LOCAL_NAMES.contains(&name))
        && headers.get_all(header::ORIGIN).iter().all(is_own)
}

/// Returns false if the browser says that a page of another site or port has caused the request.
fn is_from_here(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    sites.all(|site| site == "same-origin" || site == "none")
}

/// Returns true if the browser says that a page of this origin has sent the request.
fn is_own_action(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    headers.contains_key(header::ORIGIN) && site.is_none_or(|site| site == "same-origin")
}

fn is_equal(given: &str, known: &str) -> bool {
    given.as_bytes().ct_eq(known.as_bytes()).into()
}

fn refused(status: StatusCode, text: &'static str) -> Response {
    (status, text).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn status(access: &PageAccess, path: &str, headers: &[(&str, &str)]) -> u16 {
        let host = access.address.to_string();
        let cookie = format!("mcp-proxy-{}={}", access.address.port(), access.key);
        let mut request = Request::get(path)
            .header("host", host)
            .header("cookie", cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (request, ()) = request.body(()).unwrap().into_parts();
        let token = request.uri.query().and_then(|it| it.strip_prefix("token="));
        let refused = access.refuse(&request, token);
        refused.map_or(0, |response| response.status().as_u16())
    }

    #[test]
    fn only_the_link_may_be_opened_from_elsewhere() {
        let address = SocketAddr::from(([127, 0, 0, 2], 8809));
        let access = PageAccess::new(address, "token".to_owned(), "key".to_owned());
        for path in ["/", "/messages.ndjson", "/stream"] {
            for (site, expected) in [
                ("same-origin", 0),
                ("none", 0),
                ("same-site", 403),
                ("cross-site", 403),
            ] {
                let found = status(&access, path, &[("sec-fetch-site", site)]);
                assert_eq!(found, expected, "{path} {site}");
            }
        }
        let elsewhere = [("sec-fetch-site", "cross-site")];
        assert_eq!(status(&access, "/?token=token", &elsewhere), 200);
        assert_eq!(status(&access, "/?token=other", &elsewhere), 403);
        assert_eq!(status(&access, "/?token=other", &[]), 401);
        assert_eq!(status(&access, "/messages?token=token", &elsewhere), 403);
        assert_eq!(
            status(&access, "/", &[("origin", "http://127.0.0.2:8809")]),
            0
        );
        assert_eq!(
            status(&access, "/", &[("origin", "http://127.0.0.3:8809")]),
            403
        );
    }

    #[test]
    fn a_tunnel_may_listen_on_another_port() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8809));
        let access = PageAccess::new(address, "token".to_owned(), "key".to_owned());
        for (host, origin, port, expected) in [
            ("localhost:9000", "", 9000, 0),
            ("127.0.0.1:9000", "http://127.0.0.1:9000", 9000, 0),
            ("[::1]:9000", "http://[::1]:9000", 9000, 0),
            ("localhost", "http://localhost", 80, 0),
            ("[::1]", "https://[::1]", 80, 0),
            ("localhost", "http://localhost:9000", 80, 403),
            ("localhost:9000", "http://localhost", 9000, 403),
            ("localhost:9000", "http://localhost:9001", 9000, 403),
            ("localhost:9000", "http://127.0.0.1:9000", 9000, 403),
            ("localhost:9000", "null", 9000, 403),
            ("rebound.example:9000", "", 9000, 403),
            (
                "rebound.example:9000",
                "http://rebound.example:9000",
                9000,
                403,
            ),
            ("localhost.example:9000", "", 9000, 403),
            ("rebound.example", "", 80, 403),
            ("localhost:x", "", 0, 403),
            // The browser has the cookie of another port of the host.
            ("localhost:9000", "", 8809, 401),
            ("localhost", "", 8809, 401),
            ("127.0.0.1:8809", "", 9000, 401),
        ] {
            let mut request = Request::get("/").header("host", host);
            request = request.header("cookie", format!("mcp-proxy-{port}=key"));
            if !origin.is_empty() {
                request = request.header("origin", origin);
            }
            let (mut request, ()) = request.body(()).unwrap().into_parts();
            let refused = access.refuse(&request, None);
            let found = refused.map_or(0, |response| response.status().as_u16());
            assert_eq!(found, expected, "{host} {origin:?} {port}");
            if expected == 0 {
                request.headers.remove("cookie");
                let response = access.refuse(&request, Some("token")).unwrap();
                let cookie = response.headers()["set-cookie"].to_str().unwrap();
                let is_of_port = cookie.starts_with(&format!("mcp-proxy-{port}=key; "));
                assert!(is_of_port, "{host}: {cookie}");
            }
        }
    }
}
