//! Asks a legacy client for the input that a modern server requests by the result of a call.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::outbound::NO_STREAM;
use super::{Session, Undelivered};
use crate::bridge::{InputError, InputRequest, MAX_ROUNDS};
use crate::jsonrpc::{Envelope, Members, RequestId};
use crate::server::{AwaitedAnswer, Connection, InputRound};

/// Time limit for a person to respond.
const INPUT_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Time before a request is sent again for which the server needs only time, not input.
const PAUSE: Duration = Duration::from_millis(250);

impl Session {
    /// Asks the client for input and sends the server's call again with it, or answers the call with the reason why
    /// there is none. Ends without either when the call does not wait any more.
    pub(super) fn ask_for_input(&self, from: Arc<Connection>, round: InputRound) {
        let session = self.strong_self();
        self.tasks.spawn(async move {
            let results = session.gather_input(&from.server, &round);
            match round.ended.run_until_cancelled(results).await {
                Some(Ok(results)) => {
                    from.provide_input(round.number, |line| round.input.answered(line, &results));
                }
                Some(Err(error)) => from.refuse_input(round.number, &error),
                None => {}
            }
        });
    }

    /// Returns the client's results, in the order of the requests. Sends no request unless the client can answer all.
    async fn gather_input(
        self: &Arc<Self>,
        server: &str,
        round: &InputRound,
    ) -> Result<Vec<String>, InputError> {
        if round.count > MAX_ROUNDS {
            return Err(InputError::TooManyRounds(server.to_owned()));
        }
        let is_of_page = round.is_of_page;
        let capabilities = self.answerable_capabilities(is_of_page);
        round.input.check(server, &capabilities)?;
        let requests = &round.input.requests;
        if requests.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        let mut asking = JoinSet::new();
        for (at, request) in requests.iter().enumerate() {
            let (session, server) = (self.clone(), server.to_owned());
            let (request, id) = (request.clone(), round.id.clone());
            asking.spawn(async move {
                let asked = session.stand_in_for(&server, &request, is_of_page);
                let result = match asked {
                    Some(asked) => awaited(asked, &server, &request).await,
                    None => session.ask_for(&server, &request, &id).await,
                };
                (at, result)
            });
        }
        let mut results = vec![String::new(); requests.len()];
        // The first error ends the loop, and dropping the set withdraws the other requests.
        while let Some(Ok((at, result))) = asking.join_next().await {
            results[at] = result?;
        }
        Ok(results)
    }

    /// Sends one request to the client, during its request `id`; returns the raw result.
    async fn ask_for(
        &self,
        server: &str,
        request: &InputRequest,
        id: &RequestId,
    ) -> Result<String, InputError> {
        let (server, method) = (server.to_owned(), request.method.clone());
        let params = request.legacy_params(|| crate::random::id().unwrap_or_default());
        let asking = self.ask_client(&request.method, params.as_deref(), id.as_raw());
        let line = match tokio::time::timeout(INPUT_TIMEOUT, asking).await {
            Ok(Ok(line)) => line,
            Ok(Err(Undelivered)) => {
                return Err(InputError::Unreachable(server, method, NO_STREAM));
            }
            Err(_) => return Err(InputError::NoResponse(server, method)),
        };
        let response = Envelope::parse(&line).unwrap_or_default();
        response.result.map(ToOwned::to_owned).ok_or_else(|| {
            InputError::Refused(server, method, response.error.unwrap_or("{}").to_owned())
        })
    }

    /// Returns the capabilities that a legacy client declared.
    pub(super) fn declared_capabilities(&self) -> String {
        let state = self.state();
        let introduction = Members::of(state.hello.initialize.as_deref().unwrap_or("{}"));
        introduction.get("capabilities").unwrap_or("{}").to_owned()
    }
}

/// Waits for the person's answer to a request of `server`, as long as for that of a client.
async fn awaited(
    asked: Result<AwaitedAnswer, InputError>,
    server: &str,
    request: &InputRequest,
) -> Result<String, InputError> {
    let answer = tokio::time::timeout(INPUT_TIMEOUT, asked?.answer()).await;
    answer.map_err(|_| InputError::NoResponse(server.to_owned(), request.method.clone()))?
}
