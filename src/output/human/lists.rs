//! Formats events about the lists of servers.

use super::life;
use crate::event::Event;
use crate::output::palette::WARN;
use crate::output::text::{clean, list};

/// Returns the sentence for an event about a server's lists.
pub(super) fn lists(event: &Event) -> String {
    match event {
        Event::NameTaken {
            kind, name, holder, ..
        } if kind.starts_with("resource") => format!(
            "{WARN}duplicate {kind} `{}` is not offered: {} already has this URI, and gets the requests for all \
             URIs of both{WARN:#}",
            clean(name),
            clean(holder)
        ),
        Event::NameTaken {
            kind, name, holder, ..
        } => format!(
            "{WARN}duplicate {kind} `{}` is not offered: {} already has it; change one server's `prefix`{WARN:#}",
            clean(name),
            clean(holder)
        ),
        Event::ListCut { method, reason, .. } => format!(
            "{WARN}{method} is cut off:{WARN:#} {reason}; the last page must have no `nextCursor`"
        ),
        Event::ListUnchanged { method, .. } => format!(
            "{WARN}list_changed notifications without a change of {method}:{WARN:#} the list is read after pauses of \
             up to 5 s"
        ),
        Event::ListedTwice { method, name, .. } => format!(
            "{WARN}duplicate `{}` in {method}:{WARN:#} the first entry is used, the other is not offered",
            clean(name)
        ),
        Event::ListUndeclared {
            method, capability, ..
        } => format!(
            "{WARN}capability `{capability}` is not declared, but {method} is answered:{WARN:#} the {capability} are \
             offered anyway; a client that connects directly may not request them"
        ),
        Event::ListSilent { method, waited, .. } => format!(
            "{WARN}no response to {method} within {} s:{WARN:#} the server goes live without this list; the proxy \
             requests it once more",
            waited.as_secs_f64()
        ),
        Event::ToolsRejected { client, places, .. } => format!(
            "{WARN}{} rejects tools:{WARN:#} {}; `mcp-proxy check --lint` says more",
            clean(client),
            list(places.iter().map(Into::into), 2)
        ),
        Event::ToolLeftOut { tool, reason, .. } => format!(
            "{WARN}tool `{}` is not offered: {}{WARN:#}",
            clean(tool),
            clean(reason)
        ),
        Event::ResultFaulty { tool, reason, .. } => format!(
            "{WARN}a result of tool `{}` {}{WARN:#}",
            clean(tool),
            clean(reason)
        ),
        _ => life(event),
    }
}
