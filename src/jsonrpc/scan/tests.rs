//! Compares the scanner with `serde_json`, on valid and on slightly broken JSON.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::JsonSyntaxError;
use super::oracle::{check, check_json, is_taken};
use crate::jsonrpc::envelope::{Envelope, InvalidMessage};

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
/// Characters that a mutation writes: some of the JSON grammar, and some that JSON does not allow.
const SIGNS: &str = "{}[]\",:\\ -+.eE0192tfn/u\n\t\u{0}\u{1f}\u{7f}\u{e9}\u{1f600}";

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

/// Returns `text` with a few characters removed, inserted, replaced or cut off.
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
        Err(InvalidMessage::Json(words)) => words,
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
fn extensions_of_json_are_refused_everywhere() {
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
fn members_that_the_proxy_reads_are_checked_in_full() {
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
            InvalidMessage::Json(JsonSyntaxError(at).describe(line)),
            "{line}"
        );
    }
}
