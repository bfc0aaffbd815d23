//! Introductions of clients and changes of their identity.

use std::sync::Arc;

use super::super::connection::Client;
use super::super::handshake::ClientHello;
use super::super::state::Input;
use super::Supervisor;
use crate::bridge::{self, Identity};
use crate::event::Event;
use crate::jsonrpc::Members;
use crate::mcp::{Era, ListKind, union};

impl Supervisor {
    pub(super) fn on_hello(
        &mut self,
        hello: ClientHello,
        client: Arc<dyn Client>,
        hello_number: u64,
    ) {
        let first = self.hello_number == 0;
        (self.hello, self.client, self.hello_number) = (hello, Some(client), hello_number);
        self.step(if first {
            Input::Begin
        } else {
            Input::ClientChanged
        });
    }

    pub(super) fn on_identity(&mut self, identity: Identity) {
        let before = self.known_client();
        self.note_untold_input(&identity.capabilities);
        self.hello.identity = identity;
        self.send_identity();
        if self.known_client() != before {
            // The other client may reject other tools.
            self.relist(ListKind::Tools);
        }
    }

    /// Tells the user, once a generation, that a client with these `capabilities` gives input of which the active
    /// generation does not know, if the server speaks the legacy era: such a server learns that only at its start.
    fn note_untold_input(&mut self, capabilities: &str) {
        let Some(active) = self.active() else { return };
        let connection = &active.running.connection;
        let number = connection.generation;
        if connection.era() == Era::Modern || self.input_noted == number {
            return;
        }
        let known = bridge::input_capabilities(&self.hello.identity.capabilities);
        let all = union(&[&known, &bridge::input_capabilities(capabilities)]);
        let (known, all) = (Members::of(&known), Members::of(&all));
        let is_new = |name: &&str| known.get(name) != all.get(name);
        let new: Vec<_> = ["elicitation", "sampling", "roots"]
            .into_iter()
            .filter(is_new)
            .collect();
        if new.is_empty() {
            return;
        }
        self.input_noted = number;
        self.context.resources.events.send(Event::WatchNote {
            server: self.name(),
            message: format!(
                "a client supports more requests for input than generation {number} was told at its start ({}): the \
                 server may not make them before its next reload",
                new.join(", ")
            ),
        });
    }

    /// Passes the client's identity to the active generation.
    pub(super) fn send_identity(&self) {
        if let Some(active) = self.active() {
            active.running.connection.change_identity(|known| {
                let level = known.log_level.take();
                known.clone_from(&self.hello.identity);
                known.log_level = level;
            });
        }
    }
}
