//! `mcp-proxy page FILE`, and recordings that a person starts on the page.

use serde_json::{Value, json};

use super::Paged;
use crate::harness::{DEADLINE, Project, Proxy, Run, eventually};

/// Recording with a call of each of two generations, a broken line and one that is cut off.
pub(super) const RECORDING: &str = r#"{"mcp_proxy_recording":1,"version":"0.1.0","pid":7,"time_us":1785240000000000}
{"time_us":1785240000000100,"from":"proxy","to":"server","session":"7-1","server":"weather","generation":1,"era":"legacy","bytes":50,"message":{"jsonrpc":"2.0","id":1,"method":"initialize"}}
{"time_us":1785240000100100,"from":"server","to":"proxy","session":"7-1","server":"weather","generation":1,"era":"legacy","bytes":50,"message":{"jsonrpc":"2.0","id":1,"result":{}}}
{"time_us":1785240000200000,"from":"client","to":"proxy","session":"7-1","era":"legacy","bytes":75,"message":{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"forecast","arguments":{"n":1E400}}}}
{"time_us":1785240000200100,"from":"proxy","to":"server","session":"7-1","server":"weather","generation":1,"era":"legacy","client_id":"a","bytes":75,"message":{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"forecast","arguments":{"n":1E400}}}}
{"time_us":1785240000300100,"from":"server","to":"proxy","session":"7-1","server":"weather","generation":1,"era":"legacy","bytes":50,"message":{"jsonrpc":"2.0","id":2,"result":{"isError":true}}}
{"time_us":1785240000300200,"from":"proxy","to":"client","session":"7-1","era":"legacy","bytes":50,"message":{"jsonrpc":"2.0","id":"a","result":{"isError":true}}}
<script>alert(1)</script>
{"time_us":1785240001000000,"from":"client","to":"proxy","session":"7-1","era":"legacy","bytes":75,"message":{"jsonrpc":"2.0","id":"b","method":"tools/call","params":{"name":"</script><img src=x onerror=alert(1)>"}}}
{"time_us":1785240001000100,"from":"proxy","to":"server","session":"7-1","server":"weather","generation":2,"era":"legacy","client_id":"b","bytes":75,"message":{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"</script><img src=x onerror=alert(1)>"}}}
{"time_us":1785240001"#;

/// Shows a recording.
#[track_caller]
pub(super) fn show(recording: &str) -> Paged {
    let project = Project::new();
    project.write("session.ndjson", recording);
    Paged::behind(Proxy::configured("page").option("session.ndjson"), project)
}

#[test]
fn a_file_is_shown_under_the_rules_of_the_page_and_exported() {
    let paged = show(RECORDING);
    assert_eq!(paged.get("/messages", &[]).status(), 401);
    let cookie = paged.cookie();
    let own = [("Cookie", &*cookie)];
    let first = paged.get("/", &own);
    assert_eq!(
        (first.status(), first.head.header("location")),
        (303, Some("/messages"))
    );
    let list = paged.get("/messages", &own).body;
    for part in [
        "session.ndjson",
        "line 8 is no recorded message",
        "line 11 is the last one and is cut off",
    ] {
        assert!(list.contains(part), "{part}: {list}");
    }
    assert!(
        !list.contains("<img") && !list.contains("Servers"),
        "{list}"
    );
    let rows = |query: &str| {
        let rows = paged.get(&format!("/messages/rows?{query}"), &own).body;
        serde_json::from_str::<Value>(&rows).unwrap()["total"]
            .as_u64()
            .unwrap()
    };
    let totals = ["", "errors=on", "text=1e400", "server=weather"].map(rows);
    assert_eq!(totals, [3, 1, 1, 3]);
    let events = paged.get("/time-line", &own).body;
    assert!(events.contains("first message of generation 2"), "{events}");
    assert_eq!(paged.get("/record.ndjson", &own).status(), 404);

    let run = Run::within(
        &paged.project,
        &["page", "session.ndjson", "--export", "out.html"],
    )
    .ended_with(0);
    assert!(
        run.stderr.contains("line 8 ") && run.stderr.contains("out.html"),
        "{}",
        run.stderr
    );
    let page = paged.project.read("out.html");
    assert_eq!(paged.get("/messages.html", &own).body, page);
    for (arguments, code, reason) in [
        (&["page", "out.html"][..], 1, "no recorded message"),
        (&["page", "missing.ndjson"], 1, "cannot read"),
        (
            &["page", "session.ndjson", "--export", "./session.ndjson"],
            2,
            "another file",
        ),
        (
            &["page", "session.ndjson", "--at", "0.0.0.0:1"],
            2,
            "loopback",
        ),
    ] {
        let run = Run::within(&paged.project, arguments).ended_with(code);
        assert!(run.stderr.contains(reason), "{arguments:?}: {}", run.stderr);
    }
    assert_eq!(paged.project.read("session.ndjson"), RECORDING);
}

#[test]
fn a_recording_has_the_messages_from_start_to_stop_and_is_replayed() {
    let paged = Paged::start();
    paged.meet();
    let echo = |text: &str| paged.peer.call("echo", &json!({ "text": text })).result();
    let (cookie, origin) = (paged.cookie(), format!("http://{}", paged.address));
    let own = [("Cookie", &*cookie), ("Origin", &*origin)];
    // The recorder is some milliseconds behind the client.
    let until_kept = |text: &str| {
        eventually(DEADLINE, || {
            let rows = paged
                .get(&format!("/messages/rows?text={text}&client=on"), &own)
                .body;
            serde_json::from_str::<Value>(&rows).unwrap()["rows"][0]["state"] == "good"
        });
    };
    let act = |form: &str| paged.ask("POST", "/record", &own, form).status();
    assert_eq!(paged.get("/record.ndjson", &own).status(), 404);
    assert_eq!(act("do=delete"), 400);
    echo("before");
    until_kept("before");
    assert_eq!(act("do=start"), 303);
    echo("between");
    until_kept("between");
    assert!(
        paged
            .get("/", &own)
            .body
            .contains("● Recording: 4 messages")
    );
    assert_eq!(act("do=stop"), 303);
    echo("after");
    until_kept("after");
    assert!(paged.get("/", &own).body.contains("Recorded: 4 messages"));
    let recording = paged.get("/record.ndjson", &own);
    for (text, is_there) in [
        ("initialize", true),
        ("before", false),
        ("between", true),
        ("after", false),
    ] {
        assert_eq!(
            recording.body.contains(text),
            is_there,
            "{text}: {}",
            recording.body
        );
    }
    paged.project.write("saved.ndjson", &recording.body);
    let server = crate::harness::example("fake_server");
    let server = server.to_str().unwrap();
    let replayed = Run::within(
        &paged.project,
        &["replay", "saved.ndjson", "--", server, "weather.json"],
    );
    let replayed = replayed.ended_with(0);
    assert!(
        replayed.stdout.contains("tools/call echo"),
        "{}",
        replayed.stdout
    );
}
