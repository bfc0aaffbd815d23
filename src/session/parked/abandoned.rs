//! Calls whose clients do not come back: they end after a time limit, or as soon as another client needs their place.

use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::Session;
use super::{NextStep, ParkedCall};
use crate::server::Connection;

/// Time after which a call gives way to those of other clients.
const GIVES_WAY: Duration = Duration::from_secs(60);
/// Time after that in which the client may still repeat its request.
const GIVEN_UP: Duration = Duration::from_secs(9 * 60);

impl Session {
    /// Gives up the request with this `state` after the time limit, unless the returned guard is dropped before.
    pub(super) fn begin_input_timeout(&self, state: String) -> DropGuard {
        let (session, ended) = (self.weak_self.clone(), CancellationToken::new());
        let guard = ended.clone().drop_guard();
        self.tasks
            .spawn(ended.run_until_cancelled_owned(async move {
                tokio::time::sleep(GIVES_WAY).await;
                if let Some(session) = session.upgrade() {
                    let calls = &mut session.state().parked_calls.calls;
                    if let Some(call) = calls.get_mut(&state) {
                        call.gives_way = true;
                    }
                }
                tokio::time::sleep(GIVEN_UP).await;
                if let Some(session) = session.upgrade() {
                    let expired = session.state().parked_calls.calls.remove(&state);
                    if let Some(call) = expired {
                        call.cancel("the client did not send the requested input in time");
                    }
                }
            }));
        guard
    }

    /// Makes room for the only client whose calls are open and not parked at the server behind `from`: cancels calls of
    /// other clients there that have been parked for long and are not answered, so that the server's next request for
    /// input has one possible client. The present request may still belong to one of them.
    pub(super) fn give_up_abandoned(&self, from: &Connection) {
        let clients = from.clients_not_asked();
        let [client] = clients[..] else { return };
        let is_abandoned = |call: &ParkedCall| {
            let is_open_here = matches!(&call.next, NextStep::GoOn(open) if open.is_at(from));
            let is_waiting = call.gives_way && !call.is_answered();
            is_open_here && is_waiting && call.digests.client != client
        };
        let mut state = self.state();
        let calls = &mut state.parked_calls.calls;
        let abandoned: Vec<_> = calls.extract_if(|_, call| is_abandoned(call)).collect();
        drop(state);
        for (_, call) in abandoned {
            call.cancel("the client did not send the requested input, and another client waits");
        }
    }
}
