//! `mcp-proxy mock`: serves a recording as a server on stdin and stdout, for authors of clients.

mod exchanges;

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use clap::Args;

use super::{CliError, EXIT_OK};
use crate::file_error::FileError;
use crate::jsonrpc::{
    Envelope, ErrorObject, INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, Members, MessageKind,
    PARSE_ERROR, RawId, RawJson, RequestId, elements, error_response, result_response, splice,
};
use crate::output;
use exchanges::{Exchange, Exchanges, RecordedOutcome, progress_token};

/// Maximum number of recorded parameters that an error names.
const SHOWN_PARAMS: usize = 5;
/// Maximum length of such parameters, in characters.
const SHOWN_CHARS: usize = 120;

/// The options of `mock`.
#[derive(Debug, Args)]
pub(crate) struct MockArgs {
    /// Recording of `dev` or `serve` (`--record`)
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Server that answers from a recording.
struct MockServer<'a, R, W> {
    exchanges: Exchanges,
    /// Name of the recording, for errors.
    file: String,
    client: R,
    output: W,
    /// Lines of the client that wait until it has answered a request.
    waiting: VecDeque<String>,
    /// Number of requests to the client so far.
    asked: u64,
    /// Takes a report about each request without a recorded response.
    report: &'a dyn Fn(&str),
}

/// Serves the recording until stdin ends.
pub(crate) fn run(args: &MockArgs) -> Result<u8, CliError> {
    let text = fs::read_to_string(&args.file).map_err(FileError::at("read", &args.file));
    let exchanges = Exchanges::read(&text.map_err(|error| CliError::Failure(error.to_string()))?);
    let file = args.file.display().to_string();
    if exchanges.is_empty() {
        return Err(CliError::Failure(format!(
            "{file} has no request of a client"
        )));
    }
    let mut server = MockServer {
        exchanges,
        file,
        client: io::stdin().lock(),
        output: io::stdout().lock(),
        waiting: VecDeque::new(),
        asked: 0,
        report: &output::print_note,
    };
    match server.serve() {
        // The client has gone.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::Failure(format!("cannot serve: {error}")))
        }
        _ => Ok(EXIT_OK),
    }
}

impl<R: BufRead, W: Write> MockServer<'_, R, W> {
    fn serve(&mut self) -> io::Result<()> {
        loop {
            let line = match self.waiting.pop_front() {
                Some(line) => line,
                None => match self.read()? {
                    Some(line) => line,
                    None => return Ok(()),
                },
            };
            // Revision 2025-03-26 allows several messages in an array.
            match elements(&line).filter(|_| line.trim_start().starts_with('[')) {
                Some(messages) => {
                    for message in messages {
                        self.take(message)?;
                    }
                }
                None => self.take(&line)?,
            }
        }
    }

    /// Reads the client's next line that is not blank; returns `None` at the end.
    fn read(&mut self) -> io::Result<Option<String>> {
        loop {
            let mut line = Vec::new();
            if self.client.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim();
            if !line.is_empty() {
                return Ok(Some(line.to_owned()));
            }
        }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.output.write_all(line.as_bytes())?;
        self.output.write_all(b"\n")?;
        self.output.flush()
    }

    fn take(&mut self, line: &str) -> io::Result<()> {
        let Ok(envelope) = Envelope::parse(line) else {
            let error = ErrorObject::new(PARSE_ERROR, "the message is not JSON-RPC");
            return self.write(&error_response(RawId::NULL, &error));
        };
        let (MessageKind::Request, Some(id)) = (envelope.kind(), envelope.id) else {
            return Ok(());
        };
        let method = envelope.method.as_deref().unwrap_or_default();
        let message = Members::of(line);
        let exchange = self.exchanges.next(method, message.get("params"));
        match exchange {
            Some(exchange) => self.answer(id, &exchange, &envelope),
            None if method == "ping" => self.write(&result_response(id, "{}")),
            None => {
                let error = self.unknown(method);
                (self.report)(&error.message);
                self.write(&error_response(id, &error))
            }
        }
    }

    /// Sends the recorded messages of an exchange under the ids of the client's request in `envelope`.
    fn answer(
        &mut self,
        id: RawId<'_>,
        exchange: &Exchange,
        envelope: &Envelope<'_>,
    ) -> io::Result<()> {
        let method = envelope.method.as_deref().unwrap_or_default();
        let token = envelope.params.meta.progress_token.map(RawJson::as_str);
        for message in &exchange.before {
            let Ok(recorded) = Envelope::parse(message) else {
                continue;
            };
            if matches!(recorded.kind(), MessageKind::Request) {
                if !self.ask(message, &recorded, id)? {
                    return Ok(());
                }
            } else if progress_token(message).is_some() {
                if let Some(token) = token {
                    self.write(&with_token(message, token))?;
                }
            } else {
                let subscription = recorded.params.meta.subscription_id.map(RawJson::as_str);
                let is_own = |it: &&str| *it == exchange.id;
                let mut change = subscription.filter(is_own).map(|it| (it, id.as_str()));
                self.write(&splice(message, change.as_mut_slice()))?;
            }
        }
        let reason = match &exchange.response {
            RecordedOutcome::Whole(response) => {
                let recorded = Envelope::parse(response).ok().and_then(|it| it.id);
                let mut change = recorded.map(|it| (it.as_str(), id.as_str()));
                return self.write(&splice(response, change.as_mut_slice()));
            }
            // The stream of a subscription stays open.
            RecordedOutcome::None if method == "subscriptions/listen" => return Ok(()),
            RecordedOutcome::None => "has no response to",
            RecordedOutcome::Part => "has only the beginning of the response to",
        };
        let text = format!("the recording {} {reason} this `{method}`", self.file);
        (self.report)(&text);
        self.write(&error_response(id, &ErrorObject::new(INTERNAL_ERROR, text)))
    }

    /// Sends the client a recorded request, and waits for the response. Returns false if the client has gone, or has
    /// cancelled its own request `cause`, during which it is asked.
    fn ask(
        &mut self,
        message: &str,
        recorded: &Envelope<'_>,
        cause: RawId<'_>,
    ) -> io::Result<bool> {
        if self.waiting.iter().any(|line| cancels(line, cause)) {
            return Ok(false);
        }
        self.asked += 1;
        let id = RequestId::from(self.asked);
        let old = recorded.id.unwrap_or(RawId::NULL);
        self.write(&splice(
            message,
            &mut [(old.as_str(), id.as_raw().as_str())],
        ))?;
        while let Some(line) = self.read()? {
            let is_response = Envelope::parse(&line).is_ok_and(|it| {
                matches!(it.kind(), MessageKind::Response) && it.id == Some(id.as_raw())
            });
            if is_response {
                return Ok(true);
            }
            if cancels(&line, cause) {
                return Ok(false);
            }
            self.waiting.push_back(line);
        }
        Ok(false)
    }

    /// Returns the error for a request that was not recorded.
    fn unknown(&self, method: &str) -> ErrorObject {
        let (file, recorded) = (&self.file, self.exchanges.params_of(method));
        if recorded.is_empty() {
            let text = format!("the recording {file} has no request `{method}`");
            return ErrorObject::new(METHOD_NOT_FOUND, text);
        }
        let shown = recorded.iter().take(SHOWN_PARAMS).map(|it| {
            let mut shown: String = it.chars().take(SHOWN_CHARS).collect();
            if shown.len() < it.len() {
                shown.push('…');
            }
            shown
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        let more = match recorded.len().saturating_sub(SHOWN_PARAMS) {
            0 => String::new(),
            more => format!(" and {more} others"),
        };
        let text =
            format!("the recording {file} has `{method}` only with the params {shown}{more}");
        ErrorObject::new(INVALID_PARAMS, text)
    }
}

/// Returns true if the client's message cancels its request `id`.
fn cancels(line: &str, id: RawId<'_>) -> bool {
    let is_cancellation = Envelope::parse(line)
        .is_ok_and(|it| it.method.as_deref() == Some("notifications/cancelled"));
    let message = Members::of(line);
    is_cancellation && message.object("params").get("requestId") == Some(id.as_str())
}

/// Returns a progress notification with this raw token.
fn with_token(message: &str, token: &str) -> String {
    let mut message = Members::of(message);
    let params = message.get("params").unwrap_or("{}").to_owned();
    let mut params = Members::of(&params);
    params.set("progressToken", token);
    message.set("params", params.to_string());
    message.to_string()
}

#[cfg(test)]
mod tests;
