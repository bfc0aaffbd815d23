//! Remote servers: validation of the address and the headers.

use std::net::IpAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::secrets;

/// Headers that only the proxy sets.
const OWN: [HeaderName; 6] = [
    header::ACCEPT,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::HOST,
    header::TRANSFER_ENCODING,
];

/// Remote server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Address with the scheme `http` or `https` and a host.
    pub(crate) url: Url,
    /// Headers of every request; the values are marked sensitive, which hides them from debug output.
    pub(crate) headers: HeaderMap,
    /// Whether the server uses the transport of protocol revision 2024-11-05.
    pub(crate) is_sse_2024: bool,
    /// Address as configured, with secrets hidden.
    pub(crate) shown: String,
}

impl Remote {
    /// Hides header values, credentials and query values in `text`, which may echo a request.
    pub(crate) fn hide(&self, text: &str) -> String {
        let mut sent: Vec<String> = Vec::new();
        for value in self.headers.values() {
            let value = String::from_utf8_lossy(value.as_bytes());
            let login = value
                .strip_prefix("Basic ")
                .and_then(|login| BASE64_STANDARD.decode(login).ok());
            sent.extend(login.and_then(|login| String::from_utf8(login).ok()));
            sent.push(value.into_owned());
        }
        let url = &self.url;
        let login = [url.username(), url.password().unwrap_or_default()];
        let decoded = login.map(|it| percent_decode_str(it).decode_utf8_lossy().into_owned());
        // The form in which a request carries them.
        sent.push(BASE64_STANDARD.encode(decoded.join(":")));
        sent.extend(decoded);
        sent.extend([login[0], login[1], url.query().unwrap_or_default()].map(str::to_owned));
        sent.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
        let parts = url.path_segments().into_iter().flatten();
        // Other segments, such as `mcp` or `v1`, are too common to hide.
        sent.extend(
            parts
                .filter(|part| secrets::looks_secret(part))
                .map(str::to_owned),
        );
        secrets::without(text, &secrets::words(&sent))
    }
}

/// Returns true if the host of `url` is this machine by its name.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some(host) => {
            let host = host.trim_matches(['[', ']']);
            let address = host.parse::<IpAddr>();
            host == "localhost"
                || host.ends_with(".localhost")
                || address.is_ok_and(|address| address.to_canonical().is_loopback())
        }
        None => false,
    }
}

/// Error in the address or in a header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    #[error("`url` is not a valid URL: {0}")]
    Url(<Url as FromStr>::Err),
    #[error("`url` has a fragment (`#…`), which is never sent to a server")]
    Fragment,
    #[error("`url` begins with `{0}:`; use `https:` or `http:`")]
    Scheme(String),
    #[error(
        "`url` beside `command` must be an address of this machine, such as http://127.0.0.1:{{port}}/mcp"
    )]
    NotHere,
    #[error("`{0}` is not a valid header name")]
    HeaderName(String),
    #[error("the proxy itself sets the header `{0}`; remove it")]
    OwnHeader(String),
    #[error("a header value must not contain a line break or another control character")]
    HeaderValue,
}

/// Parses the address of a server.
pub(super) fn url(text: &str) -> Result<Url, RemoteError> {
    let url = Url::parse(text).map_err(RemoteError::Url)?;
    match url.scheme() {
        "http" | "https" if url.fragment().is_none() => Ok(url),
        "http" | "https" => Err(RemoteError::Fragment),
        other => Err(RemoteError::Scheme(other.to_owned())),
    }
}

/// Returns true for a header that clients' files repeat although every client sets it itself.
pub(super) fn is_redundant(text: &str) -> bool {
    [header::ACCEPT, header::CONTENT_TYPE]
        .iter()
        .any(|name| text.eq_ignore_ascii_case(name.as_str()))
}

/// Checks the name of a configured header, which must not be reserved for the proxy.
pub(super) fn name(text: &str) -> Result<HeaderName, RemoteError> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| RemoteError::HeaderName(text.to_owned()))?;
    if OWN.contains(&name) || name.as_str().starts_with("mcp-") || name == "last-event-id" {
        return Err(RemoteError::OwnHeader(text.to_owned()));
    }
    Ok(name)
}

/// Checks the value of a header; neither the error nor debug output contains the value.
pub(super) fn value(text: &str) -> Result<HeaderValue, RemoteError> {
    let mut value =
        HeaderValue::from_bytes(text.as_bytes()).map_err(|_| RemoteError::HeaderValue)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_headers_and_values_are_checked() {
        for good in ["http://127.0.0.1:1/mcp", "https://me:x@x.example/?k=v"] {
            assert_eq!(url(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "x.example/mcp",
            "ftp://x",
            "http://",
            "https://x/#a",
            "file:///x",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
        assert_eq!(name("X-Api-Key").unwrap(), "x-api-key");
        for bad in [
            "",
            "a b",
            "ü",
            "Host",
            "content-type",
            "Mcp-Session-Id",
            "Last-Event-ID",
        ] {
            assert!(name(bad).is_err(), "{bad}");
        }
        let url = url("http://me:pa%40ss@x.example/").unwrap();
        let remote = Remote {
            url,
            headers: HeaderMap::new(),
            is_sse_2024: false,
            shown: String::new(),
        };
        let basic = BASE64_STANDARD.encode("me:pa@ss");
        for text in ["pa@ss", "pa%40ss", &basic] {
            let hidden = remote.hide(&format!("got {text}!"));
            assert!(!hidden.contains(text), "{hidden}");
        }
        let secret = value("Bearer geheim").unwrap();
        assert!(!format!("{secret:?}").contains("geheim"));
        let error = value("geheim\r\nX: y").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("geheim"));
    }
}
