//! How a generation and the client it serves are introduced to each other, and what is told to
//! every new generation again: log level, subscriptions.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;

use super::connection::{Answer, Connection, Lost};
use crate::bridge::Identity;
use crate::jsonrpc::{Members, quoted};
use crate::mcp::{
    Era, HEADER_MISMATCH, ListKind, MISSING_CAPABILITY, MODERN, UNSUPPORTED_REVISION, meta,
};

/// A server that has not answered `server/discover` by then may not know it. Many that do need
/// seconds to start, and some take what is asked next for the era they are to speak.
const SILENT_PROBE: Duration = Duration::from_secs(10);

/// What a client has said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The raw params of its `initialize`; absent as long as it spoke only the modern era.
    pub(crate) initialize: Option<String>,
    /// What its modern requests said.
    pub(crate) identity: Identity,
}

impl Hello {
    /// The era that this client would negotiate with a server that speaks both.
    pub(crate) fn era(&self) -> Era {
        if self.initialize.is_some() {
            Era::Legacy
        } else {
            Era::Modern
        }
    }

    /// Takes the raw params of the client's `initialize`.
    pub(crate) fn greet(&mut self, params: &str) {
        self.identity.introduce(params);
        self.initialize = Some(params.to_owned());
    }

    fn initialize_params(&self) -> String {
        self.initialize
            .clone()
            .unwrap_or_else(|| self.identity.initialize_params())
    }
}

/// What a generation answered to its introduction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// How it speaks.
    pub(crate) era: Era,
    /// Its raw result of `initialize` or `server/discover`.
    pub(crate) result: String,
    /// Which [`Hello`] it answered, counted.
    pub(crate) epoch: u64,
}

impl Handshake {
    /// The raw name and version of a legacy server; a modern one puts them into its results itself.
    pub(crate) fn server_info(&self) -> Option<String> {
        Members::of(&self.result)
            .get("serverInfo")
            .map(ToOwned::to_owned)
    }

    /// Whether the server offers `capability`.
    pub(crate) fn offers(&self, capability: &str) -> bool {
        Members::of(&self.result)
            .object("capabilities")
            .get(capability)
            .is_some()
    }

    /// The revision that was agreed on.
    pub(crate) fn protocol_version(&self) -> Option<String> {
        match self.era {
            Era::Legacy => Members::of(&self.result)
                .text("protocolVersion")
                .map(Cow::into_owned),
            Era::Modern => Some(MODERN.to_owned()),
        }
    }

    /// The raw name and version of a server of either era, if it said so.
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

/// Why an introduction failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The process ended when it was asked whether it is modern: try it as a legacy one.
    ProbeUnanswered,
    /// The process ended when it was asked for a list that it had not declared: try it without.
    ListUnanswered(&'static str),
    /// The process ended before it answered this method.
    Lost(&'static str),
    /// It answered, but not as it should; a sentence fragment.
    Wrong(String),
    /// Its time ran out before it answered this method.
    Late(Box<str>, Duration),
}

impl Refusal {
    /// A sentence fragment that says so of a generation; `how` says how it ended.
    pub(crate) fn reason(&self, how: &str) -> String {
        match self {
            Self::ProbeUnanswered => format!("{how} before it answered `server/discover`"),
            Self::Lost(method) | Self::ListUnanswered(method) => {
                format!("{how} before it answered `{method}`")
            }
            Self::Wrong(reason) => reason.clone(),
            Self::Late(method, limit) => format!(
                "did not prove itself within {} s: it has not answered `{method}`",
                limit.as_secs_f64()
            ),
        }
    }
}

/// Introduces the client to the server. `probe` says whether a modern client's server may be asked
/// `server/discover` first; `forced` the era that the user set.
pub(crate) async fn shake_hands(
    connection: &Connection,
    hello: &Hello,
    epoch: u64,
    probe: bool,
    forced: Option<Era>,
) -> Result<Handshake, Refusal> {
    let (era, result) = match (forced, hello.era()) {
        (Some(Era::Modern), _) => (Era::Modern, insist(connection, hello).await?),
        (None, Era::Modern) if connection.is_said_to_be_old() => {
            initialize_first(connection, hello, true).await?
        }
        (None, Era::Modern) if connection.is_remote() => probe_remote(connection, hello).await?,
        (None, Era::Modern) if probe => probe_first(connection, hello).await?,
        (forced, _) => initialize_first(connection, hello, forced.is_some()).await?,
    };
    let handshake = Handshake { era, result, epoch };
    connection.agree(era, handshake.server_info());
    if era == Era::Legacy {
        connection.tell("notifications/initialized", None);
    }
    Ok(handshake)
}

/// The modern era, because the user says so.
async fn insist(connection: &Connection, hello: &Hello) -> Result<String, Refusal> {
    match discover(connection, hello).await {
        Ok(Answer::Result(result)) => Ok(result),
        Ok(Answer::Error(error)) => Err(refused("server/discover", &error)),
        Err(Lost) => Err(Refusal::Lost("server/discover")),
    }
}

/// The legacy era, or the modern one if the server says by an error that it speaks no other.
async fn initialize_first(
    connection: &Connection,
    hello: &Hello,
    insist: bool,
) -> Result<(Era, String), Refusal> {
    let error = match initialize(connection, hello).await {
        Err(Lost) => return Err(Refusal::Lost("initialize")),
        Ok(Answer::Result(result)) => return Ok((Era::Legacy, result)),
        Ok(Answer::Error(error)) => error,
    };
    if insist {
        return Err(refused("initialize", &error));
    }
    match discover(connection, hello).await {
        Ok(Answer::Result(result)) => Ok((Era::Modern, result)),
        Ok(Answer::Error(_)) => Err(refused("initialize", &error)),
        Err(Lost) => Err(Refusal::Lost("server/discover")),
    }
}

/// The modern era if the server knows it. One that stays silent is asked in the legacy way as
/// well: whether it is slow to start or deaf to the probe shows in what it answers first.
async fn probe_first(connection: &Connection, hello: &Hello) -> Result<(Era, String), Refusal> {
    let mut probe = pin!(discover(connection, hello));
    let silent = tokio::select! {
        answer = &mut probe => match answer {
            Ok(Answer::Result(result)) => return Ok((Era::Modern, result)),
            // Whatever the error: it is alive and did not take the probe for its first message.
            Ok(Answer::Error(_)) => false,
            Err(Lost) => return Err(Refusal::ProbeUnanswered),
        },
        () = tokio::time::sleep(SILENT_PROBE) => true,
    };
    if !silent {
        return initialize_first(connection, hello, false).await;
    }
    let mut legacy = pin!(initialize_first(connection, hello, true));
    tokio::select! {
        biased;
        answer = &mut probe => match answer {
            Ok(Answer::Result(result)) => Ok((Era::Modern, result)),
            Ok(Answer::Error(_)) => legacy.await,
            Err(Lost) => Err(Refusal::ProbeUnanswered),
        },
        answer = &mut legacy => answer,
    }
}

/// As [`probe_first`], over HTTP: a server outlives any question, and its silence says nothing of its era.
async fn probe_remote(connection: &Connection, hello: &Hello) -> Result<(Era, String), Refusal> {
    let code = |error: &str| {
        Members::of(error)
            .get("code")
            .and_then(|it| it.parse().ok())
    };
    let mut answer = discover(connection, hello).await;
    if let Ok(Answer::Error(error)) = &answer
        && code(error) == Some(UNSUPPORTED_REVISION)
        && error.contains(MODERN)
    {
        // It was asked in just that, but one of several behind an address may have said so for another.
        answer = discover(connection, hello).await;
    }
    match answer {
        Ok(Answer::Result(result)) => Ok((Era::Modern, result)),
        Ok(Answer::Error(error))
            if matches!(code(&error), Some(HEADER_MISMATCH | MISSING_CAPABILITY)) =>
        {
            Err(refused("server/discover", &error))
        }
        Ok(Answer::Error(_)) => initialize_first(connection, hello, true).await,
        Err(Lost) => Err(Refusal::Lost("server/discover")),
    }
}

async fn initialize(connection: &Connection, hello: &Hello) -> Result<Answer, Lost> {
    connection
        .ask("initialize", Some(&hello.initialize_params()))
        .await
}

async fn discover(connection: &Connection, hello: &Hello) -> Result<Answer, Lost> {
    connection
        .ask(
            "server/discover",
            Some(&hello.identity.identify("{}", None)),
        )
        .await
}

fn refused(method: &str, error: &str) -> Refusal {
    let message = Members::of(error)
        .text("message")
        .map_or_else(|| error.to_owned(), Cow::into_owned);
    Refusal::Wrong(format!("answered `{method}` with the error: {message}"))
}

/// What the client wants to hear of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The raw log level that it set.
    pub(crate) level: Option<String>,
    /// A running server hears of the level from the proxy; else from the client's own request.
    pub(crate) tell_level: bool,
    /// The URIs of resources that it subscribed to by requests of the legacy era.
    pub(crate) subscribed: BTreeSet<String>,
    /// The URIs that it named in `subscriptions/listen`.
    pub(crate) followed: BTreeSet<String>,
}

impl Wanted {
    /// The URIs of all resources that it wants to hear of.
    pub(crate) fn uris(&self) -> BTreeSet<&str> {
        let all = self.subscribed.union(&self.followed);
        all.map(String::as_str).collect()
    }

    /// The URIs that a legacy server hears of from the proxy alone.
    pub(crate) fn unspoken(&self) -> BTreeSet<&str> {
        let followed = self.followed.difference(&self.subscribed);
        followed.map(String::as_str).collect()
    }
}

/// A stream on which a modern server tells what changes: the id of its request, and its end.
pub(crate) type Stream = (u64, oneshot::Receiver<Answer>);

/// Tells a new generation what the one before it had been told. Gives the listen stream.
pub(crate) async fn replay(
    connection: &Connection,
    handshake: &Handshake,
    wanted: &Wanted,
) -> Result<Option<Stream>, Lost> {
    if handshake.era == Era::Modern {
        return listen(connection, handshake, wanted);
    }
    if let Some(level) = wanted
        .level
        .as_ref()
        .filter(|_| handshake.offers("logging"))
    {
        connection
            .ask("logging/setLevel", Some(&format!(r#"{{"level":{level}}}"#)))
            .await?;
    }
    if handshake.offers("resources") {
        // All are sent before the first answer is awaited: a server may have thousands to take in.
        let mut answers = Vec::new();
        for uri in wanted.uris() {
            let (sender, answer) = oneshot::channel();
            let params = format!(r#"{{"uri":{}}}"#, quoted(uri));
            connection.send_own("resources/subscribe", Some(&params), sender)?;
            answers.push(answer);
        }
        for answer in answers {
            answer.await.map_err(|_| Lost)?;
        }
    }
    Ok(None)
}

/// Opens the stream on which a modern server tells what changes; nothing if there is nothing to hear.
pub(crate) fn listen(
    connection: &Connection,
    handshake: &Handshake,
    wanted: &Wanted,
) -> Result<Option<Stream>, Lost> {
    let mut filter = json!({});
    for kind in [ListKind::Tools, ListKind::Prompts, ListKind::Resources] {
        if handshake.offers(kind.capability()) {
            filter[kind.filter()] = true.into();
        }
    }
    let uris = wanted.uris();
    if !uris.is_empty() {
        filter["resourceSubscriptions"] = uris.into_iter().collect();
    }
    if filter.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(None);
    }
    let (sender, receiver) = oneshot::channel();
    let params = json!({ "notifications": filter }).to_string();
    let stream = connection.send_own("subscriptions/listen", Some(&params), sender)?;
    Ok(Some((stream, receiver)))
}
