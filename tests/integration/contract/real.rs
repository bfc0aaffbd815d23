//! Sessions of real clients with `mcp-proxy serve`: rmcp, and the official SDKs in programs of their own.
//!
//! The SDKs check results: one that does not match the tool's `outputSchema` is an error there.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rmcp::model::CallToolRequestParams;
use rmcp::service::{NotificationContext, RunningService};
use rmcp::transport::TokioChildProcess;
use rmcp::{ClientHandler, RoleClient, ServiceError, ServiceExt as _};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::stage::Stage;
use crate::harness::{DEADLINE, Peer, eventually, program};

pub(super) enum Real {
    /// A program on an SDK, which follows commands.
    Told(Peer),
    Rmcp(Box<Rmcp>),
}

pub(super) struct Rmcp {
    runtime: Runtime,
    service: RunningService<RoleClient, Changes>,
}

/// Counts how often the tools were said to have changed.
#[derive(Clone, Default)]
pub(super) struct Changes(Arc<AtomicUsize>);

impl ClientHandler for Changes {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Rmcp {
    #[track_caller]
    fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        let answer = async { timeout(DEADLINE, answer).await };
        self.runtime.block_on(answer).unwrap()
    }
}

impl Real {
    /// The program of `tests/peers` at `path`, speaking the era `era`.
    #[track_caller]
    pub(super) fn told(stage: &Stage, path: &str, era: &str) -> Self {
        let mut words = program(path);
        words.push(era.into());
        Self::ready(Self::Told(stage.peer_served_to(words)))
    }

    #[track_caller]
    pub(super) fn rmcp(stage: &Stage) -> Self {
        let runtime = Runtime::new().unwrap();
        let service = runtime.block_on(async {
            let command = tokio::process::Command::from(stage.served_to([]));
            let (transport, _) = TokioChildProcess::builder(command)
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let connected = Changes::default().serve(transport);
            timeout(DEADLINE, connected).await.unwrap().unwrap()
        });
        Self::ready(Self::Rmcp(Box::new(Rmcp { runtime, service })))
    }

    /// SDKs check results by the definitions that they have read before.
    fn ready(self) -> Self {
        self.list();
        self
    }

    #[track_caller]
    pub(super) fn list(&self) -> Vec<Value> {
        let tools = match self {
            Self::Told(peer) => peer.ask("list", &json!({})).result()["tools"].take(),
            Self::Rmcp(rmcp) => {
                let tools = rmcp.wait(rmcp.service.list_all_tools()).unwrap();
                serde_json::to_value(tools).unwrap()
            }
        };
        tools.as_array().unwrap().clone()
    }

    /// The tool's result, or the error that the client raises.
    #[track_caller]
    pub(super) fn call(&self, tool: &str, arguments: &Value) -> Result<Value, String> {
        match self {
            Self::Told(peer) => {
                let answer = peer.ask("call", &json!({"name": tool, "arguments": arguments}));
                if answer.is_error() {
                    return Err(answer.error()["message"].as_str().unwrap().to_owned());
                }
                Ok(answer.result())
            }
            Self::Rmcp(rmcp) => {
                let call = CallToolRequestParams::new(tool.to_owned())
                    .with_arguments(arguments.as_object().unwrap().clone());
                match rmcp.wait(rmcp.service.call_tool(call)) {
                    Ok(result) => Ok(serde_json::to_value(result).unwrap()),
                    Err(ServiceError::McpError(error)) => Err(error.message.into_owned()),
                    Err(error) => panic!("{tool}: {error}"),
                }
            }
        }
    }

    /// The structured result of a meta-tool that succeeds.
    #[track_caller]
    pub(super) fn success(&self, tool: &str, arguments: &Value) -> Value {
        let said = self.said(tool, arguments, false);
        assert_eq!(said["success"], true, "{tool}: {said}");
        said
    }

    /// The message of a meta-tool that fails.
    #[track_caller]
    pub(super) fn failure(&self, tool: &str, arguments: &Value) -> Value {
        let said = self.said(tool, arguments, true);
        assert_eq!(said["success"], false, "{tool}: {said}");
        assert!(said["error"].is_string(), "{tool}: {said}");
        said
    }

    #[track_caller]
    fn said(&self, tool: &str, arguments: &Value, is_error: bool) -> Value {
        let mut result = match self.call(tool, arguments) {
            Ok(result) => result,
            Err(error) => panic!("{tool}: {error}"),
        };
        assert_eq!(result["isError"], is_error, "{tool}: {result}");
        let text = result["content"][0]["text"].as_str().unwrap();
        let text: Value = serde_json::from_str(text).unwrap();
        assert_eq!(text, result["structuredContent"], "{tool}");
        result["structuredContent"].take()
    }

    fn changes(&self) -> usize {
        match self {
            Self::Told(peer) => peer.notifications("changed"),
            Self::Rmcp(rmcp) => rmcp.service.service().0.load(Ordering::Relaxed),
        }
    }

    /// Calls a tool that changes the tool list; fails if the client gets no notification.
    #[track_caller]
    pub(super) fn changing<T>(&self, act: impl FnOnce() -> T) -> T {
        let before = self.changes();
        let done = act();
        eventually(DEADLINE, || self.changes() > before);
        done
    }
}
