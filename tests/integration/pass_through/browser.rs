//! A browser that shows the site of a server through the proxy.

use serde_json::json;

use super::{SiteOn, Stage};
use crate::harness::browser::Browser;

/// Loads the page, and waits until it and its assets show `mark`.
#[track_caller]
fn show(browser: &Browser, stage: &Stage, mark: &str) {
    browser.open(&format!("http://{}/page", stage.site.address));
    browser.wait(&format!("document.title === {}", json!(mark)));
    browser.wait("document.images[0].naturalWidth === 7");
    let style = "getComputedStyle(document.body, '::before').content";
    browser.wait(&format!("JSON.parse({style}) === {}", json!(mark)));
}

/// Sends a text over the websocket of the page, and waits for the answer.
#[track_caller]
fn say(browser: &Browser, text: &str, answer: &str) {
    browser.run(&format!("socket.send({})", json!(text)));
    browser.wait(&format!("answers.includes({})", json!(answer)));
}

#[test]
fn a_page_is_loaded_again_and_its_websocket_drains() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let stage = Stage::start(SiteOn::Express, &["--drain-timeout", "1h"]);
    show(&browser, &stage, "v0");
    browser.run(
        "globalThis.answers = [];
        globalThis.socket = new WebSocket(`ws://${location.host}/echo`);
        socket.onmessage = (event) => answers.push(event.data);",
    );
    browser.wait("socket.readyState === WebSocket.OPEN");
    say(&browser, "one", "v0 one");
    stage.save("v0", "v1");
    stage.site.log.until("reloaded", 1);
    say(&browser, "two", "v0 two");
    // The page leaves, and with it the last user of the old process.
    show(&browser, &stage, "v1");
    stage.site.log.until("stopped", 1);
}
