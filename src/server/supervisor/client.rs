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
        self.hello.identity = identity;
        self.send_identity();
        if self.known_client() != before {
            // The other client may reject other tools.
            self.relist(ListKind::Tools);
        }
    }

    /// Passes the client's identity to the active generation.
    pub(super) fn send_identity(&mut self) {
        let Some(active) = self.active() else { return };
        let connection = active.running.connection.clone();
        let mut known_capabilities = String::new();
        let told = self.hello.told_by(self.client.as_deref());
        connection.change_identity(|known| {
            let level = known.log_level.take();
            known_capabilities = std::mem::take(&mut known.capabilities);
            known.clone_from(&told.identity);
            known.log_level = level;
        });
        // A legacy client would introduce itself anew.
        if connection.era() == Era::Legacy && self.hello.initialize.is_none() {
            if self.told.0 != connection.generation {
                self.told = (connection.generation, known_capabilities);
            }
            self.note_untold_input(connection.generation);
        }
    }

    /// Tells the user, once a generation, that a client gives input of which that generation of a legacy server does not
    /// know, since it was told others at its start.
    fn note_untold_input(&mut self, generation: u64) {
        let [known, now] = [&self.told.1, &self.hello.identity.capabilities]
            .map(|it| bridge::input_capabilities(it));
        let all = union(&[&known, &now]);
        let (known, all) = (Members::of(&known), Members::of(&all));
        let new: Vec<_> = ["elicitation", "sampling", "roots"]
            .into_iter()
            .filter(|name| known.get(name) != all.get(name))
            .collect();
        if new.is_empty() || self.input_noted == generation {
            return;
        }
        self.input_noted = generation;
        self.context.resources.events.send(Event::WatchNote {
            server: self.name(),
            message: format!(
                "a client supports more requests for input than generation {generation} was told at its start ({}): the \
                 server may not make them before its next reload",
                new.join(", ")
            ),
        });
    }
}
