use super::*;

fn tools(pages: &[&str]) -> List {
    let mut list = List::default();
    for page in pages {
        list.add_page(ListKind::Tools, page).unwrap();
    }
    list
}

#[test]
fn one_page_stays_as_it_is() {
    let page = r#"{"x":1E5, "tools":[{"name":"a","\u0061":1}],"_meta":{"k":-0}}"#;
    assert_eq!(tools(&[page]).result(ListKind::Tools, &[]), page);
}

#[test]
fn a_result_without_the_list_is_an_error_about_the_server() {
    let error = List::default().add_page(ListKind::Templates, r#"{"resources":[]}"#);
    let expected =
        "answered `resources/templates/list` with a result without the array `resourceTemplates`";
    assert_eq!(error.unwrap_err().to_string(), expected);
}

#[test]
fn a_tool_names_its_view() {
    for (definition, expected) in [
        (
            r#"{"_meta":{"ui":{"visibility":["app"],"resourceUri":"ui:\/\/a"}},"name":"t"}"#,
            Some("ui://a"),
        ),
        (
            r#"{"name":"t","_meta":{"ui/resourceUri":"ui://a","x":1E5}}"#,
            Some("ui://a"),
        ),
        (
            r#"{"_meta":{"ui/resourceUri":"ui://old","ui":{"resourceUri":"ui://new"}}}"#,
            Some("ui://new"),
        ),
        (r#"{"name":"resourceUri","_meta":{"ui":{}}}"#, None),
        (r#"{"resourceUri":"ui://a","_meta":[]}"#, None),
        (r#"{"_meta":{"ui":{"resourceUri":7}}}"#, None),
    ] {
        let tool = Entry {
            name: String::new(),
            raw: definition.to_owned(),
        };
        assert_eq!(tool.view().as_deref(), expected, "{definition}");
    }
}

#[test]
fn a_tool_may_be_for_views_only() {
    for (ui, expected) in [
        (r#"{"visibility":["app"]}"#, true),
        (r#"{"visibility":["app","model"]}"#, false),
        (r#"{"visibility":["mod\u0065l"]}"#, false),
        (r#"{"visibility":[]}"#, false),
        (r#"{"visibility":"app"}"#, false),
        (r#"{"resourceUri":"ui://a"}"#, false),
    ] {
        let tool = Entry {
            name: String::new(),
            raw: format!(r#"{{"name":"t","_meta":{{"ui":{ui}}}}}"#),
        };
        assert_eq!(tool.is_hidden_from_models(), expected, "{ui}");
    }
}

#[test]
fn names_of_rejected_entries_are_kept() {
    let mut list = tools(&[r#"{"tools":[{"name":"a"},{"name":"b"}]}"#]);
    list.retain(|name| name == "a");
    assert_eq!(list.left_out(), ["b"]);
    assert_eq!(
        list.result(ListKind::Tools, &[]),
        r#"{"tools":[{"name":"a"}]}"#
    );
}

#[test]
fn pages_become_one() {
    let mut list = List::default();
    let cursor = list
        .add_page(
            ListKind::Tools,
            r#"{"tools":[{"name":"a"}],"nextCursor":"","x":1}"#,
        )
        .unwrap();
    assert_eq!(cursor.as_deref(), Some("\"\""));
    assert_eq!(
        list.add_page(
            ListKind::Tools,
            r#"{"tools":[{"name":"b"}],"nextCursor":null}"#
        )
        .unwrap(),
        None
    );
    assert_eq!(
        list.result(
            ListKind::Tools,
            &[Entry {
                name: "c".into(),
                raw: r#"{"name":"c"}"#.into()
            }]
        ),
        r#"{"tools":[{"name":"a"},{"name":"b"},{"name":"c"}],"x":1}"#
    );
    assert!(list.add_page(ListKind::Tools, "{}").is_err());
}

#[test]
fn tells_what_changed() {
    let old = tools(&[r#"{"tools":[{"name":"a","description":"x"},{"name":"b"},{"name":"d"}]}"#]);
    let new = tools(&[
        r#"{"tools":[{"name":"c"},{"name":"a","description":"y","title":"t"},{ "name":"d"}]}"#,
    ]);
    assert_eq!(
        diff(&old, &new),
        ToolDiff {
            added: vec!["c".into()],
            removed: vec!["b".into()],
            changed: vec![("a".into(), vec!["description".into(), "title".into()])],
            ..ToolDiff::default()
        }
    );
}

#[test]
fn a_withheld_entry_is_not_offered_but_known() {
    let [old, mut new] = [1, 2].map(|x| {
        let page = format!(r#"{{"x":1,"tools":[{{"name":"a","x":{x}}},{{ "name":"b"}}]}}"#);
        tools(&[&page])
    });
    assert!(new.withhold("a", "it is odd") && !new.withhold("a", "it is odd"));
    assert_eq!(
        new.result(ListKind::Tools, &[]),
        r#"{"x":1,"tools":[{ "name":"b"}]}"#
    );
    assert_eq!(new.find("a").unwrap().raw, r#"{"name":"a","x":2}"#);
    let [withheld] = new.withheld() else {
        panic!("{new:?}")
    };
    assert_eq!(
        (&*withheld.entry.name, &*withheld.reason),
        ("a", "it is odd")
    );
    let left_out = ToolDiff {
        changed: vec![("a".into(), vec!["x".into()])],
        left_out: vec!["a".into()],
        ..ToolDiff::default()
    };
    assert_eq!(diff(&old, &new), left_out);
    assert_eq!(diff(&new, &List::default()).removed, ["b", "a"]);
}

#[test]
fn long_lists_are_compared_and_written_in_time() {
    let list = |text: &str| {
        let tools = (0..40_000).map(|at| format!(r#"{{"name":"tool_{at}","x":"{text}"}}"#));
        let tools: Vec<_> = tools.collect();
        self::tools(&[&format!(r#"{{"tools":[{}]}}"#, tools.join(","))])
    };
    let (old, new) = (list("a"), list("b"));
    let begun = std::time::Instant::now();
    assert_eq!(diff(&old, &new).changed.len(), 40_000);
    assert_eq!(diff(&old, &List::default()).removed.len(), 40_000);
    let merged = old.result(ListKind::Tools, &new.entries);
    assert_eq!(merged.matches(r#""x":"b""#).count(), 40_000);
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

#[test]
fn the_first_of_equal_names_is_compared() {
    let old = tools(&[r#"{"tools":[{"name":"a","x":1},{"name":"a","x":2}]}"#]);
    let new = tools(&[r#"{"tools":[{"name":"a","x":1}]}"#]);
    assert_eq!(diff(&old, &new), ToolDiff::default());
}
