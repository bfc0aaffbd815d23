use std::net::Ipv4Addr;

use super::*;

fn endpoint() -> Url {
    Url::parse("http://127.0.0.1:41234/mcp").unwrap()
}

fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    map
}

/// Returns the headers that the server gets, sorted by name.
fn rewritten(headers: &[(&'static str, &str)], has_token: bool) -> Vec<(String, String)> {
    let mut map = map(headers);
    let sender = Sender {
        address: Some(Ipv4Addr::LOCALHOST.into()),
        has_token,
    };
    rewrite_request(&mut map, &endpoint(), &sender);
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    let headers = map
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)));
    let mut headers: Vec<_> = headers.collect();
    headers.sort();
    headers
}

/// Returns `expected` with the headers that every request gets, sorted by name.
fn with_common(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let common = [
        ("host", "127.0.0.1:41234"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "localhost:8808"),
        ("x-forwarded-proto", "http"),
    ];
    let is_replaced = |name| expected.iter().any(|(it, _)| *it == name);
    let common = common.iter().filter(|(name, _)| !is_replaced(*name));
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut all: Vec<_> = common.chain(expected).map(pair).collect();
    all.sort();
    all
}

const HOST: (&str, &str) = ("host", "localhost:8808");

#[test]
fn the_server_sees_its_own_host_and_the_clients_address() {
    assert_eq!(rewritten(&[HOST], false), with_common(&[]));
    let tunnel = [
        HOST,
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-host", "dev.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=203.0.113.9"),
    ];
    let expected = [
        ("x-forwarded-for", "203.0.113.9, 127.0.0.1"),
        ("x-forwarded-host", "dev.example"),
        ("x-forwarded-proto", "https"),
    ];
    assert_eq!(rewritten(&tunnel, false), with_common(&expected));
}

#[test]
fn headers_of_the_connection_stay_on_it() {
    let headers = [
        HOST,
        ("connection", "keep-alive, X-Own"),
        ("x-own", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("trailer", "x-sum"),
        ("transfer-encoding", "chunked"),
        ("content-length", "3"),
        ("proxy-authorization", "Basic eDp5"),
        ("upgrade", "h2c"),
        ("accept", "*/*"),
    ];
    assert_eq!(
        rewritten(&headers, false),
        with_common(&[("accept", "*/*")])
    );
}

#[test]
fn credentials_of_the_front_go_no_further() {
    let headers = [
        HOST,
        ("authorization", "Bearer t"),
        ("mcp-session-id", "s"),
        ("cookie", "a=b"),
    ];
    let with_token = with_common(&[("cookie", "a=b")]);
    assert_eq!(rewritten(&headers, true), with_token);
    // Without a token, the header is meant for the server.
    let without = with_common(&[("authorization", "Bearer t"), ("cookie", "a=b")]);
    assert_eq!(rewritten(&headers, false), without);
}

#[test]
fn pages_of_the_site_have_its_origin() {
    for (origin, expected) in [
        ("http://localhost:8808", "http://127.0.0.1:41234"),
        ("https://localhost:8808", "http://127.0.0.1:41234"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("null", "null"),
    ] {
        let headers = rewritten(&[HOST, ("origin", origin)], false);
        assert_eq!(headers, with_common(&[("origin", expected)]), "{origin}");
    }
}

#[test]
fn only_websockets_are_asked_for() {
    let asked = |connection: &str, upgrade: &str| {
        is_websocket(&map(&[("connection", connection), ("upgrade", upgrade)]))
    };
    assert!(asked("keep-alive, Upgrade", "WebSocket"));
    assert!(!asked("keep-alive", "websocket"));
    assert!(!asked("Upgrade", "h2c"));
    let headers = [HOST, ("connection", "Upgrade"), ("upgrade", "websocket")];
    let expected = [("connection", "Upgrade"), ("upgrade", "websocket")];
    assert_eq!(rewritten(&headers, false), with_common(&expected));
}

#[test]
fn redirects_to_the_process_stay_at_the_front() {
    for (location, expected) in [
        ("http://127.0.0.1:41234/a?b=c#d", "/a?b=c#d"),
        ("https://localhost:41234", "/"),
        ("http://127.0.0.1:41234//evil.example/", "/.//evil.example/"),
        ("/a/b", "/a/b"),
        ("http://127.0.0.1:41235/", "http://127.0.0.1:41235/"),
        (
            "https://login.example:41234/",
            "https://login.example:41234/",
        ),
    ] {
        let mut headers = map(&[("location", location)]);
        rewrite_response(&mut headers, &endpoint(), false);
        assert_eq!(headers[header::LOCATION], expected, "{location}");
    }
}
