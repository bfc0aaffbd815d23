//! Generation that runs as a process and serves HTTP on a port of this machine: its exit, or the loss of the link to it,
//! ends the generation. Nothing counts as its answer until the process is known to own the port.

mod address_search;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::backend::{Backend, HttpProcess, LinkGuard};
use super::connection::{Client, Connection};
use super::generation::RunningGeneration;
use super::handshake::ProofFailure;
use super::link::Link;
use super::link_reader::{LinkEnd, LinkReader, ProcessExit};
use super::process::spawn_failure;
use super::report::ServerContext;
use super::serving_process::ServingProcess;
use crate::bridge::Identity;
use crate::config::ProcessAddress;
use crate::event::{Event, Failure};
use crate::transport::child;
use crate::transport::http::{HttpLink, LinkError};
use crate::transport::listening_ports::{listening_sockets, listens_on, own_sockets};
pub(super) use address_search::AddressSearch;
use address_search::late;

/// Interval at which the port is tried.
const TRY_INTERVAL: Duration = Duration::from_millis(10);
/// Time limit for a connection to a port of this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time after which the owner of the port is looked up again: a process may hand its socket to a child.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// Starts a process on its port, or takes `lasting`, whose last session was lost, and starts the tasks that read its
/// messages. Its end is reported as [`Report::Ended`](super::report::Report::Ended).
pub(super) async fn start(
    context: &ServerContext,
    address: &ProcessAddress,
    lasting: Option<Arc<ServingProcess>>,
    number: u64,
    client: Arc<dyn Client>,
    identity: Identity,
) -> Result<RunningGeneration, Failure> {
    let since = Instant::now();
    let failed = |reason: String| Failure::new(number, format!("cannot be started: {reason}"));
    let process = match lasting {
        Some(process) => process,
        None => spawn(context, address, number).await?,
    };
    let remote = address.on_port(process.port);
    let remote = remote.map_err(|error| failed(error.to_string()))?;
    let resources = &context.resources;
    let opened = HttpLink::open(&remote, &resources.http, resources.max_message);
    let (link, incoming) = opened.map_err(|error| failed(error.reason))?;
    let connection = Arc::new(Connection::new(
        context.spec.name.as_str().into(),
        number,
        Link::HttpProcess(link.clone()),
        client,
        identity,
        context.notices.clone(),
    ));
    let exit = ProcessExit::of(&process.child);
    let end = end(connection.clone(), exit.clone(), link.clone());
    let reader = LinkReader::new(context, &connection, Some(exit));
    tokio::spawn(reader.run(link.clone(), incoming, end));
    Ok(RunningGeneration {
        connection,
        backend: Backend::HttpProcess(HttpProcess {
            process,
            link: LinkGuard(link),
            address: address.clone(),
        }),
        since,
    })
}

/// Starts a process on a port.
async fn spawn(
    context: &ServerContext,
    address: &ProcessAddress,
    number: u64,
) -> Result<Arc<ServingProcess>, Failure> {
    let failed = |reason: String| Failure::new(number, format!("cannot be started: {reason}"));
    let port = match address.fixed_port() {
        Some(port) => port,
        None => free_port().map_err(|error| failed(format!("no port is free: {error}")))?,
    };
    let remote = address.on_port(port);
    let remote = remote.map_err(|error| failed(error.to_string()))?;
    let host = remote.url.host_str().unwrap_or("127.0.0.1").to_owned();
    if accepts(&host, port).await {
        let (owner, advice) = owner(port).await;
        return Err(Failure {
            advice: Some(advice),
            passing: true,
            ..failed(format!("{owner} listens on port {port}"))
        });
    }
    if address.has_own_ports() && context.spec.hides_port() {
        return Err(Failure {
            advice: Some(
                "remove PORT from `env`, or write {port} as its value; or name that port in `url`"
                    .to_owned(),
            ),
            ..failed("its `env` sets PORT, so that it does not get the port of `url`".to_owned())
        });
    }
    let resources = &context.resources;
    if address.fixed_port().is_some() && number == 1 {
        resources.events.send(Event::WatchNote {
            server: context.spec.name.clone(),
            message: format!(
                "a save stops the old process first, because each start uses port {port}; with {{port}} in place of \
                 {port} in the URL and the command, the old process serves until the new one works"
            ),
        });
    }
    let spec = context.spec.on_port(port);
    let child = child::spawn_logging(&spec, number, &resources.events, &resources.reaper);
    let child = child.map_err(|error| spawn_failure(number, &error))?;
    resources.events.send(Event::Spawned {
        server: context.spec.name.clone(),
        generation: number,
        pid: child.pid(),
    });
    Ok(Arc::new(ServingProcess { child, host, port }))
}

/// Returns the owner of a port that is taken, and advice.
async fn owner(port: u16) -> (&'static str, String) {
    let is_on_port = |sockets: Option<Vec<SocketAddr>>| {
        let mut sockets = sockets.into_iter().flatten();
        sockets.any(|socket| socket.port() == port)
    };
    let own = std::process::id();
    let found = spawn_blocking(move || (own_sockets(), listening_sockets(own))).await;
    let (proxy, tree) = found.unwrap_or_default();
    let own_ports = format!(
        "write {{port}} in place of {port} in `url` and in the command: each start then gets a port of its own"
    );
    if is_on_port(proxy) {
        let advice = format!("choose another port for `--http` than {port}, or {own_ports}");
        return ("the proxy itself", advice);
    }
    if is_on_port(tree) {
        return (
            "another process of this proxy, such as that of another session,",
            own_ports,
        );
    }
    (
        "another process",
        format!("stop that process, or {own_ports}"),
    )
}

/// Waits until the process exits, or its session or the link to it is lost. Nothing is sent from then on.
async fn end(connection: Arc<Connection>, exit: ProcessExit, link: HttpLink) -> LinkEnd {
    let lost = tokio::select! {
        () = exit.exited() => None,
        error = link.lost() => Some(error),
    };
    connection.reject_new();
    if let Some(error) = lost.clone().filter(|error| error.is_session_lost) {
        return LinkEnd {
            error,
            stderr: Vec::new(),
            may_answer: true,
        };
    }
    // The loss of the link is often the first sign of an exit.
    let (how, stderr) = exit.soon().await.unzip();
    let error = how.map(LinkError::from).or(lost);
    LinkEnd {
        error: error.unwrap_or_else(|| LinkError::from("exited".to_owned())),
        stderr: stderr.unwrap_or_default(),
        may_answer: false,
    }
}

/// Returns a port on which nothing listens at the moment.
fn free_port() -> std::io::Result<u16> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(socket.local_addr()?.port())
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
mod tests {
    use tokio::net::TcpSocket;

    use super::*;

    #[cfg(unix)]
    #[tokio::test]
    async fn a_connection_to_itself_is_recognised() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
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
