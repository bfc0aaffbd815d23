use super::*;

/// Opens a listen request with this id and these raw notifications, under the key `key`.
fn open(subscriptions: &mut Subscriptions, key: &str, id: &str, notifications: &str) {
    let line = format!(r#"{{"params":{{"notifications":{notifications}}}}}"#);
    subscriptions.open(ListenRequest::new(&line, id.into(), key.into(), true).0);
}

fn keys(lines: Vec<TaggedLine>) -> Vec<String> {
    lines
        .into_iter()
        .map(|(key, _)| key.as_raw().to_string())
        .collect()
}

fn sets(subscriptions: &Subscriptions) -> [String; 2] {
    let joined = |set: BTreeSet<String>| Vec::from_iter(set).join(" ");
    subscriptions.uris().map(joined)
}

#[test]
fn each_listen_request_gets_only_the_changes_it_asked_for() {
    let mut subscriptions = Subscriptions::default();
    assert!(!subscriptions.has_listens());
    let (first, second) = (
        r#"{"toolsListChanged":true,"resourceSubscriptions":["u:a","u:b"]}"#,
        r#"{"toolsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["u:b"]}"#,
    );
    open(&mut subscriptions, "k1", "1", first);
    open(&mut subscriptions, "k2", r#""b""#, second);
    assert!(subscriptions.has_listens());
    for (kind, expected) in [
        (ListKind::Tools, &["k1", "k2"][..]),
        (ListKind::Prompts, &[]),
        (ListKind::Resources, &["k2"]),
        // Templates are announced as resources.
        (ListKind::Templates, &["k2"]),
    ] {
        assert_eq!(keys(subscriptions.list_changed(kind)), expected, "{kind:?}");
    }
    for (uri, expected) in [
        ("u:a/part", &["k1"][..]),
        ("u:b", &["k1", "k2"]),
        ("u:c", &[]),
    ] {
        let lines = subscriptions.resource_updated("m", uri, "{}");
        assert_eq!(keys(lines), expected, "{uri}");
    }
    let tag = meta::SUBSCRIPTION_ID;
    let line = format!(
        r#"{{"jsonrpc":"2.0","method":"m","params":{{"n":-0,"_meta":{{"k":1E5,"{tag}":"b"}}}}}}"#
    );
    let lines = subscriptions.tagged("m", r#"{"n":-0,"_meta":{"k":1E5}}"#, |_| true);
    assert_eq!(lines[1], ("k2".into(), line));
}

#[test]
fn a_listen_request_is_closed_once() {
    let mut subscriptions = Subscriptions::default();
    for (key, id) in [("k1", "1"), ("k2", "2"), ("k3", r#""c""#)] {
        open(&mut subscriptions, key, id, "{}");
    }
    // The id is not the key.
    assert!(!subscriptions.close("1".into()));
    assert!(subscriptions.close("k1".into()) && !subscriptions.close("k1".into()));
    let tag = meta::SUBSCRIPTION_ID;
    let result = |key: &str, id| {
        let result = format!(r#"{{"resultType":"complete","_meta":{{"{tag}":{id}}}}}"#);
        (key.into(), result)
    };
    let expected = [result("k2", "2"), result("k3", r#""c""#)];
    assert_eq!(subscriptions.close_all(), expected);
    assert!(subscriptions.close_all().is_empty() && !subscriptions.has_listens());
}

#[test]
fn the_resources_of_both_eras_are_kept_apart() {
    let mut subscriptions = Subscriptions::default();
    subscriptions.set("u:a", true);
    subscriptions.set("u:a", true);
    subscriptions.set("u:b", true);
    open(
        &mut subscriptions,
        "k",
        "1",
        r#"{"resourceSubscriptions":["u:b",5,"u:\u0063"]}"#,
    );
    assert_eq!(sets(&subscriptions), ["u:a u:b", "u:b u:c"]);
    assert!(subscriptions.is_subscribed("u:a/part") && !subscriptions.is_subscribed("u:c"));
    subscriptions.set("u:a", false);
    subscriptions.set("u:c", false);
    assert_eq!(sets(&subscriptions), ["u:b", "u:b u:c"]);
    subscriptions.close("k".into());
    assert_eq!(sets(&subscriptions), ["u:b", ""]);
}

#[test]
fn a_part_of_a_followed_resource_is_covered() {
    for (followed, uri, expected) in [
        ("file:///a", "file:///a", true),
        ("file:///a", "file:///a/b", true),
        ("file:///a/", "file:///a/b", true),
        ("file:///a", "file:///a?q", true),
        ("file:///a", "file:///a#f", true),
        ("file:///a", "file:///ab", false),
        ("file:///a/", "file:///a", false),
        ("file:///a/b", "file:///a", false),
        ("file:///A", "file:///a", false),
        ("file:///a", "", false),
    ] {
        let followed = BTreeSet::from([followed.to_owned(), "other".to_owned()]);
        assert_eq!(covers(&followed, uri), expected, "{followed:?} {uri}");
    }
    assert!(!covers(&BTreeSet::new(), ""));
}

#[test]
fn only_the_tag_of_a_stream_is_taken_out() {
    for (params, expected) in [
        ("{}", "{}"),
        (r#"{"uri": "a"}"#, r#"{"uri": "a"}"#),
        (r#"{"_meta": {"k":1E5}}"#, r#"{"_meta": {"k":1E5}}"#),
        (r#"{"uri":-0,"_meta":{"TAG":1}}"#, r#"{"uri":-0}"#),
        (
            r#"{"_meta":{"k":1E5,"TAG":"a"},"x":[ ]}"#,
            r#"{"_meta":{"k":1E5},"x":[ ]}"#,
        ),
        (r#"{"TAG":1}"#, r#"{"TAG":1}"#),
    ] {
        let long = |text: &str| text.replace("TAG", meta::SUBSCRIPTION_ID);
        assert_eq!(untagged(&long(params)), long(expected), "{params}");
    }
}
