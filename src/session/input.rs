//! Gathers the input that responses to calls request: from legacy clients, and from the person on the page.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::outbound::NO_STREAM;
use super::{Session, Undelivered};
use crate::bridge::{self, InputError, InputRequest, MAX_ROUNDS};
use crate::jsonrpc::{Envelope, Members, Reply, RequestId};
use crate::mcp::Era;
use crate::server::{AwaitedAnswer, Connection, InputOrigin, InputRound};

/// Time limit for a person to respond.
const INPUT_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Time before a request is sent again for which the server needs only time, not input.
const PAUSE: Duration = Duration::from_millis(250);

/// Raw results in the order of the requests; `None` for those that a modern client answers.
type Results = Vec<Option<String>>;

impl Session {
    /// Gathers input and sends the server's call again with it, or answers the call: with the requests for a modern
    /// client, or with the reason why there is no input. Ends without either when the call does not wait any more.
    pub(super) fn ask_for_input(&self, from: Arc<Connection>, round: InputRound) {
        let session = self.strong_self();
        self.tasks.spawn(async move {
            let results = session.gather_input(&from.server, &round);
            if let Some(results) = round.ended.run_until_cancelled(results).await {
                session.end_round(&from, round, results);
            }
        });
    }

    fn end_round(
        &self,
        from: &Connection,
        round: InputRound,
        results: Result<Results, InputError>,
    ) {
        let number = round.number;
        match (round.origin, results) {
            (InputOrigin::Urls(error), results) => {
                let is_accepted =
                    |it: &Option<String>| it.as_deref().is_some_and(bridge::is_accepted);
                if results.is_ok_and(|results| results.iter().all(is_accepted)) {
                    from.provide_input(number, ToOwned::to_owned);
                } else {
                    from.end_waiting(number, |call| call.reply(Reply::Error(&error)));
                }
            }
            (InputOrigin::Result(_), Err(error)) => from.refuse_input(number, &error),
            (InputOrigin::Result(_), Ok(results)) if results.iter().all(Option::is_some) => {
                from.provide_input(number, |line| round.input.answered(line, &results));
            }
            (InputOrigin::Result(result), Ok(given)) => {
                from.end_waiting(number, |call| {
                    self.ask_for_rest(from, call, &result, round.input, given);
                });
            }
        }
    }

    /// Returns the results of the requests, except those that a modern client answers. Sends no request unless all can
    /// be answered.
    async fn gather_input(
        self: &Arc<Self>,
        server: &str,
        round: &InputRound,
    ) -> Result<Results, InputError> {
        if round.count > MAX_ROUNDS {
            return Err(InputError::TooManyRounds(server.to_owned()));
        }
        let capabilities = match &round.declared {
            Some(declared) => bridge::with_stand_in(declared),
            None => self.answerable_capabilities(),
        };
        round.input.check(server, &capabilities)?;
        let requests = &round.input.requests;
        if requests.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        let mut asking = JoinSet::new();
        for (at, request) in requests.iter().enumerate() {
            let asked = self.stand_in_for(server, request, round);
            // A client that shows URLs knows the error, too.
            let is_for_client = matches!(round.origin, InputOrigin::Result(_));
            if asked.is_none() && (round.era == Era::Modern || !is_for_client) {
                continue;
            }
            let (session, server) = (self.clone(), server.to_owned());
            let (request, id) = (request.clone(), round.id.clone());
            asking.spawn(async move {
                let result = match asked {
                    Some(asked) => awaited(asked, &server, &request).await,
                    None => session.ask_for(&server, &request, &id).await,
                };
                (at, result)
            });
        }
        let mut results = vec![None; requests.len()];
        // The first error ends the loop, and dropping the set withdraws the other requests.
        while let Some(Ok((at, result))) = asking.join_next().await {
            results[at] = Some(result?);
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
