//! The JSON-RPC link to one generation: who waits for which answer.
//!
//! Owns the table of pending requests. Answers go straight from the reading task to the client
//! that asked; requests and notifications of the server go to the session, except those that the
//! proxy handles itself (`ping`, changed lists, acknowledged subscriptions).

mod answers;

use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::{Notify, mpsc, oneshot};

use super::call::{Call, Client};
use super::pending::{Table, Waiting, decimal};
use crate::bridge::{self, Identity};
use crate::jsonrpc::{
    Envelope, ErrorObject, Invalid, Kind, Members, elements, error_response, notification, request,
    result_response, splice,
};
use crate::lock::locked;
use crate::mcp::{Era, ListKind, Method};
use crate::transport::stream::Outbox;

/// An answer to a request of the proxy's own, raw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The result.
    Result(String),
    /// The error object.
    Error(String),
}

/// The generation ended before it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;

/// What a connection tells its supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The server says that a list of its own has changed.
    ListChanged(u64, ListKind),
}

/// The link to one generation.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The server's name.
    pub(crate) server: Arc<str>,
    /// The generation's number.
    pub(crate) generation: u64,
    outbox: Outbox,
    client: Arc<dyn Client>,
    notices: mpsc::UnboundedSender<Notice>,
    /// Settled by the handshake.
    agreed: OnceLock<Agreed>,
    identity: Mutex<Identity>,
    table: Mutex<Table>,
    /// Signalled when no client waits any more.
    idle: Notify,
}

/// What the handshake settled.
#[derive(Debug)]
struct Agreed {
    era: Era,
    /// The raw name and version of a legacy server.
    server_info: Option<String>,
}

impl Connection {
    /// A link that writes to `outbox` and brings what the server asks to `client`.
    pub(crate) fn new(
        server: Arc<str>,
        generation: u64,
        outbox: Outbox,
        client: Arc<dyn Client>,
        identity: Identity,
        notices: mpsc::UnboundedSender<Notice>,
    ) -> Self {
        Self {
            server,
            generation,
            outbox,
            client,
            notices,
            agreed: OnceLock::new(),
            identity: Mutex::new(identity),
            table: Mutex::default(),
            idle: Notify::new(),
        }
    }

    /// The era that the handshake settled; legacy before it.
    pub(crate) fn era(&self) -> Era {
        self.agreed.get().map_or(Era::Legacy, |agreed| agreed.era)
    }

    /// Settles the era and what a legacy server says of itself (raw), once.
    pub(crate) fn agree(&self, era: Era, server_info: Option<String>) {
        let _ = self.agreed.set(Agreed { era, server_info });
    }

    /// Where messages to the server go.
    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Changes who the server is told the client is, for requests that must say so.
    pub(crate) fn introduce(&self, change: impl FnOnce(&mut Identity)) {
        change(&mut locked(&self.identity));
    }

    /// Sends a client's request under an id of the connection's own. Gives the call back if the
    /// generation is gone.
    pub(crate) fn call(&self, call: Call, line: &str, envelope: &Envelope<'_>) -> Result<(), Call> {
        let same = call.era == self.era();
        if !same && self.era() == Era::Modern && call.method.is_standing() {
            // A modern server is told by every request and by the listen stream.
            if call.method == Method::SetLevel {
                let level = envelope.params.level.map(ToOwned::to_owned);
                locked(&self.identity).log_level = level;
            }
            call.client
                .answer([result_response(&call.id, "{}").as_bytes(), b"", b""]);
            return Ok(());
        }
        let rename = call.rename.clone().zip(envelope.params.name);
        let number = {
            let mut table = locked(&self.table);
            if table.closed {
                return Err(call);
            }
            table.calls += 1;
            table.take_number(Waiting::Client(call))
        };
        if let (false, Some(level)) = (same, envelope.params.meta.log_level) {
            self.set_level(level);
        }
        let mut digits = [0; 20];
        let id = decimal(number, &mut digits);
        match (same, envelope.id, rename) {
            (true, Some(old), None) => {
                let at = old.as_ptr() as usize - line.as_ptr() as usize;
                let bytes = line.as_bytes();
                self.outbox
                    .send([&bytes[..at], id.as_bytes(), &bytes[at + old.len()..]]);
            }
            (true, Some(old), Some((name, public))) => {
                self.write(&splice(line, &mut [(old, id), (public, &name)]));
            }
            (_, _, rename) => {
                let renamed = rename.map(|(name, public)| splice(line, &mut [(public, &name)]));
                let line = renamed.as_deref().unwrap_or(line);
                self.write(&bridge::request(
                    line,
                    id,
                    self.era(),
                    &locked(&self.identity),
                ));
            }
        }
        Ok(())
    }

    /// Tells a legacy server the raw log level of a modern request that it is about to get.
    fn set_level(&self, level: &str) {
        let before = locked(&self.identity).log_level.replace(level.to_owned());
        if before.as_deref() != Some(level) {
            let params = format!(r#"{{"level":{level}}}"#);
            // Whether it took that in is of no consequence here.
            let _ = self.send_own("logging/setLevel", Some(&params), oneshot::channel().0);
        }
    }

    /// Sends a request of the proxy's own; `params` is raw. In the modern era the `_meta` that says
    /// who asks is added.
    pub(crate) async fn ask(&self, method: &str, params: Option<&str>) -> Result<Answer, Lost> {
        let (sender, receiver) = oneshot::channel();
        self.send_own(method, params, sender)?;
        receiver.await.map_err(|_| Lost)
    }

    /// As [`Self::ask`] without waiting; gives the id. For requests that are not answered for long.
    pub(crate) fn send_own(
        &self,
        method: &str,
        params: Option<&str>,
        answer: oneshot::Sender<Answer>,
    ) -> Result<u64, Lost> {
        let number = {
            let mut table = locked(&self.table);
            if table.closed {
                return Err(Lost);
            }
            table.take_number(Waiting::Own(answer))
        };
        let identified;
        let params = match self.era() {
            Era::Modern => {
                identified = locked(&self.identity).identify(params.unwrap_or("{}"), None);
                Some(identified.as_str())
            }
            Era::Legacy => params,
        };
        self.write(&request(&number.to_string(), method, params));
        Ok(number)
    }

    /// Sends a notification of the proxy's own; `params` is raw.
    pub(crate) fn tell(&self, method: &str, params: Option<&str>) {
        self.write(&notification(method, params));
    }

    /// Forwards a client's notification as it is.
    pub(crate) fn forward(&self, line: &str) {
        let roots = |envelope: Envelope<'_>| {
            envelope.method.as_deref() == Some("notifications/roots/list_changed")
        };
        // A modern server asks for the roots whenever it needs them.
        if self.era() == Era::Legacy || !Envelope::parse(line).is_ok_and(roots) {
            self.write(line);
        }
    }

    /// Answers a request of the server with its own id; `parts` as in [`Client::answer`].
    pub(crate) fn reply(&self, parts: [&[u8]; 3]) {
        self.outbox.send(parts);
    }

    /// Answers a request of the server, whose raw id is `id`, with an error.
    pub(crate) fn refuse(&self, id: &str, error: &ErrorObject) {
        self.write(&error_response(id, error));
    }

    /// Tells the server that the client no longer wants the answer to its request `id` (raw); it is
    /// not waited for any more. False if no such request is in flight here.
    pub(crate) fn cancel(&self, client: &Arc<dyn Client>, id: &str, params: &str) -> bool {
        let (number, last) = {
            let mut table = locked(&self.table);
            let found = table
                .waiting
                .iter()
                .find_map(|(number, waiting)| match waiting {
                    Waiting::Client(call)
                        if *call.id == *id && Arc::ptr_eq(&call.client, client) =>
                    {
                        Some(*number)
                    }
                    _ => None,
                });
            let taken = found.and_then(|number| Some((number, table.take(number)?)));
            let Some((number, (Waiting::Client(mut call), last))) = taken else {
                return false;
            };
            call.again = None;
            table.waiting.insert(number, Waiting::Cancelled(call));
            (number, last)
        };
        self.settle(last);
        let mut params = Members::of(params);
        params.set("requestId", number.to_string());
        self.tell("notifications/cancelled", Some(&params.to_string()));
        true
    }

    /// Ends a request of the proxy's own that is still open.
    pub(crate) fn cancel_own(&self, number: u64) {
        if locked(&self.table).waiting.remove(&number).is_some() {
            self.tell(
                "notifications/cancelled",
                Some(&format!(r#"{{"requestId":{number}}}"#)),
            );
        }
    }

    /// How many clients' requests wait for an answer.
    pub(crate) fn in_flight(&self) -> usize {
        locked(&self.table).calls
    }

    /// Whether a request that asked for log messages is in flight.
    pub(crate) fn wants_logs(&self) -> bool {
        let logs = |waiting: &Waiting| matches!(waiting, Waiting::Client(call) if call.logs);
        locked(&self.table).waiting.values().any(logs)
    }

    /// Waits until no client's request is in flight.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Whether the link has ended.
    pub(crate) fn is_closed(&self) -> bool {
        locked(&self.table).closed
    }

    /// Ends the link: nothing is sent any more. Gives the calls that were never answered; the
    /// proxy's own requests end with [`Lost`].
    pub(crate) fn close(&self) -> Vec<Call> {
        let waiting = {
            let mut table = locked(&self.table);
            table.closed = true;
            table.calls = 0;
            std::mem::take(&mut table.waiting)
        };
        self.outbox.close();
        self.idle.notify_waiters();
        self.client.forget(self);
        let mut calls: Vec<_> = waiting.into_iter().collect();
        calls.sort_unstable_by_key(|(number, _)| *number);
        let client = |(_, waiting)| match waiting {
            Waiting::Client(call) => Some(call),
            Waiting::Cancelled(_) | Waiting::Own(_) => None,
        };
        calls.into_iter().filter_map(client).collect()
    }

    /// Takes one message of the server, or several in an array, as revision 2025-03-26 allows. Gives
    /// the reason if it is none.
    pub(crate) fn receive(self: &Arc<Self>, line: &str) -> Result<(), String> {
        let batch = match Envelope::parse(line) {
            Ok(envelope) => return self.take(line, &envelope),
            Err(Invalid::Batch) => elements(line).filter(|messages| !messages.is_empty()),
            Err(invalid) => return Err(invalid.to_string()),
        };
        for message in batch.ok_or("an array, but no batch of messages")? {
            let envelope = Envelope::parse(message).map_err(|invalid| invalid.to_string())?;
            self.take(message, &envelope)?;
        }
        Ok(())
    }

    fn take(self: &Arc<Self>, line: &str, envelope: &Envelope<'_>) -> Result<(), String> {
        match envelope.kind() {
            Kind::Response => self.take_answer(line, envelope)?,
            Kind::Request if envelope.method.as_deref() == Some("ping") => {
                self.write(&result_response(envelope.id.unwrap_or("null"), "{}"));
            }
            Kind::Request => self.client.ask(self, line, envelope),
            Kind::Notification => {
                let method = envelope.method.as_deref().unwrap_or_default();
                if let Some(kind) = ListKind::of_notification(method) {
                    let _ = self
                        .notices
                        .send(Notice::ListChanged(self.generation, kind));
                } else if method != "notifications/subscriptions/acknowledged" {
                    self.client.notify(self, line, envelope);
                }
            }
        }
        Ok(())
    }

    /// Tells those who wait in [`Self::idle`] that the `last` call is settled.
    fn settle(&self, last: bool) {
        if last {
            self.idle.notify_waiters();
        }
    }

    fn write(&self, line: &str) {
        self.outbox.send([line.as_bytes(), b"", b""]);
    }
}
