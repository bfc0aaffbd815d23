//! Reference results of `serde_json`, for tests and fuzzers.

use std::borrow::Cow;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Scanner;
use crate::jsonrpc::envelope::{Envelope, InvalidMessage, Meta, Params};
use crate::jsonrpc::id::RawId;
use crate::jsonrpc::value::RawJson;
use crate::jsonrpc::{Members, elements, unquoted};

pub(super) fn is_taken(text: &str) -> bool {
    let mut scanner = Scanner::new(text);
    let read = scanner.value().and_then(|_| scanner.end());
    if let Err(fault) = read {
        assert!(fault.0 <= text.len(), "{text}");
        assert!(text.is_char_boundary(fault.0), "{text}");
    }
    read.is_ok()
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Returns true if strings, escapes and brackets in `text` are valid, and every other character occurs in JSON.
fn may_pass(text: &str) -> bool {
    let mut open = Vec::new();
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        let mut len = sign.len_utf8();
        match sign {
            '"' => match string(rest) {
                Some(end) => len = end,
                None => return false,
            },
            '{' | '[' => open.push(sign),
            '}' | ']' if open.pop() != Some(if sign == '}' { '{' } else { '[' }) => return false,
            '}' | ']' | ' ' | '\n' | '\r' | '\t' => {}
            '!'..='~' if !matches!(sign, 'A'..='D' | 'F'..='Z' | '\'' | '\\') => {}
            _ => return false,
        }
        rest = &rest[len..];
    }
    open.is_empty()
}

/// Returns the length of the string at the start of `text`.
fn string(text: &str) -> Option<usize> {
    let quotes = text.match_indices('"').map(|(at, _)| at + 1);
    quotes.skip(1).find(|end| is_json(&text[..*end]))
}

/// Raw names and values of an object, as `serde_json` parses them.
struct Raw<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Raw<'a> {
    fn of(object: &'a str) -> Option<Self> {
        let mut input = serde_json::Deserializer::from_str(object);
        let raw = input.deserialize_map(Collect).ok()?;
        input.end().ok().map(|()| raw)
    }

    fn last(&self, name: &str) -> Option<&'a str> {
        let is_meant = |raw: &str| unquoted(raw).is_some_and(|it| it == name);
        let member = self.0.iter().rev().find(|it| is_meant(it.0));
        member.map(|it| it.1)
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
            members.push((name.get(), value.get()));
        }
        Ok(Raw(members))
    }
}

/// Returns the envelope that `serde_json` finds; None if the line is not JSON.
fn expected(line: &str) -> Option<Envelope<'_>> {
    let message = Raw::of(line)?;
    let params = message.last("params").and_then(Raw::of);
    let params = params.unwrap_or(Raw(vec![]));
    let meta = params
        .last("_meta")
        .and_then(Raw::of)
        .unwrap_or(Raw(vec![]));
    let decoded = |raw| unquoted(raw).unwrap_or(Cow::Borrowed(raw));
    Some(Envelope {
        id: message.last("id").map(RawId::new),
        method: message.last("method").map(decoded),
        params: Params {
            name: params.last("name").map(RawJson::new),
            uri: params.last("uri").map(RawJson::new),
            request_id: params.last("requestId").map(RawId::new),
            task_id: params.last("taskId").map(RawJson::new),
            cursor: params.last("cursor").map(RawJson::new),
            level: params.last("level").map(RawJson::new),
            arguments: params.last("arguments"),
            meta: Meta {
                progress_token: meta.last("progressToken").map(RawJson::new),
                protocol_version: meta
                    .last("io.modelcontextprotocol/protocolVersion")
                    .map(RawJson::new),
                client_info: meta.last("io.modelcontextprotocol/clientInfo"),
                client_capabilities: meta.last("io.modelcontextprotocol/clientCapabilities"),
                log_level: meta
                    .last("io.modelcontextprotocol/logLevel")
                    .map(RawJson::new),
                subscription_id: meta
                    .last("io.modelcontextprotocol/subscriptionId")
                    .map(RawJson::new),
            },
        },
        result: message.last("result"),
        error: message.last("error"),
    })
}

/// Checks that all parsers read `line` in the same way as `serde_json` if it is JSON; if it is not, checks that an
/// accepted line passes `may_pass`.
pub(in crate::jsonrpc) fn check(line: &str) {
    if is_json(line) {
        return check_json(line);
    }
    let is_array_or_object = elements(line).is_some() || !Members::of(line).is_empty();
    let is_message =
        line.starts_with('{') && !matches!(Envelope::parse(line), Err(InvalidMessage::Json(_)));
    if is_taken(line) || is_array_or_object || is_message {
        assert!(may_pass(line), "{line:?}");
    }
}

pub(super) fn check_json(line: &str) {
    assert!(is_taken(line) && may_pass(line), "{line:?}");
    let raw: Option<Vec<&RawValue>> = serde_json::from_str(line).ok();
    let raw = raw.map(|all| all.into_iter().map(RawValue::get).collect());
    assert_eq!(elements(line), raw, "{line:?}");
    if !line.starts_with('{') {
        return;
    }
    match Envelope::parse(line) {
        Ok(found) => {
            let expected = expected(line).expect("it is an object");
            assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{line:?}");
        }
        Err(error) => assert_eq!(error, InvalidMessage::Shape, "{line:?}"),
    }
    let owned =
        |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned());
    let members: Vec<_> = Members::of(line).into_raw().map(owned).collect();
    let raw = Raw::of(line).expect("it is an object").0.into_iter();
    let raw: Vec<_> = raw.map(|it| (it.0.to_owned(), it.1.to_owned())).collect();
    assert_eq!(members, raw, "{line:?}");
}
