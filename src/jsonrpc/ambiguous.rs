//! Requests that another parser may read as another call. JSON leaves open which of two equal names counts, and some
//! parsers match names without regard to case.

use super::members::{Members, unquoted};

/// The members of a message by which a receiver knows what it is asked.
const MESSAGE: [&str; 3] = ["id", "method", "params"];
/// The member of `params` by which it knows the tool.
const PARAMS: [&str; 1] = ["name"];

/// Returns why a server may read `line` otherwise than the proxy does, as the rest of a sentence; nothing if every
/// parser reads the same call.
pub(crate) fn ambiguity(line: &str) -> Option<String> {
    // Between the tokens of JSON it is space, but a server that reads text by lines begins a new message there.
    if memchr::memchr(b'\r', line.trim_ascii_end().as_bytes()).is_some() {
        return Some("holds a carriage return".to_owned());
    }
    let message = Members::of(line);
    doubtful(&message, &MESSAGE).or_else(|| {
        let params = message.get("params")?;
        doubtful(&Members::of(params), &PARAMS)
    })
}

/// Whether the name of the tool in the raw `params.name` of a call reads the same everywhere.
pub(crate) fn is_plain_name(name: Option<&str>) -> bool {
    name.and_then(unquoted).is_some()
}

/// The first name in `object` that a parser could take for one of `names` and another one not.
fn doubtful(object: &Members<'_>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| {
        let mut alike = object.iter().filter(|(key, _)| folded(key) == *name);
        let first = alike.next()?.0;
        if first != *name {
            return Some(format!("has `{first}` where `{name}` belongs"));
        }
        let second = alike.next()?.0;
        Some(if second == *name {
            format!("has `{name}` twice")
        } else {
            format!("has both `{name}` and `{second}`")
        })
    })
}

/// A name as parsers compare it that ignore case: `ſ` and the Kelvin sign count as `s` and `k`.
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
                "has `NAME` where `name` belongs",
            ),
            (
                r#"{"params":{"name":"b","n\u0061me":"a"}}"#,
                "has `name` twice",
            ),
            (
                r#"{"params":{"x":1},"params":{"name":"a"}}"#,
                "has `params` twice",
            ),
            (
                r#"{"params":{"name":"a"},"Params":{}}"#,
                "has both `params` and `Params`",
            ),
            (
                "{\"param\u{17f}\":{}}",
                "has `param\u{17f}` where `params` belongs",
            ),
            (
                r#"{"method":"ping","METHOD":"tools/call"}"#,
                "has both `method` and `METHOD`",
            ),
            (
                r#"{"method":"ping","m\u0065thod":"x"}"#,
                "has `method` twice",
            ),
            (r#"{"method":"x","Id":1}"#, "has `Id` where `id` belongs"),
            ("{\"a\":\r{\"method\":\"x\"}\r}", "holds a carriage return"),
        ] {
            assert_eq!(ambiguity(line).as_deref(), Some(why), "{line}");
        }
    }

    #[test]
    fn a_tools_name_must_be_a_text() {
        assert!(is_plain_name(Some(r#""\u0061""#)));
        for name in [None, Some("[\"a\"]"), Some("null"), Some(r#""\ud83d""#)] {
            assert!(!is_plain_name(name), "{name:?}");
        }
    }
}
