//! Runs the command that must succeed before a generation starts. Its stdin is empty and its output becomes
//! events, since the proxy's stdin and stdout belong to the client.

use super::lines::OutputTail;
use super::process_group::ProcessStatus;
use super::reaper::Reaper;
use super::resolve::{self, SpawnError};
use super::run_command::{self, CommandResult};
use crate::config::ServerSpec;
use crate::event::{Event, EventSender};

/// Reason why a build failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildFailure {
    #[error(transparent)]
    Start(#[from] SpawnError),
    #[error("the build of server {server} exited with {status}")]
    Failed {
        server: String,
        status: ProcessStatus,
        /// Last lines of its output.
        tail: OutputTail,
    },
}

/// Runs `command` in a shell; each line of output becomes an [`Event::BuildOutput`]. All processes it started are
/// killed when it ends or when the future is dropped.
pub(crate) async fn run(
    spec: &ServerSpec,
    command: &str,
    events: &EventSender,
    reaper: &Reaper,
) -> Result<(), BuildFailure> {
    let (server, sender) = (spec.name.clone(), events.clone());
    let on_line = move |line| {
        let server = server.clone();
        sender.send(Event::BuildOutput { server, line });
    };
    let shell = resolve::shell_command(spec, command)?;
    let ended = run_command::run(shell, reaper, on_line).await;
    let CommandResult { status, tail } = ended.map_err(|error| SpawnError::other(spec, error))?;
    if status.success() {
        return Ok(());
    }
    let server = spec.name.clone();
    Err(BuildFailure::Failed {
        server,
        status,
        tail,
    })
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use crate::transport::test_support::{events, sh, soon, tag, until_living};

    #[tokio::test]
    async fn the_output_of_both_streams_is_told_in_order() {
        let (events, heard) = events();
        let script = "echo out; echo err >&2; echo out again; cat; printf end";
        soon(run(&sh(""), script, &events, &Reaper::absent()))
            .await
            .unwrap();
        let lines = heard.try_iter().map(|it| match it.event {
            Event::BuildOutput { server, line } if server == "weather" => line,
            other => panic!("{other:?}"),
        });
        assert_eq!(
            lines.collect::<Vec<_>>(),
            ["out", "err", "out again", "end"]
        );
    }

    #[tokio::test]
    async fn a_failure_has_the_status_and_the_tail() {
        let script = "echo compiling; echo 'no such type' >&2; sleep 300 & exit 2";
        let spec = sh("");
        let failure = soon(run(
            &spec,
            script,
            &EventSender::silent(),
            &Reaper::absent(),
        ))
        .await;
        let failure = failure.unwrap_err();
        assert_eq!(
            failure.to_string(),
            "the build of server weather exited with status 2"
        );
        let BuildFailure::Failed { tail, .. } = failure else {
            panic!("{failure:?}");
        };
        assert_eq!(tail.last(9), ["compiling", "no such type"]);
        until_living(&tag(&spec), 0).await;
    }

    #[tokio::test]
    async fn dropping_a_build_kills_all_of_it() {
        let spec = sh("");
        let tag = tag(&spec);
        let (events, silent) = (EventSender::silent(), Reaper::absent());
        let building = run(&spec, "sh -c 'sleep 300; true'; true", &events, &silent);
        tokio::select! {
            built = building => panic!("{built:?}"),
            () = until_living(&tag, 3) => {}
        }
        until_living(&tag, 0).await;
    }
}
