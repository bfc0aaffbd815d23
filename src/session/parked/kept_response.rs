//! Response to a parked call, kept until the client repeats the call.

use std::sync::Mutex;

use crate::jsonrpc::{Envelope, RawId, Reply};
use crate::lock::locked;
use crate::server::{Call, ResponseSink};
use crate::transport::stream::Outbox;

/// Receiver of the response to a parked call, which keeps it for the repetition of the call.
#[derive(Debug, Default)]
pub(super) struct KeptResponse(Mutex<ResponseState>);

#[derive(Debug, Default)]
enum ResponseState {
    #[default]
    Missing,
    /// Line of the response.
    Complete(String),
    /// The client has repeated the call: the response goes there.
    Claimed(Call),
}

impl KeptResponse {
    /// Returns true if the response has arrived and no repetition of the call has taken it.
    pub(super) fn is_complete(&self) -> bool {
        matches!(*locked(&self.0), ResponseState::Complete(_))
    }

    /// Answers `call` with the response, which is complete or about to arrive.
    pub(super) fn claim(&self, call: Call) {
        let line = {
            let mut state = locked(&self.0);
            match std::mem::take(&mut *state) {
                ResponseState::Complete(line) => line,
                ResponseState::Missing | ResponseState::Claimed(_) => {
                    *state = ResponseState::Claimed(call);
                    return;
                }
            }
        };
        if let Ok(envelope) = Envelope::parse(&line)
            && let Some(id) = envelope.id
        {
            call.reply(Reply::of_line(&line, id, envelope.error));
        }
    }
}

impl ResponseSink for KeptResponse {
    fn pipe(&self) -> Option<&Outbox> {
        None
    }

    fn answer(&self, id: RawId<'_>, reply: Reply<'_>) {
        let claimed = {
            let mut state = locked(&self.0);
            match std::mem::take(&mut *state) {
                ResponseState::Claimed(call) => Some(call),
                ResponseState::Missing | ResponseState::Complete(_) => {
                    let line = reply.with_id(id, |parts| parts.concat());
                    let line = String::from_utf8(line).unwrap_or_default();
                    *state = ResponseState::Complete(line);
                    None
                }
            }
        };
        if let Some(call) = claimed {
            call.reply(reply);
        }
    }
}
