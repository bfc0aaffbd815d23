//! Classifies events for people by server and by verbosity.

use super::Verbosity;
use crate::event::Event;

/// Name shown for events that belong to no server.
pub(super) const PROXY: &str = "proxy";

/// Returns the lowest verbosity that shows the event to people.
pub(super) fn least_verbosity(event: &Event) -> Verbosity {
    match event {
        Event::WatchWarning { .. }
        | Event::RehearsalWarning { .. }
        | Event::Broken { .. }
        | Event::Exited { .. }
        | Event::Flapping { .. }
        | Event::PortMissed { .. }
        | Event::EraUnsuitable { .. }
        | Event::DrainAbandoned { .. }
        | Event::ConfigFault { .. }
        | Event::WrongPath { .. }
        | Event::NameTaken { .. }
        | Event::ToolLeftOut { .. }
        | Event::ToolsRejected { .. }
        | Event::ResultFaulty { .. }
        | Event::ListCut { .. }
        | Event::ListSilent { .. }
        | Event::ListedTwice { .. }
        | Event::ListUndeclared { .. }
        | Event::ListUnchanged { .. }
        | Event::Failed { .. }
        | Event::RecordingEnded { .. }
        | Event::Stray { .. } => Verbosity::Quiet,
        Event::Spawned { .. }
        | Event::Connecting { .. }
        | Event::Stopped { .. }
        | Event::Standby { .. }
        | Event::NotRecorded { .. }
        | Event::Cold {
            for_good: false, ..
        } => Verbosity::Verbose,
        _ => Verbosity::Normal,
    }
}

/// Returns the server that the event belongs to, or [`PROXY`].
pub(super) fn server(event: &Event) -> &str {
    match event {
        Event::Watching { server, .. }
        | Event::WatchWarning { server, .. }
        | Event::WatchNote { server, .. }
        | Event::InputAwaited { server, .. }
        | Event::Changed { server, .. }
        | Event::Building { server, .. }
        | Event::BuildOutput { server, .. }
        | Event::Spawned { server, .. }
        | Event::Connecting { server, .. }
        | Event::Ready { server, .. }
        | Event::Reloaded { server, .. }
        | Event::RehearsalWarning { server, .. }
        | Event::Broken { server, .. }
        | Event::Exited { server, .. }
        | Event::Restarting { server, .. }
        | Event::Flapping { server, .. }
        | Event::PortMissed { server, .. }
        | Event::EraUnsuitable { server }
        | Event::DrainAbandoned { server, .. }
        | Event::Standby { server, .. }
        | Event::Cold { server, .. }
        | Event::Stopped { server, .. }
        | Event::Stderr { server, .. }
        | Event::Stray { server, .. }
        | Event::ListsChanged { server, .. }
        | Event::Progress { server, .. }
        | Event::LogMessage { server, .. }
        | Event::Unloaded { server }
        | Event::NameTaken { server, .. }
        | Event::ListCut { server, .. }
        | Event::ListSilent { server, .. }
        | Event::ListedTwice { server, .. }
        | Event::ListUndeclared { server, .. }
        | Event::ListUnchanged { server, .. }
        | Event::ToolLeftOut { server, .. }
        | Event::ResultFaulty { server, .. }
        | Event::ToolsRejected { server, .. } => server,
        Event::Reconfigured { .. }
        | Event::ConfigFault { .. }
        | Event::Listening { .. }
        | Event::Page { .. }
        | Event::WrongPath { .. }
        | Event::ClientConnected { .. }
        | Event::SessionEnded { .. }
        | Event::Ending { .. }
        | Event::Failed { .. }
        | Event::NotRecorded { .. }
        | Event::RecordingEnded { .. } => PROXY,
    }
}
