//! A client of one era whose proxy stands before the fake server.

use serde_json::{Value, json};

use super::LOADED;
use crate::harness::{
    DEADLINE, Message, Peer, Project, Proxy, eventually, example, initialize_params, modern_meta,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    Legacy,
    Modern,
}

/// A client of one era behind whose proxy the fake server `fake` runs.
pub(super) struct Client {
    pub(super) project: Project,
    pub(super) peer: Peer,
    pub(super) era: Era,
}

impl Client {
    #[track_caller]
    pub(super) fn start(era: Era, script: &Value, options: &[&str]) -> Self {
        Self::start_with(era, &script.to_string(), options)
    }

    /// With the text of the script as it is.
    #[track_caller]
    pub(super) fn start_with(era: Era, script: &str, options: &[&str]) -> Self {
        let project = Project::new();
        project.write("script.json", script);
        let server =
            [example("fake_server").as_os_str(), "script.json".as_ref()].map(ToOwned::to_owned);
        let peer = Proxy::dev(server)
            .options(["--name", "fake"])
            .options(options.iter().copied())
            .within(&project)
            .spawn();
        if era == Era::Legacy {
            peer.initialize(&initialize_params()).result();
        }
        Self { project, peer, era }
    }

    #[track_caller]
    pub(super) fn save(&self, script: &Value) {
        self.project.save("script.json", &script.to_string());
    }

    #[track_caller]
    pub(super) fn ask(&self, method: &str, params: Value) -> Message {
        match self.era {
            Era::Legacy => self.peer.ask(method, &params),
            Era::Modern => self.peer.modern(method, params),
        }
    }

    #[track_caller]
    pub(super) fn call(&self, tool: &str, arguments: &Value) -> Message {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// Calls with the text of the arguments as it is.
    #[track_caller]
    pub(super) fn call_raw(&self, tool: &str, arguments: &str) -> Message {
        let meta = match self.era {
            Era::Legacy => json!({"progressToken": "p-1"}),
            Era::Modern => {
                let mut meta = modern_meta();
                meta["progressToken"] = "p-1".into();
                meta
            }
        };
        self.peer.send(&format!(
            r#"{{"jsonrpc":"2.0","id":"raw","method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{meta}}}}}"#
        ));
        self.peer.await_response(r#""raw""#)
    }

    /// What a meta-tool says when it succeeds.
    #[track_caller]
    pub(super) fn success(&self, tool: &str, arguments: &Value) -> Value {
        let content = self.own(&self.call(tool, arguments), false);
        assert_eq!(content["success"], true, "{content}");
        content
    }

    /// What a meta-tool says when it fails.
    #[track_caller]
    pub(super) fn failure(&self, tool: &str, arguments: &Value) -> Value {
        let content = self.own(&self.call(tool, arguments), true);
        assert_eq!(content["success"], false, "{content}");
        assert!(content["error"].is_string(), "{content}");
        content
    }

    /// The structured content of a result of the proxy's own, which must say the same as text.
    #[track_caller]
    pub(super) fn own(&self, answer: &Message, is_error: bool) -> Value {
        let result = answer.result();
        assert_eq!(result["isError"], is_error, "{}", answer.line);
        let kind = match self.era {
            Era::Legacy => Value::Null,
            Era::Modern => "complete".into(),
        };
        assert_eq!(result["resultType"], kind, "{}", answer.line);
        let text: Value = serde_json::from_str(&answer.tool_text()).unwrap();
        assert_eq!(text, result["structuredContent"]);
        text
    }

    #[track_caller]
    pub(super) fn tools(&self) -> Vec<Value> {
        let mut result = self.ask("tools/list", json!({})).result();
        let Value::Array(tools) = result["tools"].take() else {
            panic!("no list: {result}")
        };
        tools
    }

    #[track_caller]
    pub(super) fn pid(&self) -> Value {
        self.call("mark", &json!({})).result()["structuredContent"]["pid"].take()
    }

    /// Waits until a save has been taken in.
    #[track_caller]
    pub(super) fn await_generation(&self, generation: u64) {
        eventually(DEADLINE, || {
            self.success(LOADED, &json!({}))["servers"][0]["generation"] == generation
        });
    }
}
