//! A raw client of one era in a session with the proxy.

use serde_json::{Value, json};

use super::LOADED;
use crate::harness::{DEADLINE, Message, Peer, eventually, modern_meta};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    Legacy,
    Modern,
}

pub(super) struct Client {
    pub(super) peer: Peer,
    pub(super) era: Era,
}

impl Client {
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

    /// Calls in the legacy era without waiting; gives the request's id.
    #[track_caller]
    pub(super) fn begin(&self, tool: &str, arguments: &Value) -> u64 {
        let params = json!({"name": tool, "arguments": arguments});
        self.peer.request("tools/call", &params)
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

    /// The structured result of a meta-tool that succeeds.
    #[track_caller]
    pub(super) fn success(&self, tool: &str, arguments: &Value) -> Value {
        self.succeeded(&self.call(tool, arguments))
    }

    /// The structured content of this success of a meta-tool.
    #[track_caller]
    pub(super) fn succeeded(&self, answer: &Message) -> Value {
        let content = self.own(answer, false);
        assert_eq!(content["success"], true, "{content}");
        content
    }

    /// The message of a meta-tool that fails.
    #[track_caller]
    pub(super) fn failure(&self, tool: &str, arguments: &Value) -> Value {
        self.failed(&self.call(tool, arguments))
    }

    /// The message of this failure of a meta-tool.
    #[track_caller]
    pub(super) fn failed(&self, answer: &Message) -> Value {
        let content = self.own(answer, true);
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

    /// The process that answers the tool `mark`, under its name for clients.
    #[track_caller]
    pub(super) fn pid_of(&self, mark: &str) -> Value {
        let answer = self.call(mark, &json!({}));
        let pid = answer.result()["structuredContent"]["pid"].take();
        assert!(pid.is_u64(), "{}", answer.line);
        pid
    }

    /// The entry of the server of that name in `get_loaded_servers`; null if it is not loaded.
    #[track_caller]
    pub(super) fn loaded(&self, server: &str) -> Value {
        let mut said = self.success(LOADED, &json!({}));
        let servers = said["servers"].as_array_mut().unwrap();
        let found = servers.iter_mut().find(|it| it["name"] == server);
        found.map(Value::take).unwrap_or_default()
    }

    /// Waits until a save has been taken in.
    #[track_caller]
    pub(super) fn await_generation(&self, server: &str, generation: u64) {
        eventually(DEADLINE, || self.loaded(server)["generation"] == generation);
    }
}
