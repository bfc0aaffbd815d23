//! A client cannot tell the proxy from the server: a fixed conversation with each server, directly and through
//! `mcp-proxy dev --meta-tools none --no-watch`, answer by answer.
//!
//! Results that only pass through are compared as bytes. The proxy's own responses are compared as values, and
//! each difference it may make is named in [`Compare`].

use serde_json::{Value, json};

use crate::harness::{Message, Peer, Project, Proxy, ServerOn, initialize_params, modern_meta};

/// How the proxy's answer may differ from the server's own.
#[derive(Clone, Copy, Debug)]
enum Compare {
    /// Not in one byte of the result or error.
    Bytes,
    /// Not as a value: the proxy wrote it, so members may stand in another order.
    Value,
    /// A list of the modern era: `ttlMs` and `cacheScope` are the proxy's own, since a reload may change the list.
    ModernList,
    /// `initialize`: the proxy may promise more capabilities, because a legacy client never asks again.
    Initialize,
    /// `server/discover`: more capabilities, its own versions, `ttlMs` and `cacheScope`.
    Discover,
}

/// One thing a peer said, and how it is to be compared.
#[derive(Debug)]
struct Answer {
    label: String,
    compare: Compare,
    line: Message,
    /// The notifications that came between the request and its response, as `[method, params]`.
    notifications: Vec<Value>,
}

struct Conversation<'a> {
    peer: &'a Peer,
    answers: Vec<Answer>,
}

impl Conversation<'_> {
    #[track_caller]
    fn ask(&mut self, compare: Compare, method: &str, params: &Value) {
        let mark = self.peer.mark();
        let response = self.peer.ask(method, params);
        let notifications = self
            .peer
            .lines_since(mark)
            .iter()
            .filter(|message| message.id().is_none())
            .map(|message| json!([message.method(), message.params()]))
            .collect();
        self.answers.push(Answer {
            label: format!("{method} {params}"),
            compare,
            line: response,
            notifications,
        });
    }

    /// A request of the modern era.
    #[track_caller]
    fn modern(&mut self, compare: Compare, method: &str, mut params: Value) {
        let mut meta = modern_meta();
        if let Some(more) = params["_meta"].as_object() {
            meta.as_object_mut().unwrap().extend(more.clone());
        }
        params["_meta"] = meta;
        self.ask(compare, method, &params);
    }

    /// Keeps something that is no response: a server's request, an acknowledgement.
    fn saw(&mut self, label: &str, compare: Compare, line: Message) {
        self.answers.push(Answer {
            label: label.to_owned(),
            compare,
            line,
            notifications: Vec::new(),
        });
    }
}

fn tool(name: &str, arguments: &Value) -> Value {
    json!({"name": name, "arguments": arguments})
}

fn legacy_conversation(peer: &Peer, on: ServerOn) -> Vec<Answer> {
    let mut talk = Conversation {
        peer,
        answers: Vec::new(),
    };
    talk.ask(Compare::Initialize, "initialize", &initialize_params());
    peer.notify("notifications/initialized", &json!({}));
    talk.ask(Compare::Value, "ping", &json!({}));
    talk.ask(Compare::Value, "tools/list", &json!({}));
    talk.ask(
        Compare::Bytes,
        "tools/call",
        &tool("echo", &json!({"text": "ä \u{1f600} \"q\""})),
    );
    talk.ask(Compare::Bytes, "vendor/unknown", &json!({"x": 1}));
    if on == ServerOn::DiscoverExits {
        return talk.answers;
    }
    // Through the proxy every server takes a level; directly only one that declares logging.
    if !matches!(on, ServerOn::PythonMcp | ServerOn::Rmcp) {
        let level = json!({"level": "info"});
        talk.ask(Compare::Value, "logging/setLevel", &level);
    }
    let mut count = tool("count", &json!({"to": 3}));
    count["_meta"] = json!({"progressToken": "counting"});
    talk.ask(Compare::Bytes, "tools/call", &count);
    talk.ask(Compare::Bytes, "tools/call", &tool("fail", &json!({})));
    talk.ask(
        Compare::Bytes,
        "tools/call",
        &tool("no_such_tool", &json!({})),
    );
    talk.ask(Compare::Value, "prompts/list", &json!({}));
    talk.ask(
        Compare::Bytes,
        "prompts/get",
        &tool("greet", &json!({"name": "Ada"})),
    );
    talk.ask(Compare::Value, "resources/list", &json!({}));
    talk.ask(Compare::Value, "resources/templates/list", &json!({}));
    talk.ask(
        Compare::Bytes,
        "resources/read",
        &json!({"uri": "test://note"}),
    );
    talk.ask(
        Compare::Bytes,
        "resources/read",
        &json!({"uri": "test://note/ada"}),
    );
    talk.ask(
        Compare::Bytes,
        "resources/read",
        &json!({"uri": "test://nowhere/at/all"}),
    );
    talk.ask(Compare::Bytes, "completion/complete", &completion());
    elicit(&mut talk);
    talk.answers
}

/// A tool asks the client while it runs.
fn elicit(talk: &mut Conversation<'_>) {
    let peer = talk.peer;
    let id = peer.request("tools/call", &tool("ask", &json!({"question": "Who?"})));
    let request = peer.expect_request("elicitation/create");
    // FastMCP wraps a plain answer in `value`; the others ask for a name.
    let schema = &request.params()["requestedSchema"]["properties"];
    let field = if schema["value"].is_object() {
        "value"
    } else {
        "name"
    };
    peer.respond(
        &request,
        &json!({"action": "accept", "content": {field: "Ada"}}),
    );
    talk.saw("elicitation/create", Compare::Bytes, request);
    talk.saw("tools/call ask", Compare::Bytes, peer.await_response(id));
}

fn modern_conversation(peer: &Peer, on: ServerOn) -> Vec<Answer> {
    let mut talk = Conversation {
        peer,
        answers: Vec::new(),
    };
    talk.modern(Compare::Discover, "server/discover", json!({}));
    talk.modern(Compare::ModernList, "tools/list", json!({}));
    talk.modern(Compare::ModernList, "prompts/list", json!({}));
    talk.modern(Compare::ModernList, "resources/list", json!({}));
    talk.modern(Compare::ModernList, "resources/templates/list", json!({}));
    talk.modern(
        Compare::Bytes,
        "tools/call",
        tool("echo", &json!({"text": "hello"})),
    );
    let mut count = tool("count", &json!({"to": 3}));
    count["_meta"] = json!({"progressToken": 17, "io.modelcontextprotocol/logLevel": "info"});
    talk.modern(Compare::Bytes, "tools/call", count);
    talk.modern(Compare::Bytes, "tools/call", tool("fail", &json!({})));
    talk.modern(
        Compare::Bytes,
        "tools/call",
        tool("no_such_tool", &json!({})),
    );
    talk.modern(
        Compare::Bytes,
        "prompts/get",
        tool("greet", &json!({"name": "Ada"})),
    );
    talk.modern(
        Compare::Bytes,
        "resources/read",
        json!({"uri": "test://note/ada"}),
    );
    talk.modern(Compare::Bytes, "completion/complete", completion());
    talk.modern(Compare::Bytes, "vendor/unknown", json!({"x": 1}));
    if on == ServerOn::TypeScriptV2 {
        // Asks with `input_required`, and is told when the call is made again.
        let mut ask = tool("ask", &json!({"question": "Who?"}));
        talk.modern(Compare::Bytes, "tools/call", ask.clone());
        let answer = json!({"action": "accept", "content": {"name": "Ada"}});
        ask["inputResponses"] = json!({"answer": answer});
        ask["requestState"] = json!("asked");
        talk.modern(Compare::Bytes, "tools/call", ask);
    }
    talk.answers
}

fn completion() -> Value {
    json!({"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "name", "value": "a"}})
}

/// Starts the server directly and behind the proxy; both at once, since each takes most of a second.
fn direct_and_proxied(on: ServerOn, project: &Project) -> (Peer, Peer) {
    let command = on.command(project);
    let direct = Peer::spawn(&command);
    // On a busy machine a Python server needs longer than a client would be made to wait for it.
    let proxy = Proxy::dev(command).transparent();
    (direct, proxy.options(["--startup-wait", "2m"]).spawn())
}

#[track_caller]
fn assert_same(on: ServerOn, direct: &[Answer], proxied: &[Answer], stderr: &[String]) {
    assert_eq!(direct.len(), proxied.len());
    for (direct, proxied) in direct.iter().zip(proxied) {
        let context = format!(
            "{on:?} {}\n direct: {}\nproxied: {}\n{}\n",
            direct.label,
            direct.line.line,
            proxied.line.line,
            stderr.join("\n")
        );
        assert_eq!(direct.label, proxied.label);
        assert_eq!(direct.notifications, proxied.notifications, "{context}");
        match direct.compare {
            Compare::Bytes => assert_eq!(body(&direct.line), body(&proxied.line), "{context}"),
            compare => {
                let mut expected: Value = serde_json::from_str(body(&direct.line)).unwrap();
                let mut actual: Value = serde_json::from_str(body(&proxied.line)).unwrap();
                for member in own_members(compare) {
                    expected.as_object_mut().unwrap().remove(*member);
                    actual.as_object_mut().unwrap().remove(*member);
                }
                if matches!(compare, Compare::Initialize | Compare::Discover) {
                    let promised = expected["capabilities"].take();
                    assert_holds(&promised, &actual["capabilities"].take(), &context);
                }
                assert_eq!(expected, actual, "{context}");
            }
        }
    }
}

/// The members that the proxy answers for itself.
fn own_members(compare: Compare) -> &'static [&'static str] {
    match compare {
        Compare::Bytes | Compare::Value | Compare::Initialize => &[],
        Compare::ModernList => &["ttlMs", "cacheScope"],
        Compare::Discover => &["ttlMs", "cacheScope", "supportedVersions"],
    }
}

/// `more` has all that `base` has; a promise that was false may have become true.
#[track_caller]
fn assert_holds(base: &Value, more: &Value, context: &str) {
    match base {
        Value::Object(members) => {
            for (name, value) in members {
                assert_holds(value, &more[name], context);
            }
        }
        Value::Bool(false) => assert!(more.is_boolean(), "{context}"),
        _ => assert_eq!(base, more, "{context}"),
    }
}

/// The text of a message that must be the same: its params, result or error.
#[track_caller]
fn body(message: &Message) -> &str {
    if message.method().is_some() {
        message.params_text()
    } else if message.is_error() {
        message.error_text()
    } else {
        message.result_text()
    }
}

fn legacy_is_transparent(on: ServerOn) {
    let project = Project::new();
    let (direct, proxied) = direct_and_proxied(on, &project);
    let expected = legacy_conversation(&direct, on);
    let actual = legacy_conversation(&proxied, on);
    assert_same(on, &expected, &actual, &proxied.stderr());
    ends_with_its_client(&proxied);
}

fn modern_is_transparent(on: ServerOn) {
    let project = Project::new();
    let (direct, proxied) = direct_and_proxied(on, &project);
    let expected = modern_conversation(&direct, on);
    let actual = modern_conversation(&proxied, on);
    assert_same(on, &expected, &actual, &proxied.stderr());
    acknowledges_a_listener(&proxied);
    ends_with_its_client(&proxied);
}

/// Not compared: some servers have no `subscriptions/listen`, but the proxy must tell of a reload.
fn acknowledges_a_listener(peer: &Peer) {
    let params = json!({"_meta": modern_meta(), "notifications": {"toolsListChanged": true}});
    let id = peer.request("subscriptions/listen", &params);
    let acknowledged = peer.expect_notification("notifications/subscriptions/acknowledged");
    let meta = &acknowledged.params()["_meta"];
    assert_eq!(
        meta["io.modelcontextprotocol/subscriptionId"],
        json!(id),
        "{}",
        peer.transcript()
    );
    assert_eq!(peer.responses_to(id), 0, "the stream stays open");
}

fn ends_with_its_client(peer: &Peer) {
    peer.close_stdin();
    let status = peer.wait_exit();
    assert!(status.success(), "{status}\n{}", peer.transcript());
    crate::harness::eventually(crate::harness::DEADLINE, || {
        crate::harness::processes_with_tag(peer.tag()).is_empty()
    });
}

/// Claude Code probes with `server/discover` and then sends `initialize` on the same pipe, after any response.
fn a_probe_does_no_harm(on: ServerOn) {
    let project = Project::new();
    let proxy = Proxy::dev(on.command(&project)).transparent();
    let peer = proxy.options(["--startup-wait", "2m"]).spawn();
    peer.modern("server/discover", json!({}));
    let initialized = peer.initialize(&initialize_params());
    assert_eq!(
        initialized.result()["protocolVersion"]
            .as_str()
            .map(|v| v < "2026"),
        Some(true)
    );
    let tools = peer.ask("tools/list", &json!({})).result();
    let mut tools = tools["tools"].as_array().into_iter().flatten();
    assert!(
        tools.any(|tool| tool["name"] == "echo"),
        "{}",
        peer.transcript()
    );
    let echoed = peer.call("echo", &json!({"text": "hello"}));
    assert_eq!(echoed.tool_text(), "echo: hello");
}

macro_rules! for_each_server {
    ($check:ident: $($name:ident = $server:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            $check(ServerOn::$server);
        })*
    };
}

for_each_server! { legacy_is_transparent:
    legacy_python_mcp = PythonMcp,
    legacy_fastmcp = FastMcp,
    legacy_typescript_v1 = TypeScriptV1,
    legacy_typescript_v2 = TypeScriptV2,
    legacy_rmcp = Rmcp,
    legacy_discover_exits = DiscoverExits,
}

for_each_server! { modern_is_transparent:
    modern_python_mcp = PythonMcp,
    modern_fastmcp = FastMcp,
    modern_typescript_v2 = TypeScriptV2,
    modern_rmcp = Rmcp,
}

for_each_server! { a_probe_does_no_harm:
    probe_python_mcp = PythonMcp,
    probe_fastmcp = FastMcp,
    probe_typescript_v1 = TypeScriptV1,
    probe_typescript_v2 = TypeScriptV2,
    probe_rmcp = Rmcp,
    probe_discover_exits = DiscoverExits,
}
