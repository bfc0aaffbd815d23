//! Changes of tools that break callers, and tools that the connected client rejects.

use serde_json::{Value, json};

use super::client::{Client, Era};
use super::one_server::in_both_eras;
use super::{CALL, INFO, RELOAD};
use crate::harness::{Project, Proxy, example, initialize_params};

#[test]
fn tools_that_the_connected_client_rejects_are_told_once() {
    let tool = |name: &str| {
        let schema =
            json!({"type": "object", "properties": {"box": {"type": "array", "items": [{}]}}});
        json!({"name": name, "inputSchema": schema})
    };
    let project = Project::new();
    let script = |tools: &[Value]| json!({"tools": tools}).to_string();
    project.write("script.json", &script(&[tool("tuple")]));
    let server =
        [example("fake_server").as_os_str(), "script.json".as_ref()].map(ToOwned::to_owned);
    let proxy = Proxy::dev(server).options(["--name", "fake", "--no-watch"]);
    let peer = proxy.within(&project).spawn();
    let mut params = initialize_params();
    params["clientInfo"] = json!({"name": "codex-mcp-client", "version": "0.169.0"});
    peer.initialize(&params).result();
    let rejects = |tool: &str| {
        let place = "/inputSchema/properties/box/items";
        format!("codex 0.169.0 rejects tools: {tool} at {place}: is an array of schemas")
    };
    peer.expect_stderr(&rejects("tuple"));
    project.save("script.json", &script(&[tool("tuple"), tool("other")]));
    let era = Era::Legacy;
    let client = Client { peer, era };
    client.success(RELOAD, &json!({}));
    client.peer.expect_stderr(&rejects("other"));
    let told = client.peer.stderr();
    let told = told.iter().filter(|line| line.contains("rejects tools"));
    assert_eq!(told.count(), 2);
}

#[test]
fn a_call_by_the_former_definition_is_told_of_the_change() {
    let script = |required: &Value| {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": required});
        let failed = r#"{"content":[{"type":"text","text":"bad"}],"isError":true}"#;
        json!({"tools": [{"name": "forecast", "inputSchema": schema, "x-raw": failed}]})
    };
    in_both_eras(&script(&json!([])), |client| {
        let content = |arguments: &Value| {
            let failed = client.call("forecast", arguments).result();
            failed["content"].as_array().unwrap().clone()
        };
        assert_eq!(content(&json!({})).len(), 1);
        client.save(&script(&json!(["city"])));
        let said = client.success(RELOAD, &json!({}));
        let change = json!({"class": "breaking", "kind": "tool", "name": "forecast", "text": "`city` is required"});
        assert_eq!(said["diff"]["contract"], json!([change]));
        client
            .peer
            .expect_stderr("; breaking: forecast: `city` is required");
        let told = content(&json!({}))[1]["text"].to_string();
        assert!(
            told.contains("`city` is required since generation 2 of the server"),
            "{told}"
        );
        assert_eq!(content(&json!({"city": "Oslo"})).len(), 1);
    });
}

#[test]
fn a_tool_that_costs_the_client_all_others_is_left_out_if_configured() {
    let tool = |name: &str, schema: &Value| json!({"name": name, "inputSchema": schema, "x-reply": "works"});
    let (sound, rootless) = (json!({"type": "object"}), json!({"properties": {}}));
    let script = |bad: &Value| json!({"tools": [tool("good", &sound), tool("bad", bad)]});
    let project = Project::new();
    project.write("script.json", &script(&rootless).to_string());
    let server =
        [example("fake_server").as_os_str(), "script.json".as_ref()].map(ToOwned::to_owned);
    let options = ["--name", "fake", "--no-watch", "--on-bad-tool", "leave-out"];
    let open = |client: &str| {
        let peer = Proxy::dev(server.clone())
            .options(options)
            .within(&project)
            .spawn();
        let mut params = initialize_params();
        params["clientInfo"] = json!({"name": client, "version": "2.1.330"});
        peer.initialize(&params).result();
        let era = Era::Legacy;
        Client { peer, era }
    };
    let names = |client: &Client| {
        let tools = client.tools().into_iter().map(|it| it["name"].clone());
        tools
            .filter(|name| name == "good" || name == "bad")
            .collect::<Vec<_>>()
    };
    let client = open("claude-code");
    assert_eq!(names(&client), ["good"]);
    let reason = "at /inputSchema: `type` is missing, must be \"object\"; claude-code 2.1.330 rejects the whole list, \
                  so that no tool of the server is left";
    client
        .peer
        .expect_stderr(&format!("tool `bad` is not offered: {reason}"));
    let left_out = json!([{"tool": "bad", "reason": reason}]);
    assert_eq!(client.loaded("fake")["left_out"], left_out);
    // A model that knows of the tool can still read and call it.
    let info = client.success(INFO, &json!({"tool_name": "bad"}));
    assert_eq!(
        (&info["left_out"], &info["tool"]["name"]),
        (&json!(reason), &json!("bad"))
    );
    let call = json!({"tool_name": "bad", "parameters": {}});
    assert_eq!(client.call(CALL, &call).tool_text(), "works");

    project.save("script.json", &script(&sound).to_string());
    let diff = client.success(RELOAD, &json!({}))["diff"].take();
    assert_eq!(
        diff["changed"],
        json!([{"name": "bad", "changed": ["inputSchema"]}])
    );
    assert_eq!(
        (&diff["left_out"], &diff["removed"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(names(&client), ["good", "bad"]);
    assert_eq!(client.loaded("fake")["left_out"], Value::Null);
    project.save("script.json", &script(&rootless).to_string());
    assert_eq!(
        client.success(RELOAD, &json!({}))["diff"]["left_out"],
        json!(["bad"])
    );
    client.peer.expect_stderr("; left out: bad");
    assert_eq!(names(&client), ["good"]);
    // Another client may accept the tool.
    assert_eq!(names(&open("codex")), ["good", "bad"]);
}

#[test]
fn faulty_results_are_told_once_for_each_tool() {
    let schema = json!({"type": "object", "properties": {"max": {"type": "number"}}});
    let wrong = r#"{"content":[],"structuredContent":{"max":"21"}}"#;
    let long = json!({"content": [{"type": "text", "text": "x".repeat(100_004)}]});
    let tool = |name: &str, raw: &str| json!({"name": name, "inputSchema": {"type": "object"}, "outputSchema": schema, "x-raw": raw});
    let mut large = tool("large", &long.to_string());
    large.as_object_mut().unwrap().remove("outputSchema");
    let script = json!({"tools": [tool("wrong", wrong), tool("right", &wrong.replace("\"21\"", "21")), large]});
    let project = Project::new();
    project.write("script.json", &script.to_string());
    let server =
        [example("fake_server").as_os_str(), "script.json".as_ref()].map(ToOwned::to_owned);
    let proxy = Proxy::dev(server).options(["--name", "fake", "--no-watch"]);
    let peer = proxy.within(&project).spawn();
    let mut params = initialize_params();
    params["clientInfo"] = json!({"name": "claude-code", "version": "2.1.330"});
    peer.initialize(&params).result();
    let era = Era::Legacy;
    let client = Client { peer, era };
    for tool in ["right", "wrong", "large", "wrong", "right"] {
        let line = client.call(tool, &json!({})).line;
        assert!(tool != "wrong" || line.contains(wrong), "{line}");
    }
    client.peer.expect_stderr(
        "a result of tool `wrong` does not fit the `outputSchema`: `max` must be of type number",
    );
    client.peer.expect_stderr(
        "a result of tool `large` has about 25001 tokens, more than 25000, which claude-code 2.1.330 does not pass",
    );
    client.success(RELOAD, &json!({}));
    client.call("wrong", &json!({}));
    client.success(RELOAD, &json!({}));
    let told = client.peer.stderr();
    let told = told.iter().filter(|line| line.contains("a result of tool"));
    assert_eq!(told.count(), 2);
}
