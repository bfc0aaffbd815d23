//! The time line in a browser.

use serde_json::json;

use super::Paged;
use crate::harness::browser::Browser;

/// Lets an hour pass with each look at a page without news, and returns true if the graph has been drawn anew as it was
/// at the last one.
const IS_STILL: &str = "(() => {
    const drawn = document.querySelector('#graph svg').firstChild;
    const news = performance.getEntriesByType('resource').at(-1).startTime;
    if (drawn === window.drawn || performance.now() - news < 2000) return false;
    window.drawn = drawn;
    if (!window.now) {
        window.now = Date.now.bind(Date);
        window.hours = 0;
        Date.now = () => window.now() + window.hours * 3_600_000;
    }
    window.hours++;
    const marks = [...document.querySelectorAll('#graph rect, #graph text.mark')];
    const shown = marks.map((it) => it.outerHTML).join();
    const isStill = shown === window.shown && document.querySelector('rect.tick') !== null;
    window.shown = shown;
    return isStill;
})()";

#[test]
fn a_crash_ends_the_open_bars_and_the_graph_comes_to_rest() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let paged = Paged::start();
    paged.meet();
    let notice =
        json!({ "method": "notifications/message", "params": { "level": "info", "data": "one" } });
    paged.peer.call("notify", &notice).result();
    browser.open(&paged.link);
    browser.wait("!location.search && document.querySelector('#live')?.textContent === 'Live'");
    browser.click("nav a[href='/time-line']");
    browser.wait("document.querySelectorAll('rect.tick').length === 1");
    let open = "[...document.querySelectorAll('#graph [aria-label*=\"so far\"]')].map((it) => it.ariaLabel.split(':')[0])";
    browser.wait(&format!("{open}.join() === 'generation 1'"));
    let slow = paged.peer.request(
        "tools/call",
        &json!({ "name": "slow", "arguments": { "ms": 600_000 } }),
    );
    browser.wait(&format!("{open}.length === 2"));

    paged.peer.call("crash", &json!({ "code": 3 })).result();
    paged.peer.await_response(slow).result();
    paged.log.until("reloaded", 1);
    browser.wait("document.querySelectorAll('rect.live').length === 2");
    browser.wait("document.querySelectorAll('rect.call.bad').length === 2");
    browser.wait(&format!("{open}.join() === 'generation 2'"));
    browser.wait(IS_STILL);
    browser.run("Date.now = window.now");

    // A start that fails, and the process that it was to replace.
    let broken = json!({ "exit_at_start": { "code": 3, "stderr": "no" } });
    paged.project.save("weather.json", &broken.to_string());
    paged.log.until("broken", 1);
    browser.wait("document.querySelector('#graph [aria-label*=\"start of generation 3\"]')");
    browser.wait(&format!("{open}.every((it) => it === 'generation 2')"));
    drop(browser);
}
