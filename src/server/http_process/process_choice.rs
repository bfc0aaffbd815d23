//! Process behind a generation that is linked by HTTP: one that runs already, if it meets the demand, or a new one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::super::candidate::Candidate;
use super::super::process::spawn_failure;
use super::super::report::ServerContext;
use super::super::serving_process::{ServingProcess, own_watcher};
use super::{ProcessDemand, accepts};
use crate::command_line::inner_watcher::InnerWatcher;
use crate::config::ProcessAddress;
use crate::event::{Event, Failure};
use crate::lock::locked;
use crate::transport::child;
use crate::transport::listening_ports::{listening_sockets, own_sockets};

/// Returns a process for the candidate, and the demand that it meets; `New` if it was started for the candidate.
pub(super) async fn process_for(
    candidate: &Candidate,
    address: &ProcessAddress,
) -> Result<(Arc<ServingProcess>, ProcessDemand), Failure> {
    match living(candidate).await {
        Some(process) => Ok((process, candidate.demand)),
        None => Ok((spawn(candidate, address).await?, ProcessDemand::New)),
    }
}

/// Returns the process that runs already if it can meet the demand; otherwise ends it.
async fn living(candidate: &Candidate) -> Option<Arc<ServingProcess>> {
    let (shared, demand) = (&candidate.shared, candidate.demand);
    let kept = locked(&shared.kept_process).clone();
    let process = kept.or_else(|| candidate.lasting.upgrade())?;
    let may_serve = demand != ProcessDemand::New && process.may_serve(&candidate.context.spec);
    let may_serve = match demand {
        ProcessDemand::Lost(time) if may_serve => process.recovers(time).await,
        _ => may_serve,
    };
    if may_serve {
        return Some(process);
    }
    *locked(&shared.kept_process) = None;
    process.child.end().await;
    None
}

/// Starts a process on a port. One that reloads itself is kept for later generations.
async fn spawn(
    candidate: &Candidate,
    address: &ProcessAddress,
) -> Result<Arc<ServingProcess>, Failure> {
    let (context, number) = (&candidate.context, candidate.number);
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
    let watcher = own_watcher(&context.spec);
    let (resources, spec) = (&context.resources, context.spec.on_port(port));
    let child = child::spawn_logging(&spec, number, &resources.events, &resources.reaper);
    let child = child.map_err(|error| spawn_failure(number, &error))?;
    resources.events.send(Event::Spawned {
        server: context.spec.name.clone(),
        generation: number,
        pid: child.pid(),
    });
    if number == 1 {
        tell_reload(context, address, watcher.as_ref());
    }
    let spec = context.spec.clone();
    let process = ServingProcess::new(child, spec, host, port, watcher.as_ref());
    let process = Arc::new(process);
    if watcher.is_some() {
        *locked(&candidate.shared.kept_process) = Some(process.clone());
    }
    Ok(process)
}

/// Notes how a save is loaded, unless by a new process beside the old one.
fn tell_reload(context: &ServerContext, address: &ProcessAddress, watcher: Option<&InnerWatcher>) {
    let message = match (watcher, address.fixed_port()) {
        (Some(watcher), _) => watcher.note(),
        (None, Some(port)) => format!(
            "a save stops the old process first, because each start uses port {port}; with {{port}} in place of {port} \
             in the URL and the command, the old process serves until the new one works"
        ),
        (None, None) => return,
    };
    context.resources.events.send(Event::WatchNote {
        server: context.spec.name.clone(),
        message,
    });
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

/// Returns a port on which nothing listens at the moment.
pub(super) fn free_port() -> std::io::Result<u16> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(socket.local_addr()?.port())
}
