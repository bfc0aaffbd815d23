//! Access to the page: only requests for its own host, from its own pages, with the token of the link or the cookie that
//! the link sets.

use std::net::SocketAddr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
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

/// Access rules.
#[derive(Debug)]
pub(super) struct PageAccess {
    address: SocketAddr,
    control: AccessControl,
    /// Token of the link of this run.
    token: String,
    /// Browsers send cookies to all ports of a host, so that each port has a cookie of its own.
    cookie_name: String,
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
            cookie_name: format!("mcp-proxy-{}", address.port()),
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
            return Some(self.admission());
        }
        let is_admitted = token.is_none() && self.has_cookie(headers);
        (!is_admitted).then(|| refused(StatusCode::UNAUTHORIZED, EXPIRED))
    }

    /// Sets the cookie and continues without the token in the address. A redirect would not do: a browser withholds the
    /// cookie from all requests that a link of another site leads to.
    fn admission(&self) -> Response {
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
            self.cookie_name, self.key
        );
        if let Ok(cookie) = cookie.parse() {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        response
    }

    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let values = headers.get_all(header::COOKIE).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let mut cookies = texts.flat_map(|text| text.split(';'));
        cookies.any(|cookie| {
            let (name, value) = cookie.trim().split_once('=').unwrap_or_default();
            name == self.cookie_name && is_equal(value, &self.key)
        })
    }
}

/// Returns true for a request of the page's own through a tunnel, as of ssh or of a development container, which may
/// listen on another port of a local host.
fn is_forwarded(headers: &HeaderMap) -> bool {
    let texts = |name| {
        let values = headers.get_all(name).iter();
        values.map(|it| it.to_str().unwrap_or_default())
    };
    let Some((host, port)) = texts(header::HOST)
        .next()
        .and_then(|it| it.rsplit_once(':'))
    else {
        return false;
    };
    let is_own = |origin: &str| {
        let origin = origin.split_once("://");
        origin.is_some_and(|(_, place)| place.rsplit_once(':') == Some((host, port)))
    };
    texts(header::HOST).count() == 1
        && ["localhost", "127.0.0.1", "[::1]"].contains(&host)
        && port.parse::<u16>().is_ok()
        && texts(header::ORIGIN).all(is_own)
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
        let cookie = format!("{}={}", access.cookie_name, access.key);
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
        for (host, origin, expected) in [
            ("localhost:9000", None, 0),
            ("127.0.0.1:9000", Some("http://127.0.0.1:9000"), 0),
            ("[::1]:9000", Some("http://[::1]:9000"), 0),
            ("localhost:9000", Some("http://localhost:9001"), 403),
            ("localhost:9000", Some("http://127.0.0.1:9000"), 403),
            ("localhost:9000", Some("null"), 403),
            ("rebound.example:9000", None, 403),
            (
                "rebound.example:9000",
                Some("http://rebound.example:9000"),
                403,
            ),
            ("localhost.example:9000", None, 403),
            ("localhost:x", None, 403),
        ] {
            let mut request = Request::get("/").header("host", host);
            request = request.header("cookie", format!("{}=key", access.cookie_name));
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let (request, ()) = request.body(()).unwrap().into_parts();
            let refused = access.refuse(&request, None);
            let found = refused.map_or(0, |response| response.status().as_u16());
            assert_eq!(found, expected, "{host} {origin:?}");
        }
    }
}
