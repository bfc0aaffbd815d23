//! Process behind a generation that is linked by HTTP: one that runs already, if it meets the demand, or a new one.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::super::candidate::Candidate;
use super::super::process::spawn_failure;
use super::super::report::ServerContext;
use super::super::serving_process::{ServingProcess, own_watcher};
use super::{ProcessDemand, accepts};
use crate::command_line::inner_watcher::InnerWatcher;
use crate::config::ProcessAddress;
use crate::event::{Event, Failure, NextTry};
use crate::lock::locked;
use crate::transport::child;
use crate::transport::listening_ports::{listening_sockets, own_sockets};
use crate::transport::process_port::ProcessPort;
use crate::warm::{StandbyUse, StartedProcess};

/// Process behind a generation.
pub(super) struct ChosenProcess {
    pub(super) process: Arc<ServingProcess>,
    /// Demand that it meets; `New` if it was started for the generation.
    pub(super) demand: ProcessDemand,
    pub(super) standby: StandbyUse,
}

/// Returns a process for the candidate. It is a standby only if there is one and `cold` is false.
pub(super) async fn process_for(
    candidate: &Candidate,
    address: &ProcessAddress,
    cold: bool,
) -> Result<ChosenProcess, Failure> {
    if let Some(process) = living(candidate).await {
        return Ok(ChosenProcess {
            process,
            demand: candidate.demand,
            standby: StandbyUse::default(),
        });
    }
    spawn(candidate, address, cold).await
}

/// Returns the process that runs already if it can meet the demand; otherwise ends it.
async fn living(candidate: &Candidate) -> Option<Arc<ServingProcess>> {
    let (shared, demand) = (&candidate.shared, candidate.demand);
    let kept = locked(&shared.kept_process).clone();
    let process = kept.or_else(|| candidate.lasting.upgrade())?;
    let may_serve = demand != ProcessDemand::New && process.may_serve(&candidate.context.spec);
    let may_serve = match demand {
        ProcessDemand::Lost(time) if may_serve => process.recovers(time).await,
        ProcessDemand::Saved(save) if may_serve => process.reacts(save).await,
        _ => may_serve,
    };
    if may_serve {
        return Some(process);
    }
    *locked(&shared.kept_process) = None;
    process.child.end().await;
    None
}

/// Starts a process on a port. One that reloads itself is kept for later generations, and has no standby.
async fn spawn(
    candidate: &Candidate,
    address: &ProcessAddress,
    cold: bool,
) -> Result<ChosenProcess, Failure> {
    let (context, number) = (&candidate.context, candidate.number);
    let (resources, spec) = (&context.resources, &context.spec);
    let failed = |reason: String| Failure::new(number, format!("cannot be started: {reason}"));
    let port = ProcessPort::of(address);
    let port = port.map_err(|error| failed(format!("no port is free: {error}")))?;
    let remote = address.on_port(port.number());
    let remote = remote.map_err(|error| failed(error.to_string()))?;
    let host = remote.url.host_str().unwrap_or("127.0.0.1").to_owned();
    check(context, address, number, &host, port.number()).await?;
    let watcher = own_watcher(spec);
    let started = if watcher.is_some() {
        let port = port.release();
        let spec = spec.on_port(port);
        StartedProcess {
            child: child::spawn(&spec, number, &resources.events, &resources.reaper),
            port: Some(port),
            standby: StandbyUse::default(),
        }
    } else {
        let warm = &candidate.shared.warm;
        warm.start(spec, Some(port), number, cold).await
    };
    let child = started.child;
    let child = child.map_err(|error| spawn_failure(number, &error))?;
    resources.events.send(Event::Spawned {
        server: spec.name.clone(),
        generation: number,
        pid: child.pid(),
    });
    if number == 1 {
        tell_reload(context, address, watcher.as_ref());
    }
    let port = started.port.unwrap_or_default();
    let process = ServingProcess::new(child, spec.clone(), host, port, watcher.as_ref());
    let process = Arc::new(process);
    if watcher.is_some() {
        *locked(&candidate.shared.kept_process) = Some(process.clone());
    }
    Ok(ChosenProcess {
        process,
        demand: ProcessDemand::New,
        standby: started.standby,
    })
}

/// Returns the failure of generation `number` if its process could not listen on this port.
async fn check(
    context: &ServerContext,
    address: &ProcessAddress,
    number: u64,
    host: &str,
    port: u16,
) -> Result<(), Failure> {
    let failed = |reason: String| Failure::new(number, format!("cannot be started: {reason}"));
    if accepts(host, port).await {
        let (owner, advice) = owner(port).await;
        return Err(Failure {
            advice: Some(advice),
            next_try: NextTry::Call,
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
    Ok(())
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
