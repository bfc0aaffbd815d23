//! The scanner against `serde_json`, on text that is JSON and on text that nearly is.

use std::borrow::Cow;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Fault, Scanner};
use crate::jsonrpc::envelope::{Envelope, Invalid, Meta, Params};
use crate::jsonrpc::{Members, elements, unquoted};

const NAMES: [&str; 14] = [
    r#""id""#,
    r#""i\u0064""#,
    r#""method""#,
    r#""params""#,
    r#""result""#,
    r#""error""#,
    r#""name""#,
    r#""uri""#,
    r#""arguments""#,
    r#""_meta""#,
    r#""progressToken""#,
    r#""io.modelcontextprotocol/logLevel""#,
    r#""\ud83d\"""#,
    r#""""#,
];
/// What a mutation writes: signs of the grammar, and some that have no place in it.
const SIGNS: &str = "{}[]\",:\\ -+.eE0192tfn/u\n\t\u{0}\u{1f}\u{7f}\u{e9}\u{1f600}";

fn is_taken(text: &str) -> bool {
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

/// Whether strings, escapes and brackets are right in `text`, and every other character is one that JSON has.
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

/// The length of the string that `text` begins with.
fn string(text: &str) -> Option<usize> {
    let quotes = text.match_indices('"').map(|(at, _)| at + 1);
    quotes.skip(1).find(|end| is_json(&text[..*end]))
}

/// Raw names and values of an object, as `serde_json` reads them.
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

/// The envelope that `serde_json` finds; nothing if the line is no JSON.
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
        id: message.last("id"),
        method: message.last("method").map(decoded),
        params: Params {
            name: params.last("name"),
            uri: params.last("uri"),
            arguments: params.last("arguments"),
            meta: Meta {
                progress_token: meta.last("progressToken"),
                log_level: meta.last("io.modelcontextprotocol/logLevel"),
                ..Meta::default()
            },
            ..Params::default()
        },
        result: message.last("result"),
        error: message.last("error"),
    })
}

/// Checks that everything reads `line` as `serde_json` does if it is JSON, and that it may pass if it is none and
/// taken.
fn check(line: &str) {
    if is_json(line) {
        return check_json(line);
    }
    let is_array_or_object = elements(line).is_some() || !Members::of(line).is_empty();
    let is_message =
        line.starts_with('{') && !matches!(Envelope::parse(line), Err(Invalid::Json(_)));
    if is_taken(line) || is_array_or_object || is_message {
        assert!(may_pass(line), "{line:?}");
    }
}

fn check_json(line: &str) {
    assert!(is_taken(line) && may_pass(line), "{line:?}");
    let raw: Option<Vec<&RawValue>> = serde_json::from_str(line).ok();
    let raw = raw.map(|all| all.into_iter().map(RawValue::get).collect());
    assert_eq!(elements(line), raw, "{line:?}");
    if !line.starts_with('{') {
        return;
    }
    match Envelope::parse(line) {
        Ok(found) => {
            let expected = expected(line).unwrap();
            assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{line:?}");
        }
        Err(error) => assert_eq!(error, Invalid::Shape, "{line:?}"),
    }
    let owned =
        |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned());
    let members: Vec<_> = Members::of(line).into_raw().map(owned).collect();
    let raw = Raw::of(line).unwrap().0.into_iter();
    let raw: Vec<_> = raw.map(|it| (it.0.to_owned(), it.1.to_owned())).collect();
    assert_eq!(members, raw, "{line:?}");
}

fn blank() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just(String::new()), 3 => Just(" ".to_owned()), 1 => "[ \n\r\t]{1,70}"]
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,3})",
        "-?(0|[1-9][0-9]{0,70})(\\.[0-9]{1,70})?([eE][+-]?[0-9]{1,70})?",
        select(vec!["true", "false", "null"]).prop_map(str::to_owned),
        "\"[a-z {}:,\u{e9}]{0,12}\"",
        r#""([ -!#-\[\]-~\u{e9}\u{1f600}]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,90}""#,
    ]
}

fn joined(open: char, items: &[(String, String, String)], close: char) -> String {
    let texts = items.iter().map(|it| format!("{}{}{}", it.0, it.1, it.2));
    format!("{open}{}{close}", texts.collect::<Vec<_>>().join(","))
}

fn object(value: impl Strategy<Value = String> + Clone) -> impl Strategy<Value = String> {
    let name = select(NAMES.to_vec());
    let member = (name, blank(), blank(), value)
        .prop_map(|(name, before, behind, value)| format!("{name}{before}:{behind}{value}"));
    prop::collection::vec((blank(), member, blank()), 0..8)
        .prop_map(|members| joined('{', &members, '}'))
}

fn value() -> impl Strategy<Value = String> + Clone {
    scalar().boxed().prop_recursive(5, 40, 8, |inner| {
        let array = prop::collection::vec((blank(), inner.clone(), blank()), 0..8)
            .prop_map(|elements| joined('[', &elements, ']'));
        prop_oneof![array, object(inner)]
    })
}

/// `text` with a few letters removed, added, exchanged or cut off.
fn mutated(text: &str, mutations: &[(u8, Index, char)]) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for (kind, place, sign) in mutations {
        let place = place.index(letters.len().max(1)).min(letters.len());
        match kind {
            0 => letters.insert(place, *sign),
            1 if place < letters.len() => letters[place] = *sign,
            2 if place < letters.len() => drop(letters.remove(place)),
            3 => letters.truncate(place),
            _ => {}
        }
    }
    letters.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn reads_json_as_serde_does(line in prop_oneof![object(value()), value()]) {
        check_json(&line);
    }

    #[test]
    fn takes_nothing_that_may_not_pass(
        line in prop_oneof![object(value()), value()],
        mutations in prop::collection::vec(
            (0_u8..4, any::<Index>(), select(SIGNS.chars().collect::<Vec<_>>())),
            1..3,
        ),
    ) {
        check(&mutated(&line, &mutations));
    }

    #[test]
    fn reads_any_signs_at_each_place_of_a_block(
        before in 0_usize..70,
        tokens in prop::collection::vec(
            select(vec![
                "{", "}", "[", "]", ",", ":", "\"a\"", "\"\"", "\"a\":", "1", "-", "0", ".", "e", "+", "2.5e-1", " ",
                "true", "null", "\\", "\"", "\u{e9}", "\n", "tru", "[]", "{}", ",\"b\":1",
            ]),
            0..9,
        ),
    ) {
        let spaces = " ".repeat(before);
        let tokens = tokens.concat();
        check(&format!("[{spaces}{tokens}]"));
        check(&format!("{{{spaces}{tokens}}}"));
        check(&format!("{{\"result\":[{spaces}{{\"a\":{tokens}}}]}}"));
    }
}

#[test]
fn every_place_in_a_block_is_checked_alike() {
    let good = r#"{"a\n":[1,-20.5e+3, {"b":"\u00e9","c":[]} ,true,null,{}],"d":false}"#;
    for place in 0..130 {
        let line = format!("[{}{good},{good}]", " ".repeat(place));
        check(&line);
        for (at, sign) in good.char_indices() {
            let mut faulty = good.to_owned();
            faulty.replace_range(at..at + sign.len_utf8(), "");
            check(&format!("[{}{faulty},{good}]", " ".repeat(place)));
        }
    }
}

#[test]
fn nesting_has_no_limit() {
    for depth in [63, 64, 65, 127, 128, 129, 1000, 100_000] {
        let (open, close) = (r#"[{"a":"#.repeat(depth), "}]".repeat(depth));
        assert!(is_taken(&format!("{open}1{close}")));
        assert!(!is_taken(&format!("{open}1]{close}")));
        assert!(!is_taken(&format!("{open}1{}", &close[1..])));
        assert!(!is_taken(&format!("{open}1{close}}}")));
    }
}

#[test]
fn faults_say_where_they_are() {
    let described = |line| match Envelope::parse(line) {
        Err(Invalid::Json(words)) => words,
        other => panic!("{other:?}"),
    };
    assert_eq!(described(r#"{"id":1,}"#), "unexpected '}' at byte 8");
    assert_eq!(
        described(r#"{"id":1,"result":["#),
        "unexpected end at byte 18"
    );
    assert_eq!(
        described(r#"{"id":1,"result":[1,NaN]}"#),
        "unexpected 'N' at byte 20"
    );
}

#[test]
fn what_json_lacks_is_refused_at_every_place() {
    let odd = [
        "True",
        "None",
        "NaN",
        "Infinity",
        "-Infinity",
        "undefineD",
        "'a'",
        r#""\x""#,
        r#""\u12g4""#,
        r#""\"#,
        "\"\u{1}\"",
        "\"\t\"",
        "\u{1}",
        "\u{a0}",
        "\u{e9}",
        "\u{7f}",
        "~",
        "\\",
        "[1}",
        "{1]",
        "[",
        "}",
        "\"",
    ];
    let good = [
        "-0.0e-00",
        "1E+05",
        "true",
        r#""\u00e9\\""#,
        "\"\u{7f}\"",
        "[]",
        "{\"A~'\":\t\"[\"}",
    ];
    for place in 0..70 {
        let blank = " ".repeat(place);
        for value in odd.iter().chain(&good) {
            for line in [
                format!("[{blank}{value}]"),
                format!("[1,{blank}{value} ,2]"),
                format!("{{\"a\":{blank}{value}}}"),
                format!("{{\"{blank}\":{value}}}"),
            ] {
                check(&line);
                assert_eq!(is_taken(&line), good.contains(value), "{line:?}");
            }
        }
    }
}

#[test]
fn what_the_proxy_itself_reads_is_json_in_full() {
    for (line, at) in [
        (r#"{"id":01,"result":1}"#, 6),
        (r#"{"id":1 2,"result":1}"#, 8),
        (r#"{"id":tru,"result":1}"#, 6),
        (r#"{"id":1,"result":1.}"#, 17),
        (r#"{"id":1,,"result":1}"#, 8),
        (r#"{"id":1"result":1}"#, 6),
        (r#"{"id" 1,"result":1}"#, 6),
        (r#"{id:1,"result":1}"#, 1),
        (r#"{"id":1,"result":1},"#, 19),
        (r#"{"method":"x","params":{"name":a}}"#, 31),
        (r#"{"method":"x","params":{"_meta":{"a":}}}"#, 37),
    ] {
        assert_eq!(
            Envelope::parse(line).unwrap_err(),
            Invalid::Json(Fault(at).describe(line)),
            "{line}"
        );
    }
}
