//! Detects requests that another parser may read as a different call. JSON does not define which of two equal names
//! counts, and some parsers ignore the case of names.

use super::members::Members;
use super::value::RawJson;

/// Members that identify the request in a message.
const MESSAGE: [&str; 3] = ["id", "method", "params"];
/// Member of `params` that identifies the tool.
const PARAMS: [&str; 1] = ["name"];

/// Returns the reason why a server may read `line` differently from the proxy, as the rest of a sentence; None if every
/// parser reads the same call.
pub(crate) fn ambiguity(line: &str) -> Option<String> {
    // It is white space between JSON tokens, but a server that reads text by lines starts a new message there.
    if memchr::memchr(b'\r', line.trim_ascii_end().as_bytes()).is_some() {
        return Some("contains a carriage return".to_owned());
    }
    let message = Members::of(line);
    doubtful(&message, &MESSAGE).or_else(|| {
        let params = message.get("params")?;
        doubtful(&Members::of(params), &PARAMS)
    })
}

/// Returns true if every parser reads the same tool name from the `params.name` of a call.
pub(crate) fn is_plain_name(name: Option<RawJson<'_>>) -> bool {
    name.and_then(RawJson::text).is_some()
}

/// Returns a text on the first name in `object` that some parsers read as one of `names` and others do not.
fn doubtful(object: &Members<'_>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| {
        let mut alike = object.iter().filter(|(key, _)| folded(key) == *name);
        let first = alike.next()?.0;
        if first != *name {
            return Some(format!("has `{first}` instead of `{name}`"));
        }
        let second = alike.next()?.0;
        Some(if second == *name {
            format!("has a duplicate `{name}`")
        } else {
            format!("has both `{name}` and `{second}`")
        })
    })
}

/// Returns a name as parsers that ignore case compare it: `ſ` and the Kelvin sign count as `s` and `k`.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_every_parser_reads_alike_are_clear() {
        for line in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"name":1,"Name":2,"name":3}}}"#,
            r#"{"id":1,"method":"tools/call","params":{"n\u0061me":"a"},"other":1,"other":2}"#,
            "{\"id\":1,\"method\":\"ping\"}\r",
            r#"{"id":1,"method":"x","params":["name","name"]}"#,
        ] {
            assert_eq!(ambiguity(line), None, "{line}");
        }
    }

    #[test]
    fn names_that_parsers_read_differently_are_found() {
        for (line, why) in [
            (
                r#"{"params":{"name":"a","Name":"b"}}"#,
                "has both `name` and `Name`",
            ),
            (
                r#"{"params":{"NAME":"b","name":"a"}}"#,
                "has `NAME` instead of `name`",
            ),
            (
                r#"{"params":{"name":"b","n\u0061me":"a"}}"#,
                "has a duplicate `name`",
            ),
            (
                r#"{"params":{"x":1},"params":{"name":"a"}}"#,
                "has a duplicate `params`",
            ),
            (
                r#"{"params":{"name":"a"},"Params":{}}"#,
                "has both `params` and `Params`",
            ),
            (
                "{\"param\u{17f}\":{}}",
                "has `param\u{17f}` instead of `params`",
            ),
            (
                r#"{"method":"ping","METHOD":"tools/call"}"#,
                "has both `method` and `METHOD`",
            ),
            (
                r#"{"method":"ping","m\u0065thod":"x"}"#,
                "has a duplicate `method`",
            ),
            (r#"{"method":"x","Id":1}"#, "has `Id` instead of `id`"),
            (
                "{\"a\":\r{\"method\":\"x\"}\r}",
                "contains a carriage return",
            ),
        ] {
            assert_eq!(ambiguity(line).as_deref(), Some(why), "{line}");
        }
    }

    #[test]
    fn a_tools_name_must_be_a_text() {
        assert!(is_plain_name(Some(r#""\u0061""#.into())));
        for name in [None, Some("[\"a\"]"), Some("null"), Some(r#""\ud83d""#)] {
            assert!(!is_plain_name(name.map(RawJson::new)), "{name:?}");
        }
    }
}
