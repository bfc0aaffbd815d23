//! Lists of a generation: tools, prompts, resources, templates.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::connection::{Connection, ConnectionLost};
use super::handshake::{Handshake, ProofFailure};
use super::pending_requests::RawResponse;
use crate::config::CompiledToolFilter;
use crate::contract::{Change, Class, changes};
use crate::event::{ContractChange, ToolDiff};
use crate::mcp::{List, ListKind, diff};

/// Maximum number of pages of a list.
const MAX_PAGES: usize = 1000;
/// Maximum wait for the tools of a server that does not declare tools.
const UNDECLARED_TIMEOUT: Duration = Duration::from_secs(1);

/// Lists of a generation, in the order of [`ListKind::ALL`]; each is complete, or the error of the server.
pub(crate) type Lists = [Result<List, String>; 4];

/// Lists of the generation that went live last; before the first, perhaps tools known from an earlier session.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// Number of the generation; 0 before the first.
    pub(crate) generation: u64,
    /// The lists, in the order of [`ListKind::ALL`].
    pub(crate) lists: Lists,
    /// Time from the generation's start to its proof.
    pub(crate) took: Duration,
    /// Difference of its tools from the tools before.
    pub(crate) diff: ToolDiff,
    /// Time at which the generation went live.
    pub(crate) since: Option<Instant>,
    /// Lists of the generation before, if somebody compares them.
    pub(crate) former: Option<Arc<Lists>>,
}

/// Reader of a server's lists, which serves them to the client.
pub(crate) trait ListsObserver: Debug + Send + Sync {
    /// Serves the newest lists ([`ServerHandle::snapshot`](super::ServerHandle::snapshot)) from now on.
    fn publish_lists(&self);

    /// Notifies the client of a change that is published.
    fn notify_client(&self, change: &ListsChange<'_>);
}

/// Change of a server's lists, as its client should see it.
#[derive(Debug)]
pub(crate) struct ListsChange<'a> {
    pub(crate) kinds: &'a [ListKind],
    /// True for the lists of the start that the first introduction caused.
    pub(crate) is_first: bool,
    /// Name of the server if new code serves its resources, so that contents read before may be out of date.
    pub(crate) renewed: Option<&'a str>,
}

impl Snapshot {
    /// Returns the list of this kind; `None` if the server answered with an error.
    pub(crate) fn list(&self, kind: ListKind) -> Option<&List> {
        self.lists[kind.index()].as_ref().ok()
    }

    /// Returns false if the server is known to lack the tool `name`; its list of tools may be unknown.
    pub(crate) fn may_have_tool(&self, name: &str) -> bool {
        self.list(ListKind::Tools)
            .is_none_or(|tools| tools.find(name).is_some())
    }

    /// Returns the names of the tools in the server's order.
    pub(crate) fn tool_names(&self) -> Vec<&str> {
        let tools = self
            .list(ListKind::Tools)
            .into_iter()
            .flat_map(|list| &list.entries);
        tools.map(|entry| entry.name.as_str()).collect()
    }
}

/// Returns the difference between the lists of two generations. A list of tools that failed counts as empty; other
/// lists that failed are not compared.
pub(crate) fn lists_diff(old: &Lists, new: &Lists) -> ToolDiff {
    let none = List::default();
    let tools = ListKind::Tools.index();
    let [old_tools, new_tools] = [old, new].map(|lists| lists[tools].as_ref().unwrap_or(&none));
    let mut diff = diff(old_tools, new_tools);
    for (kind, (old, new)) in ListKind::ALL.into_iter().zip(old.iter().zip(new)) {
        if let (Ok(old), Ok(new)) = (old, new) {
            let changes = changes(kind, old, new).into_iter();
            diff.contract.extend(changes.filter_map(contract_change));
        }
    }
    diff.contract.sort_by_key(|it| !it.is_breaking);
    diff
}

/// Returns the change for events; `None` if it is harmless.
fn contract_change(change: Change) -> Option<ContractChange> {
    (change.class > Class::Harmless).then(|| ContractChange {
        kind: change.kind.entry_name(),
        name: change.name,
        is_breaking: change.class == Class::Breaking,
        text: change.text,
    })
}

/// Reads all pages of every list that the server offers. A list that is not answered within `max_wait` keeps its state
/// `before`, except the tools, which no client can do without. A process is asked for its tools even if it does not
/// declare any, unless `is_unanswered` says that it did not answer this request earlier.
pub(crate) async fn fetch_lists(
    connection: &Connection,
    handshake: &Handshake,
    tool_filter: &CompiledToolFilter,
    before: &Lists,
    max_wait: Duration,
    is_unanswered: &AtomicBool,
) -> Result<Lists, ProofFailure> {
    let mut lists: Lists = ListKind::ALL.map(|_| Ok(List::default()));
    for ((list, kind), before) in lists.iter_mut().zip(ListKind::ALL).zip(before) {
        let known = before.as_ref().is_ok_and(|list| !list.entries.is_empty());
        let is_read = handshake.offers(kind.capability()) || known && kind == ListKind::Tools;
        if !is_read {
            // Over HTTP, the response to an unknown method may look like the response to an unknown session.
            let asks = !connection.is_http() && !is_unanswered.load(Ordering::Relaxed);
            if kind == ListKind::Tools && asks {
                let max_wait = max_wait.min(UNDECLARED_TIMEOUT);
                let read = fetch_undeclared(connection, kind, tool_filter, max_wait, is_unanswered);
                *list = Ok(read.await?);
            }
            continue;
        }
        let read = fetch_list(connection, kind, tool_filter);
        *list = if kind == ListKind::Tools {
            read.await?
        } else if let Ok(read) = timeout(max_wait, read).await {
            read?
        } else {
            connection.report_list_silent(kind, max_wait);
            before.clone()
        };
    }
    Ok(lists)
}

/// Reads a list that the server does not declare. An error or a result without a list counts as an empty list. A server
/// that does not answer is not asked again.
async fn fetch_undeclared(
    connection: &Connection,
    kind: ListKind,
    tool_filter: &CompiledToolFilter,
    max_wait: Duration,
    is_unanswered: &AtomicBool,
) -> Result<List, ProofFailure> {
    let read = timeout(max_wait, fetch_list(connection, kind, tool_filter)).await;
    if let Err(_) | Ok(Err(ProofFailure::Lost(_))) = read {
        is_unanswered.store(true, Ordering::Relaxed);
    }
    match read {
        Ok(Ok(Ok(list))) if !list.entries.is_empty() => {
            connection.report_list_undeclared(kind);
            Ok(list)
        }
        Ok(Err(ProofFailure::Lost(_))) => Err(ProofFailure::ListUnanswered(kind.method())),
        _ => Ok(List::default()),
    }
}

/// Reads all pages of a list and removes the tools that are not admitted; the inner error is the server's own.
pub(crate) async fn fetch_list(
    connection: &Connection,
    kind: ListKind,
    tool_filter: &CompiledToolFilter,
) -> Result<Result<List, String>, ProofFailure> {
    let mut list = List::default();
    let mut params = None;
    let (mut names, mut cursors) = (HashSet::new(), HashSet::new());
    loop {
        let answer = connection
            .request(kind.method(), params.as_deref())
            .await
            .map_err(|ConnectionLost| ProofFailure::Lost(kind.method()))?;
        let result = match answer {
            RawResponse::Error(error) => return Ok(Err(error)),
            RawResponse::Result(result) => result,
        };
        let before = list.entries.len();
        let Some(cursor) = list
            .add_page(kind, &result)
            .map_err(|error| ProofFailure::Wrong(error.to_string()))?
        else {
            break;
        };
        let page = &list.entries[before..];
        let unknown = page.iter().filter(|it| names.insert(it.name.clone()));
        // A server may hide all entries of its first page, and have entries on the next.
        let useless = unknown.count() == 0 && !cursors.is_empty();
        params = Some(format!(r#"{{"cursor":{cursor}}}"#));
        let reason = if useless {
            list.entries.truncate(before);
            "a page has no new entries, but a `nextCursor`"
        } else if !cursors.insert(cursor) {
            "duplicate `nextCursor`"
        } else if cursors.len() == MAX_PAGES {
            "too many pages"
        } else {
            continue;
        };
        connection.report_list_cut(kind, reason);
        break;
    }
    if matches!(kind, ListKind::Tools | ListKind::Prompts) {
        // A call by this name could reach only one of them.
        list.leave_out_twins();
        for name in list.twins() {
            connection.report_listed_twice(kind, name.clone());
        }
    }
    if kind == ListKind::Tools {
        connection.set_tools(&mut list);
        list.retain(|name| tool_filter.admits(name));
    }
    Ok(Ok(list))
}
