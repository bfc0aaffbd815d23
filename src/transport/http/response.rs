//! Reads everything of a response except its messages.

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use reqwest::{Response, StatusCode, Url};

use super::peer::Peer;
use crate::jsonrpc::{Envelope, INVALID_REQUEST, Members, RawId, unquoted};

/// Maximum number of bytes read from the body of an error response.
pub(super) const MAX_ERROR_BODY: usize = 64 * 1024;

/// Codes of errors with which servers report an unknown session; the specification names none.
const UNKNOWN_SESSION: [i64; 3] = [-32000, -32001, INVALID_REQUEST];

/// Text by which servers on the TypeScript SDK reject a request of an unknown session. It also counts with a status that
/// says less; other texts might come from the execution of the request.
const NO_SESSION: &str = "No valid session ID provided";

/// Words about the session by which servers report that they do not know it.
const UNKNOWN: [&str; 5] = ["not found", "unknown", "invalid", "expired", "no valid"];

/// Unsuccessful response.
pub(super) struct HttpRefusal {
    pub(super) status: StatusCode,
    pub(super) body: String,
    /// Address that the response redirects to.
    pub(super) redirect: Option<String>,
}

impl HttpRefusal {
    /// Reads an unsuccessful response.
    pub(super) async fn of(response: Response) -> Self {
        Self {
            status: response.status(),
            redirect: redirect(&response),
            body: error_body(response).await,
        }
    }

    /// Returns true if a server of revision 2024-11-05 would respond like this to a message posted to its stream.
    pub(super) fn may_be_of_sse_2024(&self) -> bool {
        let no_message = || Envelope::parse(&self.body).is_err();
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => true,
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => no_message(),
            _ => false,
        }
    }
}

/// Returns the start of the body of a possible error response; empty if it is compressed.
pub(super) async fn error_body(mut response: Response) -> String {
    if coding(&response).is_some() {
        return String::new();
    }
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk[..chunk.len().min(MAX_ERROR_BODY - bytes.len())]);
        if bytes.len() == MAX_ERROR_BODY {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the address that a response redirects to, without parts that may be secret.
fn redirect(response: &Response) -> Option<String> {
    let to = response.headers().get(LOCATION)?.to_str().ok()?;
    Some(without_secrets(response.url().join(to).ok()?))
}

/// Returns an address that a server has sent, without parts that may be secret.
pub(super) fn without_secrets(mut url: Url) -> String {
    url.set_query(None);
    url.set_fragment(None);
    // Neither call fails for an address with a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// Returns the content coding of a response whose body is encoded.
pub(super) fn coding(response: &Response) -> Option<String> {
    let coding = response.headers().get(CONTENT_ENCODING)?;
    let coding = String::from_utf8_lossy(coding.as_bytes()).to_ascii_lowercase();
    (coding.trim() != "identity").then_some(coding)
}

/// Returns true if the response is an event stream.
pub(super) fn is_stream(response: &Response) -> bool {
    let content = response.headers().get(CONTENT_TYPE);
    let content = content.map(|it| it.as_bytes().to_ascii_lowercase());
    content.is_some_and(|it| it.starts_with(b"text/event-stream"))
}

/// Returns true if a response with this `status` and `body` to the request `number`, if it has one, means that the named
/// session no longer exists. Servers based on a widely copied example report this as 400, others by an error in a
/// successful response.
pub(super) fn is_session_lost(
    peer: &Peer,
    status: StatusCode,
    body: &str,
    number: Option<u64>,
) -> bool {
    let in_session = peer.session_id().is_some() && !peer.is_modern();
    let says_so = || {
        let body = body.to_lowercase();
        body.contains("session") || body.contains("not initialized")
    };
    let refuses = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::OK);
    in_session
        && (matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
            || (status == StatusCode::BAD_REQUEST && says_so())
            || (refuses && refuses_session(body))
            || (status == StatusCode::INTERNAL_SERVER_ERROR && body.contains(NO_SESSION)))
        && !number.is_some_and(|number| is_answer(body, number))
}

/// Returns true if the body is an error response to the request `number`, so that the session knows the request.
fn is_answer(body: &str, number: u64) -> bool {
    let line = one_line(body.as_bytes().to_vec());
    let Some((Some(id), error)) = error_of(&line) else {
        return false;
    };
    id.lenient_number() == Some(number)
        && code_of(error).is_some_and(|code| !UNKNOWN_SESSION.contains(&code))
}

/// Returns true if the body is an error without an id, as for a request that was not read, whose words say that the
/// session is unknown.
fn refuses_session(body: &str) -> bool {
    let line = one_line(body.as_bytes().to_vec());
    let Some((id, error)) = error_of(&line) else {
        return false;
    };
    let members = Members::of(error);
    let words = unquoted(error).or_else(|| members.text("message"));
    id.is_none_or(RawId::is_null)
        && words.is_some_and(|words| {
            let words = words.to_lowercase();
            words.contains("session") && UNKNOWN.iter().any(|it| words.contains(it))
        })
}

/// Returns the id and the error of an error response, or of an object with an error.
fn error_of(line: &str) -> Option<(Option<RawId<'_>>, &str)> {
    let envelope = Envelope::parse(line).ok()?;
    Some((envelope.id, envelope.error?))
}

fn code_of(error: &str) -> Option<i64> {
    Members::of(error).get("code")?.parse().ok()
}

/// Returns a message as one line, without a byte order mark. In JSON, line ends occur only between tokens.
pub(super) fn one_line(mut bytes: Vec<u8>) -> String {
    bytes.truncate(bytes.trim_ascii_end().len());
    let message = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let indent = bytes.len() - message.trim_ascii_start().len();
    if indent > 0 {
        bytes.drain(..indent);
    }
    for byte in &mut bytes {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    String::from_utf8(bytes)
        .unwrap_or_else(|it| String::from_utf8_lossy(it.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unread_request_of_an_unknown_session_is_refused() {
        for (body, expected) in [
            (r#"{"error":"Session not found"}"#, true),
            (
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"unknown session"}}"#,
                true,
            ),
            (
                r#"{"jsonrpc":"2.0","id":3,"error":{"code":-32001,"message":"unknown session"}}"#,
                false,
            ),
            (
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"database session closed"}}"#,
                false,
            ),
            (r#"{"error":"user not found"}"#, false),
            (r#"{"result":{"text":"session not found"}}"#, false),
        ] {
            assert_eq!(refuses_session(body), expected, "{body}");
        }
    }
}
