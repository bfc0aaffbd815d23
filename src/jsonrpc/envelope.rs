//! One message: finds the routing members of a line in a single pass.

use std::borrow::Cow;
use std::ops::Range;

use super::id::{RawId, RequestId};
use super::members::unquoted;
use super::scan::{JsonSyntaxError, Scanner};
use super::value::RawJson;

/// Kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// Has `method` and `id`.
    Request,
    /// Has `method` only.
    Notification,
    /// Has `result` or `error`.
    Response,
}

/// Message whose members are slices of the line, exactly as they were written.
#[derive(Debug, Default)]
pub(crate) struct Envelope<'a> {
    /// Id of the request that the message is or answers.
    pub(crate) id: Option<RawId<'a>>,
    /// Name of the method, decoded.
    pub(crate) method: Option<Cow<'a, str>>,
    /// Members of `params` that route a message.
    pub(crate) params: Params<'a>,
    /// The result.
    pub(crate) result: Option<&'a str>,
    /// The error object.
    pub(crate) error: Option<&'a str>,
}

/// Routing members of `params`; all absent if `params` is not an object.
#[derive(Debug, Default)]
pub(crate) struct Params<'a> {
    /// Name of a tool or prompt.
    pub(crate) name: Option<RawJson<'a>>,
    /// URI of a resource.
    pub(crate) uri: Option<RawJson<'a>>,
    /// Request that a cancellation is about.
    pub(crate) request_id: Option<RawId<'a>>,
    /// Task that a request is about.
    pub(crate) task_id: Option<RawJson<'a>>,
    /// Page of a list.
    pub(crate) cursor: Option<RawJson<'a>>,
    /// Log level.
    pub(crate) level: Option<RawJson<'a>>,
    /// Arguments of a tool.
    pub(crate) arguments: Option<&'a str>,
    /// Members of `_meta`.
    pub(crate) meta: Meta<'a>,
}

/// Members of `params._meta` that concern a proxy.
#[derive(Debug, Default)]
pub(crate) struct Meta<'a> {
    /// Token for progress notifications.
    pub(crate) progress_token: Option<RawJson<'a>>,
    /// Revision of a request that stands alone; its presence makes a request a modern one.
    pub(crate) protocol_version: Option<RawJson<'a>>,
    /// Object with the name and version of the sender.
    pub(crate) client_info: Option<&'a str>,
    /// Object with the capabilities of the sender.
    pub(crate) client_capabilities: Option<&'a str>,
    /// Log level that the sender wants for this request.
    pub(crate) log_level: Option<RawJson<'a>>,
    /// Stream that a notification belongs to.
    pub(crate) subscription_id: Option<RawJson<'a>>,
}

/// Positions of the members of a response in its line.
#[derive(Debug)]
pub(crate) struct ResponsePositions {
    id: Option<Range<usize>>,
    result: Option<Range<usize>>,
    error: Option<Range<usize>>,
}

/// Reason why a line is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidMessage {
    /// It is not JSON.
    #[error("invalid JSON: {0}")]
    Json(String),
    /// It is JSON, but neither a request, a notification nor a response.
    #[error("not a JSON-RPC message")]
    Shape,
    /// It is an array of messages.
    #[error("a batch of messages")]
    Batch,
}

impl<'a> Envelope<'a> {
    /// Finds the routing members of `line`, which must be one JSON object.
    ///
    /// Of duplicate keys the last one counts, as in most parsers. A value that only passes through is checked in the
    /// same way as by [`Scanner::value`].
    pub(crate) fn parse(line: &'a str) -> Result<Self, InvalidMessage> {
        match line.as_bytes().first() {
            Some(b'{') => {}
            Some(b'[') => return Err(InvalidMessage::Batch),
            _ => {
                return Err(InvalidMessage::Json(
                    "the first character is not {".to_owned(),
                ));
            }
        }
        let mut scanner = Scanner::new(line);
        let mut envelope = Self::default();
        envelope
            .read(&mut scanner)
            .and_then(|()| scanner.end())
            .map_err(|fault| InvalidMessage::Json(fault.describe(line)))?;
        let valid =
            envelope.method.is_some() || envelope.result.is_some() || envelope.error.is_some();
        if valid {
            Ok(envelope)
        } else {
            Err(InvalidMessage::Shape)
        }
    }

    /// Returns the id of a message of which only the beginning is readable, if the id is in it.
    pub(crate) fn id_in(head: &'a str) -> Option<RawId<'a>> {
        Self::beginning(head).id
    }

    /// Reads the two ends of a message: returns its id, and its method unless it is a response.
    pub(crate) fn of_ends(head: &'a str, tail: &str) -> (Option<RequestId>, Option<String>) {
        let mut ends = Self::beginning(head);
        let owned = |method: Cow<'_, str>| method.into_owned();
        let (mut id, mut method) = (ends.id.map(RequestId::from), ends.method.take().map(owned));
        // Parses the text from `"id"` on, if it is valid as the end of the outermost object.
        let rest = tail.rfind(r#""id""#).map(|at| format!("{{{}", &tail[at..]));
        if let (None, Some(rest)) = (&id, rest) {
            let mut last = Self::default();
            let mut scanner = Scanner::new(&rest);
            let read = last.read(&mut scanner);
            if read.and_then(|()| scanner.end()).is_ok() {
                id = last.id.map(RequestId::from);
                method = method.or(last.method.take().map(owned));
            }
        }
        (id, method)
    }

    /// Reads the members of a message of which only the beginning is there, as far as they are whole.
    pub(crate) fn beginning(head: &'a str) -> Self {
        let mut envelope = Self::default();
        let _ = envelope.read(&mut Scanner::new(head));
        envelope
    }

    fn read(&mut self, scanner: &mut Scanner<'a>) -> Result<(), JsonSyntaxError> {
        scanner.members(|scanner, name| {
            let member = match &*decoded(name) {
                "id" => {
                    self.id = Some(RawId::new(scanner.value()?));
                    return Ok(());
                }
                "method" => {
                    self.method = Some(decoded(scanner.value()?));
                    return Ok(());
                }
                "params" => {
                    self.params = Params::default();
                    return self.params.read(scanner);
                }
                "result" => &mut self.result,
                "error" => &mut self.error,
                _ => return scanner.value().map(drop),
            };
            *member = Some(scanner.value()?);
            Ok(())
        })
    }

    /// Returns the positions of a response's members in its `line`, as input for [`Self::at`]; None for other messages.
    pub(crate) fn response_positions(&self, line: &str) -> Option<ResponsePositions> {
        let range = |part: &str| {
            let begin = part.as_ptr() as usize - line.as_ptr() as usize;
            begin..begin + part.len()
        };
        (self.kind() == MessageKind::Response).then(|| ResponsePositions {
            id: self.id.map(RawId::as_str).map(range),
            result: self.result.map(range),
            error: self.error.map(range),
        })
    }

    /// Returns the response in `line` whose members are at `positions`.
    pub(crate) fn at(line: &'a str, positions: ResponsePositions) -> Self {
        let ResponsePositions { id, result, error } = positions;
        Self {
            id: id.map(|place| RawId::new(&line[place])),
            result: result.map(|place| &line[place]),
            error: error.map(|place| &line[place]),
            ..Self::default()
        }
    }

    /// Returns the result or error of a response. If it has both and one is null, as in JSON-RPC 1.0, the other one
    /// counts.
    pub(crate) fn outcome(&self) -> Option<Result<&'a str, &'a str>> {
        match (self.result, self.error) {
            (None | Some("null"), Some(error)) if error != "null" => Some(Err(error)),
            (Some(result), _) => Some(Ok(result)),
            (None, error) => error.map(Err),
        }
    }

    /// Returns the kind of the message.
    pub(crate) fn kind(&self) -> MessageKind {
        match (&self.method, self.id) {
            (Some(_), Some(_)) => MessageKind::Request,
            (Some(_), None) => MessageKind::Notification,
            (None, _) => MessageKind::Response,
        }
    }
}

/// Returns `line` with each `(part, replacement)` replaced; parts are slices of `line`, in any order.
pub(crate) fn splice(line: &str, parts: &mut [(&str, &str)]) -> String {
    let offset = |part: &str| part.as_ptr() as usize - line.as_ptr() as usize;
    parts.sort_unstable_by_key(|(part, _)| offset(part));
    let mut out = String::with_capacity(line.len() + 64);
    let mut done = 0;
    for (part, replacement) in parts {
        let at = offset(part);
        out.push_str(&line[done..at]);
        out.push_str(replacement);
        done = at + part.len();
    }
    out.push_str(&line[done..]);
    out
}

impl<'a> Params<'a> {
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Result<(), JsonSyntaxError> {
        if scanner.peek() != b'{' {
            return scanner.value().map(drop);
        }
        scanner.members(|scanner, name| {
            let member = match &*decoded(name) {
                "name" => &mut self.name,
                "uri" => &mut self.uri,
                "requestId" => {
                    self.request_id = Some(RawId::new(scanner.value()?));
                    return Ok(());
                }
                "taskId" => &mut self.task_id,
                "cursor" => &mut self.cursor,
                "level" => &mut self.level,
                "arguments" => {
                    self.arguments = Some(scanner.value()?);
                    return Ok(());
                }
                "_meta" => {
                    self.meta = Meta::default();
                    return self.meta.read(scanner);
                }
                _ => return scanner.value().map(drop),
            };
            *member = Some(RawJson::new(scanner.value()?));
            Ok(())
        })
    }
}

impl<'a> Meta<'a> {
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Result<(), JsonSyntaxError> {
        if scanner.peek() != b'{' {
            return scanner.value().map(drop);
        }
        scanner.members(|scanner, name| {
            let member = match &*decoded(name) {
                "progressToken" => &mut self.progress_token,
                "io.modelcontextprotocol/protocolVersion" => &mut self.protocol_version,
                "io.modelcontextprotocol/clientInfo" => {
                    self.client_info = Some(scanner.value()?);
                    return Ok(());
                }
                "io.modelcontextprotocol/clientCapabilities" => {
                    self.client_capabilities = Some(scanner.value()?);
                    return Ok(());
                }
                "io.modelcontextprotocol/logLevel" => &mut self.log_level,
                "io.modelcontextprotocol/subscriptionId" => &mut self.subscription_id,
                _ => return scanner.value().map(drop),
            };
            *member = Some(RawJson::new(scanner.value()?));
            Ok(())
        })
    }
}

/// Decodes a raw string; returns a string with a lone surrogate, and any other value, unchanged.
fn decoded(raw: &str) -> Cow<'_, str> {
    unquoted(raw).unwrap_or(Cow::Borrowed(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_routing_members_wherever_they_stand() {
        let line = r#"{"params":{"_meta":{"progressToken":1.0,"x":[]},"arguments":{"a":2e400},"name":"t"},"method":"tools/c\u0061ll","id":"\ud83d","x":1}"#;
        let envelope = Envelope::parse(line).unwrap();
        assert_eq!(envelope.kind(), MessageKind::Request);
        assert_eq!(envelope.id, Some(RawId::new(r#""\ud83d""#)));
        assert_eq!(envelope.method.as_deref(), Some("tools/call"));
        assert_eq!(envelope.params.name, Some(r#""t""#.into()));
        assert_eq!(envelope.params.arguments, Some(r#"{"a":2e400}"#));
        assert_eq!(envelope.params.meta.progress_token, Some("1.0".into()));
    }

    #[test]
    fn of_result_and_error_the_one_that_is_null_does_not_count() {
        for (line, outcome) in [
            (r#"{"id":1,"result":{}}"#, Some(Ok("{}"))),
            (r#"{"id":1,"result":{},"error":null}"#, Some(Ok("{}"))),
            (r#"{"id":1,"result":null}"#, Some(Ok("null"))),
            (r#"{"id":1,"result":null,"error":null}"#, Some(Ok("null"))),
            (
                r#"{"id":1,"result":null,"error":{"code":1}}"#,
                Some(Err(r#"{"code":1}"#)),
            ),
            (r#"{"id":1,"error":"no"}"#, Some(Err(r#""no""#))),
            (r#"{"id":1,"error":null}"#, Some(Err("null"))),
            (r#"{"id":1,"method":"x"}"#, None),
        ] {
            assert_eq!(Envelope::parse(line).unwrap().outcome(), outcome, "{line}");
        }
    }

    #[test]
    fn takes_params_of_any_type() {
        for params in [
            "[1,\"\\ud83d\"]",
            "null",
            "1e400",
            "\"\\ud83d\"",
            "{\"_meta\":1e400}",
            "{\"\\ud83d\":1}",
        ] {
            let line = format!(r#"{{"id":1,"method":"x","params":{params}}}"#);
            assert_eq!(
                Envelope::parse(&line).unwrap().method.as_deref(),
                Some("x"),
                "{params}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_message() {
        assert_eq!(Envelope::parse("[]").unwrap_err(), InvalidMessage::Batch);
        assert_eq!(
            Envelope::parse(r#"{"id":1}"#).unwrap_err(),
            InvalidMessage::Shape
        );
        for line in [
            "",
            "hello",
            r#"{"id":1"#,
            r#"{"id":1}}"#,
            r#"{"id":01,"method":"x"}"#,
            "{\"id\":1,\"method\":\"x\",\"a\tb\":1}",
            "{\"id\":1,\"result\":{},\"\u{1}\":1}",
            "{\"id\":1,\"method\":\"x\",\"params\":{\"a\u{0}\":1}}",
            "{\"id\":1,\"method\":\"x\",\"params\":{\"_meta\":{\"\u{1f}\\n\":1}}}",
        ] {
            assert!(
                matches!(Envelope::parse(line), Err(InvalidMessage::Json(_))),
                "{line}"
            );
        }
    }

    #[test]
    fn takes_names_with_escapes() {
        let line = r#"{"a\nb":1,"\ud83d\u0000":2,"i\u0064":7,"result":{}}"#;
        assert_eq!(Envelope::parse(line).unwrap().id, Some(RawId::new("7")));
    }

    #[test]
    fn both_ends_of_a_message_tell_its_id() {
        let ends = |head, tail| {
            let (id, method) = Envelope::of_ends(head, tail);
            let id = id.map(|id| id.as_raw().to_string());
            (id.unwrap_or_default(), method.unwrap_or_default())
        };
        let found = |id: &str, method: &str| (id.to_owned(), method.to_owned());
        let head = r#"{"jsonrpc":"2.0","id":"a","method":"x","params":{"b":"#;
        assert_eq!(ends(head, "1}}"), found("\"a\"", "x"));
        let head = r#"{"method":"x","params":{"b":"#;
        assert_eq!(ends(head, r#"1},"jsonrpc":"2.0","id":7}"#), found("7", "x"));
        let head = r#"{"result":{"b":"#;
        assert_eq!(ends(head, r#"1},"id":7,"jsonrpc":"2.0"}"#), found("7", ""));
        assert_eq!(ends(head, r#"{"id":7}}"#), found("", ""));
        assert_eq!(ends(head, r#""\"id\":7}"}"#), found("", ""));
    }

    #[test]
    fn splices_parts_in_any_order() {
        let line = r#"{"id": 7 ,"method":"x","params":{"name":"a"}}"#;
        let envelope = Envelope::parse(line).unwrap();
        let mut parts = [
            (envelope.params.name.unwrap().as_str(), "\"bb\""),
            (envelope.id.unwrap().as_str(), "\"one\""),
        ];
        assert_eq!(
            splice(line, &mut parts),
            r#"{"id": "one" ,"method":"x","params":{"name":"bb"}}"#
        );
    }
}
