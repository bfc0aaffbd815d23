//! The page stands in for clients that cannot give input.

use serde_json::{Value, json};

use super::Paged;
#[cfg(unix)]
use crate::harness::ServerOn;
use crate::harness::{DEADLINE, Message, Project, Proxy, eventually, modern_meta};

/// Message of a server that must stay text.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

/// Params of `initialize` of a client with these capabilities.
fn client_with(capabilities: &Value) -> Value {
    json!({
        "protocolVersion": "2025-11-25",
        "capabilities": capabilities,
        "clientInfo": {"name": "raw-client", "version": "1.0.0"},
    })
}

fn form() -> Value {
    json!({
        "message": HOSTILE,
        "requestedSchema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "days": {"type": "integer", "default": 3}},
            "required": ["name"],
        },
    })
}

/// Arguments of the tool `ask` of the fake server, which sends its client this request.
fn asking(method: &str, params: &Value) -> Value {
    json!({"method": method, "params": params})
}

/// Page in the hands of a person.
struct Person {
    paged: Paged,
    headers: [(&'static str, String); 2],
}

impl Person {
    /// Opens the page of a proxy in front of a fake server that knows these eras.
    #[track_caller]
    fn start(eras: &[&str]) -> Self {
        Self::start_with(&json!({"mark": "v0", "eras": eras}))
    }

    /// The same with a fake server on this script.
    #[track_caller]
    fn start_with(script: &Value) -> Self {
        let project = Project::new();
        project.write("weather.json", &script.to_string());
        Self::at(Paged::start_in(project))
    }

    #[track_caller]
    fn at(paged: Paged) -> Self {
        let headers = [
            ("Cookie", paged.cookie()),
            ("Origin", format!("http://{}", paged.address)),
        ];
        Self { paged, headers }
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        self.headers
            .iter()
            .map(|(name, it)| (*name, &**it))
            .collect()
    }

    /// Sends a form of the page; returns the status and the body of the response.
    #[track_caller]
    fn act(&self, path: &str, form: &str) -> (u16, String) {
        let answer = self.paged.ask("POST", path, &self.headers(), form);
        (answer.status(), answer.body)
    }

    #[track_caller]
    fn switch(&self, form: &str) {
        let before = self.paged.log.events("reloaded").len();
        assert_eq!(self.act("/input/switch", form).0, 303);
        // The form is answered after the reload.
        assert_eq!(
            self.paged.log.until("reloaded", before + 1).len(),
            before + 1
        );
    }

    /// Waits for the request `number`; returns the page with it.
    #[track_caller]
    fn asked(&self, number: u64) -> String {
        let mark = format!("data-question=\"{number}\"");
        let mut page = String::new();
        eventually(DEADLINE, || {
            page = self.page();
            page.contains(&mark)
        });
        page
    }

    fn page(&self) -> String {
        self.paged.get("/input?part=1", &self.headers()).body
    }

    #[track_caller]
    fn answer(&self, form: &str) {
        let (status, body) = self.act("/input/answer", form);
        assert_eq!(status, 303, "{form}: {body}");
    }

    /// Waits until no request is left on the page.
    #[track_caller]
    fn nothing_waits(&self) {
        eventually(DEADLINE, || !self.page().contains("data-question"));
    }

    /// Calls the tool `ask`; returns the id of the call.
    #[track_caller]
    fn call(&self, method: &str, params: &Value) -> u64 {
        let arguments = asking(method, params);
        let call = json!({"name": "ask", "arguments": arguments});
        self.paged.peer.request("tools/call", &call)
    }

    /// Calls the tool `ask` on the page; its request, the `number`th, is for the person even if the client can answer.
    #[track_caller]
    fn tries(&self, number: u64) {
        let arguments = asking("elicitation/create", &form()).to_string();
        let call = [
            ("at", "1/weather"),
            ("tool", "ask"),
            ("arguments", &*arguments),
        ];
        let call = reqwest::Url::parse_with_params("http://x", call).unwrap();
        assert_eq!(self.act("/try/call", call.query().unwrap()).0, 303);
        self.asked(number);
        self.answer(&format!("question={number}&do=decline"));
        eventually(DEADLINE, || {
            let answer = self.paged.get("/try/answer?call=1", &self.headers());
            answer.body.contains("decline")
        });
    }

    /// Makes a modern call, for which the client declares these capabilities; returns the id of the call.
    #[track_caller]
    fn modern_call(&self, capabilities: &Value, mut params: Value) -> u64 {
        params["_meta"] = modern_meta();
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities.clone();
        self.paged.peer.request("tools/call", &params)
    }

    /// Returns the answer that the server got during a call.
    #[track_caller]
    fn got(&self, call: u64) -> Value {
        let answer = self.paged.peer.await_response(call);
        answer.result()["structuredContent"]["answer"].take()
    }
}

#[test]
fn a_person_answers_for_a_client_that_cannot() {
    let person = Person::start(&["legacy"]);
    let (paged, peer) = (&person.paged, &person.paged.peer);
    peer.initialize(&client_with(&json!({"roots": {}})))
        .result();
    paged.log.until("ready", 1);
    let told = || {
        let state = peer.call("state", &json!({})).result();
        state["structuredContent"]["initialize"]["capabilities"].clone()
    };
    assert_eq!(told(), json!({"roots": {}}));
    let sampling = "sampling/createMessage";
    // Off, the client is asked.
    let call = person.call(sampling, &json!({"maxTokens": 7}));
    let asked = peer.expect_request(sampling);
    peer.respond(&asked, &json!({"own": true}));
    assert_eq!(person.got(call)["result"], json!({"own": true}));

    person.switch("wanted=on");
    let all = json!({"roots": {}, "elicitation": {"form": {}, "url": {}}, "sampling": {}});
    assert_eq!(told(), all);
    let call = person.call("elicitation/create", &form());
    let page = person.asked(1);
    assert!(!page.contains("<img") && page.contains("&lt;img"), "{page}");
    assert!(page.contains("{&quot;days&quot;:3}"), "{page}");
    let event = &paged.log.until("input_awaited", 1)[0];
    assert_eq!(event["method"], "elicitation/create");
    let address = format!("http://{}/input", paged.address);
    assert_eq!(event["page"], *address);
    let (status, body) = person.act("/input/answer", "question=1&do=accept&content=%7B%7D");
    assert!(status == 409 && body.contains("name"), "{status} {body}");
    let form_of_page = "question=1&do=accept&content=%7B%22name%22%3A%22Ada%22%7D";
    person.answer(form_of_page);
    let accepted = json!({"action": "accept", "content": {"name": "Ada"}});
    assert_eq!(person.got(call)["result"], accepted);
    let (status, body) = person.act("/input/answer", form_of_page);
    assert!(
        status == 409 && body.contains("does not wait any more"),
        "{body}"
    );
    // Roots are the client's own, and tools for a model are nothing for a person.
    for (method, params) in [("roots/list", json!({})), (sampling, json!({"tools": []}))] {
        let call = person.call(method, &params);
        peer.respond(&peer.expect_request(method), &json!({"own": true}));
        assert_eq!(person.got(call)["result"], json!({"own": true}));
    }

    let call = person.call(sampling, &json!({"messages": [], "maxTokens": 7}));
    person.asked(2);
    person.answer("question=2&do=accept&text=so+be+it");
    let text = &person.got(call)["result"];
    assert_eq!(text["content"], json!({"type": "text", "text": "so be it"}));
    assert_eq!(text["role"], "assistant");
    let call = person.call(sampling, &json!({}));
    person.asked(3);
    person.answer("question=3&do=decline");
    assert_eq!(person.got(call)["error"]["code"], -1);

    let mut row = Value::Null;
    eventually(DEADLINE, || {
        let path = "/messages/rows?about=elicitation%2Fcreate";
        let rows = paged.get(path, &person.headers()).body;
        let rows: Value = serde_json::from_str(&rows).unwrap();
        row = rows["rows"][0].clone();
        row["state"] == "good"
    });
    assert_eq!(row["by_page"], "answered by the page");
}

#[test]
fn a_request_ends_with_its_call_its_client_or_the_switch() {
    let person = Person::start(&["legacy"]);
    let (paged, peer) = (&person.paged, &person.paged.peer);
    peer.initialize(&client_with(&json!({}))).result();
    paged.log.until("ready", 1);
    person.switch("wanted=on");
    let call = person.call("elicitation/create", &form());
    person.asked(1);
    peer.notify("notifications/cancelled", &json!({"requestId": call}));
    person.nothing_waits();
    let call = person.call("elicitation/create", &form());
    person.asked(2);
    person.switch("");
    let error = person.got(call)["error"]["message"].take();
    let error = error.as_str().unwrap();
    assert!(error.contains("does not stand in"), "{error}");
    assert!(!person.page().contains("data-question"));
    person.switch("wanted=on");
    let call = person.call("elicitation/create", &form());
    person.asked(3);
    // A client that has left waits for nothing.
    peer.close_stdin();
    let error = person.got(call)["error"]["message"].take();
    assert!(error.as_str().unwrap().contains("disconnected"), "{error}");
    assert!(peer.wait_exit().success());
    let asked = |message: &Message| message.method() == Some("elicitation/create");
    assert_eq!(peer.count(asked), 0);
}

#[test]
fn a_modern_server_gets_the_input_of_the_client_and_of_the_person() {
    let person = Person::start(&["modern"]);
    let (paged, peer) = (&person.paged, &person.paged.peer);
    peer.initialize(&client_with(&json!({"elicitation": {}})))
        .result();
    paged.log.until("ready", 1);
    person.switch("wanted=on");
    let url = json!({"mode": "url", "url": "https://example.com/a?b", "message": "m"});
    let call = person.call("elicitation/create", &url);
    let page = person.asked(1);
    assert!(
        page.contains("example.com") && !page.contains("href"),
        "{page}"
    );
    person.answer("question=1&do=accept");
    assert_eq!(person.got(call), json!({"asked": {"action": "accept"}}));
    let call = person.call("elicitation/create", &form());
    peer.respond(
        &peer.expect_request("elicitation/create"),
        &json!({"action": "cancel"}),
    );
    assert_eq!(person.got(call), json!({"asked": {"action": "cancel"}}));
    person.tries(2);
    assert!(!person.page().contains("data-question"));
}

#[test]
fn a_modern_client_need_not_repeat_a_call_for_the_input_of_the_person() {
    let person = Person::start(&["legacy"]);
    let (paged, peer) = (&person.paged, &person.paged.peer);
    // It declares forms and sampling.
    peer.modern("server/discover", json!({})).result();
    paged.log.until("ready", 1);
    person.switch("wanted=on");
    let call = |params: &Value| {
        let arguments = asking("elicitation/create", params);
        let params = json!({"name": "ask", "arguments": arguments});
        person.modern_call(&json!({"sampling": {}, "elicitation": {}}), params)
    };
    let to_person = call(&json!({"mode": "url", "url": "https://example.com", "message": "m"}));
    person.asked(1);
    person.answer("question=1&do=decline");
    assert_eq!(
        person.got(to_person)["result"],
        json!({"action": "decline"})
    );
    person.tries(2);
    let to_client = call(&form());
    let result = peer.await_response(to_client).result();
    assert_eq!(result["resultType"], "input_required", "{result}");
    assert!(!person.page().contains("data-question"));
}

/// Result that requests a form and a text.
fn form_and_text() -> Value {
    json!({
        "resultType": "input_required",
        "inputRequests": {
            "f": {"method": "elicitation/create", "params": form()},
            "s": {"method": "sampling/createMessage", "params": {}},
        },
        "requestState": "of server",
    })
}

/// Error that requires the visit of an address.
fn url_required() -> Value {
    let url = "https://example.com";
    let url = json!({"mode": "url", "url": url, "message": "m", "elicitationId": "e"});
    json!({"code": -32042, "message": "m", "data": {"elicitations": [url]}})
}

#[test]
fn a_modern_client_of_a_modern_server_gets_what_it_can_answer() {
    let (asked, error) = (form_and_text(), url_required());
    let schema = json!({"type": "object"});
    let person = Person::start_with(&json!({
        "eras": ["modern"],
        "tools": [
            {"name": "t", "inputSchema": schema, "x-rounds": [asked.to_string()]},
            {"name": "u", "inputSchema": schema, "x-error": error},
        ],
    }));
    let (paged, peer) = (&person.paged, &person.paged.peer);
    peer.modern("server/discover", json!({})).result();
    paged.log.until("ready", 1);
    person.switch("wanted=on");
    let call = |name: &str, capabilities: &Value| {
        person.modern_call(capabilities, json!({"name": name, "arguments": {}}))
    };
    let (declined, text) = (
        json!({"action": "decline"}),
        "question=2&do=accept&text=yes",
    );
    let alone = call("t", &json!({}));
    person.asked(1);
    let page = person.asked(2);
    assert!(page.contains("&lt;img"), "{page}");
    // A tab that has rendered the requests gets only their numbers.
    let path = "/input?part=1&after=2";
    let page = paged.get(path, &person.headers()).body;
    assert!(
        page.contains("data-question=\"2\"")
            && !page.contains("<form method=\"post\" action=\"/input/answer")
    );
    person.answer(text);
    person.answer("question=1&do=decline");
    let result = peer.await_response(alone).result();
    let got = &result["structuredContent"];
    assert_eq!(
        (&got["responses"]["f"], &got["state"]),
        (&declined, &json!("of server"))
    );
    assert_eq!(got["responses"]["s"]["content"]["text"], "yes");
    assert_eq!(result["resultType"], "complete");

    let declared = json!({"elicitation": {}});
    let first = call("t", &declared);
    person.asked(3);
    person.answer(&text.replace('2', "3"));
    let rest = peer.await_response(first).result();
    assert_eq!(
        rest["inputRequests"],
        json!({"f": asked["inputRequests"]["f"]})
    );
    let again = json!({
        "name": "t",
        "arguments": {},
        "inputResponses": {"f": declined},
        "requestState": rest["requestState"],
    });
    let again = person.modern_call(&declared, again);
    assert_eq!(
        peer.await_response(again).result()["structuredContent"],
        *got
    );

    let to_person = call("u", &declared);
    person.asked(4);
    person.answer("question=4&do=accept");
    person.asked(5);
    person.answer("question=5&do=cancel");
    let failed = peer.await_response(to_person);
    assert_eq!(failed.value()["error"], error);
    assert!(!person.page().contains("data-question"));
}

/// A server on `FastMCP` that asks the user for a city and the model for a text.
#[cfg(unix)]
const ASKS: &str = r#"
from fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent

mcp = FastMCP("asks")


@mcp.tool
async def ask(question: str, ctx: Context) -> str:
    city = await ctx.elicit(question, response_type=str)
    prompt = SamplingMessage(role="user", content=TextContent(type="text", text="Describe it."))
    text = await ctx.session.create_message([prompt], max_tokens=50)
    return f"{city.action} {city.data}: {text.content.text} ({text.model})"


mcp.run("stdio", show_banner=False)
"#;

#[cfg(unix)]
#[test]
fn servers_on_official_sdks_get_the_input_of_the_person() {
    for (on, era) in [
        (ServerOn::FastMcp, "legacy"),
        (ServerOn::TypeScriptV2, "modern"),
    ] {
        let project = Project::new();
        let mut words = on.command(&project);
        if on == ServerOn::FastMcp {
            project.write("asks.py", ASKS);
            words[1] = project.path("asks.py").into();
        }
        let proxy = Proxy::dev(words).patiently(&["--page", "--no-watch", "--era", era]);
        let person = Person::at(Paged::behind(proxy, project));
        // Switched on before the client comes, it reloads nothing.
        assert_eq!(person.act("/input/switch", "wanted=on").0, 303);
        let peer = &person.paged.peer;
        peer.initialize(&client_with(&json!({}))).result();
        let call = json!({"name": "ask", "arguments": {"question": "Which?"}});
        let call = peer.request("tools/call", &call);
        let page = person.asked(1);
        assert!(page.contains("Which?"), "{page}");
        let name = if on == ServerOn::FastMcp {
            "value"
        } else {
            "name"
        };
        let content = format!("%7B%22{name}%22%3A%22Oslo%22%7D");
        person.answer(&format!("question=1&do=accept&content={content}"));
        if on == ServerOn::FastMcp {
            person.asked(2);
            person.answer("question=2&do=accept&text=Wet");
        }
        let text = peer.await_response(call).tool_text();
        let expected = if on == ServerOn::FastMcp {
            "accept Oslo: Wet (person)"
        } else {
            "accept: Oslo"
        };
        assert_eq!(text, expected);
        if on == ServerOn::TypeScriptV2 {
            let call = json!({"name": "ask", "arguments": {"question": "Which?"}});
            let call = person.modern_call(&json!({}), call);
            person.asked(2);
            person.answer(&format!("question=2&do=accept&content={content}"));
            let answer = peer.await_response(call);
            assert_eq!(answer.tool_text(), expected);
            assert_eq!(answer.result()["resultType"], "complete");
        }
        assert_eq!(person.paged.log.events("ready").len(), 1);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn requests_appear_in_an_open_tab_and_are_answered_there() {
    use super::in_browser::take_pictures;
    use super::trying::fill;
    use crate::harness::browser::Browser;

    let Some(browser) = Browser::start() else {
        return;
    };
    let person = Person::start(&["legacy"]);
    let (paged, peer) = (&person.paged, &person.paged.peer);
    peer.initialize(&client_with(&json!({}))).result();
    paged.log.until("ready", 1);
    browser.open(&paged.link);
    browser.wait("!location.search && document.querySelector('#live')?.textContent === 'Live'");
    browser.click("nav a[href='/input']");
    browser.wait("document.querySelector('#questions')?.dataset.on === 'false'");
    browser.click("form[action='/input/switch'] button");
    browser.wait("document.querySelector('[aria-pressed=true]')");
    browser.wait_text("No server waits for input");

    let mut params = form();
    params["requestedSchema"]["properties"]["unit"] = json!({
        "oneOf": [{"const": "m", "title": "metric"}, {"const": "i", "title": "imperial"}],
    });
    let call = person.call("elicitation/create", &params);
    browser.wait("document.querySelector('nav a.waiting')?.textContent === 'Input (1)'");
    browser.wait("document.querySelector('[data-question] [aria-label=days]')?.value === '3'");
    browser.wait("!document.querySelector('#none').textContent");
    browser.click("[data-question] button[value=accept]");
    browser.wait_text("Not sent, since");
    fill(&browser, "[aria-label=name]", "Ada");
    fill(&browser, "[aria-label=unit]", "\"i\"");
    browser
        .wait("document.querySelector('[aria-label=unit]').selectedOptions[0].text === 'imperial'");
    // Another request leaves the form that is being filled in alone.
    let other = person.call("sampling/createMessage", &json!({"messages": [HOSTILE]}));
    browser.wait("document.querySelectorAll('[data-question]').length === 2");
    take_pictures(&browser, "input");
    browser.click("[data-question='1'] button[value=accept]");
    browser.wait("!document.querySelector('[data-question=\"1\"]')");
    let content = json!({"name": "Ada", "days": 3, "unit": "i"});
    assert_eq!(person.got(call)["result"]["content"], content);

    fill(&browser, "[name=text]", "yes");
    person.answer("question=2&do=decline");
    assert_eq!(person.got(other)["error"]["code"], -1);
    browser.wait_text("answered in another tab");
    browser.wait("document.querySelector('[data-question] button').disabled");
    browser.wait("document.querySelector('nav a[href=\"/input\"]').textContent === 'Input'");
    assert_eq!(browser.run("return document.images.length"), 0);
    // The browser reports the refused form.
    let reported = browser.console();
    assert!(
        reported.iter().all(|it| it.contains("409")),
        "{reported:#?}"
    );
    drop(browser);
}
