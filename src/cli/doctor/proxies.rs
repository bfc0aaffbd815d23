//! Checks of this user's proxies: those that died, their processes, and addresses.

use std::net::TcpListener;

use super::report::Finding;
use crate::front::http::{Address, is_in_use};
use crate::state::{Run, StateDirectory, runs};
use crate::transport::process_table::left_processes;

const CHECK: &str = "proxies";

/// Returns findings about proxies that died, and about processes that they left.
pub(super) fn findings() -> Vec<Finding> {
    let runs = match StateDirectory::of_user().and_then(|directory| runs(&directory)) {
        Ok(runs) => runs,
        Err(error) => {
            let advice = "`mcp-proxy status` and `logs` need the directory; servers run without it";
            return vec![Finding::problem("state", error.to_string()).advice(advice)];
        }
    };
    let (running, died): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(|run| run.is_running);
    let mut findings = vec![Finding::good(CHECK, format!("{} running", running.len()))];
    findings.extend(died.iter().map(|run| {
        let (pid, project) = (run.record.pid, &run.record.project);
        let text = format!("pid {pid} in {project}: {}", run.record.reason_of_death());
        Finding::note(CHECK, text).advice(format!("see `mcp-proxy logs --pid {pid}`"))
    }));
    findings.extend(left_processes().into_iter().map(|(pid, proxy)| {
        let text = format!("process {pid} was left by the proxy with pid {proxy}, which has ended");
        Finding::problem(CHECK, text).advice(format!("run kill {pid}"))
    }));
    findings
}

/// Returns the finding about an address to listen at.
pub(super) fn address(address: &Address) -> Finding {
    const CHECK: &str = "http";
    let at = match address {
        Address::Tcp(at) => at,
        Address::Unix(path) => {
            let shown = path.display();
            return match is_in_use(path) {
                Ok(true) => Finding::problem(CHECK, format!("{shown} is in use"))
                    .advice("end the program that listens there, or name another socket"),
                Ok(false) => Finding::good(CHECK, format!("{shown} is free")),
                Err(error) => Finding::problem(CHECK, format!("cannot listen at {shown}: {error}")),
            };
        }
    };
    match TcpListener::bind(at) {
        Ok(_) => Finding::good(CHECK, format!("{at} is free")),
        Err(error) => Finding::problem(CHECK, format!("cannot listen at {at}: {error}"))
            .advice("name another port with --http, or end the program that listens there"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Severity;
    use super::*;

    #[test]
    fn a_taken_address_is_a_problem() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = taken.local_addr().unwrap();
        let severity = || address(&Address::Tcp(at)).severity;
        assert_eq!(severity(), Severity::Problem);
        drop(taken);
        assert_eq!(severity(), Severity::Good);
    }
}
