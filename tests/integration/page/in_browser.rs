//! The page in a browser.

use serde_json::{Value, json};

use super::{Paged, recordings};
use crate::harness::browser::{Browser, ENTER, ESCAPE};
use crate::harness::http::{Legacy, Site};
use crate::harness::{DEADLINE, Project, Proxy, Run, eventually, example, marked};

/// Sizes of the pictures in CSS pixels.
const SIZES: [(u32, u32); 3] = [(380, 800), (1280, 800), (2560, 1300)];

/// Takes pictures of the page in all sizes and both colour schemes, and checks that it fits its width.
#[track_caller]
pub(super) fn take_pictures(browser: &Browser, name: &str) {
    for (width, height) in SIZES {
        browser.resize(width, height);
        browser.wait(&format!("innerWidth === {width}"));
        // The graph of the time line is drawn anew in the next frame.
        browser.wait("document.documentElement.scrollWidth <= innerWidth");
        for scheme in ["light", "dark"] {
            browser.prefer(scheme);
            browser.screenshot(&format!("{name}-{width}-{scheme}"));
        }
    }
    browser.prefer("light");
    browser.resize(1280, 800);
}

#[test]
fn a_save_a_failure_and_its_repair_appear_by_themselves() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let paged = Paged::start();
    browser.open(&paged.link);
    browser.wait("!location.search && document.querySelector('#live')?.textContent === 'Live'");
    paged.meet();
    browser.wait_text("● running");
    paged.project.save("weather.json", &marked("v1"));
    browser.wait_text("generation 2");
    let trace = "Traceback:\n  File \"server.py\", line 7 <b>\u{1b}[31m";
    let broken = json!({ "exit_at_start": { "code": 3, "stderr": trace } });
    paged.project.save("weather.json", &broken.to_string());
    browser.wait_text("✕ broken");
    browser.wait_text("<b>");
    browser.wait(
        "document.querySelector('.failure mark').textContent === 'File \"server.py\", line 7'",
    );
    browser.wait("document.querySelector('#failed:not([hidden]) a').textContent === 'weather'");
    take_pictures(&browser, "broken");
    // The other pages tell it too, also without scripts.
    let others = browser.run(
        "return Promise.all(['/messages', '/time-line', '/try'].map((it) => fetch(it).then((it) => it.text())))",
    );
    for page in others.as_array().unwrap() {
        let link = r#"<a href="/#server-1-0"><bdi>weather</bdi></a>"#;
        assert!(page.as_str().unwrap().contains(link), "{page}");
    }
    let refused = paged.peer.call("echo", &json!({}));
    assert_eq!(refused.result()["isError"], true);
    // A start that is longer than the time between the save and the call on a busy machine.
    let slow = json!({ "mark": "v2", "start_delay_ms": 5000 });
    paged.project.save("weather.json", &slow.to_string());
    let held = json!({ "text": "held" });
    paged.peer.call("echo", &held).result();
    browser.wait_text("● running");
    browser.wait_text("after a save of weather.json");
    browser.wait("document.querySelector('#failed').hidden");
    browser.click("button[value=reload]");
    browser.wait_text("Generation\n5,");
    paged.peer.call("echo", &json!({})).result();

    browser.click("nav a[href='/time-line']");
    browser.wait("document.querySelectorAll('tr.saved').length === 3");
    browser.wait("document.querySelectorAll('rect.live').length === 4");
    browser.wait("document.querySelectorAll('text.save').length === 3");
    browser
        .wait("document.querySelector('rect.call.g5').parentElement.textContent.includes('echo')");
    browser.wait("document.querySelector('rect.call.start.bad')");
    browser.wait("document.querySelector('tr.bad details pre').textContent.includes('server.py')");
    take_pictures(&browser, "time-line");
    let detail = browser.run(
        "return fetch('/messages/rows?text=held').then((it) => it.json())
            .then((it) => fetch(`/messages/${it.rows[0].n}`)).then((it) => it.text())",
    );
    let detail = detail.as_str().unwrap();
    assert!(
        detail.contains(" for the start of generation 4"),
        "{detail}"
    );

    let project = paged.end();
    browser.wait("document.querySelector('#live.lost')");
    let next = Paged::start_in(project);
    browser.wait("document.querySelector('#live').textContent.includes('mcp-proxy status')");
    browser.open(&next.link);
    browser.wait("!location.search && document.querySelector('#live')?.textContent === 'Live'");
    next.meet();
    browser.wait_text("● running");
    // The browser reports the requests that found no proxy, or another one.
    let console = browser.console();
    let is_expected = |line: &String| line.contains("net::ERR_") || line.contains("401");
    assert!(console.iter().all(is_expected), "{console:#?}");
    drop(browser);
}

#[test]
fn messages_are_found_by_filter_and_keyboard() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let paged = Paged::start();
    paged.meet();
    for number in 0..300 {
        paged
            .peer
            .call("echo", &json!({ "number": number }))
            .result();
    }
    browser.open(&paged.link);
    browser.wait("!location.search");
    browser.click("nav a[href='/messages']");
    browser.wait("document.querySelectorAll('[role=option]').length > 10");
    // Rows out of sight have no elements.
    browser.wait("document.querySelectorAll('[role=option]').length < 150");
    let arguments = json!({ "text": "<img src=x onerror=alert(1)>", "list": [1, { "a": null }] });
    paged.peer.call("echo", &arguments).result();
    browser.keys("/");
    browser.wait("document.activeElement.name === 'text'");
    browser.keys("ONERROR");
    browser.wait("document.querySelectorAll('[role=option]').length === 1");
    browser.keys(ESCAPE);
    browser.wait("document.activeElement.role === 'listbox'");
    browser.keys("j");
    browser.wait_text("<img src=x onerror=alert(1)>");
    assert_eq!(browser.run("return document.images.length"), 0);
    browser.keys(ENTER);
    browser.wait("document.activeElement.id === 'detail'");
    take_pictures(&browser, "messages");
    // The address shows a colleague the same message.
    let address = browser.url();
    browser.open("about:blank");
    browser.open(&address);
    browser.wait_text("<img src=x onerror=alert(1)>");
    // Without the filter, it is the last of many; the first one is far from the end.
    browser.open(&format!("{}#20", address.split(['?', '#']).next().unwrap()));
    browser.wait("document.querySelector('#m20[aria-selected=true]')");
    let place = "document.querySelector('#m20').getBoundingClientRect().top - document.querySelector('.rows').getBoundingClientRect().top";
    browser.wait(&format!(
        "Math.abs({place} - document.querySelector('.rows').clientHeight / 2) < 40"
    ));
    browser.run("location.hash = '250'");
    browser.wait("document.querySelector('#m250[aria-selected=true]')");
    browser.wait("[...document.querySelectorAll('.bar button')].every((it) => it.hidden || !it.textContent.includes('new'))");
    browser.keys(ESCAPE);
    browser.wait("!location.hash");
    browser.wait_text("Select a message.");
    // The end of the proxy would be an error in its console.
    drop(browser);
}

#[test]
fn a_recording_is_shown_without_servers_and_as_a_file() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let paged = recordings::show(recordings::RECORDING);
    browser.open(&paged.link);
    browser.wait("location.pathname === '/messages' && document.querySelectorAll('[role=option]').length === 3");
    browser.wait("document.querySelector('#live').textContent === 'Recording session.ndjson'");
    browser.wait_text("line 8 is no recorded message");
    browser.keys("j");
    browser.wait("document.querySelector('#detail h2').textContent.includes('initialize')");
    take_pictures(&browser, "file");
    browser.click("nav a[href='/time-line']");
    browser.wait("document.querySelectorAll('rect.live').length === 2");
    browser.wait("document.querySelectorAll('rect.call').length === 2");
    take_pictures(&browser, "file-time-line");
    // The file needs neither the proxy nor a network.
    let arguments = ["page", "session.ndjson", "--export", "all.html"];
    Run::within(&paged.project, &arguments).ended_with(0);
    let page = paged.project.path("all.html");
    browser.open(&format!("file://{}", page.display()));
    browser.wait("document.querySelectorAll('[role=option]').length === 3");
    browser.keys("/");
    browser.keys("ONERROR");
    browser.wait("document.querySelectorAll('[role=option]').length === 1");
    browser.keys(ESCAPE);
    browser.keys("j");
    browser.wait("document.querySelector('#detail pre').textContent.includes('<img src=x onerror=alert(1)>')");
    assert_eq!(browser.run("return document.images.length"), 0);
    browser.run("document.querySelector('[name=text]').value = ''");
    browser.run("document.querySelector('[name=errors]').click()");
    browser.wait(
        "document.querySelector('[role=option] .outcome').textContent.includes('tool error')",
    );
    browser.keys(ESCAPE);
    browser.keys("j");
    // Numbers stay as they were sent.
    browser.wait("document.querySelector('#detail pre').textContent.includes('\"n\": 1E400')");
    browser.wait("document.querySelector('#detail button[data-copy]').hidden === false");
    take_pictures(&browser, "export");

    // Thousands of years.
    let notice = |at: u64| {
        format!(
            r#"{{"time_us":{at},"from":"server","to":"proxy","session":"7-1","server":"a","bytes":1,"message":{{"method":"x"}}}}"#
        )
    };
    let ages = recordings::show(&[0, 253_402_300_799_999_999].map(notice).join("\n"));
    browser.open(&ages.link);
    browser.wait("document.querySelectorAll('[role=option]').length === 2");
    browser.click("nav a[href='/time-line']");
    browser.wait("document.querySelectorAll('rect.tick').length === 2");
    let lines = browser.run("return document.querySelectorAll('line.grid').length");
    assert!((1..=51).contains(&lines.as_u64().unwrap()), "{lines}");
    drop(browser);
}

#[test]
fn a_recording_is_started_stopped_and_downloaded_on_the_page() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let paged = Paged::start();
    paged.meet();
    browser.open(&paged.link);
    browser.wait("!location.search && document.querySelector('#live')?.textContent === 'Live'");
    browser.click("#record button[value=start]");
    browser.wait_text("● Recording: 0 messages");
    paged.peer.call("echo", &json!({})).result();
    browser.wait_text("● Recording: 4 messages");
    take_pictures(&browser, "recording");
    // The recording belongs to the proxy, not to the tab.
    browser.click("nav a[href='/time-line']");
    browser.wait(
        "location.pathname === '/time-line' && document.querySelector('#record[data-running]')",
    );
    browser.click("#record button[value=stop]");
    browser.wait_text("Recorded: 4 messages");
    browser.wait("!document.querySelector('#download').hidden");
    let lines = browser.run(
        "return fetch('/record.ndjson').then((it) => it.text()).then((it) => it.split('\\n').length)",
    );
    assert!(lines.as_u64() > Some(5), "{lines}");
    drop(browser);
}

/// Returns a script with a slow tool, and one of this name with this schema.
fn tools(name: &str, schema: &Value) -> String {
    let slow = json!({ "name": "slow", "description": "SURROGATE", "inputSchema": { "type": "object" }, "x-delay-ms": 1000 });
    let tool = json!({ "name": name, "description": "one\n<script>alert(1)</script>", "inputSchema": schema });
    let script = json!({ "tools": [slow, tool], "prompts": [{ "name": name }] }).to_string();
    // No text for a strict parser.
    script.replace("SURROGATE", r"\ud83d")
}

#[test]
fn a_changed_schema_and_the_watched_files_are_explained() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let project = Project::new();
    let city = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    project.write("weather.json", &tools("forecast", &city));
    let paged = Paged::start_in(project);
    paged.meet();
    let slow = paged.peer.request("tools/call", &json!({ "name": "slow" }));
    let cookie = paged.cookie();
    eventually(DEADLINE, || {
        let rows = paged
            .get("/messages/rows?about=slow", &[("Cookie", &*cookie)])
            .body;
        serde_json::from_str::<Value>(&rows).unwrap()["rows"][0]["generation"] == 1
    });
    let mut required = city.clone();
    required["required"] = json!(["city"]);
    paged
        .project
        .save("weather.json", &tools("forecast", &required));
    paged.log.until("reloaded", 1);
    paged.peer.await_response(slow).result();
    browser.open(&paged.link);
    browser.wait("!location.search && document.querySelector('#live')?.textContent === 'Live'");
    let changes = "section[aria-label=\"Last reload\"]";
    browser.wait("document.querySelector('details strong.bad').textContent === 'breaking'");
    browser.click(&format!("{changes} summary"));
    browser.wait("document.querySelector('.sides ins').innerText.includes('+') && document.querySelector('.sides').innerText.includes('\"city\"')");
    take_pictures(&browser, "changes");
    browser.click("input[name=path]");
    browser.keys("half");
    // Names of tools and prompts, as bad as a server may choose them.
    let hostile = "<img src=x onerror=alert(1)>\u{202e}\u{1b}[31m";
    paged.project.save("weather.json", &tools(hostile, &city));
    paged.log.until("reloaded", 2);
    for change in [
        "tool forecast removed, breaking",
        "prompt <img src=x",
        "added",
    ] {
        browser.wait(&format!(
            "document.querySelector({}).innerText.includes({})",
            json!(changes),
            json!(change)
        ));
    }
    assert_eq!(
        browser.run(
            "return document.images.length + document.body.innerText.search(/[\\u202e\\u001b]/)"
        ),
        -1
    );

    // A refresh of the page keeps the typed text.
    browser.keys("!");
    browser.wait("document.activeElement.value === 'half!'");
    browser.click("dd a[href^='/watched']");
    browser.wait_text("1 file is watched");
    for (path, answer) in [
        ("notes.txt", "No: notes.txt: No glob matches it."),
        ("<b>.json", "No: <b>.json: No glob matches it."),
        (
            "weather.json",
            "Yes: weather.json: named by `watch` or --watch: `weather.json`",
        ),
    ] {
        browser.run("document.querySelector('input[name=path]').value = ''");
        browser.click("input[name=path]");
        browser.keys(path);
        browser.keys(ENTER);
        browser.wait_text(answer);
    }
    take_pictures(&browser, "watched");

    browser.click("nav a[href='/time-line']");
    browser.click("button[aria-label='Show everything']");
    // The generation that drained has answered.
    browser.wait("document.querySelector('rect.call.g1') && document.querySelectorAll('rect.live').length === 3");
    browser.wait("[...document.querySelectorAll('td')].some((cell) => cell.textContent.startsWith('drain '))");
    browser.run("document.querySelector('#graph a[href^=\"#event-\"]').focus()");
    browser.wait("document.querySelector('.told').textContent.includes('changed: weather.json')");
    // Elements are drawn anew every second.
    browser.run("window.former = document.activeElement");
    browser.wait(
        "window.former !== document.activeElement && document.activeElement.closest('#graph svg')",
    );
    browser.keys(ENTER);
    browser.wait("document.querySelector('tr.saved:target')");
    take_pictures(&browser, "drain");
    drop(browser);
}

#[test]
fn sessions_have_lanes_and_messages_of_their_own() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let project = Project::new();
    project.write("weather.json", &marked("v0"));
    let proxy = Proxy::dev([example("fake_server"), "weather.json".into()])
        .options(["--name", "weather", "--watch", "weather.json", "--page"])
        .known_to(&project);
    let site = Site::start(proxy);
    let link = site.log.until("page", 1)[0]["url"]
        .as_str()
        .unwrap()
        .to_owned();
    let clients = [Legacy::begin(&site), Legacy::begin(&site)];
    for (client, name) in clients.iter().zip(["first", "second"]) {
        client.call("echo", &json!({ "from": name })).result();
    }
    project.save("weather.json", "{");
    site.log.until("broken", 2);
    project.save("weather.json", &marked("v1"));
    let reloads = site.log.until("reloaded", 2);
    let sessions: Vec<_> = reloads.iter().map(|it| it["session"].as_u64()).collect();
    assert!(
        sessions.contains(&Some(1)) && sessions.contains(&Some(2)),
        "{sessions:?}"
    );
    browser.open(&link);
    browser.wait("!location.search && document.querySelector('#live')?.textContent === 'Live'");
    browser
        .wait("document.querySelectorAll('section[aria-label^=\"Session\"] article').length === 2");
    take_pictures(&browser, "sessions");
    browser.click("nav a[href='/time-line']");
    let lanes = "[...document.querySelectorAll('#graph text')].filter((it) => /^session [12]$/.test(it.textContent))";
    browser.wait(&format!("{lanes}.length === 2"));
    browser.wait("document.querySelectorAll('rect.live').length === 4");
    browser.wait("document.querySelectorAll('text.save').length === 4");
    browser.wait("document.querySelectorAll('rect.call').length >= 2");
    take_pictures(&browser, "lanes");
    let text = "[...document.querySelectorAll('[role=option]')].map((it) => it.innerText)";
    for (session, name) in [("1", "first"), ("2", "second")] {
        browser.click("nav a[href='/messages']");
        browser.wait("document.querySelectorAll('[role=option]').length > 2");
        let choose = format!(
            "const it = document.querySelector('select[name=session]'); it.value = '{session}'; \
            it.form.elements.about.value = 'echo'; it.dispatchEvent(new Event('input', {{ bubbles: true }}))"
        );
        browser.run(&choose);
        browser.wait(&format!("{text}.length === 1"));
        browser.click("[role=option]");
        browser.wait_text(name);
    }
    drop(browser);
}
