//! Fuzz target for heads and bodies of requests from browser pages or hostile clients.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::Url;

use super::access_control::AccessControl;
use super::responses::AcceptedTypes;
use super::{Address, HttpOptions, legacy_sessions, post};
use crate::jsonrpc::Envelope;

/// Parses a request: header lines, an empty line and a body.
pub fn requests(data: &[u8]) {
    let end = data.windows(2).position(|it| it == b"\n\n");
    let (head, body) = data.split_at(end.unwrap_or(data.len()));
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    for address in ["127.0.0.1:80", "127.0.0.1:4040", "[::1]:4040"] {
        guard(address, &headers);
    }
    let _ = AcceptedTypes::of(&headers);
    let _ = post::check_kind(&headers);
    let _ = legacy_sessions::check_revision(&headers);
    legacy_sessions::declares_modern(&headers);
    let Ok(text) = std::str::from_utf8(body) else {
        return;
    };
    let Ok(line) = post::in_one_line(text) else {
        return;
    };
    assert!(!line.contains(['\n', '\r']), "{line:?}");
    if let Ok(envelope) = Envelope::parse(&line) {
        let _ = post::check_shape(&line, &envelope);
    }
}

/// Checks that every accepted request names this machine, as a browser parses host names.
fn guard(address: &str, headers: &HeaderMap) {
    let options = HttpOptions {
        address: Address::Tcp(address.parse().expect("an address")),
        token_file: None,
        origins: Vec::new(),
        hosts: Vec::new(),
        max_sessions: 1,
        session_idle: std::time::Duration::ZERO,
        pass_through: None,
    };
    let guard = AccessControl::new(&options).expect("no file is read");
    assert!(guard.check_token(headers).is_ok());
    if guard.check_host_and_origin(headers).is_err() {
        return;
    }
    let is_here = |text: &str| {
        let url = Url::parse(text).expect("an address of this machine");
        let host = url.host_str().unwrap_or_default();
        matches!(host, "localhost" | "127.0.0.1" | "[::1]") && url.username().is_empty()
    };
    let text = |name| {
        headers
            .get(name)
            .and_then(|it: &HeaderValue| it.to_str().ok())
    };
    let host = text(header::HOST).expect("a host");
    assert!(is_here(&format!("http://{host}/")), "{host:?}");
    if let Some(origin) = text(header::ORIGIN) {
        assert!(is_here(origin), "{origin:?}");
    }
}
