//! The page in a browser.

use serde_json::json;

use super::{Paged, recordings};
use crate::harness::browser::{Browser, ENTER, ESCAPE};
use crate::harness::{Run, marked};

/// Sizes of the pictures in CSS pixels.
const SIZES: [(u32, u32); 3] = [(380, 800), (1280, 800), (2560, 1300)];

/// Takes pictures of the page in all sizes and both colour schemes, and checks that it fits its width.
#[track_caller]
fn take_pictures(browser: &Browser, name: &str) {
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
    paged.project.write("weather.json", &marked("v1"));
    browser.wait_text("generation 2");
    let trace = "Traceback: server.py, line 7 <b>";
    let broken = json!({ "exit_at_start": { "code": 3, "stderr": trace } });
    paged.project.write("weather.json", &broken.to_string());
    browser.wait_text("✕ broken");
    browser.wait_text(trace);
    take_pictures(&browser, "broken");
    paged.project.write("weather.json", &marked("v2"));
    browser.wait_text("● running");
    browser.click("button[value=reload]");
    browser.wait_text("Generation\n5,");
    paged.peer.call("echo", &json!({})).result();

    browser.click("nav a[href='/time-line']");
    browser.wait("document.querySelectorAll('tr.saved').length === 3");
    browser.wait("document.querySelectorAll('rect.live').length === 4");
    browser.wait("document.querySelectorAll('text.save').length === 3");
    browser.wait("document.querySelector('rect.call.g5 title').textContent.includes('echo')");
    take_pictures(&browser, "time-line");

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
    browser.keys(ESCAPE);
    browser.wait("!location.hash");
    // The end of the proxy would be an error in its console.
    drop(browser);
}

#[test]
fn a_recording_is_shown_without_servers_and_as_a_file() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let paged = recordings::show();
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
