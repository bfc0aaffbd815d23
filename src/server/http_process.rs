//! Generation that runs as a process and serves HTTP on a port of this machine: its exit, or the loss of the link to it,
//! ends the generation. Nothing counts as its answer until the process is known to own the port.

mod address_search;
mod process_choice;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::backend::{Backend, HttpProcess, LinkGuard};
use super::candidate::Candidate;
use super::connection::Connection;
use super::generation::RunningGeneration;
use super::handshake::ProofFailure;
use super::link::Link;
use super::link_reader::{LinkEnd, LinkReader, ProcessExit};
use super::serving_process::{REACTION, ServingProcess};
use crate::bridge::Identity;
use crate::config::ProcessAddress;
use crate::event::Failure;
use crate::transport::http::{HttpLink, LinkError};
use crate::transport::listening_ports::{all_listen_on, listening_sockets, listens_on};
use crate::warm::StandbyUse;
pub(super) use address_search::AddressSearch;
use address_search::late;
use process_choice::ChosenProcess;

/// Interval at which the port is tried.
const TRY_INTERVAL: Duration = Duration::from_millis(10);
/// Time limit for a connection to a port of this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time after which the owner of the port is looked up again: a process may hand its socket to a child.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// Interval at which an instance that may end for a reload of its own is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Reason for a start, as far as a process that runs already may meet it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessDemand {
    /// Any process.
    Any,
    /// A process that has loaded the save at this time.
    Saved(Instant),
    /// The process to which the link was lost at this time, with the instance that runs within it from then on.
    Lost(Instant),
    /// A new process.
    New,
}

/// Links the generation to a process on its port, a standby only if `cold` is false, and starts the tasks that read its
/// messages. Its end is reported as [`Report::Ended`](super::report::Report::Ended).
pub(super) async fn start(
    candidate: &Candidate,
    address: &ProcessAddress,
    identity: Identity,
    cold: bool,
) -> Result<(RunningGeneration, StandbyUse), Failure> {
    let since = Instant::now();
    let (context, number) = (&candidate.context, candidate.number);
    let failed = |reason: String| Failure::new(number, format!("cannot be started: {reason}"));
    let ChosenProcess {
        process,
        demand,
        standby,
    } = process_choice::process_for(candidate, address, cold).await?;
    let remote = address.on_port(process.port);
    let remote = remote.map_err(|error| failed(error.to_string()))?;
    let resources = &context.resources;
    let opened = HttpLink::open(&remote, &resources.http, resources.max_message);
    let (link, incoming) = opened.map_err(|error| failed(error.reason))?;
    let connection = Arc::new(Connection::new(
        context.spec.name.as_str().into(),
        number,
        Link::HttpProcess(link.clone()),
        candidate.client.clone(),
        identity,
        context.notices.clone(),
    ));
    let exit = ProcessExit::of(&process.child);
    let (instance, of_instance) = watch::channel(BTreeSet::new());
    let end = LinkWatch {
        connection: connection.clone(),
        exit: exit.clone(),
        link: link.clone(),
        reloads_itself: process.reloads_itself(),
    };
    let reader = LinkReader::new(context, &connection, Some(exit));
    tokio::spawn(reader.run(link.clone(), incoming, end.ended(of_instance)));
    let backend = Backend::HttpProcess(HttpProcess {
        process,
        link: LinkGuard(link),
        address: address.clone(),
        demand,
        instance,
    });
    let running = RunningGeneration {
        connection,
        backend,
        since,
    };
    Ok((running, standby))
}

/// Link to a process, which ends before the process, or with it.
struct LinkWatch {
    connection: Arc<Connection>,
    exit: ProcessExit,
    link: HttpLink,
    reloads_itself: bool,
}

impl LinkWatch {
    /// Waits until the process exits, its session or the link to it is lost, or its `instance` ends. Nothing is sent
    /// from then on.
    async fn ended(self, instance: watch::Receiver<BTreeSet<u32>>) -> LinkEnd {
        let link = &self.link;
        let lost = tokio::select! {
            () = self.exit.exited() => None,
            error = link.lost() => Some(error),
            () = instance_ended(instance, link) => {
                Some(LinkError::from("no longer listens on its port".to_owned()))
            }
        };
        self.connection.reject_new();
        if self.reloads_itself {
            // The instance may wait for their end.
            link.end_streams();
        }
        let is_session_lost = lost.as_ref().is_some_and(|error| error.is_session_lost);
        // The loss of the link is often the first sign of an exit.
        let exited = if is_session_lost {
            None
        } else {
            self.exit.soon().await
        };
        let runs_on = exited.is_none() && (is_session_lost || self.reloads_itself);
        let (how, stderr) = exited.unzip();
        let error = how.map(LinkError::from).or(lost);
        LinkEnd {
            error: error.unwrap_or_else(|| LinkError::from("exited".to_owned())),
            stderr: stderr.unwrap_or_default(),
            may_answer: runs_on && !link.has_one_stream(),
            runs_on,
        }
    }
}

/// Waits until a process of the `instance`, once that has proved itself, no longer listens on the port of the link. Its
/// calls in flight may still be answered.
async fn instance_ended(mut instance: watch::Receiver<BTreeSet<u32>>, link: &HttpLink) {
    let proven = instance.wait_for(|pids| !pids.is_empty()).await;
    let proven = proven.map(|pids| pids.clone());
    let (Ok(pids), Some(port)) = (proven, link.url().port_or_known_default()) else {
        return std::future::pending().await;
    };
    loop {
        sleep(LOOK_INTERVAL).await;
        let pids = pids.clone();
        let looked = spawn_blocking(move || all_listen_on(&pids, port)).await;
        if let Ok(Some(false)) = looked {
            return;
        }
    }
}

/// Returns true if a process accepts connections on the port.
async fn accepts(host: &str, port: u16) -> bool {
    let connect = TcpStream::connect((host.trim_matches(['[', ']']), port));
    let Ok(Ok(stream)) = timeout(CONNECT_TIMEOUT, connect).await else {
        return false;
    };
    if is_connected_to_itself(&stream) {
        // Closed by a reset, after which the server can listen on the port at once.
        let _ = stream.set_zero_linger();
        return false;
    }
    true
}

/// Returns true if the system gave the client's end the port that it connects to, which no process listens on.
fn is_connected_to_itself(stream: &TcpStream) -> bool {
    let (local, peer) = (stream.local_addr().ok(), stream.peer_addr().ok());
    local.is_some() && local == peer
}

impl HttpProcess {
    /// Awaits `handshake` of the instance that the generation needs, as long as there may be one.
    pub(super) async fn await_instance<T>(
        &self,
        handshake: impl Future<Output = Result<T, ProofFailure>>,
    ) -> Result<T, ProofFailure> {
        let process = &self.process;
        if !process.reloads_itself() {
            return handshake.await;
        }
        if let ProcessDemand::Saved(save) = self.demand {
            process.renewed(save).await?;
        }
        let failed = async {
            match self.demand {
                ProcessDemand::Saved(save) => tokio::select! {
                    failure = process.ended_again(save) => failure,
                    failure = process.kept_code(save) => failure,
                },
                ProcessDemand::Lost(time) => {
                    let time = time.checked_sub(REACTION).unwrap_or(time);
                    process.ended_again(time).await
                }
                ProcessDemand::New => process.stalled().await,
                ProcessDemand::Any => std::future::pending().await,
            }
        };
        // A watcher may hold the port open, and so the handshake, when its server has ended.
        tokio::select! {
            biased;
            done = handshake => done,
            failure = failed => Err(failure),
        }
    }

    /// Records that the generation has proved itself: the end of its instance is its own end from now on.
    pub(super) async fn record_proof(&self) {
        let port = self.link.0.url().port_or_known_default();
        let listeners = self.process.record_proof(port.unwrap_or(self.process.port));
        self.instance.send_replace(listeners.await);
    }

    /// Waits until the process accepts connections on its port.
    async fn listening(&self) -> Result<(), ProofFailure> {
        let mut exited = self.process.child.exited();
        while !accepts(&self.process.host, self.process.port).await {
            tokio::select! {
                _ = exited.wait() => return Err(ProofFailure::NotListening(Some(self.process.port))),
                () = sleep(TRY_INTERVAL) => {}
            }
        }
        Ok(())
    }

    /// Checks that the port belongs to the process or a descendant: another process may have taken it meanwhile, and
    /// servers move to the next port, or exit, if theirs is taken. Returns the sockets on the port.
    async fn own_sockets(&self, port: u16) -> Result<Vec<SocketAddr>, ProofFailure> {
        let Some(mut sockets) = self.sockets().await else {
            return Ok(Vec::new());
        };
        let is_own = |socket: &SocketAddr| socket.port() == port;
        if !sockets.iter().any(is_own) {
            sleep(LOOK_AGAIN).await;
            sockets = self.sockets().await.unwrap_or_default();
        }
        if sockets.iter().any(is_own) {
            sockets.retain(is_own);
            return Ok(sockets);
        }
        Err(ProofFailure::Wrong(match sockets.first() {
            Some(other) => {
                let other = other.port();
                format!("listens on port {other}, not on {port}, which another process has")
            }
            None => format!("does not listen on port {port}; another process does"),
        }))
    }

    /// Returns how a start can be described that took too long with `missing`, and advice.
    pub(super) async fn missed(&self, missing: String) -> (String, Option<String>) {
        let ServingProcess { host, port, .. } = &*self.process;
        if let Some(pid) = self.process.awaited_end().await {
            let missing = format!(
                "its own reload waits for the end of process {pid}, which no longer listens: a call in flight, or \
                 another program that is connected to it, may keep it"
            );
            return (missing, None);
        }
        if accepts(host, *port).await {
            let refusal = self.link.0.refusal();
            let late = refusal.and_then(|refusal| late(&refusal, self.address.is_auto()));
            return late.unwrap_or((missing, None));
        }
        let sockets = self.sockets().await.unwrap_or_default();
        let is_auto = self.address.is_auto();
        let at_port = sockets.iter().find(|socket| socket.port() == *port);
        if let (Some(other), false) = (at_port, is_auto) {
            return (
                format!("it listens on {other}, not on {host}:{port}"),
                Some(format!(
                    "correct the host of `url`: it listens on {}",
                    other.ip()
                )),
            );
        }
        match (sockets.is_empty(), is_auto) {
            (false, true) => (missing, None),
            (true, true) => (
                format!("nothing listens on port {port}, which it was given in the variable PORT"),
                None,
            ),
            (true, false) => (format!("nothing listens on port {port}"), None),
            (false, false) => (
                format!("it {}, not on {port}", listens_on(&sockets)),
                Some(
                    "let the server take its port from {port} in the command or from the variable PORT, or use `--url \
                     auto` (`url = \"auto\"` in the configuration), which finds the port of its choice"
                        .to_owned(),
                ),
            ),
        }
    }

    async fn sockets(&self) -> Option<Vec<SocketAddr>> {
        let pid = self.process.child.pid();
        spawn_blocking(move || listening_sockets(pid)).await.ok()?
    }
}

/// Returns the address at which this machine reaches a listening socket; `None` for a socket on a network.
fn reachable(socket: &SocketAddr) -> Option<SocketAddr> {
    let ip = socket.ip();
    let ip = if ip.is_unspecified() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        ip.to_canonical()
    };
    ip.is_loopback().then(|| SocketAddr::new(ip, socket.port()))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::net::TcpListener;

    use tokio::net::TcpSocket;

    use super::*;
    use crate::transport::process_port::ProcessPort;

    #[tokio::test]
    async fn a_connection_to_itself_is_recognised() {
        let port = ProcessPort::reserve().unwrap().release();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let stream = socket.connect(address).await.unwrap();
        assert!(is_connected_to_itself(&stream));
        stream.set_zero_linger().unwrap();
        drop(stream);

        let listener = TcpListener::bind(address).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        assert!(!is_connected_to_itself(&stream.await.unwrap()));
    }
}
