//! Differences between two responses, by the paths of their parts.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;

use crate::jsonrpc::unquoted;
use crate::rehearsal::differs_by_itself;

/// Path that is left out of a comparison, such as `result.content[*].text`.
#[derive(Debug, Clone)]
pub(super) struct IgnoredPath(Vec<String>);

impl FromStr for IgnoredPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let steps: Vec<String> = steps(text).map(ToOwned::to_owned).collect();
        match steps.first() {
            Some(first) if ["result", "error", "*"].contains(&first.as_str()) => Ok(Self(steps)),
            _ => {
                Err("expected a path in the response, such as `result.content[*].text`".to_owned())
            }
        }
    }
}

impl IgnoredPath {
    fn admits(&self, path: &JsonPath) -> bool {
        let is_met = |(own, step): (&String, &str)| own == "*" || own == step;
        let steps = steps(&path.0);
        let count = steps.clone().count();
        count == self.0.len() && self.0.iter().zip(steps).all(is_met)
    }
}

/// Returns the names and indexes in a path.
fn steps(path: &str) -> impl Iterator<Item = &str> + Clone {
    path.split(['.', '[', ']']).filter(|step| !step.is_empty())
}

/// Path of a part of a response: `result.content[0].text`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct JsonPath(String);

impl JsonPath {
    fn member(&self, name: &str) -> Self {
        let dot = if self.0.is_empty() { "" } else { "." };
        Self(format!("{}{dot}{name}", self.0))
    }

    fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

/// Part that differs; `None` where it is missing.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    path: JsonPath,
    recorded: Option<Value>,
    now: Option<Value>,
}

impl Difference {
    /// Returns true if the part is the progress token of the request both times, given as raw values: a server may repeat
    /// it.
    pub(super) fn is_token(&self, recorded: Option<&str>, now: Option<&str>) -> bool {
        let is_token = |value: &Option<Value>, token: Option<&str>| {
            let shown = |it: &Value| {
                it.as_str()
                    .map_or_else(|| it.to_string(), ToOwned::to_owned)
            };
            let token = token.map(|raw| unquoted(raw).map_or_else(|| raw.to_owned(), Into::into));
            token.is_some() && value.as_ref().map(shown) == token
        };
        is_token(&self.recorded, recorded) && is_token(&self.now, now)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |it: &Option<Value>| it.as_ref().map_or("nothing".to_owned(), Value::to_string);
        let (recorded, now) = (shown(&self.recorded), shown(&self.now));
        write!(f, "{}: {recorded} → {now}", self.path.0)
    }
}

/// Returns the differences between the results or errors of two responses, except for the parts at `ignored` paths.
pub(super) fn differences(recorded: &str, now: &str, ignored: &[IgnoredPath]) -> Vec<Difference> {
    let mut comparison = Comparison {
        ignored,
        found: Vec::new(),
    };
    let root = JsonPath::default();
    for name in ["result", "error"] {
        let [recorded, now] = [recorded, now].map(|line| part(line, name));
        comparison.compare(root.member(name), recorded.as_ref(), now.as_ref());
    }
    comparison.found
}

/// Returns those of the differences `found` that do not vary by themselves, and the places of the others. `again` is the
/// response to the same request as `now`, from the same code.
pub(super) fn without_varying(
    found: Vec<Difference>,
    now: &str,
    again: &str,
) -> (Vec<Difference>, Vec<JsonPath>) {
    let varying = differences(now, again, &[]);
    let varies = |it: &Difference| {
        let own = varying.iter().find(|own| own.path == it.path);
        own.is_some_and(|own| match (&it.recorded, &it.now, &own.now) {
            (Some(before), Some(now), Some(again)) => differs_by_itself(before, now, again),
            (_, now, again) => now.is_some() != again.is_some(),
        })
    };
    let (varied, fixed): (Vec<_>, Vec<_>) = found.into_iter().partition(varies);
    (fixed, varied.into_iter().map(|it| it.path).collect())
}

/// Returns the member `name` of a message; as a text if it has numbers or strings that no [`Value`] can have.
fn part(line: &str, name: &str) -> Option<Value> {
    let members = crate::jsonrpc::Members::of(line);
    let raw = members.get(name)?;
    Some(serde_json::from_str(raw).unwrap_or_else(|_| raw.into()))
}

struct Comparison<'a> {
    ignored: &'a [IgnoredPath],
    found: Vec<Difference>,
}

impl Comparison<'_> {
    fn compare(&mut self, path: JsonPath, recorded: Option<&Value>, now: Option<&Value>) {
        if recorded == now || self.ignored.iter().any(|it| it.admits(&path)) {
            return;
        }
        match (recorded, now) {
            (Some(Value::Object(recorded)), Some(Value::Object(now))) => {
                for (name, value) in recorded {
                    self.compare(path.member(name), Some(value), now.get(name));
                }
                for (name, value) in now.iter().filter(|(name, _)| !recorded.contains_key(*name)) {
                    self.compare(path.member(name), None, Some(value));
                }
            }
            (Some(Value::Array(recorded)), Some(Value::Array(now))) => {
                for index in 0..recorded.len().max(now.len()) {
                    self.compare(path.item(index), recorded.get(index), now.get(index));
                }
            }
            _ => self.found.push(Difference {
                path,
                recorded: recorded.cloned(),
                now: now.cloned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_differ_are_told_by_their_paths() {
        let recorded = r#"{"id":1,"result":{"a":[{"b":1},2],"c":1,"same":[1E5]}}"#;
        let now = r#"{"result":{"same":[100000.0],"a":[{"b":"1"}],"d":null},"id":7}"#;
        let found = |ignored: &[&str]| {
            let ignored: Vec<_> = ignored.iter().map(|it| it.parse().unwrap()).collect();
            let found = differences(recorded, now, &ignored);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let all = [
            "result.a[0].b: 1 → \"1\"",
            "result.a[1]: 2 → nothing",
            "result.c: 1 → nothing",
            "result.d: nothing → null",
        ];
        assert_eq!(found(&[]), all);
        assert_eq!(found(&["result.a[*].b", "result.c"]), [all[1], all[3]]);
        assert_eq!(found(&["result.a"]), all[2..]);
        assert_eq!(found(&["result"]), [""; 0]);
        assert!("content".parse::<IgnoredPath>().is_err());
    }

    #[test]
    fn parts_that_vary_by_themselves_are_no_differences() {
        let recorded = r#"{"result":{"max":21,"at":1,"id":"a b","more":[1]}}"#;
        let now = r#"{"result":{"max":22,"at":2,"id":"a c","more":[]}}"#;
        let again = r#"{"result":{"max":22,"at":3,"id":"a d","more":[2]}}"#;
        let found = differences(recorded, now, &[]);
        let (fixed, varied) = without_varying(found, now, again);
        let fixed: Vec<_> = fixed.iter().map(ToString::to_string).collect();
        assert_eq!(fixed, ["result.max: 21 → 22"]);
        let varied: Vec<_> = varied.iter().map(|it| &*it.0).collect();
        assert_eq!(varied, ["result.at", "result.id", "result.more[0]"]);
    }

    #[test]
    fn a_progress_token_in_a_result_is_no_difference() {
        let (recorded, now) = (r#"{"result":["6",6,7]}"#, r#"{"result":["t","t","t"]}"#);
        let found = differences(recorded, now, &[]);
        let is_token = found.iter().map(|it| it.is_token(Some("6"), Some("\"t\"")));
        assert_eq!(is_token.collect::<Vec<_>>(), [true, true, false]);
        assert!(!found[0].is_token(Some("6"), None) && !found[0].is_token(None, Some("\"t\"")));
    }

    #[test]
    fn a_result_differs_from_an_error() {
        let of = |recorded, now| differences(recorded, now, &[]).len();
        assert_eq!(of(r#"{"result":{}}"#, r#"{"error":{"code":1}}"#), 2);
        assert_eq!(of(r#"{"result":"\ud83d"}"#, r#"{"result":"\ud83d"}"#), 0);
        assert_eq!(of(r#"{"result":1e999}"#, r#"{"result":2e999}"#), 1);
    }
}
