//! Search for the address at which a process shakes hands: one address if it is configured, otherwise the usual paths on
//! each port on which the process listens, the port that it was given first.

use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tokio::time::{sleep, timeout};

use super::super::backend::HttpProcess;
use super::super::handshake::{Handshake, ProofFailure};
use super::{TRY_INTERVAL, accepts, reachable};
use crate::config::Remote;
use crate::lock::locked;
use crate::transport::http::LinkError;

/// Interval at which the sockets of the process are read: that costs processor time.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Time for a process to listen on one more port once the paths of the others were tried.
const MORE_PORTS: Duration = Duration::from_secs(1);
/// Interval at which an address is asked again that refuses the handshake while the server may still start.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Time after which such refusals are noted.
const NOTE_AFTER: Duration = Duration::from_secs(2);
/// Time limit for a handshake on a port that the process was not given: it may not speak HTTP there.
const OTHER_PORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Search for the address of one generation.
pub(in super::super) struct AddressSearch<'a> {
    process: &'a HttpProcess,
    begun: Instant,
    /// Time limit of the start.
    limit: Duration,
    /// Path at which a generation before shook hands.
    known_path: &'a Mutex<Option<String>>,
    /// Port of the present address.
    port: u16,
    /// Addresses on this port that were not tried.
    left: VecDeque<Remote>,
    tried_ports: BTreeSet<u16>,
    /// Refusals in the present round, each with its address.
    refusals: Vec<String>,
    /// Refusal of the code behind the known path.
    known_refusal: Option<String>,
    /// Time of the first refusal by a server that may still be starting.
    refused_since: Option<Instant>,
    is_noted: bool,
}

impl<'a> AddressSearch<'a> {
    /// Begins the search in a start with this time limit.
    pub(in super::super) fn new(
        process: &'a HttpProcess,
        limit: Duration,
        known_path: &'a Mutex<Option<String>>,
    ) -> Self {
        Self {
            process,
            begun: Instant::now(),
            limit,
            known_path,
            port: process.process.port,
            left: VecDeque::new(),
            tried_ports: BTreeSet::new(),
            refusals: Vec::new(),
            known_refusal: None,
            refused_since: None,
            is_noted: false,
        }
    }

    /// Waits for the next address and sets it in the link.
    pub(in super::super) async fn next(&mut self) -> Result<(), ProofFailure> {
        if !self.process.address.is_auto() {
            if self.refused_since.is_none() {
                return self.process.listening().await;
            }
            let mut exited = self.process.process.child.exited();
            tokio::select! {
                _ = exited.wait() => return Err(self.exited()),
                () = sleep(ASK_AGAIN) => {}
            }
            self.process.link.0.forget_refusal();
            return Ok(());
        }
        if self.left.is_empty() {
            let socket = self.next_socket().await?;
            self.port = socket.port();
            self.tried_ports.insert(self.port);
            let known_path = locked(self.known_path).clone();
            let address = &self.process.address;
            let addresses = address.usual_paths(socket, known_path.as_deref());
            self.left = addresses
                .map_err(|error| ProofFailure::Wrong(error.to_string()))?
                .into();
        }
        if let Some(remote) = self.left.pop_front() {
            self.process.link.0.move_to(remote);
        }
        Ok(())
    }

    /// Waits for a socket of the process on a port that was not tried.
    async fn next_socket(&mut self) -> Result<SocketAddr, ProofFailure> {
        let process = &self.process.process;
        let given = SocketAddr::from((Ipv4Addr::LOCALHOST, process.port));
        let mut exited = process.child.exited();
        let mut is_given_open = self.tried_ports.contains(&process.port);
        let (begun, mut looked) = (Instant::now(), None::<Instant>);
        loop {
            let opens = !is_given_open && accepts(&process.host, process.port).await;
            is_given_open |= opens;
            if opens || looked.is_none_or(|looked| looked.elapsed() >= LOOK_INTERVAL) {
                looked = Some(Instant::now());
                match self.process.sockets().await {
                    Some(sockets) => {
                        let mut open: Vec<_> = sockets.iter().filter_map(reachable).collect();
                        open.retain(|socket| !self.tried_ports.contains(&socket.port()));
                        open.sort_by_key(|socket| socket.port() != process.port);
                        if let Some(socket) = open.first() {
                            return Ok(*socket);
                        }
                    }
                    None if opens => return Ok(given),
                    None => {}
                }
            }
            if !self.refusals.is_empty() && begun.elapsed() >= MORE_PORTS {
                let is_final = self.known_refusal.is_some() || self.refused_since.is_none();
                if is_final || !self.has_time(MORE_PORTS) {
                    return Err(self.refused_everywhere());
                }
                self.tried_ports.clear();
                self.refusals.clear();
                is_given_open = false;
            }
            tokio::select! {
                _ = exited.wait() => return Err(self.exited()),
                () = sleep(TRY_INTERVAL) => {}
            }
        }
    }

    /// Awaits a handshake at the present address.
    pub(in super::super) async fn attempt(
        &self,
        handshake: impl Future<Output = Result<Handshake, ProofFailure>>,
    ) -> Result<Handshake, ProofFailure> {
        if self.port == self.process.process.port {
            return handshake.await;
        }
        let late = |_| {
            Err(ProofFailure::Late {
                missing: "no response to a handshake".to_owned(),
                limit: OTHER_PORT_TIMEOUT,
                advice: None,
            })
        };
        timeout(OTHER_PORT_TIMEOUT, handshake)
            .await
            .unwrap_or_else(late)
    }

    /// Checks that the process owns the port of the present address, at which it has shaken hands. Returns its socket if
    /// other machines reach it.
    pub(in super::super) async fn confirm(&self) -> Result<Option<SocketAddr>, ProofFailure> {
        let sockets = self.process.own_sockets(self.port).await?;
        let path = self.process.link.0.url().path().to_owned();
        *locked(self.known_path) = Some(path);
        Ok(sockets
            .into_iter()
            .find(|socket| socket.ip().is_unspecified()))
    }

    fn exited(&self) -> ProofFailure {
        if self.refused_since.is_some() {
            ProofFailure::Lost("initialize")
        } else {
            ProofFailure::NotListening(None)
        }
    }

    /// Returns true if an address can be asked once more after `pause`.
    fn has_time(&self, pause: Duration) -> bool {
        self.begun.elapsed() + 2 * pause < self.limit
    }

    /// Returns a note on refusals that last, once.
    pub(in super::super) fn note(&mut self) -> Option<String> {
        if self.is_noted || self.refused_since?.elapsed() < NOTE_AFTER {
            return None;
        }
        let refusal = self.process.link.0.refusal()?;
        self.is_noted = true;
        Some(format!(
            "the server {refusal}; it is asked again for {} s, since it may still be starting",
            self.limit.saturating_sub(self.begun.elapsed()).as_secs()
        ))
    }

    /// Records the refusal at the present address; returns it as the error unless another address may be right, or the
    /// server may answer later.
    pub(in super::super) fn refused(&mut self, failure: ProofFailure) -> Result<(), ProofFailure> {
        let link = &self.process.link.0;
        let refusal = link.refusal();
        let status = refusal.as_ref().and_then(|refusal| refusal.status);
        let is_auto = self.process.address.is_auto();
        let advice = status.and_then(|status| advice(status, is_auto));
        let is_temporary = status.is_some_and(is_temporary);
        if is_temporary {
            self.refused_since.get_or_insert_with(Instant::now);
            if !is_auto && self.has_time(ASK_AGAIN) {
                return Ok(());
            }
        }
        match (refusal, advice) {
            (Some(refusal), Some(advice))
                if !is_auto || (!is_of_path(refusal.status) && self.known_refusal.is_none()) =>
            {
                return Err(ProofFailure::Refused(refusal.reason, advice));
            }
            (Some(refusal), None) if !is_auto && is_temporary => {
                return Err(ProofFailure::Late {
                    missing: format!("it {refusal}"),
                    limit: self.limit,
                    advice: None,
                });
            }
            _ if !is_auto => return Err(failure),
            (refusal, _) => {
                let error = refusal.or_else(|| link.last_error());
                let status = error.as_ref().and_then(|error| error.status);
                let how = match (status, error) {
                    (Some(status), _) => format!("HTTP {}", status.as_u16()),
                    (None, Some(error)) => error.reason,
                    (None, None) => failure.reason("ended"),
                };
                self.refusals.push(format!("{} ({how})", link.shown()));
                if status.is_some_and(is_of_code) && self.is_at_known_path() {
                    self.known_refusal = Some(format!(
                        "answers the handshake at {} with {how}",
                        link.shown()
                    ));
                }
            }
        }
        Ok(())
    }

    /// Returns true if a generation before shook hands at the path of the present address.
    fn is_at_known_path(&self) -> bool {
        let url = self.process.link.0.url();
        locked(self.known_path).as_deref() == Some(url.path())
    }

    fn refused_everywhere(&self) -> ProofFailure {
        if let Some(reason) = &self.known_refusal {
            return ProofFailure::Wrong(reason.clone());
        }
        let reason = format!(
            "answers no handshake at the usual paths: {}",
            self.refusals.join(", ")
        );
        ProofFailure::Refused(reason, PATH_ADVICE.to_owned())
    }
}

/// Returns how a start can be described that took too long because of a refusal, and advice; `None` if the refusal is
/// final.
pub(super) fn late(refusal: &LinkError, is_auto: bool) -> Option<(String, Option<String>)> {
    let status = refusal.status.filter(|status| is_temporary(*status))?;
    let advice = match status {
        StatusCode::NOT_FOUND if is_auto => Some(PATH_ADVICE.to_owned()),
        _ => advice(status, is_auto),
    };
    Some((format!("it {refusal}"), advice))
}

const PATH_ADVICE: &str =
    "name the server's own path, as in `--url 'http://127.0.0.1:{port}/PATH'`";

/// Returns true for the status of a server that may still be starting: it may not have its routes, or wait for others.
fn is_temporary(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_FOUND
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Returns true for the status of code that fails, and not for lack of a route or of time.
fn is_of_code(status: StatusCode) -> bool {
    status.is_server_error() && !is_temporary(status)
}

/// Returns true if the server may shake hands at another path.
fn is_of_path(status: Option<StatusCode>) -> bool {
    !matches!(
        status,
        Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST)
    )
}

/// Returns the advice on a handshake that was refused with `status`, if the remedy is known.
fn advice(status: StatusCode, is_auto: bool) -> Option<String> {
    Some(match status {
        StatusCode::UNAUTHORIZED => {
            "the server asks for authorization, such as OAuth: name its token in `headers` beside `url`, or start it \
             without authorization during development"
                .to_owned()
        }
        StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST => {
            "the server may admit other hosts only: add `127.0.0.1` with any port to its allowed hosts".to_owned()
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED if !is_auto => {
            "the server's path may be another one: correct `url`, or use `--url auto`, which tries the usual paths"
                .to_owned()
        }
        _ => return None,
    })
}
