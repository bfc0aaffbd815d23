//! Calls of tools that the proxy itself makes.

use tokio::sync::oneshot;

use super::super::pending_requests::RawResponse;
use super::{Connection, ConnectionLost};
use crate::jsonrpc::{Envelope, ErrorObject, METHOD_NOT_FOUND};
use crate::lock::locked;

/// Call in flight. Dropping it cancels the call on the server if no response has arrived.
#[derive(Debug)]
pub(crate) struct OwnCall<'a> {
    connection: &'a Connection,
    number: u64,
    response: oneshot::Receiver<RawResponse>,
}

impl OwnCall<'_> {
    /// Waits for the response.
    pub(crate) async fn response(&mut self) -> Result<RawResponse, ConnectionLost> {
        (&mut self.response).await.map_err(|_| ConnectionLost)
    }
}

impl Drop for OwnCall<'_> {
    fn drop(&mut self) {
        self.connection.cancel_own(self.number);
    }
}

/// Period in which requests of the server for input are refused, until it is dropped. They reach the client nevertheless
/// while one of its own calls is in flight, to which they may belong.
#[derive(Debug)]
pub(crate) struct WithoutInput<'a> {
    connection: &'a Connection,
    refused_before: u64,
}

impl WithoutInput<'_> {
    /// Returns true if a request for input was refused.
    pub(crate) fn is_refused(&self) -> bool {
        locked(&self.connection.pending).refused_inputs > self.refused_before
    }
}

impl Drop for WithoutInput<'_> {
    fn drop(&mut self) {
        locked(&self.connection.pending).calls_without_input -= 1;
    }
}

impl Connection {
    /// Calls a tool; `params` are those of `tools/call`, a raw object.
    pub(crate) fn call_tool(&self, params: &str) -> Result<OwnCall<'_>, ConnectionLost> {
        let (sender, response) = oneshot::channel();
        let number = self.send_own("tools/call", Some(params), sender)?;
        Ok(OwnCall {
            connection: self,
            number,
            response,
        })
    }

    /// Cancels a request of the proxy itself if it is still open.
    pub(crate) fn cancel_own(&self, number: u64) {
        if locked(&self.pending).requests.remove(&number).is_some() {
            self.send_notification(
                "notifications/cancelled",
                Some(&format!(r#"{{"requestId":{number}}}"#)),
            );
        }
    }

    /// Begins a period without input from the client.
    pub(crate) fn without_input(&self) -> WithoutInput<'_> {
        let mut pending = locked(&self.pending);
        pending.calls_without_input += 1;
        WithoutInput {
            connection: self,
            refused_before: pending.refused_inputs,
        }
    }

    /// Returns true, and counts it, if the server's request is for input that no client can give. After any request for
    /// input, no client's call in flight is rehearsed, since the request may belong to any of them.
    pub(super) fn refuses_input(&self, envelope: &Envelope<'_>) -> bool {
        let method = envelope.method.as_deref();
        let is_input = matches!(
            method,
            Some("elicitation/create" | "sampling/createMessage")
        );
        let mut pending = locked(&self.pending);
        let is_refused = is_input && pending.calls_without_input > 0 && pending.call_count == 0;
        pending.refused_inputs += u64::from(is_refused);
        if is_input {
            pending.recorded_calls.clear();
        }
        is_refused
    }
}

/// Returns the error for a refused request.
pub(super) fn no_input() -> ErrorObject {
    let message = "the proxy rehearses this call for a reload: no user and no model can answer";
    ErrorObject::new(METHOD_NOT_FOUND, message)
}

#[cfg(test)]
mod tests {
    use super::super::super::test_client::{call, client};
    use super::*;

    #[tokio::test]
    async fn input_is_refused_while_only_the_proxy_calls() {
        let (client, _reader) = client();
        let connection = Connection::to(client.outbox.clone(), "weather", client.clone());
        let of = |method: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
        let refuses = |method: &str| {
            let line = of(method);
            connection.refuses_input(&Envelope::parse(&line).unwrap())
        };
        assert!(!refuses("elicitation/create"));
        let period = connection.without_input();
        assert!(!refuses("roots/list") && !period.is_refused());
        assert!(refuses("sampling/createMessage") && period.is_refused());
        // The request may belong to a call of the client.
        let line = of("tools/call");
        let envelope = Envelope::parse(&line).unwrap();
        connection
            .call(call(client.clone(), "1"), &line, &envelope)
            .unwrap();
        assert!(!refuses("elicitation/create"));
        drop(period);
        assert!(!connection.without_input().is_refused());
    }
}
