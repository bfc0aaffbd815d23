//! Values that a client carried from a result into a later request, such as the id of a new entry or the state of a
//! request for input: in a replay, the request has the value of the new result instead.
//!
//! Only ids that the server gives count, not values that the client may have chosen itself: an argument that new code no
//! longer accepts is a break that the replay must find. An id looks like one, or differs between two replays too.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::config::looks_secret;
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
/// Minimum number of digits of an id. Dates have 8.
const ID_DIGITS: usize = 9;

/// New values by the recorded ones, both as compact JSON; `None` for a recorded value with several new ones.
#[derive(Debug, Default)]
pub(super) struct CarriedValues(HashMap<String, Option<String>>);

impl CarriedValues {
    /// Learns from the recorded and the new result of a request with this method, and from that of an earlier replay, all
    /// raw. A value that is in both results has not been replaced, even if it stands elsewhere.
    pub(super) fn learn(&mut self, method: &str, recorded: &str, now: &str, earlier: Option<&str>) {
        let parse = |raw| serde_json::from_str::<Value>(raw).ok();
        let (Some(recorded), Some(now)) = (parse(recorded), parse(now)) else {
            return;
        };
        if SOURCES.contains(&method) {
            self.learn_parts(&recorded, &now, earlier.and_then(parse).as_ref());
        }
        let states = [&recorded, &now].map(|it| it.get("requestState").map(Value::to_string));
        if let [Some(recorded), Some(now)] = states {
            self.0.insert(recorded, Some(now));
        }
    }

    fn learn_parts(&mut self, recorded: &Value, now: &Value, earlier: Option<&Value>) {
        let [mut old, mut new] = [HashSet::new(), HashSet::new()];
        leaves(recorded, &mut old);
        leaves(now, &mut new);
        // The server has given the recorded value again.
        self.0
            .retain(|value, _| !old.contains(value) || !new.contains(value));
        let mut pairs = Vec::new();
        collect(recorded, now, earlier, &mut pairs);
        pairs.retain(|(recorded, now)| !new.contains(recorded) && !old.contains(now));
        for (recorded, now) in pairs {
            let known = self.0.entry(recorded).or_insert_with(|| Some(now.clone()));
            if known.as_ref() != Some(&now) {
                *known = None;
            }
        }
    }

    /// Returns a request of the client with the new values, and their number.
    pub(super) fn renew<'a>(&self, line: &'a str) -> (Cow<'a, str>, usize) {
        let mut parts = Vec::new();
        if !self.0.is_empty()
            && let Some(params) = Members::of(line).original("params")
        {
            let params = Members::of(params);
            for raw in TARGETS.iter().filter_map(|name| params.original(name)) {
                self.find(raw, &mut parts);
            }
        }
        let count = parts.len();
        if count == 0 {
            (line.into(), 0)
        } else {
            (splice(line, &mut parts).into(), count)
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

/// Adds the ids that differ at the same place.
fn collect(
    recorded: &Value,
    now: &Value,
    earlier: Option<&Value>,
    pairs: &mut Vec<(String, String)>,
) {
    let parts = earlier.and_then(decoded);
    let parts = parts.as_deref();
    match (decoded(recorded).as_deref(), decoded(now).as_deref()) {
        (Some(Value::Object(recorded)), Some(Value::Object(now))) => {
            for (name, value) in recorded {
                if let Some(now) = now.get(name) {
                    collect(value, now, parts.and_then(|it| it.get(name)), pairs);
                }
            }
        }
        (Some(Value::Array(recorded)), Some(Value::Array(now))) => {
            for (index, (recorded, now)) in recorded.iter().zip(now).enumerate() {
                collect(recorded, now, parts.and_then(|it| it.get(index)), pairs);
            }
        }
        (None, None) if recorded != now => {
            let varies = earlier.is_some_and(|it| it != now);
            if is_id(recorded, varies) && is_id(now, varies) {
                pairs.push((recorded.to_string(), now.to_string()));
            }
        }
        _ => {}
    }
}

/// Returns true if the value may be an id that a server gives: if it varies, unless it consists of words, or by its look.
fn is_id(value: &Value, varies: bool) -> bool {
    let is_long_number =
        |text: &str| text.len() >= ID_DIGITS && text.chars().all(|c| c.is_ascii_digit());
    let text = match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Number(number) => Cow::Owned(number.to_string()),
        _ => return false,
    };
    let has_digit = text.chars().any(|c| c.is_ascii_digit());
    let mut parts = text.split(['/', ':', '?', '=', '&']);
    varies && has_digit && text.len() >= SHORTEST
        || parts.any(|it| looks_secret(it) || is_long_number(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "tools/call";

    /// Returns `line` with the values that are learnt from the recorded, the new and an earlier result.
    fn renewed(method: &str, results: (&str, &str, Option<&str>), line: &str) -> String {
        let mut values = CarriedValues::default();
        values.learn(method, results.0, results.1, results.2);
        values.renew(line).0.into_owned()
    }

    #[test]
    fn a_request_has_the_values_of_the_new_results() {
        let result = |id: &str, n: &str, key: &str, state: &str| {
            format!(
                r#"{{"structuredContent":{{"id":"{id}","n":{n}}},"content":[{{"text":"{{\"key\":\"{key}\"}}"}}],"requestState":"{state}"}}"#
            )
        };
        let recorded = result("4c32", "12345", "k/old1", "s-old");
        let now = result("f00d", "99999", "k-new1", "s-new");
        let earlier = result("1a2b", "77777", "k-new2", "s-new");
        let line = |id: &str, n: &str, key: &str, state: &str| {
            format!(
                r#"{{"id":1E0,"params":{{"name":"4c32","arguments":{{"ids":[{id},{n}],"in":{{"k":"{key}","n":1E5}}}},"requestState":"{state}"}}}}"#
            )
        };
        let sent = line(r#""4c32""#, "12345", r"k\/old1", "s-old");
        let mut values = CarriedValues::default();
        values.learn(CALL, &recorded, &now, Some(&earlier));
        let expected = line(r#""f00d""#, "99999", "k-new1", "s-new");
        assert_eq!(values.renew(&sent), (expected.into(), 4));
        let other = line(r#""4c3""#, "1234", "k", "s");
        assert_eq!(values.renew(&other), ((&*other).into(), 0));
        for params in [
            r#"{"taskId":"4c32"}"#,
            r#"{"argument":{"name":"id","value":"4c32"}}"#,
            r#"{"context":{"arguments":{"id":"4c32"}}}"#,
        ] {
            let sent = format!(r#"{{"params":{params}}}"#);
            assert_eq!(values.renew(&sent).0, sent.replace("4c32", "f00d"));
        }
    }

    #[test]
    fn values_that_the_client_may_have_chosen_stay() {
        for (recorded, now, earlier, is_carried) in [
            // By their look.
            ("celsius", "CELSIUS", None, false),
            ("2026-07-28", "2026-07-29", None, false),
            ("v2.1.0", "v2.2.0", None, false),
            ("4c32", "f00d", None, false),
            (
                "5e3c1b9a-92d4-4b1c-8d5f-0a6f1c2b3d4e",
                "0a6f1c2b-92d4-4b1c-8d5f-5e3c1b9a3d4e",
                None,
                true,
            ),
            (
                "notes://a/9f86d081884c7d65",
                "notes://a/2c26b46b68ffc68f",
                None,
                true,
            ),
            ("1785240000123", "1785240000999", None, true),
            // Because they vary.
            ("4c32", "f00d", Some("f00d"), false),
            ("4c32", "f00d", Some("1a2b"), true),
            ("pending", "running", Some("done"), false),
        ] {
            let result = |value: &str| format!(r#"["{value}"]"#);
            let earlier = earlier.map(result);
            let call = |value: &str| format!(r#"{{"params":{{"arguments":{{"id":"{value}"}}}}}}"#);
            let expected = call(if is_carried { now } else { recorded });
            let results = (&*result(recorded), &*result(now), earlier.as_deref());
            let renewed = renewed(CALL, results, &call(recorded));
            assert_eq!(renewed, expected, "{recorded} {earlier:?}");
        }
        let call = r#"{"params":{"arguments":{"limit":1000}}}"#;
        assert_eq!(renewed(CALL, ("[1000]", "[2000]", None), call), call);
        let results = ("[1000]", "[2000]", Some("[3000]"));
        assert_ne!(renewed(CALL, results, call), call);
    }

    #[test]
    fn values_that_are_not_replaced_stay() {
        let call = r#"{"params":{"arguments":{"id":"aaa1"}}}"#;
        let other = |method, recorded, now| {
            renewed(method, (recorded, now, Some(r#"["eee1","eee2"]"#)), call)
        };
        assert_ne!(other(CALL, r#"["aaa1"]"#, r#"["bbb1"]"#), call);
        for (method, recorded, now) in [
            // Another order.
            (CALL, r#"["aaa1","bbb1"]"#, r#"["bbb1","aaa1"]"#),
            (CALL, r#"["aaa1","bbb1"]"#, r#"["ccc1","aaa1"]"#),
            (CALL, r#"["aaa1","bbb1"]"#, r#"["bbb1"]"#),
            ("tools/list", r#"["aaa1"]"#, r#"["bbb1"]"#),
            (CALL, r#"["aaa1"]"#, "[]"),
            (CALL, r#"["aaa1"]"#, r#"[["bbb1"]]"#),
            // One recorded value with two new ones.
            (CALL, r#"["aaa1","aaa1"]"#, r#"["bbb1","ccc1"]"#),
        ] {
            assert_eq!(other(method, recorded, now), call, "{now}");
        }
        let short = r#"{"params":{"arguments":{"id":"a1"}}}"#;
        let results = (r#"["a1"]"#, r#"["b1"]"#, Some(r#"["c1"]"#));
        assert_eq!(renewed(CALL, results, short), short);
        // The server gives the recorded value again.
        let mut values = CarriedValues::default();
        values.learn(CALL, r#"["aaa1"]"#, r#"["bbb1"]"#, Some(r#"["ccc1"]"#));
        assert_ne!(values.renew(call).0, call);
        values.learn(CALL, r#"["aaa1"]"#, r#"["aaa1"]"#, None);
        assert_eq!(values.renew(call).0, call);
    }
}
