//! Chromium, driven by `WebDriver`, with a check of its console at the end.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::Connection;
use super::{DEADLINE, Peer, eventually};

/// Time limit for a condition in a page; shorter than the one for an answer of the driver.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys without a character, for [`Browser::keys`].
pub(crate) const ENTER: &str = "\u{E007}";
pub(crate) const ESCAPE: &str = "\u{E00C}";
pub(crate) const TAB: &str = "\u{E004}";

/// Browser with one page. When it is dropped, it fails the test unless the console is empty.
pub(crate) struct Browser {
    #[expect(dead_code, reason = "the driver ends when it is dropped")]
    driver: Peer,
    address: SocketAddr,
    /// Path of the session at the driver.
    session: String,
    #[expect(dead_code, reason = "its directory is removed when it is dropped")]
    profile: TempDir,
}

impl Browser {
    /// Starts a browser of its own. Returns `None`, and says so on stderr, if no browser is installed; fails then if
    /// `CI` is set.
    #[track_caller]
    pub(crate) fn start() -> Option<Self> {
        let (driver, port) = start_driver(installed()?);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let profile = TempDir::with_prefix("mcp-proxy-browser-").unwrap();
        let session = ask(address, "POST", "/session", &capabilities(profile.path()));
        let session = match session["sessionId"].as_str() {
            Some(id) => format!("/session/{id}"),
            None => panic!("the driver has no session: {session}"),
        };
        Some(Self {
            driver,
            address,
            session,
            profile,
        })
    }

    /// Loads a page and waits until its resources are loaded.
    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// Returns the address of the page.
    #[track_caller]
    pub(crate) fn url(&self) -> String {
        let url = self.run("return location.href");
        url.as_str().expect("an address").to_owned()
    }

    /// Runs the body of a function in the page; returns its result.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a JavaScript expression is true in the page, also across navigations; returns its value. An exception
    /// counts as false.
    #[track_caller]
    pub(crate) fn wait(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[0], end = performance.now() + {limit};
            const look = () => {{
                let found = false, error = null;
                try {{ found = ({expression}); }} catch (thrown) {{ error = String(thrown); }}
                if (!found && performance.now() < end) return;
                clearInterval(timer);
                done(found ? {{ found }} : {{ error, page: document.body?.innerText.slice(0, 4000) }});
            }};
            const timer = setInterval(look, 5);
            look();",
            limit = PATIENCE.as_millis(),
        );
        let arguments = json!({ "script": script, "args": [] });
        loop {
            match self.try_post("execute/async", &arguments) {
                Ok(mut outcome) if !outcome["found"].is_null() => return outcome["found"].take(),
                Ok(outcome) => panic!("{expression} did not become true: {outcome:#}"),
                Err(error) if error.contains("document unloaded") => {}
                Err(error) => panic!("{expression}: {error}"),
            }
        }
    }

    /// Waits until the text of the page, as a person sees it, contains `text`.
    #[track_caller]
    pub(crate) fn wait_text(&self, text: &str) {
        self.wait(&format!(
            "document.body.innerText.includes({})",
            json!(text)
        ));
    }

    /// Clicks in the middle of the element that a CSS selector finds first. A page that updates itself may replace the
    /// element between the two steps.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        let query = json!({ "using": "css selector", "value": selector });
        eventually(PATIENCE, || {
            let element = self.post("element", &query);
            let ids = element.as_object().expect("an element");
            let id = ids.values().next().and_then(Value::as_str).expect("an id");
            match self.try_post(&format!("element/{id}/click"), &json!({})) {
                Ok(_) => true,
                Err(error) if error.starts_with("stale element reference") => false,
                Err(error) => panic!("{selector}: {error}"),
            }
        });
    }

    /// Types keys into the focused element.
    #[track_caller]
    pub(crate) fn keys(&self, keys: &str) {
        let strokes = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|stroke| json!({ "type": stroke, "value": key.to_string() }))
        });
        let strokes: Vec<Value> = strokes.collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.post("actions", &json!({ "actions": [keyboard] }));
    }

    /// Sets the size of the page in CSS pixels.
    #[track_caller]
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Sets the colour scheme that the user prefers: `light` or `dark`.
    #[track_caller]
    pub(crate) fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [feature] }),
        );
    }

    /// Runs a command of the `DevTools` protocol; returns its result.
    #[track_caller]
    pub(crate) fn devtools(&self, command: &str, params: &Value) -> Value {
        let command = json!({ "cmd": command, "params": params });
        self.post("goog/cdp/execute", &command)
    }

    /// Writes a picture of the page as a PNG file if `MCP_PROXY_SCREENSHOTS` names a directory.
    #[track_caller]
    pub(crate) fn screenshot(&self, name: &str) {
        let Some(directory) = std::env::var_os("MCP_PROXY_SCREENSHOTS") else {
            return;
        };
        let picture = self.devtools("Page.captureScreenshot", &json!({}));
        let data = picture["data"].as_str().expect("a picture");
        let path = Path::new(&directory).join(format!("{name}.png"));
        std::fs::write(path, BASE64_STANDARD.decode(data).unwrap()).unwrap();
    }

    /// Returns the lines of the console since the last call, and policies that the page violated.
    #[track_caller]
    pub(crate) fn console(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a list of entries");
        let text = |entry: &Value| format!("{}: {}", entry["level"], entry["message"]);
        entries.iter().map(text).collect()
    }

    #[track_caller]
    fn post(&self, command: &str, body: &Value) -> Value {
        match self.try_post(command, body) {
            Ok(value) => value,
            Err(error) => panic!("{command} {body}: {error}"),
        }
    }

    fn try_post(&self, command: &str, body: &Value) -> Result<Value, String> {
        let path = format!("{}/{command}", self.session);
        let value = ask(self.address, "POST", &path, body);
        match value["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", value["message"])),
            None => Ok(value),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The driver may be the cause, so nothing may fail here. The browser has ended when the driver answers.
            if TcpStream::connect(self.address).is_ok() {
                let mut connection = Connection::to(self.address);
                connection.request_at(&self.session, "DELETE", &[], "");
                let _ = connection.try_head();
            }
            return;
        }
        let console = self.console();
        ask(self.address, "DELETE", &self.session, &json!({}));
        assert!(console.is_empty(), "the console has entries: {console:#?}");
    }
}

/// Returns the driver's program if it and a browser are installed.
#[track_caller]
fn installed() -> Option<&'static str> {
    const DRIVER: &str = "chromedriver";
    let mut programs = [DRIVER, "chromium"].into_iter();
    let Some(missing) = programs.find(|it| which::which(it).is_err()) else {
        return Some(DRIVER);
    };
    let text = format!("`{missing}` is not in PATH: apt-get install chromium chromium-driver");
    assert!(
        std::env::var_os("CI").is_none(),
        "this test needs a browser: {text}"
    );
    eprintln!("skipped: {text}");
    None
}

/// Starts the driver; returns it and its port. The driver chooses a port for IPv6, and ends if another program has that
/// port for IPv4: then it is started again.
#[track_caller]
fn start_driver(program: &str) -> (Peer, u16) {
    for _ in 0..10 {
        let mut command = Command::new(program);
        command.arg("--port=0");
        let driver = Peer::spawn_command(command);
        let mut port = None;
        eventually(DEADLINE, || {
            let lines = driver.lines_since(0);
            let mut lines = lines.iter().map(|it| it.line.trim_end_matches('.'));
            port = lines.find_map(|it| it.split_once("successfully on port ")?.1.parse().ok());
            port.is_some() || driver.has_exited()
        });
        if let Some(port) = port {
            return (driver, port);
        }
        eprintln!("{}", driver.transcript());
    }
    panic!("{program} does not start");
}

fn capabilities(profile: &Path) -> Value {
    // Root has no sandbox, and a container little shared memory.
    let switches = [
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        &format!("--user-data-dir={}", profile.display()),
    ];
    json!({ "capabilities": { "alwaysMatch": {
        "goog:chromeOptions": { "args": switches },
        "goog:loggingPrefs": { "browser": "ALL" },
        "timeouts": { "script": (PATIENCE * 3 / 2).as_millis() },
    } } })
}

/// Sends a command to the driver; returns its value, which may describe an error.
#[track_caller]
fn ask(driver: SocketAddr, method: &str, path: &str, body: &Value) -> Value {
    let mut connection = Connection::to(driver);
    let headers = [("Content-Type", "application/json")];
    connection.request_at(path, method, &headers, &body.to_string());
    let answer = connection.answer().body;
    let mut answer: Value = serde_json::from_str(&answer).unwrap();
    answer["value"].take()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Page with a button that changes its text, and a field.
    const PAGE: &str = "data:text/html,<button onclick='this.textContent = 2'>1</button><input>";

    #[test]
    fn a_page_is_clicked_typed_into_and_resized() {
        let Some(browser) = Browser::start() else {
            return;
        };
        browser.open(PAGE);
        browser.click("button");
        browser.wait_text("2");
        browser.keys(TAB);
        browser.keys("a<b");
        assert_eq!(browser.wait("document.querySelector('input').value"), "a<b");
        let keys = "onkeydown = (event) => document.title += event.key + ';'";
        browser.run(keys);
        browser.keys(ENTER);
        browser.keys(ESCAPE);
        browser.wait("document.title === 'Enter;Escape;'");
        assert!(browser.url().starts_with("data:text/html,"));
        browser.resize(380, 600);
        assert_eq!(browser.run("return innerWidth"), 380);
        for scheme in ["light", "dark"] {
            browser.prefer(scheme);
            browser.screenshot(&format!("harness-{scheme}"));
            browser.wait(&format!(
                "matchMedia('(prefers-color-scheme: {scheme})').matches"
            ));
        }
        assert_eq!(browser.console(), Vec::<String>::new());
        browser.run("console.error('wrong')");
        let console = browser.console();
        assert!(console[0].contains("wrong"), "{console:?}");
    }
}
