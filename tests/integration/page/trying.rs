//! The page for trying tools.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Paged;
use super::in_browser::take_pictures;
use crate::harness::browser::Browser;
use crate::harness::{DEADLINE, Project, eventually};

/// Name of a property, and text of a description, that must stay text.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

/// Returns the schema of a tool with each kind of argument.
fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["city"],
        "$defs": { "Node": { "type": "object", "properties": {
            "label": { "type": "string" },
            "next": { "$ref": "#/$defs/Node" },
        } } },
        "properties": {
            "city": { "type": "string", "description": format!("Name of the city {HOSTILE}") },
            "days": { "anyOf": [{ "type": "integer" }, { "type": "null" }], "default": 3 },
            "unit": { "enum": ["metric", "imperial", null] },
            "exact": { "type": "boolean" },
            "ratio": { "type": "number" },
            "place": { "type": "object", "properties": { "street": { "type": "string" }, "zip": { "type": "string" } } },
            "tags": { "type": "array", "items": { "type": "string" } },
            "either": { "oneOf": [{ "type": "string" }, { "type": "number" }] },
            "node": { "$ref": "#/$defs/Node" },
            HOSTILE: { "type": "string" },
        },
    })
}

/// Returns the script of a server with the tools `forecast`, which answers `reply`, and `typed` with [`schema`], and with
/// `more` tools.
fn script(reply: &str, more: &[Value]) -> String {
    let forecast = json!({
        "name": "forecast", "inputSchema": { "type": "object" }, "x-reply": reply,
        "annotations": { "readOnlyHint": true },
    });
    let typed = json!({
        "name": "typed", "description": HOSTILE, "inputSchema": schema(), "x-reply": HOSTILE,
    });
    let tools = [&[forecast, typed], more].concat();
    json!({ "mark": "v0", "tools": tools }).to_string()
}

/// Returns tools that a careless page would suffer from.
fn hostile() -> [Value; 3] {
    let many = (0..10_000).map(|it| (format!("p{it}"), json!({ "type": "string" })));
    let many: serde_json::Map<String, Value> = many.collect();
    let object = json!({ "type": "object" });
    let long = "x".repeat(2 << 20);
    [
        json!({ "name": "many", "inputSchema": { "type": "object", "properties": many } }),
        json!({ "name": "slow", "inputSchema": object, "x-delay-ms": 600_000 }),
        json!({ "name": "large", "inputSchema": { "type": "array" }, "x-reply": long }),
    ]
}

/// Starts a proxy for a server with this script, and opens the page for trying tools.
fn start(script: &str) -> Option<(Browser, Paged)> {
    let browser = Browser::start()?;
    let project = Project::new();
    project.write("weather.json", script);
    let paged = Paged::start_in(project);
    paged.meet();
    browser.open(&paged.link);
    browser.wait("!location.search && document.querySelector('#live')?.textContent === 'Live'");
    browser.click("nav a[href='/try']");
    browser.wait("document.querySelector('#choose button')?.hidden");
    Some((browser, paged))
}

/// Chooses a tool.
fn choose(browser: &Browser, tool: &str) {
    browser.run(&format!(
        "const tool = document.querySelector('[name=tool]'); tool.value = '{tool}';
        tool.dispatchEvent(new Event('change', {{ bubbles: true }}));"
    ));
    let chosen = format!("document.querySelector('#call [name=tool]')?.value === '{tool}'");
    browser.wait(&chosen);
    browser.wait("document.querySelector('#live').textContent === 'Live'");
}

/// Sets the value of a control, as a person does.
pub(super) fn fill(browser: &Browser, field: &str, value: &str) {
    browser.run(&format!(
        "const input = document.querySelector({});
        if (input.type === 'checkbox') input.checked = true; else input.value = {};
        input.dispatchEvent(new Event('input', {{ bubbles: true }}));",
        json!(field),
        json!(value)
    ));
}

/// Returns the arguments that the form would send.
fn arguments(browser: &Browser) -> Value {
    let text = browser.run("return document.querySelector('#arguments').value");
    serde_json::from_str(text.as_str().unwrap()).unwrap()
}

#[test]
fn a_form_calls_a_tool_with_the_filled_in_fields() {
    let Some((browser, paged)) = start(&script("21", &hostile())) else {
        return;
    };
    choose(&browser, "typed");
    assert_eq!(arguments(&browser), json!({}));
    for (field, value) in [
        ("[aria-label=city]", "Oslo"),
        ("[aria-label=days]", "9007199254740993"),
        ("[aria-label=exact]", "false"),
        ("[aria-label=street]", "Karl Johans gate"),
    ] {
        fill(&browser, field, value);
    }
    fill(&browser, "[aria-label=unit]", "null");
    browser.click("[aria-label=tags] > button");
    fill(&browser, "[aria-label='tags, item']", "a");
    browser.click("[aria-label=tags] > button");
    let expected = json!({
        "city": "Oslo", "days": 9_007_199_254_740_993_u64, "unit": null, "exact": false,
        "place": { "street": "Karl Johans gate" }, "tags": ["a"],
    });
    assert_eq!(arguments(&browser), expected);
    // A number with letters is not sent.
    fill(&browser, "[aria-label=ratio]", "1,5");
    browser.wait("!document.querySelector('#call').checkValidity()");
    fill(&browser, "[aria-label=ratio]", "");
    take_pictures(&browser, "try-form");
    browser.click("button.main");
    browser.wait("location.search === '?call=1' && document.querySelector('#answer .state.good')");
    browser.wait_text("generation 1");
    // The form keeps the arguments, without those that were not filled in.
    assert_eq!(arguments(&browser), expected);
    assert_eq!(
        browser.run("return document.querySelector('[aria-label=days]').value"),
        "9007199254740993"
    );
    assert_eq!(browser.run("return document.images.length"), 0);
    take_pictures(&browser, "try-answer");
    browser.click("#answer .actions a");
    browser.wait_text("from the page");
    browser.wait_text("by the page");
    assert_eq!(
        paged.peer.call("mark", &json!({})).result()["isError"],
        Value::Null
    );

    browser.run("history.back()");
    browser.wait("document.querySelector('#answer .state.good')");
    // JSON that the form cannot show is sent as it is.
    fill(&browser, "#arguments", r#"{"city": "", "days": 1.5}"#);
    browser.wait("!document.querySelector('#misfit').hidden");
    browser.click("button.main");
    browser.wait("location.search === '?call=2' && document.querySelector('#answer .state.good')");
    assert_eq!(arguments(&browser), json!({ "city": "", "days": 1.5 }));
    // The tab keeps the arguments over a reload, and while another tool is chosen.
    fill(&browser, "[aria-label=city]", "Rome");
    let kept = arguments(&browser);
    assert_eq!(kept["city"], "Rome");
    browser.run("window.isOld = true; location.reload()");
    browser.wait("!window.isOld && document.querySelector('#choose button')?.hidden");
    assert_eq!(arguments(&browser), kept);

    choose(&browser, "many");
    browser.wait("document.querySelectorAll('.field').length === 400");
    browser.wait_text("more fields than the form shows");
    assert_eq!(arguments(&browser), json!({}));
    choose(&browser, "typed");
    assert_eq!(arguments(&browser), kept);
    // So it does if the address names a call that is forgotten.
    browser.run("location.search += '&call=99'");
    browser
        .wait("location.search.endsWith('99') && document.querySelector('#choose button')?.hidden");
    assert_eq!(arguments(&browser), kept);
    choose(&browser, "large");
    browser.wait_text("cannot express this schema");
    browser.click("button.main");
    browser.wait_text("bytes)");
    choose(&browser, "slow");
    browser.click("button.main");
    browser.wait_text("waiting for the answer");
    browser.click("#answer form button");
    browser.wait_text("✕ cancelled");
    drop(browser);
}

#[test]
fn answers_before_and_after_a_save_stand_side_by_side() {
    let Some((browser, paged)) = start(&script(r#"{"max":21}"#, &[])) else {
        return;
    };
    choose(&browser, "forecast");
    browser.click("button.main");
    browser.wait("document.querySelector('#answer .state.good')");
    browser.click("#answer form button");
    browser.wait_text("Both answers are of generation 1");
    paged
        .project
        .save("weather.json", &script(r#"{"max":"<b>22</b>"}"#, &[]));
    paged.log.until("reloaded", 1);
    browser.click("#answer form button");
    browser.wait_text("1 place differs");
    browser.wait_text("generation 2");
    assert_eq!(
        browser.run("return document.querySelector('.differences del').textContent"),
        "21"
    );
    assert_eq!(
        browser.run("return document.querySelector('.differences ins').textContent"),
        "\"<b>22</b>\""
    );
    take_pictures(&browser, "try-compare");
    // A save that leaves the tools alone is news to the page, and says nothing.
    browser.run("performance.clearResourceTimings()");
    paged.project.save("weather.json", &script("23", &[]));
    paged.log.until("reloaded", 2);
    let checks =
        "performance.getEntriesByType('resource').filter((it) => it.name.includes('/try/tools'))";
    browser.wait(&format!("{checks}.length > 0"));
    assert_eq!(
        browser.run("return document.querySelector('#changed').hidden"),
        true
    );
    let more = json!({ "name": "alerts", "inputSchema": { "type": "object" } });
    paged.project.save("weather.json", &script("22", &[more]));
    browser.wait_text("The tools of this server have changed");
    drop(browser);
}

#[test]
fn a_saved_call_stays_and_is_rehearsed_at_each_save() {
    let Some((browser, paged)) = start(&script(r#"{"max":21}"#, &[])) else {
        return;
    };
    let save = |tool: &str, arguments: &str, name: &str| {
        choose(&browser, tool);
        fill(&browser, "#arguments", arguments);
        fill(&browser, "#call [name=name]", name);
        browser.click("button[formaction='/try/save']");
    };
    save("forecast", r#"{"key":"kanarie-1234567"}"#, "secret");
    browser.wait_text("keeps secret, and is not saved");
    browser.click("main a");
    browser.wait("document.querySelector('#choose button')?.hidden");
    save("typed", "{}", HOSTILE);
    browser.wait("document.querySelectorAll('.calls > li').length === 1");
    browser.click("form[action='/try/rehearse'] button");
    browser.wait_text("`typed` may have effects");
    browser.click("main a");
    browser.wait("document.querySelector('#choose button')?.hidden");
    save("forecast", r#"{"city":"Oslo"}"#, "a & b");
    browser.wait("document.querySelectorAll('.calls > li').length === 2");
    assert_eq!(arguments(&browser), json!({ "city": "Oslo" }));
    assert_eq!(browser.run("return document.images.length"), 0);
    browser.click("li:has([href='/try?saved=a+%26+b']) form[action='/try/rehearse'] button");
    browser.wait("document.querySelector('[aria-pressed=true]')");
    take_pictures(&browser, "try-saved");
    paged
        .project
        .save("weather.json", &script(r#"{"max":22}"#, &[]));
    let rehearsed = &paged.log.until("reloaded", 1)[0]["rehearsal"]["calls"];
    assert_eq!(rehearsed[0]["call"], r#"forecast {"city":"Oslo"}"#);
    assert_eq!(rehearsed[0]["outcome"], "differs");
    browser.click("[aria-pressed=true]");
    browser.wait("!document.querySelector('[aria-pressed=true]')");
    paged
        .project
        .save("weather.json", &script(r#"{"max":23}"#, &[]));
    assert!(paged.log.until("reloaded", 2)[1]["rehearsal"].is_null());

    let next = Paged::start_in(paged.end());
    next.meet();
    browser.open(&next.link);
    browser.wait("!location.search && document.querySelector('#live')?.textContent === 'Live'");
    browser.click("nav a[href='/try']");
    browser.click("li:has([href='/try?saved=a+%26+b']) form[action='/try/call'] button");
    browser.wait("document.querySelector('#answer .state.good')");
    browser.click("li:has([href='/try?saved=a+%26+b']) form[action='/try/delete'] button");
    browser.wait("document.querySelectorAll('[action$=delete]').length === 1");
    // The browser reports the actions that failed, and the end of the first proxy.
    let console = browser.console();
    let is_expected = |line: &String| {
        ["409", "net::ERR_", "401"]
            .iter()
            .any(|it| line.contains(it))
    };
    assert!(console.iter().all(is_expected), "{console:#?}");
    drop(browser);
}

#[test]
fn a_call_takes_the_way_of_a_client() {
    let project = Project::new();
    let modern = json!({ "mark": "v0", "eras": ["modern"] }).to_string();
    project.write("weather.json", &modern);
    let paged = Paged::start_in(project);
    paged.meet();
    let (cookie, origin) = (paged.cookie(), format!("http://{}", paged.address));
    let own = [("Cookie", &*cookie), ("Origin", &*origin)];
    let answer = |form: &str| {
        let sent = paged.ask("POST", "/try/call", &own, form);
        assert_eq!(sent.status(), 303, "{}", sent.body);
        let page = sent.head.header("location").unwrap().to_owned();
        let number = page.strip_prefix("/try?call=").unwrap();
        let path = format!("/try/answer?call={}", number.trim_end_matches("#answer"));
        let mut answer = String::new();
        eventually(DEADLINE, || {
            answer = paged.get(&path, &own).body;
            !answer.contains("data-open")
        });
        (
            answer,
            paged.get(page.trim_end_matches("#answer"), &own).body,
        )
    };
    let (told, page) =
        answer("at=1/weather&tool=echo&arguments=%7B%22key%22%3A%22kanarie-1234567%22%7D");
    for part in ["✓ result", "generation 1", "resultType", "${API_KEY}"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(page.contains("type it again"), "{page}");
    assert!(
        !told.contains("kanarie") && !page.contains("kanarie"),
        "{told} {page}"
    );
    // The call follows the save, and code that does not start refuses it.
    let broken = json!({ "exit_at_start": { "code": 3, "stderr": "no <b>key</b>" } });
    paged.project.save("weather.json", &broken.to_string());
    let (told, _) = answer("at=1/weather&tool=echo&arguments=");
    for part in [
        "✕",
        "which has not got the call",
        "exited with status 3",
        "no &lt;b&gt;key",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    paged.project.save("weather.json", &modern);
    let (told, _) = answer("at=1/weather&tool=echo&arguments=%7B%7D");
    assert!(told.contains("✓ result"), "{told}");
    for (form, reason) in [
        (
            "at=1/weather&tool=echo&arguments=%5B1%5D",
            "must be a JSON object",
        ),
        ("at=1/weather&tool=echo&arguments=%7B1", "not JSON"),
        ("at=1/weather&arguments=", "no server or no tool"),
        (
            "at=1/other&tool=echo",
            "Session 1 has the server `other` not loaded",
        ),
        (
            "at=2/weather&tool=echo",
            "Session 2 has the server `weather` not loaded",
        ),
        ("call=77", "not kept"),
        ("saved=none", "No call is saved"),
    ] {
        let refused = paged.ask("POST", "/try/call", &own, form);
        assert_eq!(refused.status(), 409, "{form}");
        assert!(refused.body.contains(reason), "{form}: {}", refused.body);
    }
}

#[test]
fn a_call_ends_with_its_reader_and_a_rehearsal_with_its_saved_call() {
    let tools = |reply: &str| script(reply, &[hostile()[1].clone()]);
    let project = Project::new();
    project.write("weather.json", &tools("1"));
    let paged = Paged::start_in(project);
    paged.meet();
    let (cookie, origin) = (paged.cookie(), format!("http://{}", paged.address));
    let own = [("Cookie", &*cookie), ("Origin", &*origin)];
    let act = |action: &str, form: &str| {
        let done = paged.ask("POST", &format!("/try/{action}"), &own, form);
        assert_eq!(done.status(), 303, "{action} {form}: {}", done.body);
    };
    let save = |city: &str| {
        let form = format!("at=1/weather&tool=forecast&name=a&arguments={{\"city\":\"{city}\"}}");
        act("save", &form);
    };
    let rehearsed_at = |reload: usize| {
        let reply = (reload + 1).to_string();
        paged.project.save("weather.json", &tools(&reply));
        paged.log.until("reloaded", reload)[reload - 1]["rehearsal"].clone()
    };
    act("save", "at=1/weather&tool=alerts&name=none");
    let refused = paged.ask("POST", "/try/rehearse", &own, "saved=none&wanted=on");
    assert!(
        refused.body.contains("`weather` lists no tool `alerts`"),
        "{}",
        refused.body
    );
    save("Oslo");
    act("rehearse", "saved=a&wanted=on");
    // Saved once more without a change.
    save("Oslo");
    assert_eq!(
        rehearsed_at(1)["calls"][0]["call"],
        r#"forecast {"city":"Oslo"}"#
    );
    save("Rome");
    assert_eq!(rehearsed_at(2), Value::Null);
    act("rehearse", "saved=a&wanted=on");
    act("delete", "saved=a");
    assert_eq!(rehearsed_at(3), Value::Null);

    act("call", "at=1/weather&tool=slow");
    eventually(DEADLINE, || {
        let answer = paged.get("/try/answer?call=1", &own).body;
        answer.contains("data-open") && answer.contains("generation 4")
    });
    let started = Instant::now();
    paged.end();
    // A client's open call delays the end by this time.
    let took = started.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}
