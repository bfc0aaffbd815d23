//! Advice for modern servers that send their client requests of the legacy era: the SDKs refuse these requests, so the
//! call fails, although the same server could ask its client on a legacy connection.

use super::TranslatedResponse;
use crate::jsonrpc::{Envelope, Members, quoted};

/// Sentences with which SDKs refuse to send a request to a modern client.
const REFUSALS: [&str; 4] = [
    // Python: "Cannot send 'elicitation/create': this transport context has no back-channel ...".
    "this transport context has no back-channel",
    // FastMCP: "elicitation via server-initiated requests is unavailable on 2026-07-28 connections."
    "server-initiated requests is unavailable on 2026-07-28 connections",
    // TypeScript: "Server-to-client requests are not available on protocol revision 2026-07-28 ...".
    "Server-to-client requests are not available on protocol revision 2026-07-28",
    // rmcp: "server-to-client requests are not allowed on protocol 2026-07-28 or later; ...".
    "server-to-client requests are not allowed on protocol 2026-07-28",
];

/// Length in bytes above which a response is no such refusal.
const LONGEST: usize = 16 * 1024;

/// Returns true if the result or error of a modern server says that the server failed to send its client a request.
fn is_unsuitable(outcome: Result<&str, &str>) -> bool {
    let (Ok(raw) | Err(raw)) = outcome;
    raw.len() <= LONGEST
        && REFUSALS
            .iter()
            .any(|it| memchr::memmem::find(raw.as_bytes(), it.as_bytes()).is_some())
        && outcome.map_or(true, |raw| Members::of(raw).get("isError") == Some("true"))
}

/// Returns the response in `envelope`, of a modern server called `server`, with advice to use the legacy era; None if the
/// server did not fail to send its client a request.
pub(crate) fn with_era_advice(envelope: &Envelope<'_>, server: &str) -> Option<TranslatedResponse> {
    let outcome = envelope.outcome().filter(|it| is_unsuitable(*it))?;
    let advice = format!(
        "`{server}` sends its client requests in a way that revision 2026-07-28 does not have. To the user: set \
         `era = \"legacy\"` in [servers.{server}] of mcp-proxy.toml, or start the proxy with `--era legacy`."
    );
    Some(match outcome {
        Ok(raw) => {
            let mut result = Members::of(raw);
            let content = result.original("content").unwrap_or("[]");
            let content = content.trim_end().strip_suffix(']')?.trim_end();
            let comma = if content.ends_with('[') { "" } else { "," };
            let text = quoted(&advice);
            result.set(
                "content",
                format!(r#"{content}{comma}{{"type":"text","text":{text}}}]"#),
            );
            TranslatedResponse::Result(result.to_string())
        }
        Err(raw) => {
            let mut error = Members::of(raw);
            let message = error.text("message").unwrap_or_default();
            let message = quoted(&format!("{message}\n{advice}"));
            error.set("message", message);
            TranslatedResponse::Error(error.to_string())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::TranslatedResponse::{Error, Result};

    const ADVICE: &str = "`w` sends its client requests in a way that revision 2026-07-28 does not have. To the user: \
                          set `era = \\\"legacy\\\"` in [servers.w] of mcp-proxy.toml, or start the proxy with \
                          `--era legacy`.";

    #[test]
    fn the_sentence_of_each_sdk_is_followed_by_the_advice() {
        let python =
            "Cannot send 'elicitation/create': this transport context has no back-channel for it.";
        let fastmcp =
            "elicitation via server-initiated requests is unavailable on 2026-07-28 connections.";
        let typescript =
            "Server-to-client requests are not available on protocol revision 2026-07-28: return";
        let rmcp = "Mcp error: -32600: server-to-client requests are not allowed on protocol 2026-07-28 or later;";
        let advised = |line: &str| with_era_advice(&Envelope::parse(line).unwrap(), "w");
        for sentence in [python, fastmcp, typescript, rmcp] {
            let error = format!(r#"{{"code":-32600,"data":1E5,"message":"{sentence}"}}"#);
            let expected =
                format!(r#"{{"code":-32600,"data":1E5,"message":"{sentence}\n{ADVICE}"}}"#);
            let line = format!(r#"{{"id":1,"error":{error}}}"#);
            assert_eq!(advised(&line), Some(Error(expected)));
            let content = format!(r#"{{"n":1E5,"type":"text","text":"{sentence}"}}"#);
            let result = |content: &str| {
                format!(r#"{{"isError":true,"content":[{content}],"resultType":"complete"}}"#)
            };
            let added = format!(r#"{{"type":"text","text":"{ADVICE}"}}"#);
            let line = |result: &str| format!(r#"{{"id":1,"result":{result}}}"#);
            let expected = result(&format!("{content},{added}"));
            assert_eq!(advised(&line(&result(&content))), Some(Result(expected)));
            // The text may be that of a page about the subject.
            let page = result(&content).replace("true", "false");
            assert_eq!(advised(&line(&page)), None);
            let long = result(&format!("{content}{}", " ".repeat(LONGEST)));
            assert_eq!(advised(&line(&long)), None);
        }
    }

    #[test]
    fn other_failures_have_no_advice() {
        for line in [
            r#"{"id":1,"error":{"code":-32600,"message":"no back-channel"}}"#,
            r#"{"id":1,"result":{"isError":true,"content":[]}}"#,
            r#"{"id":1}"#,
        ] {
            let envelope = Envelope::parse(line).unwrap_or_default();
            assert_eq!(with_era_advice(&envelope, "w"), None, "{line}");
        }
    }
}
