//! Introductions of clients and changes of their identity.

use std::sync::Arc;

use super::super::connection::Client;
use super::super::handshake::ClientHello;
use super::super::state::Input;
use super::Supervisor;
use crate::bridge::Identity;
use crate::mcp::ListKind;

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
