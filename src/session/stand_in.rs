//! Requests for input that the client cannot answer, and that a person answers on the page.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Session;
use super::route::Request;
use crate::bridge::{self, InputError, InputRequest};
use crate::event::Event;
use crate::jsonrpc::{Envelope, Members, RawId, RequestId};
use crate::mcp::Era;
use crate::server::{AwaitedAnswer, Client as _, Connection, InputRound, StandIn};

/// Stand-in for the client of one session.
#[derive(Debug)]
pub(super) struct ClientStandIn {
    stand_in: Arc<StandIn>,
    /// Number of the session.
    session: u64,
    /// True once the client has left.
    has_left: AtomicBool,
}

impl ClientStandIn {
    /// Creates the stand-in for the client of the session with this number.
    pub(super) fn new(stand_in: Arc<StandIn>, session: u64) -> Self {
        Self {
            stand_in,
            session,
            has_left: AtomicBool::new(false),
        }
    }

    /// Returns true if it is on.
    pub(super) fn is_on(&self) -> bool {
        self.stand_in.is_on()
    }

    /// Refuses the open requests and all later ones: the client has left.
    pub(super) fn client_left(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        self.stand_in.client_left(self.session);
    }
}

impl Session {
    /// Asks the person to answer the request in `line` of a legacy server. Returns false if the client must be asked.
    pub(super) fn ask_stand_in(
        &self,
        from: &Arc<Connection>,
        line: &str,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    ) -> bool {
        // If it is off again, it refuses the requests of servers that still rely on it.
        let stand_in = self.stand_in.as_ref();
        let Some(stand_in) = stand_in.filter(|it| it.stand_in.was_on()) else {
            return false;
        };
        let method = envelope.method.as_deref().unwrap_or_default();
        let params = Members::of(line).original("params");
        let Ok(request) = InputRequest::of_legacy(1, method, params) else {
            return false;
        };
        // A modern server requests input by the result of a call.
        if from.era() == Era::Modern {
            return false;
        }
        let callers = from.callers(related_number);
        let is_outside = callers.are_none() && stand_in.is_on();
        let capabilities = if is_outside && !self.is_legacy() {
            // A modern client gives input only during a call.
            "{}".to_owned()
        } else {
            let declared = callers.capabilities.clone();
            declared.unwrap_or_else(|| self.state().hello.identity.capabilities.clone())
        };
        if !bridge::needs_stand_in(&request, &capabilities) {
            return false;
        }
        let id = RequestId::from(envelope.id.unwrap_or(RawId::NULL));
        let asked = match self.await_person(stand_in, &from.server, request) {
            Ok(asked) => asked,
            Err(error) => {
                from.refuse(id.as_raw(), &error.object());
                return true;
            }
        };
        let ended = from.begin_question(id.clone(), callers);
        let from = from.clone();
        self.tasks.spawn(async move {
            let page_id = asked.page_id();
            if let Some(answer) = ended.run_until_cancelled(asked.answer()).await {
                from.answer_question(&id, &page_id, &answer);
            }
        });
        true
    }

    /// Asks the person to answer a request of `server`, and tells the user where.
    fn await_person(
        &self,
        stand_in: &ClientStandIn,
        server: &str,
        request: InputRequest,
    ) -> Result<AwaitedAnswer, InputError> {
        let method = request.method.clone();
        let asked = stand_in.stand_in.ask(stand_in.session, server, request)?;
        // Only now: the client may have left meanwhile. The question is withdrawn when it is dropped.
        if stand_in.has_left.load(Ordering::Relaxed) {
            return Err(InputError::ClientGone(server.to_owned()));
        }
        self.events.send(Event::InputAwaited {
            server: server.to_owned(),
            method,
            page: stand_in.stand_in.address.clone(),
        });
        Ok(asked)
    }

    /// Returns true if the stand-in is on and gives input that the client of `request` lacks.
    pub(super) fn is_helped(&self, request: Request<'_>) -> bool {
        self.has_stand_in()
            && request.method.may_request_input()
            && match request.era {
                Era::Legacy => bridge::lacks_input(&self.declared_capabilities()),
                Era::Modern => {
                    let declared = request.envelope.params.meta.client_capabilities;
                    bridge::lacks_input(declared.unwrap_or("{}"))
                }
            }
    }

    /// Asks the person to answer a request in the response of a server; `None` if the client must be asked. The client
    /// is never asked during a call of the page.
    pub(super) fn stand_in_for(
        &self,
        server: &str,
        request: &InputRequest,
        round: &InputRound,
    ) -> Option<Result<AwaitedAnswer, InputError>> {
        let stand_in = self.stand_in.as_ref()?;
        let is_needed = round.is_of_page
            || match &round.declared {
                Some(declared) => bridge::needs_stand_in(request, declared),
                None => {
                    stand_in.is_on()
                        && bridge::needs_stand_in(request, &self.declared_capabilities())
                }
            };
        is_needed.then(|| self.await_person(stand_in, server, request.clone()))
    }

    /// Returns the capabilities of those that a modern server may request input from: the legacy client and the person.
    pub(super) fn answerable_capabilities(&self) -> String {
        let declared = self.declared_capabilities();
        if self.has_stand_in() {
            bridge::with_stand_in(&declared)
        } else {
            declared
        }
    }
}
