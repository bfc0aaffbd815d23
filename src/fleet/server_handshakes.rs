//! Merges the servers' answers to an introduction.

use tokio::time::Instant;

use super::Fleet;
use crate::bridge;
use crate::jsonrpc::{Members, quoted};
use crate::mcp::{Era, union};
use crate::server::{Handshake, ServerHandle};

/// Answers of the loaded servers to the client's introduction, as far as they arrived.
#[derive(Debug)]
pub(crate) struct ServerHandshakes {
    handshakes: Vec<(ServerHandle, std::sync::Arc<Handshake>)>,
    /// Number of servers that did not answer in time.
    pub(crate) missing: usize,
}

impl Fleet {
    /// Waits until every loaded server has answered the introduction `hello_number`, at most as long as a client's
    /// first request may wait.
    pub(crate) async fn handshakes(&self, hello_number: u64) -> ServerHandshakes {
        let deadline = Instant::now() + self.config().timeouts.startup_wait;
        let mut handshakes = Vec::new();
        let mut missing = 0;
        for server in &self.catalog().servers {
            let answer =
                tokio::time::timeout_at(deadline, server.wait_for_handshake(hello_number)).await;
            match answer.unwrap_or_else(|_| server.handshake()) {
                Some(handshake) => handshakes.push((server.clone(), handshake)),
                None => missing += 1,
            }
        }
        ServerHandshakes {
            handshakes,
            missing,
        }
    }
}

impl ServerHandshakes {
    /// Returns the answer of the only server.
    pub(crate) fn only(&self) -> Option<&Handshake> {
        self.handshakes.first().map(|(_, handshake)| &**handshake)
    }

    /// Returns an object with the `capabilities` and `instructions` of all servers, for a client of `era`;
    /// `own_instructions` are the proxy's. Capabilities that exist in one era only are not offered to the other.
    pub(crate) fn combined(&self, era: Era, own_instructions: Option<String>) -> String {
        let mut capabilities = Vec::new();
        let mut instructions: Vec<String> = own_instructions.into_iter().collect();
        for (server, handshake) in &self.handshakes {
            let result = Members::of(&handshake.result);
            let offered = result.get("capabilities").unwrap_or("{}");
            capabilities.push(match (handshake.era, era) {
                (Era::Modern, Era::Legacy) => bridge::without_task_extension(offered),
                (Era::Legacy, Era::Modern) => {
                    let mut offered = Members::of(offered);
                    offered.remove("tasks");
                    offered.to_string()
                }
                _ => offered.to_owned(),
            });
            if let Some(text) = result
                .text("instructions")
                .filter(|text| !text.trim().is_empty())
            {
                instructions.push(format!("## {}\n\n{text}", server.spec().name));
            }
        }
        let capabilities: Vec<&str> = capabilities.iter().map(String::as_str).collect();
        let mut combined = Members::default();
        combined.set("capabilities", union(&capabilities));
        if !instructions.is_empty() {
            combined.set("instructions", quoted(&instructions.join("\n\n")));
        }
        combined.to_string()
    }
}
