//! Handshake between a generation and its client.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::connection::{Client, Connection, ConnectionLost};
use super::pending_requests::RawResponse;
use crate::bridge::{self, Identity};
use crate::jsonrpc::{ErrorObject, INVALID_REQUEST, Members, elements, unquoted};
use crate::mcp::{Era, HEADER_MISMATCH, MISSING_CAPABILITY, MODERN, UNSUPPORTED_REVISION, meta};

/// Use of `server/discover` as the first request to a server of a modern client: some servers that do not know it ignore
/// it, or exit.
#[derive(Debug)]
pub(crate) struct Probe<'a> {
    /// False if the server gets `initialize` first.
    pub(crate) is_allowed: bool,
    /// Time after which a server without a response may not know the method.
    pub(crate) max_wait: Duration,
    /// Set to true if the server ignores the method and answers `initialize`.
    pub(crate) is_ignored: &'a AtomicBool,
}

/// Introduction of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ClientHello {
    /// Params of its `initialize`; `None` as long as the client speaks only the modern era.
    pub(crate) initialize: Option<String>,
    /// Identity from its modern requests or from `initialize`.
    pub(crate) identity: Identity,
}

impl ClientHello {
    /// Returns the era that this client would negotiate with a server that speaks both.
    pub(crate) fn era(&self) -> Era {
        if self.initialize.is_some() {
            Era::Legacy
        } else {
            Era::Modern
        }
    }

    /// Stores the params of the client's `initialize`.
    pub(crate) fn set_initialize(&mut self, params: &str) {
        self.identity.copy_initialize(params);
        self.initialize = Some(params.to_owned());
    }

    /// Returns the introduction for a server, with the capabilities that the stand-in of `client` adds.
    pub(super) fn told_by(&self, client: Option<&dyn Client>) -> Cow<'_, Self> {
        if !client.is_some_and(Client::has_stand_in) {
            return Cow::Borrowed(self);
        }
        let mut hello = self.clone();
        let capabilities = &mut hello.identity.capabilities;
        *capabilities = bridge::with_stand_in(capabilities);
        if let Some(params) = &mut hello.initialize {
            let mut members = Members::of(params);
            let declared = members.get("capabilities").unwrap_or("{}");
            let declared = bridge::with_stand_in(declared);
            members.set("capabilities", declared);
            *params = members.to_string();
        }
        Cow::Owned(hello)
    }

    fn initialize_params(&self) -> String {
        self.initialize
            .clone()
            .unwrap_or_else(|| self.identity.initialize_params())
    }
}

/// Response of a generation to its introduction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// Era of the connection.
    pub(crate) era: Era,
    /// Result of `initialize` or `server/discover`.
    pub(crate) result: String,
    /// Number of the [`ClientHello`] that it answers.
    pub(crate) hello_number: u64,
}

impl Handshake {
    /// Returns the object with the name and version of a legacy server; a modern server puts them into its results
    /// itself.
    pub(crate) fn server_info(&self) -> Option<String> {
        Members::of(&self.result)
            .get("serverInfo")
            .map(ToOwned::to_owned)
    }

    /// Returns true if the server offers `capability`.
    pub(crate) fn offers(&self, capability: &str) -> bool {
        Members::of(&self.result)
            .object("capabilities")
            .get(capability)
            .is_some()
    }

    /// Returns the revision that was negotiated.
    pub(crate) fn protocol_version(&self) -> Option<String> {
        match self.era {
            Era::Legacy => Members::of(&self.result)
                .text("protocolVersion")
                .map(Cow::into_owned),
            Era::Modern => Some(MODERN.to_owned()),
        }
    }

    /// Returns the object with the name and version of a server of either era, if it sent them.
    pub(crate) fn introduces_itself_as(&self) -> Option<String> {
        match self.era {
            Era::Legacy => self.server_info(),
            Era::Modern => Members::of(&self.result)
                .object("_meta")
                .get(meta::SERVER_INFO)
                .map(ToOwned::to_owned),
        }
    }
}

/// Reason why the proof of a generation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProofFailure {
    /// The process ended during the probe `server/discover`; a retry should treat it as a legacy server.
    ProbeUnanswered,
    /// The process ended during the request for a list that it does not declare; a retry should omit the request.
    ListUnanswered(&'static str),
    /// The process ended before it answered this method.
    Lost(&'static str),
    /// The process ended before it listened on this port, or on any port.
    NotListening(Option<u16>),
    /// The response was invalid or an error; a sentence fragment.
    Wrong(String),
    /// The address refused the handshake; a sentence fragment, and advice on the address.
    Refused(String, String),
    /// The start reached its time limit; `missing` names the missing step, such as `no response to "initialize"`.
    Late {
        missing: String,
        limit: Duration,
        /// Advice, if another one is known than a higher limit.
        advice: Option<String>,
    },
}

impl ProofFailure {
    /// Returns the reason as a sentence fragment about a generation; `how` says how its process ended.
    pub(crate) fn reason(&self, how: &str) -> String {
        match self {
            Self::ProbeUnanswered => format!("{how} before it answered `server/discover`"),
            Self::Lost(method) | Self::ListUnanswered(method) => {
                format!("{how} before it answered `{method}`")
            }
            Self::NotListening(Some(port)) => format!("{how} before it listened on port {port}"),
            Self::NotListening(None) => format!("{how} before it listened on a port"),
            Self::Wrong(reason) | Self::Refused(reason, _) => reason.clone(),
            Self::Late { missing, limit, .. } => {
                format!("did not start within {} s: {missing}", limit.as_secs_f64())
            }
        }
    }
}

/// Introduces the client to the server; `forced` is the era that the user set.
pub(crate) async fn shake_hands(
    connection: &Connection,
    hello: &ClientHello,
    hello_number: u64,
    probe: Probe<'_>,
    forced: Option<Era>,
) -> Result<Handshake, ProofFailure> {
    let (era, result) = match (forced, hello.era()) {
        (Some(Era::Modern), _) => (Era::Modern, require_modern(connection, hello).await?),
        (None, Era::Modern) if connection.is_configured_as_2024() => {
            initialize_first(connection, hello, true).await?
        }
        (None, Era::Modern) if connection.is_http() => probe_remote(connection, hello).await?,
        (None, Era::Modern) if probe.is_allowed => probe_first(connection, hello, &probe).await?,
        (forced, _) => initialize_first(connection, hello, forced.is_some()).await?,
    };
    let handshake = Handshake {
        era,
        result,
        hello_number,
    };
    connection.set_era(era, handshake.server_info());
    if era == Era::Legacy {
        connection.send_notification("notifications/initialized", None);
    }
    Ok(handshake)
}

/// Requires the modern era, as set by the user.
async fn require_modern(
    connection: &Connection,
    hello: &ClientHello,
) -> Result<String, ProofFailure> {
    match discover(connection, hello).await {
        Ok(RawResponse::Result(result)) => Ok(result),
        Ok(RawResponse::Error(error)) => Err(refused("server/discover", &error)),
        Err(ConnectionLost) => Err(ProofFailure::Lost("server/discover")),
    }
}

/// Negotiates the legacy era, or the modern one if the server rejects `initialize` and `is_forced` is false.
async fn initialize_first(
    connection: &Connection,
    hello: &ClientHello,
    is_forced: bool,
) -> Result<(Era, String), ProofFailure> {
    let error = match initialize(connection, hello).await {
        Err(ConnectionLost) => return Err(ProofFailure::Lost("initialize")),
        Ok(RawResponse::Result(result)) => return Ok((Era::Legacy, result)),
        Ok(RawResponse::Error(error)) => error,
    };
    if is_forced {
        return Err(refused("initialize", &error));
    }
    match discover(connection, hello).await {
        Ok(RawResponse::Result(result)) => Ok((Era::Modern, result)),
        Ok(RawResponse::Error(_)) => Err(refused("initialize", &error)),
        Err(ConnectionLost) => Err(ProofFailure::Lost("server/discover")),
    }
}

/// Negotiates the modern era if the server knows it. A silent server also gets `initialize`: its first response shows
/// whether it starts slowly or ignores the probe.
async fn probe_first(
    connection: &Connection,
    hello: &ClientHello,
    probe: &Probe<'_>,
) -> Result<(Era, String), ProofFailure> {
    let mut discovery = pin!(discover(connection, hello));
    let silent = tokio::select! {
        answer = &mut discovery => match answer {
            Ok(RawResponse::Result(result)) => return Ok((Era::Modern, result)),
            // Any error shows that the process is alive and did not take the probe for its first message.
            Ok(RawResponse::Error(_)) => false,
            Err(ConnectionLost) => return Err(ProofFailure::ProbeUnanswered),
        },
        () = tokio::time::sleep(probe.max_wait) => true,
    };
    if !silent {
        return initialize_first(connection, hello, false).await;
    }
    let mut legacy = pin!(initialize_first(connection, hello, true));
    tokio::select! {
        biased;
        answer = &mut discovery => match answer {
            // The server only started slowly. It has both requests now, and the one that it accepts last may be its
            // choice of the era.
            Ok(RawResponse::Result(result)) => match timeout(probe.max_wait, legacy).await {
                Ok(Ok(initialized)) => Ok(initialized),
                Ok(Err(ProofFailure::Lost(_))) => Err(ProofFailure::ProbeUnanswered),
                Ok(Err(_)) | Err(_) => Ok((Era::Modern, result)),
            },
            Ok(RawResponse::Error(_)) => legacy.await,
            Err(ConnectionLost) => Err(ProofFailure::ProbeUnanswered),
        },
        answer = &mut legacy => {
            probe.is_ignored.fetch_or(answer.is_ok(), Ordering::Relaxed);
            answer
        }
    }
}

/// Like [`probe_first`], over HTTP: a remote server survives any request, and its silence does not reveal its era.
async fn probe_remote(
    connection: &Connection,
    hello: &ClientHello,
) -> Result<(Era, String), ProofFailure> {
    let code = |error: &str| {
        Members::of(error)
            .get("code")
            .and_then(|it| it.parse().ok())
    };
    let mut answer = discover(connection, hello).await;
    if let Ok(RawResponse::Error(error)) = &answer
        && code(error) == Some(UNSUPPORTED_REVISION)
        && error.contains(MODERN)
    {
        // The request had this revision; one of several servers behind the address may have rejected another.
        answer = discover(connection, hello).await;
    }
    match answer {
        Ok(RawResponse::Result(result)) => Ok((Era::Modern, result)),
        Ok(RawResponse::Error(error))
            if matches!(code(&error), Some(HEADER_MISMATCH | MISSING_CAPABILITY)) =>
        {
            Err(refused("server/discover", &error))
        }
        Ok(RawResponse::Error(_)) => initialize_first(connection, hello, true).await,
        Err(ConnectionLost) => Err(ProofFailure::Lost("server/discover")),
    }
}

async fn initialize(
    connection: &Connection,
    hello: &ClientHello,
) -> Result<RawResponse, ConnectionLost> {
    connection
        .request("initialize", Some(&hello.initialize_params()))
        .await
}

/// Sends `server/discover`. A result of a server that answers every method, or that does not speak the modern era, becomes
/// an error.
async fn discover(
    connection: &Connection,
    hello: &ClientHello,
) -> Result<RawResponse, ConnectionLost> {
    let params = hello.identity.identify("{}", None);
    let response = connection.request("server/discover", Some(&params)).await?;
    Ok(match response {
        RawResponse::Result(result) if !is_discovered(&result) => {
            let message = "its result does not name revision 2026-07-28 in `supportedVersions`";
            RawResponse::Error(ErrorObject::new(INVALID_REQUEST, message).to_string())
        }
        response => response,
    })
}

/// Returns true if the result of `server/discover` is that of a server that speaks the modern era.
fn is_discovered(result: &str) -> bool {
    let result = Members::of(result);
    match result.get("supportedVersions").map(elements) {
        Some(Some(versions)) => versions
            .into_iter()
            .filter_map(unquoted)
            .any(|it| it == MODERN),
        Some(None) => false,
        None => result.get("capabilities").is_some(),
    }
}

fn refused(method: &str, error: &str) -> ProofFailure {
    let message = Members::of(error)
        .text("message")
        .map_or_else(|| error.to_owned(), Cow::into_owned);
    ProofFailure::Wrong(format!("answered `{method}` with the error: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::test_client::client;

    #[tokio::test(start_paused = true)]
    async fn a_slow_server_has_the_era_of_the_request_that_it_accepts_last() {
        let discovered = r#"{"supportedVersions":["2026-07-28"],"capabilities":{}}"#;
        for (initialized, expected) in [
            (Some(r#""result":{"capabilities":{}}"#), Era::Legacy),
            (
                Some(r#""error":{"code":-32022,"message":"modern"}"#),
                Era::Modern,
            ),
            (None, Era::Modern),
        ] {
            let (client, _reader) = client();
            let connection = Connection::to(client.outbox.clone(), "weather", client.clone());
            let (is_ignored, hello) = (AtomicBool::new(false), ClientHello::default());
            let probe = Probe {
                is_allowed: true,
                max_wait: Duration::from_secs(10),
                is_ignored: &is_ignored,
            };
            let answers = async {
                tokio::time::sleep(Duration::from_secs(11)).await;
                let discovered = format!(r#"{{"id":1,"result":{discovered}}}"#);
                connection.receive(&discovered, None).unwrap();
                if let Some(outcome) = initialized {
                    let line = format!(r#"{{"id":2,{outcome}}}"#);
                    connection.receive(&line, None).unwrap();
                }
            };
            let (settled, ()) = tokio::join!(probe_first(&connection, &hello, &probe), answers);
            assert_eq!(settled.unwrap().0, expected, "{initialized:?}");
            assert!(!is_ignored.into_inner());
        }
    }

    #[test]
    fn only_a_server_that_names_the_modern_revision_speaks_it() {
        for (result, expected) in [
            (r#"{"supportedVersions":["2025-11-25","2026-07-28"]}"#, true),
            (
                r#"{"supportedVersions":["2025-11-25"],"capabilities":{}}"#,
                false,
            ),
            (
                r#"{"supportedVersions":"2026-07-28","capabilities":{}}"#,
                false,
            ),
            (r#"{"capabilities":{"tools":{}}}"#, true),
            ("{}", false),
            ("null", false),
        ] {
            assert_eq!(is_discovered(result), expected, "{result}");
        }
    }
}
