//! Hostile content of any size on the page.

use serde_json::json;

use super::Paged;
use crate::harness::browser::Browser;
use crate::harness::{Project, Proxy};

/// Markup, a mark that reverses the reading direction, and an escape sequence that changes colours.
const HOSTILE: &str = "<img src=x onerror=alert(1)>\u{202e}\u{1b}[31m";

/// Server that names its tool and an argument by the content of `hostile.txt`, and repeats that, a lone surrogate and a
/// long text in its result and on stderr.
const SERVER: &str = r#"
import json, sys

hostile = open("hostile.txt", encoding="utf-8").read()
schema = {"type": "object", "properties": {hostile: {"enum": [hostile], "default": hostile, "description": hostile}}}
definition = {"name": hostile, "title": hostile, "description": hostile, "inputSchema": schema}
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    result = json.dumps({"tools": [definition]})
    if message["method"] == "initialize":
        result = '{"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}'
    if message["method"] == "tools/call":
        long = "x" * message["params"]["arguments"]["length"]
        sys.stderr.write(hostile + long + "\n")
        sys.stderr.flush()
        text = json.dumps(hostile)[1:-1] + "\\ud83d" + long
        result = '{"content": [{"type": "text", "text": "%s"}]}' % text
    sys.stdout.write('{"jsonrpc": "2.0", "id": %s, "result": %s}\n' % (message["id"], result))
    sys.stdout.flush()
"#;

/// Length of the long text in bytes, a fourth of the longest message that the proxy passes.
const LENGTH: usize = 16 << 20;

/// Waits for a text on the page, and checks that the page has nothing but text of the server.
#[track_caller]
fn check(browser: &Browser, shown: &str) {
    browser.wait_text(shown);
    let found = "return document.querySelectorAll('img, [onerror]').length
        + document.querySelector('main').textContent.search(/[\\u202e\\u001b]/)";
    assert_eq!(browser.run(found), -1, "{shown}");
}

#[test]
fn hostile_content_of_any_size_stays_text() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let project = Project::new();
    project.write("hostile.txt", HOSTILE);
    project.write("server.py", SERVER);
    project.write(&format!("{HOSTILE}.py"), "");
    let proxy = Proxy::dev(["python3", "server.py"]);
    let paged = Paged::behind(
        proxy.options(["--name", "weather", "--watch", "*.py", "--page"]),
        project,
    );
    paged.meet();
    browser.open(&paged.link);
    browser.wait("!location.search && document.querySelector('#live')?.textContent === 'Live'");
    browser.click("nav a[href='/messages']");
    browser.wait("document.querySelectorAll('[role=option]').length > 2");
    let before = paged.peer.peak_kib();
    let call = |length: usize, id: &str| {
        let arguments = json!({ "length": length, "text": HOSTILE }).to_string();
        let arguments = arguments.replace("<img", r"\ud83d<img");
        let name = json!(HOSTILE);
        paged.peer.send(&format!(
            r#"{{"jsonrpc":"2.0","id":"{id}","method":"tools/call","params":{{"name":{name},"arguments":{arguments}}}}}"#
        ));
        paged.peer.await_response(format!("\"{id}\""))
    };
    assert!(call(LENGTH, "long").line.len() > LENGTH);
    // The message is in a few buffers on its way, and its beginning in the memory of the page.
    let growth = (paged.peer.peak_kib() - before) << 10;
    assert!(growth < 4 * LENGTH as u64, "{growth}");
    browser.run(
        "const { about } = document.querySelector('#filter').elements; about.value = 'onerror';
        about.dispatchEvent(new Event('input', { bubbles: true }))",
    );
    browser.wait("document.querySelectorAll('[role=option]').length === 1 && document.querySelector('.outcome.good')");
    browser.click("[role=option]");
    check(
        &browser,
        "The message has 16 MiB; its first 1 MiB are kept.",
    );
    // Raw messages, copies and recordings have the part that is kept.
    let kept = browser.run(
        "const raw = document.querySelector('[data-copy-from]').dataset.copyFrom;
        return Promise.all([raw, '/messages.ndjson?about=onerror'].map((it) => fetch(it).then((it) => it.text())))
            .then((texts) => texts.map((it) => [it.length >> 20, it.trim().split('\\n').every(JSON.parse)]))",
    );
    assert_eq!(kept, json!([[2, true], [2, true]]));
    call(1, "short");
    browser.wait("document.querySelectorAll('[role=option]').length === 2");
    browser.keys("j");
    check(&browser, "\"short\"");

    browser.click("nav a[href='/']");
    browser.click("details:has(.tail) summary");
    check(&browser, "<img src=x onerror=alert(1)>");
    browser.click("dd a[href^='/watched']");
    check(&browser, "<img src=x onerror=alert(1)>\\u{202e}");
    browser.click("nav a[href='/time-line']");
    browser.wait("document.querySelectorAll('rect.call').length >= 2");
    check(&browser, "weather");
    browser.click("nav a[href='/try']");
    browser.wait("document.querySelector('#fields .name')");
    check(&browser, "<img src=x onerror=alert(1)>\\u202e\\u001b[31m");
    // The escaped name is shown, and the name itself is sent.
    browser.run(
        "const input = document.querySelector('#fields select'); input.selectedIndex = 1;
        input.dispatchEvent(new Event('input', { bubbles: true }))",
    );
    let sent = browser.run("return JSON.parse(document.querySelector('#arguments').value)");
    assert_eq!(sent, json!({ HOSTILE: HOSTILE }));
    browser.click("button.main");
    browser.wait("document.querySelector('#answer .state.bad')");

    let cookie = paged.cookie();
    let exported = paged.get("/messages.html?about=onerror", &[("Cookie", &*cookie)]);
    paged.project.write("all.html", &exported.body);
    browser.open(&format!(
        "file://{}",
        paged.project.path("all.html").display()
    ));
    browser.wait("document.querySelectorAll('[role=option]').length === 3");
    browser.keys("j");
    check(&browser, "as far as it was kept: the message has 16 MiB.");
    browser.keys("j");
    check(&browser, "\"short\"");
    drop(browser);
}
