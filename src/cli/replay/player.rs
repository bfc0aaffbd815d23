//! Plays a recorded client on the stdin of a proxy.

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::time::{Duration, Instant};

use super::super::line_client::{LineClient, Unexpected};
use super::carried::CarriedValues;
use super::recorded_session::{RecordedRequest, RecordedSession};
use crate::jsonrpc::{
    Envelope, ErrorObject, METHOD_NOT_FOUND, MessageKind, RawId, error_response, splice,
};

/// Client that sends the messages of a recorded session.
struct Player<'a> {
    client: LineClient,
    session: &'a RecordedSession,
    /// Number of responses, by the id of the request.
    responses: HashMap<String, usize>,
    values: CarriedValues,
    /// Number of values that requests had from earlier results.
    carried: usize,
    /// Earlier replay of the session with the same code.
    earlier: Option<&'a RecordedSession>,
    /// Indexes of the server's requests that were answered.
    answered_questions: HashSet<usize>,
    /// Indexes of requests whose response did not arrive in time.
    given_up: HashSet<usize>,
    timeout: Duration,
}

/// Sends the messages of a session to the proxy that `command` starts: each once all requests are answered that were
/// answered before it in the recording, so that requests overlap as they did. A response that is not there after
/// `timeout` is waited for only once. Returns the proxy's stderr, and the number of values that requests had from earlier
/// results; `earlier`, an earlier replay, shows which ones vary.
pub(super) fn play(
    command: &mut Command,
    session: &RecordedSession,
    earlier: Option<&RecordedSession>,
    timeout: Duration,
) -> std::io::Result<(String, usize)> {
    let mut player = Player {
        client: LineClient::start(command)?,
        session,
        responses: HashMap::new(),
        values: CarriedValues::default(),
        carried: 0,
        earlier,
        answered_questions: HashSet::new(),
        given_up: HashSet::new(),
        timeout,
    };
    // The comparison tells which responses are missing if the proxy ends early.
    let _ = player.send_all();
    Ok((player.client.into_stderr(), player.carried))
}

impl Player<'_> {
    fn send_all(&mut self) -> Result<(), Unexpected> {
        for message in &self.session.messages {
            for index in &message.answered_before {
                self.wait_for(*index)?;
            }
            let (line, carried) = self.values.renew(&message.line);
            self.carried += carried;
            self.client.send_line(&line)?;
        }
        for (index, request) in self.session.requests.iter().enumerate() {
            if request.response.is_some() {
                self.wait_for(index)?;
            }
        }
        Ok(())
    }

    /// Waits for the response to the request with this index, and answers requests of servers meanwhile.
    fn wait_for(&mut self, index: usize) -> Result<(), Unexpected> {
        let request = &self.session.requests[index];
        let end = Instant::now() + self.timeout;
        while !self.is_answered(request) && !self.given_up.contains(&index) {
            match self.client.next_line(end) {
                Some(line) => self.take(&line)?,
                None => _ = self.given_up.insert(index),
            }
        }
        Ok(())
    }

    fn is_answered(&self, request: &RecordedRequest) -> bool {
        self.responses
            .get(&request.id)
            .is_some_and(|count| *count > request.earlier)
    }

    fn take(&mut self, line: &str) -> Result<(), Unexpected> {
        let Ok(envelope) = Envelope::parse(line) else {
            return Ok(());
        };
        let id = envelope.id.unwrap_or(RawId::NULL);
        match envelope.kind() {
            MessageKind::Response => {
                self.take_values(id.as_str(), &envelope);
                *self.responses.entry(id.as_str().to_owned()).or_default() += 1;
                Ok(())
            }
            MessageKind::Request => {
                let method = envelope.method.as_deref().unwrap_or_default();
                let answer = self.answer(id, method);
                self.client.send_line(&answer)
            }
            MessageKind::Notification => Ok(()),
        }
    }

    /// Compares the next response to the request `id` with the recorded one, for the values that later requests repeat.
    fn take_values(&mut self, id: &str, envelope: &Envelope<'_>) {
        let count = self.responses.get(id).copied().unwrap_or_default();
        let mut requests = self.session.requests.iter();
        let index = requests.position(|it| it.id == id && it.earlier == count);
        let Some((index, now)) = index.zip(envelope.result) else {
            return;
        };
        let result = |session: &'_ RecordedSession| {
            let response = session.requests.get(index)?.response.as_ref()?;
            let result = Envelope::parse(response.line.as_deref()?).ok()?.result?;
            Some(result.to_owned())
        };
        if let Some(recorded) = result(self.session) {
            let method = self.session.requests[index].method();
            let earlier = self.earlier.and_then(result);
            self.values
                .learn(method, &recorded, now, earlier.as_deref());
        }
    }

    /// Returns the recorded response to the next request of a server with this method, under `id`.
    fn answer(&mut self, id: RawId<'_>, method: &str) -> String {
        let questions = self.session.questions.iter().enumerate();
        let mut open = questions.filter(|(at, it)| {
            it.method == method && it.answer.is_some() && !self.answered_questions.contains(at)
        });
        if let Some((at, question)) = open.next()
            && let Some(answer) = &question.answer
            && let Some(recorded) = Envelope::parse(answer).ok().and_then(|it| it.id)
        {
            let answer = splice(answer, &mut [(recorded.as_str(), id.as_str())]);
            self.answered_questions.insert(at);
            return answer;
        }
        let message = format!("the recorded client has no more responses to `{method}`");
        error_response(id, &ErrorObject::new(METHOD_NOT_FOUND, message))
    }
}
