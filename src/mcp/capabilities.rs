//! Capabilities that the proxy declares beyond those of the servers.

use std::borrow::Cow;

use crate::jsonrpc::{Members, unquoted};

/// Maximum depth at which nested objects are merged; below it, the first server's value is kept. Known capabilities are
/// three levels deep, and a hostile one must not exhaust the stack.
const DEEPEST: usize = 16;

/// Returns the server's `capabilities` object with everything added that a reload may bring: a legacy client never
/// uses a capability that `initialize` did not declare, and some clients ignore `list_changed` unless it was declared.
pub(crate) fn generous(capabilities: &str) -> String {
    let mut all = Members::of(capabilities);
    for (kind, flags) in [
        ("tools", &["listChanged"][..]),
        ("prompts", &["listChanged"]),
        ("resources", &["subscribe", "listChanged"]),
        ("logging", &[]),
        ("completions", &[]),
    ] {
        let mut members = Members::of(capabilities)
            .get(kind)
            .map(ToOwned::to_owned)
            .unwrap_or_default();
        if !flags.is_empty() || members.is_empty() {
            let mut edited = Members::of(&members);
            for flag in flags {
                edited.set(flag, "true");
            }
            members = edited.to_string();
        }
        all.set(kind, members);
    }
    all.to_string()
}

/// Merges the `capabilities` objects of several servers: objects are merged, `true` overrides `false`, and
/// otherwise the first value wins. Arguments that are not objects are ignored.
pub(crate) fn union(capabilities: &[&str]) -> String {
    capabilities
        .iter()
        .fold("{}".to_owned(), |all, more| join(&all, more, 1))
}

fn join(first: &str, second: &str, depth: usize) -> String {
    let mut all = distinct(first);
    for (name, value) in distinct(second) {
        match all.iter_mut().find(|(known, _)| same(known, &name)) {
            None => all.push((name, value)),
            Some((_, known)) if &**known == "false" && &*value == "true" => *known = value,
            Some((_, known)) => {
                if known.starts_with('{') && value.starts_with('{') && depth < DEEPEST {
                    *known = join(known, &value, depth + 1).into();
                }
            }
        }
    }
    Members::from_raw(all).to_string()
}

/// Returns the raw members of an object; of duplicate names, the last value at the position of the first.
fn distinct(object: &str) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let mut distinct: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    for (name, value) in Members::of(object).into_raw() {
        match distinct.iter_mut().find(|(known, _)| same(known, &name)) {
            Some((_, known)) => *known = value,
            None => distinct.push((name, value)),
        }
    }
    distinct
}

/// Returns true if two raw names are equal; names with a lone surrogate must be spelled identically.
fn same(one: &str, other: &str) -> bool {
    one == other || unquoted(one).is_some_and(|one| unquoted(other).is_some_and(|it| it == one))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_several_servers_everything_counts() {
        assert_eq!(
            union(&[
                r#"{"tools":{"listChanged":false},"experimental":{"a":{"v":1E5}},"\ud83d":1}"#,
                r#"{"logging":{},"tools":{"listChanged":true,"x":-0},"experimental":{"b":{}, "a":{"v":2,"w":[ 1]}}}"#,
                r#"{"tools":{"listChanged":false},"t\u006fols":{"y":0.10},"\ud83d":2,"logging":true}"#,
            ]),
            r#"{"tools":{"listChanged":true,"x":-0,"y":0.10},"experimental":{"a":{"v":1E5,"w":[ 1]},"b":{}},"\ud83d":1,"logging":{}}"#
        );
        assert_eq!(union(&[]), "{}");
        assert_eq!(
            union(&["[]", "null", r#"{"a":false}"#, "7"]),
            r#"{"a":false}"#
        );
    }

    #[test]
    fn of_equal_names_in_one_object_the_last_counts() {
        assert_eq!(
            union(&[r#"{"a":true,"b":1,"\u0061":false}"#, r#"{"a":"x"}"#]),
            r#"{"a":false,"b":1}"#
        );
    }

    #[test]
    fn depth_has_a_limit() {
        let deep = |leaf: &str| {
            format!(
                "{}{leaf}{}",
                r#"{"a":"#.repeat(100_000),
                "}".repeat(100_000)
            )
        };
        assert_eq!(union(&[&deep("1"), &deep("{}")]), deep("1"));
    }

    proptest! {
        #[test]
        fn the_union_with_itself_is_itself(
            members in prop::collection::btree_map("[a-z]{1,3}", "(true|false|[1-9]|[{]\"x\":(true|2e400)[}])", 0..6),
        ) {
            let mut object = Members::default();
            for (name, value) in &members {
                object.set(name, value.as_str());
            }
            let object = object.to_string();
            prop_assert_eq!(union(&[&object, &object]), object);
        }
    }

    #[test]
    fn adds_without_taking_away() {
        assert_eq!(
            generous(
                r#"{"tools":{"listChanged":false,"x":1},"vendor":{"a":1E5},"logging":{"b":1}}"#
            ),
            r#"{"tools":{"listChanged":true,"x":1},"vendor":{"a":1E5},"logging":{"b":1},"prompts":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"completions":{}}"#
        );
    }
}
