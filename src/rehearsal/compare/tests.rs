use proptest::prelude::*;
use serde_json::json;

use super::*;

fn text(text: &str) -> Answer {
    json_content(json!(text))
}

fn json_content(content: Value) -> Answer {
    Answer::Result {
        structured: None,
        content,
    }
}

fn structured(value: Value) -> Answer {
    Answer::Result {
        content: value.clone(),
        structured: Some(value),
    }
}

/// Returns the differences as `place: before → after`, without varying places.
fn told(before: &Answer, after: &Answer) -> Vec<String> {
    told_without(before, after, &Varying::default())
}

fn told_without(before: &Answer, after: &Answer, varying: &Varying) -> Vec<String> {
    let found = compare("t", before, after, varying).differences;
    let shown = found.iter();
    shown
        .map(|it| format!("{}: {} → {}", it.place, it.before, it.after))
        .collect()
}

fn learned(one: &Answer, other: &Answer) -> Varying {
    let mut varying = Varying::default();
    varying.learn("t", one, other);
    varying
}

#[test]
fn json_is_compared_by_paths() {
    let before = structured(json!({"days": [{"max": 21, "a b": 1}], "gone": [1], "list": [1, 2]}));
    let after = structured(json!({"days": [{"max": "21", "a b": 2}], "list": [1], "new": null}));
    let expected = [
        r#"t.days[0].max: 21 → "21""#,
        r#"t.days[0]["a b"]: 1 → 2"#,
        "t.gone: [1] → (nothing)",
        "t.list: 2 elements → 1 elements",
        "t.new: (nothing) → null",
    ];
    assert_eq!(told(&before, &after), expected);
    // A text that is JSON, without structured content.
    let [before, after] = [21, 22].map(|it| json_content(json!({ "max": it })));
    assert_eq!(told(&before, &after), ["t.max: 21 → 22"]);
}

#[test]
fn the_content_counts_if_the_structured_content_is_the_same() {
    let with = |text: &str| Answer::Result {
        structured: Some(json!({ "a": 1 })),
        content: json!(text),
    };
    assert_eq!(told(&with("a"), &with("b")), [r#"t: "a" → "b""#]);
    assert_eq!(
        told(&with("a"), &text("a")),
        [r#"t.structuredContent: {"a":1} → (nothing)"#]
    );
}

#[test]
fn texts_are_compared_by_lines() {
    for (before, after, expected) in [
        (
            "a\nb c\nd",
            "a\nb x\nd",
            &[r#"t line 2: "b c" → "b x""#][..],
        ),
        ("a\nb", "a\nx\nb", &[r#"t line 2: (nothing) → "x""#]),
        ("a\nx\ny\nb", "a\nb", &["t line 2: 2 lines → (nothing)"]),
        ("a", "a\n", &[r#"t line 2: (nothing) → """#]),
        ("a  b", "a b", &[r#"t: "a  b" → "a b""#]),
        (
            "a\nb",
            "x\ny",
            &[r#"t line 1: "a" → "x""#, r#"t line 2: "b" → "y""#],
        ),
    ] {
        assert_eq!(told(&text(before), &text(after)), expected, "{before:?}");
    }
    // Inside of JSON, only texts of several lines are.
    let [before, after] = ["a\nb", "a\nc"].map(|it| json_content(json!({ "log": it })));
    assert_eq!(told(&before, &after), [r#"t.log line 2: "b" → "c""#]);
}

#[test]
fn an_error_in_place_of_a_result_is_a_regression() {
    let error = |text: &str| Answer::Error(text.to_owned());
    for (before, after, expected, is_regression) in [
        (
            text("a"),
            error("KeyError: 'max'\nat x"),
            r#"t: a result → error "KeyError: 'max'""#,
            true,
        ),
        (error("a"), text("b"), r#"t: error "a" → a result"#, false),
        (
            error("a b"),
            error("a c"),
            r#"t (error): "a b" → "a c""#,
            false,
        ),
        (
            text("a"),
            Answer::InputRequest,
            "t: a result → a request for input",
            false,
        ),
    ] {
        assert_eq!(told(&before, &after), [expected]);
        let varying = learned(&before, &after);
        let compared = compare("t", &before, &after, &Varying::default());
        assert_eq!(compared.is_regression, is_regression);
        // An error of the same code does not hide the errors of other code.
        let is_hidden = compare("t", &before, &after, &varying)
            .differences
            .is_empty();
        assert_eq!(is_hidden, expected.starts_with("t (error)"), "{expected}");
    }
}

#[test]
fn places_that_vary_are_left_out_and_named() {
    let at = |time: u32, max: u32| structured(json!({"time": time, "max": max, "ids": [time, 1]}));
    let varying = learned(&at(1, 21), &at(2, 21));
    let compared = compare("t", &at(1, 21), &at(3, 21), &varying);
    assert!(compared.differences.is_empty(), "{compared:?}");
    let varied: Vec<&str> = compared.varied.iter().map(String::as_str).collect();
    assert_eq!(varied, ["t.ids[0]", "t.time"]);
    assert_eq!(
        told_without(&at(1, 21), &at(3, 22), &varying),
        ["t.max: 21 → 22"]
    );
    // Lists whose length varies, and members that come and go.
    let [none, one, two] =
        [json!([]), json!([1]), json!([1, 2])].map(|it| structured(json!({"list": it})));
    assert!(told_without(&none, &two, &learned(&none, &one)).is_empty());
    let without = structured(json!({}));
    assert!(told_without(&none, &without, &learned(&without, &none)).is_empty());
    // Other values at a place that varies are not told, whatever their type.
    assert!(
        told_without(
            &at(1, 21),
            &structured(json!({"time": null, "max": 21, "ids": [{}, 1]})),
            &varying
        )
        .is_empty()
    );
}

#[test]
fn words_that_vary_are_left_out_of_a_text() {
    let at = |time: &str, max: u32| text(&format!("now  {time}\nmax {max} degrees"));
    let varying = learned(&at("12:01", 21), &at("12:02", 21));
    assert!(told_without(&at("12:01", 21), &at("13:00", 21), &varying).is_empty());
    // A value may be padded, and may have another number of words.
    assert!(told_without(&at("12:01", 21), &at(" 9:00", 21), &varying).is_empty());
    assert!(told_without(&at("12:01", 21), &at("one o'clock", 21), &varying).is_empty());
    let found = told_without(&at("12:01", 21), &at("13:00", 22), &varying);
    assert_eq!(found, [r#"t line 2: "max 21 degrees" → "max 22 degrees""#]);
    // A text whose number of lines varies is left out as a whole.
    let varying = learned(&text("a\nb"), &text("a"));
    assert!(told_without(&text("a\nb"), &text("x\ny\nz"), &varying).is_empty());
}

#[test]
fn a_slow_answer_is_not_noise() {
    let ms = Duration::from_millis;
    for (before, after, expected) in [
        (1, 50, false),
        (1, 101, true),
        (50, 250, true),
        (50, 240, false),
        (0, 99, false),
    ] {
        assert_eq!(
            is_slower(ms(before), ms(after)),
            expected,
            "{before} {after}"
        );
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..5).prop_map(Value::from),
        "[ab .\"]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[ab .\"]{0,2}", inner, 0..4)
                .prop_map(|it| it.into_iter().collect::<Value>()),
        ]
    })
}

/// Replaces values, or drops members and elements, where `changes` says so; uses it up.
fn varied(value: &Value, changes: &mut Vec<Option<Value>>) -> Value {
    if let Some(Some(other)) = changes.pop() {
        return other;
    }
    match value {
        Value::Array(all) => all.iter().map(|it| varied(it, changes)).collect(),
        Value::Object(all) => {
            let members = all.iter();
            members
                .map(|(name, it)| (name.clone(), varied(it, changes)))
                .collect()
        }
        other => other.clone(),
    }
}

fn any_changes() -> impl Strategy<Value = Vec<Option<Value>>> {
    proptest::collection::vec(proptest::option::weighted(0.3, any_json()), 0..12)
}

fn any_text() -> impl Strategy<Value = String> {
    "([ab]{1,2}[ \n]{0,2}){0,6}"
}

proptest! {
    #[test]
    fn equal_answers_never_differ(
        value in any_json(),
        line in any_text(),
        other in any_json(),
    ) {
        let varying = learned(&structured(value.clone()), &structured(other));
        for answer in [structured(value.clone()), json_content(value), text(&line), Answer::Error(line)] {
            for varying in [&varying, &Varying::default()] {
                let compared = compare("t", &answer, &answer, varying);
                prop_assert_eq!(compared, Comparison::default());
            }
        }
    }

    /// Each difference is told or known to vary; and a difference between two answers of the same code is never told.
    #[test]
    fn differences_of_the_same_code_are_never_told(
        value in any_json(),
        mut changes in any_changes(),
    ) {
        let (one, other) = (structured(value.clone()), structured(varied(&value, &mut changes)));
        prop_assert_eq!(told(&one, &other).is_empty(), one == other);
        let varying = learned(&one, &other);
        let again = compare("t", &one, &other, &varying);
        prop_assert!(again.differences.is_empty(), "{:?}", again);
        prop_assert_eq!(again.varied.is_empty(), one == other);
        prop_assert!(told_without(&other, &one, &varying).is_empty());
    }

    /// A third answer that differs only where the first two do is not told either.
    #[test]
    fn other_values_at_varying_places_are_never_told(
        base in any_json(),
        one in any_json(),
        other in any_json(),
        third in any_json(),
    ) {
        prop_assume!(one != other);
        let at = |value: &Value| structured(json!({ "fixed": base, "varying": value }));
        // Values of the same shape vary below this place, others at it.
        let varying = learned(&at(&one), &at(&other));
        let found = told_without(&at(&one), &at(&third), &varying);
        let is_whole = !(one.is_object() && other.is_object() || one.is_array() && other.is_array());
        prop_assert!(!is_whole || found.is_empty(), "{:?}", found);
        prop_assert!(found.iter().all(|it| it.starts_with("t.varying")), "{:?}", found);
    }

    #[test]
    fn texts_of_the_same_code_are_never_told(one in any_text(), other in any_text()) {
        let (one, other) = (text(&one), text(&other));
        prop_assert_eq!(told(&one, &other).is_empty(), one == other);
        let varying = learned(&one, &other);
        prop_assert!(told_without(&one, &other, &varying).is_empty());
        prop_assert!(told_without(&other, &one, &varying).is_empty());
    }
}

#[test]
fn a_part_that_differs_by_itself_is_known_by_its_words_and_members() {
    for (before, now, again, expected) in [
        (json!(1), json!(2), json!(3), true),
        (json!(1), json!(2), json!(2), false),
        (
            json!("21 at 12:00"),
            json!("21 at 12:01"),
            json!("21 at 12:02"),
            true,
        ),
        (
            json!("22 at 12:00"),
            json!("21 at 12:01"),
            json!("21 at 12:02"),
            false,
        ),
        (
            json!(r#"{"max": 21, "id": "a"}"#),
            json!(r#"{"max": 21, "id": "b"}"#),
            json!(r#"{"max": 21, "id": "c"}"#),
            true,
        ),
        (
            json!(r#"{"max": 22, "id": "a"}"#),
            json!(r#"{"max": 21, "id": "b"}"#),
            json!(r#"{"max": 21, "id": "c"}"#),
            false,
        ),
        // A value of another kind is no variation.
        (json!([1, 2]), json!("x"), json!("y"), false),
    ] {
        let found = differs_by_itself(&before, &now, &again);
        assert_eq!(found, expected, "{before} {now} {again}");
    }
}

#[test]
fn places_learned_from_several_answers_add_up() {
    let of = |a: u32, b: u32| structured(json!({ "a": a, "b": b }));
    let mut varying = learned(&of(1, 1), &of(2, 1));
    varying.extend(&learned(&of(1, 1), &of(1, 2)));
    let compared = compare("t", &of(1, 1), &of(3, 3), &varying);
    assert!(compared.differences.is_empty() && compared.varied.len() == 2);
}
