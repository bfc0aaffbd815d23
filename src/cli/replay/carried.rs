//! Values that a client carried from a result into a later request, such as the id of a new entry or the state of a
//! request for input: in a replay, the request has the value of the new result instead.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::jsonrpc::{Members, elements, splice};
use crate::rehearsal::json;

/// Methods whose results have such values. Names in lists are no ids: another order of a list must not change a call.
const SOURCES: [&str; 3] = ["tools/call", "prompts/get", "resources/read"];
/// Members of the parameters that may repeat such values.
const TARGETS: [&str; 7] = [
    "arguments",
    "uri",
    "requestState",
    "inputResponses",
    "taskId",
    "argument",
    "context",
];
/// Minimum length of a value as JSON without quotes: a shorter one may be equal by chance.
const SHORTEST: usize = 4;

/// New values by the recorded ones, both as compact JSON; `None` for a recorded value with several new ones.
#[derive(Debug, Default)]
pub(super) struct CarriedValues(HashMap<String, Option<String>>);

impl CarriedValues {
    /// Learns from the recorded and the new result of a request with this method, both raw. A value that is in both
    /// results has not been replaced, even if it stands elsewhere.
    pub(super) fn learn(&mut self, method: &str, recorded: &str, now: &str) {
        let parse = |raw| serde_json::from_str::<Value>(raw).ok();
        let (Some(recorded), Some(now)) = (parse(recorded), parse(now)) else {
            return;
        };
        if SOURCES.contains(&method) {
            self.learn_parts(&recorded, &now);
        }
        let states = [&recorded, &now].map(|it| it.get("requestState").map(Value::to_string));
        if let [Some(recorded), Some(now)] = states {
            self.0.insert(recorded, Some(now));
        }
    }

    fn learn_parts(&mut self, recorded: &Value, now: &Value) {
        let [mut old, mut new] = [HashSet::new(), HashSet::new()];
        leaves(recorded, &mut old);
        leaves(now, &mut new);
        // The server has given the recorded value again.
        self.0
            .retain(|value, _| !old.contains(value) || !new.contains(value));
        let mut pairs = Vec::new();
        collect(recorded, now, &mut pairs);
        pairs.retain(|(recorded, now)| !new.contains(recorded) && !old.contains(now));
        for (recorded, now) in pairs {
            let known = self.0.entry(recorded).or_insert_with(|| Some(now.clone()));
            if known.as_ref() != Some(&now) {
                *known = None;
            }
        }
    }

    /// Returns a request of the client with the new values.
    pub(super) fn renew<'a>(&self, line: &'a str) -> Cow<'a, str> {
        let mut parts = Vec::new();
        if !self.0.is_empty()
            && let Some(params) = Members::of(line).original("params")
        {
            let params = Members::of(params);
            for raw in TARGETS.iter().filter_map(|name| params.original(name)) {
                self.find(raw, &mut parts);
            }
        }
        if parts.is_empty() {
            line.into()
        } else {
            splice(line, &mut parts).into()
        }
    }

    /// Adds the parts of a raw value that are recorded values, each with its replacement.
    fn find<'a, 'b>(&'b self, raw: &'a str, parts: &mut Vec<(&'a str, &'b str)>) {
        if let Some(elements) = elements(raw) {
            for element in elements {
                self.find(element, parts);
            }
        } else if raw.starts_with('{') {
            for (_, value) in Members::of(raw).into_raw() {
                if let Cow::Borrowed(value) = value {
                    self.find(value, parts);
                }
            }
        } else if let Ok(value) = serde_json::from_str::<Value>(raw)
            && let Some(Some(now)) = self.0.get(&value.to_string())
        {
            parts.push((raw, now));
        }
    }
}

/// Returns the parts of a value that has any. A text may be JSON.
fn decoded(value: &Value) -> Option<Cow<'_, Value>> {
    match value {
        Value::Object(_) | Value::Array(_) => Some(Cow::Borrowed(value)),
        Value::String(text) => json(text).map(Cow::Owned),
        _ => None,
    }
}

/// Adds the values that have no parts.
fn leaves(value: &Value, found: &mut HashSet<String>) {
    match decoded(value).as_deref() {
        Some(Value::Object(members)) => members.values().for_each(|it| leaves(it, found)),
        Some(Value::Array(items)) => items.iter().for_each(|it| leaves(it, found)),
        _ => _ = found.insert(value.to_string()),
    }
}

/// Adds the strings and numbers that differ at the same place.
fn collect(recorded: &Value, now: &Value, pairs: &mut Vec<(String, String)>) {
    match (decoded(recorded).as_deref(), decoded(now).as_deref()) {
        (Some(Value::Object(recorded)), Some(Value::Object(now))) => {
            for (name, value) in recorded {
                if let Some(now) = now.get(name) {
                    collect(value, now, pairs);
                }
            }
        }
        (Some(Value::Array(recorded)), Some(Value::Array(now))) => {
            for (recorded, now) in recorded.iter().zip(now) {
                collect(recorded, now, pairs);
            }
        }
        (None, None) if recorded != now => {
            let is_long = match recorded {
                Value::String(text) => text.len() >= SHORTEST,
                Value::Number(number) => number.to_string().len() >= SHORTEST,
                _ => false,
            };
            if is_long {
                pairs.push((recorded.to_string(), now.to_string()));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(method: &str, recorded: &str, now: &str) -> CarriedValues {
        let mut values = CarriedValues::default();
        values.learn(method, recorded, now);
        values
    }

    #[test]
    fn a_request_has_the_values_of_the_new_results() {
        let recorded = r#"{"structuredContent":{"id":"4c32","n":12345},"content":[{"text":"{\"key\":\"k/old\"}"}],"requestState":"s-old"}"#;
        let now = r#"{"structuredContent":{"id":"f00d","n":99999},"content":[{"text":"{\"key\":\"k-new\"}"}],"requestState":"s-new"}"#;
        let values = learned("tools/call", recorded, now);
        let line = |id: &str, n: &str, key: &str, state: &str| {
            format!(
                r#"{{"id":1E0,"params":{{"name":"4c32","arguments":{{"ids":[{id},{n}],"in":{{"k":"{key}","n":1E5}}}},"requestState":"{state}"}}}}"#
            )
        };
        let sent = line(r#""4c32""#, "12345", r"k\/old", "s-old");
        let expected = line(r#""f00d""#, "99999", "k-new", "s-new");
        assert_eq!(values.renew(&sent), expected);
        let other = line(r#""4c3""#, "1234", "k", "s");
        assert_eq!(values.renew(&other), other);
        for params in [
            r#"{"taskId":"4c32"}"#,
            r#"{"argument":{"name":"id","value":"4c32"}}"#,
            r#"{"context":{"arguments":{"id":"4c32"}}}"#,
        ] {
            let sent = format!(r#"{{"params":{params}}}"#);
            assert_eq!(values.renew(&sent), sent.replace("4c32", "f00d"));
        }
    }

    #[test]
    fn values_that_are_no_ids_of_one_run_stay() {
        let call = r#"{"params":{"arguments":{"id":"aaaa"}}}"#;
        for (method, recorded, now) in [
            // Another order.
            ("tools/call", r#"["aaaa","bbbb"]"#, r#"["bbbb","aaaa"]"#),
            ("tools/call", r#"["aaaa","bbbb"]"#, r#"["cccc","aaaa"]"#),
            ("tools/call", r#"["aaaa","bbbb"]"#, r#"["bbbb"]"#),
            ("tools/list", r#"["aaaa"]"#, r#"["bbbb"]"#),
            ("tools/call", r#"["aaaa"]"#, "[]"),
            ("tools/call", r#"["aaaa"]"#, r#"[["bbbb"]]"#),
        ] {
            assert_eq!(learned(method, recorded, now).renew(call), call, "{now}");
        }
        // One recorded value with two new ones.
        let values = learned("tools/call", r#"["aaaa","aaaa"]"#, r#"["bbbb","cccc"]"#);
        assert_eq!(values.renew(call), call);
        // The server gives the recorded value again.
        let mut values = learned("tools/call", r#"["aaaa"]"#, r#"["bbbb"]"#);
        assert_ne!(values.renew(call), call);
        values.learn("tools/call", r#"["aaaa"]"#, r#"["aaaa"]"#);
        assert_eq!(values.renew(call), call);
        let short = learned("tools/call", r#"["a"]"#, r#"["b"]"#);
        let call = r#"{"params":{"arguments":{"id":"a"}}}"#;
        assert_eq!(short.renew(call), call);
    }
}
