//! First answers of a server to the rehearsed calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::super::ServerShared;
use super::super::connection::Connection;
use super::{CallResponse, LiveAnswer, RememberedAnswer, ask, lacks_tool};
use crate::config::RehearsedCall;
use crate::event::{Event, EventSender};
use crate::lock::locked;
use crate::mcp::{List, ListKind};
use crate::rehearsal::Answer;
use crate::suggestions::nearest;

/// Pause before the code is asked again, in which times in seconds change.
pub(super) const REPEAT_PAUSE: Duration = Duration::from_millis(1100);

/// Learns the answers of the first code, and warns of calls that tell nothing about later code.
#[derive(Debug)]
pub(in crate::server) struct Learning {
    pub(in crate::server) server: String,
    pub(in crate::server) calls: Vec<RehearsedCall>,
    /// Time limit for each call.
    pub(in crate::server) limit: Duration,
    /// True if the code is asked twice.
    pub(in crate::server) is_twice: bool,
    /// Connection of the live code.
    pub(in crate::server) connection: Arc<Connection>,
    pub(in crate::server) shared: Arc<ServerShared>,
    pub(in crate::server) events: EventSender,
}

impl Learning {
    /// Sends the calls that were not sent before, each once. Rehearsals wait for that.
    pub(in crate::server) async fn run(self) {
        self.shared.answers_learned.send_replace(false);
        let learning = LearningGuard(&self.shared);
        for (index, call) in self.calls.iter().enumerate() {
            {
                let mut remembered = locked(&self.shared.remembered_answers);
                if remembered.0.contains_key(call) {
                    continue;
                }
                // A call that ends the process is not sent to the next one.
                remembered.0.insert(call.clone(), LiveAnswer::Silent);
            }
            match self.first_answer(index, call).await {
                Ok(answer) => {
                    let mut remembered = locked(&self.shared.remembered_answers);
                    remembered.0.insert(call.clone(), LiveAnswer::Known(answer));
                }
                Err(reason) => self.warn(index, &reason),
            }
        }
        drop(learning);
        if self.is_twice {
            sleep(REPEAT_PAUSE).await;
            for call in &self.calls {
                self.repeat(call).await;
            }
        }
    }

    /// Returns the answer to the call number `index`, or the reason why there is none.
    async fn first_answer(
        &self,
        index: usize,
        call: &RehearsedCall,
    ) -> Result<RememberedAnswer, String> {
        let snapshot = self.shared.snapshot.borrow().clone();
        let tools = snapshot.list(ListKind::Tools);
        if lacks_tool(tools, call) {
            return Err(unknown_tool(&call.tool, tools));
        }
        match ask(&self.connection, call, Instant::now() + self.limit).await {
            CallResponse::Answer(answer, took) => {
                match &answer {
                    Answer::Result { .. } => {}
                    Answer::Error(message) => {
                        let message = message.lines().next().unwrap_or_default();
                        self.warn(index, &format!("the answer is an error: {message}"));
                    }
                    Answer::InputRequest => {
                        let reason = "the tool asks the client for input, which a rehearsed call does not get";
                        self.warn(index, reason);
                    }
                }
                Ok(RememberedAnswer::new(answer, took))
            }
            CallResponse::NoTool | CallResponse::Late => {
                Err(format!("no answer within {} s", self.limit.as_secs_f64()))
            }
            CallResponse::Lost => Err("the process ended before it answered".to_owned()),
        }
    }

    /// Sends a call again whose answer is known from one call only.
    async fn repeat(&self, call: &RehearsedCall) {
        let is_open = match locked(&self.shared.remembered_answers).0.get(call) {
            Some(LiveAnswer::Known(known)) => !known.is_repeated,
            _ => false,
        };
        if !is_open {
            return;
        }
        let response = ask(&self.connection, call, Instant::now() + self.limit).await;
        if let CallResponse::Answer(answer @ Answer::Result { .. }, took) = response
            && let Some(LiveAnswer::Known(known)) =
                locked(&self.shared.remembered_answers).0.get_mut(call)
        {
            known.repeat(&call.tool, RememberedAnswer::new(answer, took));
        }
    }

    /// Warns of the call number `index`, from 0.
    fn warn(&self, index: usize, reason: &str) {
        let (number, call) = (index + 1, &self.calls[index]);
        self.events.send(Event::RehearsalWarning {
            server: self.server.clone(),
            message: format!("rehearsed call {number}, `{call}`: {reason}"),
        });
    }
}

/// Lets rehearsals go on when it is dropped.
struct LearningGuard<'a>(&'a ServerShared);

impl Drop for LearningGuard<'_> {
    fn drop(&mut self) {
        self.0.answers_learned.send_replace(true);
    }
}

/// Returns the sentence about a tool that the server does not list, with the most similar name.
pub(in crate::server) fn unknown_tool(name: &str, tools: Option<&List>) -> String {
    let entries = tools.into_iter().flat_map(|it| &it.entries);
    let near = match nearest(name, entries.map(|it| it.name.as_str())).first() {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    format!("the server has no tool `{name}`{near}")
}
