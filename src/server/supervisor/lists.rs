//! Changes while a generation is live: the server's own list changes, and the client's subscriptions and log level.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::super::Snapshot;
use super::super::call::Call;
use super::super::client_settings::ClientSettings;
use super::super::connection::{Connection, ConnectionNotice};
use super::super::handshake::Handshake;
use super::super::lists::{Lists, fetch_list, lists_diff};
use super::super::pending_requests::RawResponse;
use super::super::replay::{ListenStream, listen};
use super::super::report::{RelistResult, Report};
use super::Supervisor;
use crate::event::{Event, ToolDiff};
use crate::jsonrpc::quoted;
use crate::mcp::{Era, ListKind};

/// Minimum interval between opening a stream and opening it again after the server has ended it.
const STREAM_INTERVAL: Duration = Duration::from_secs(1);

impl Supervisor {
    pub(super) fn on_notice(&mut self, notice: &ConnectionNotice) {
        let (number, kind) = match notice {
            ConnectionNotice::ListChanged(number, kind) => (number, kind),
            ConnectionNotice::ListSilent(number, kind, waited) => {
                self.context.resources.events.send(Event::ListSilent {
                    server: self.name(),
                    method: kind.method(),
                    waited: *waited,
                });
                (number, kind)
            }
            ConnectionNotice::ListedTwice(kind, name) => {
                return self.report_listed_twice(*kind, name);
            }
            ConnectionNotice::ListUndeclared(kind) => return self.report_list_undeclared(*kind),
            ConnectionNotice::ListCut(kind, reason) => return self.report_list_cut(*kind, reason),
            ConnectionNotice::LeftOut(tool, reason) => return self.report_left_out(tool, reason),
            ConnectionNotice::ResultFault(tool, fault, reason) => {
                return self.report_result_fault(tool, *fault, reason);
            }
            ConnectionNotice::EraUnsuitable => return self.report_unsuitable_era(),
        };
        if self.machine.active() == Some(*number) {
            self.reported_lists.insert(*kind);
            self.relist(*kind);
        } else if self.machine.is_starting(*number) {
            // The candidate may have read its lists before they changed.
            self.relist_again.insert(*kind);
        }
    }

    /// Reports once that the server needs the legacy era.
    fn report_unsuitable_era(&mut self) {
        if !std::mem::replace(&mut self.is_era_reported, true) {
            let server = self.name();
            let events = &self.context.resources.events;
            events.send(Event::EraUnsuitable { server });
        }
    }

    /// Reports once why a tool is not offered.
    fn report_left_out(&mut self, tool: &str, reason: &str) {
        let (tool, reason) = (tool.to_owned(), reason.to_owned());
        if self.left_out.insert((tool.clone(), reason.clone())) {
            let server = self.name();
            self.context.resources.events.send(Event::ToolLeftOut {
                server,
                tool,
                reason,
            });
        }
    }

    /// Reports once why a list was not read to its end.
    fn report_list_cut(&mut self, kind: ListKind, reason: &'static str) {
        if self.cut.insert((kind, reason)) {
            self.context.resources.events.send(Event::ListCut {
                server: self.name(),
                method: kind.method(),
                reason,
            });
        }
    }

    /// Reports once that a list contains a name twice.
    fn report_listed_twice(&mut self, kind: ListKind, name: &str) {
        if self.duplicates.insert((kind, name.to_owned())) {
            self.context.resources.events.send(Event::ListedTwice {
                server: self.name(),
                method: kind.method(),
                name: name.to_owned(),
            });
        }
    }

    /// Reports once that the server has a list whose capability it does not declare.
    fn report_list_undeclared(&mut self, kind: ListKind) {
        if self.undeclared.insert(kind) {
            self.context.resources.events.send(Event::ListUndeclared {
                server: self.name(),
                method: kind.method(),
                capability: kind.capability(),
            });
        }
    }

    /// Reads a list that the server reports as changed; reads it again if the server reports another change meanwhile.
    pub(super) fn relist(&mut self, kind: ListKind) {
        let Some(active) = self.active() else { return };
        let (connection, ended) = (active.running.connection.clone(), active.ended.clone());
        if !self.relisting.insert(kind) {
            self.relist_again.insert(kind);
            return;
        }
        let (reports, shared) = (self.context.reports.clone(), self.shared.clone());
        let backoff = self.list_backoffs.entry(kind).or_default();
        let pause = backoff.pause(Instant::now());
        self.tasks.spawn(async move {
            if ended.run_until_cancelled(sleep(pause)).await.is_none() {
                return;
            }
            let tool_filter = &*shared.tool_filter();
            let mut read = vec![(kind, fetch_list(&connection, kind, tool_filter).await)];
            if kind == ListKind::Resources {
                let templates = fetch_list(&connection, ListKind::Templates, tool_filter).await;
                read.push((ListKind::Templates, templates));
            }
            let number = connection.generation;
            reports.send(Report::Relisted { number, kind, read });
        });
    }

    /// Handles a call that the server rejected because of its headers: reads the tools before the call is sent again.
    pub(super) fn on_mismatched(&mut self, number: u64, call: Call) {
        self.mismatched.push(call);
        if self.machine.active() == Some(number) {
            self.relist(ListKind::Tools);
        } else {
            self.resend_mismatched();
        }
    }

    /// Reads the lists again after an interruption in which notifications may have been lost.
    pub(super) fn on_resumed(&mut self, number: u64) {
        let current = self.machine.active() == Some(number);
        let handshake = self.shared.handshake.borrow().clone();
        if let (true, Some(handshake)) = (current, handshake) {
            self.relist_all(&handshake);
        }
    }

    fn relist_all(&mut self, handshake: &Handshake) {
        for kind in [ListKind::Tools, ListKind::Prompts, ListKind::Resources] {
            if handshake.offers(kind.capability()) {
                self.relist(kind);
            }
        }
    }

    pub(super) fn on_relisted(&mut self, number: u64, kind: ListKind, read: Vec<RelistResult>) {
        if kind == ListKind::Tools {
            self.resend_mismatched();
        }
        let snapshot = self.shared.snapshot.borrow().clone();
        if snapshot.generation != number {
            return;
        }
        self.relisting.remove(&kind);
        let again = self.relist_again.remove(&kind);
        let mut lists = snapshot.lists.clone();
        for (kind, list) in read {
            if let Ok(list @ Ok(_)) = list {
                lists[kind.index()] = list;
            }
        }
        let judgement = match kind {
            ListKind::Tools => self.judge_tools(&mut lists),
            _ => Vec::new(),
        };
        let differ = lists != snapshot.lists;
        if differ {
            let diff = lists_diff(&snapshot.lists, &lists);
            if let Some(active) = self.active() {
                let connection = active.running.connection.clone();
                self.keep_former_tools(&snapshot.lists, &lists, &diff, &connection);
                self.check_results(&lists, &connection);
                self.record_calls(&lists, &connection);
            }
            self.context.resources.events.send(Event::ListsChanged {
                server: self.name(),
                diff,
            });
            self.publish(Arc::new(Snapshot {
                lists,
                ..(*snapshot).clone()
            }));
        }
        self.send_events(judgement);
        let backoff = self.list_backoffs.entry(kind).or_default();
        if backoff.read(differ, Instant::now()) {
            self.context.resources.events.send(Event::ListUnchanged {
                server: self.name(),
                method: kind.method(),
            });
        }
        // Also if the list looks the same, because the server has explicitly reported a change.
        let is_reported = self.reported_lists.remove(&kind);
        if differ || is_reported {
            self.notify_client(&[kind], None);
        }
        if again {
            self.relist(kind);
        }
        self.confirm_lists();
    }

    /// Records the tools whose arguments changed incompatibly, for the calls on `connection`.
    pub(super) fn keep_former_tools(
        &mut self,
        old: &Lists,
        new: &Lists,
        diff: &ToolDiff,
        connection: &Connection,
    ) {
        let tools = ListKind::Tools.index();
        if let (Ok(old), Ok(new)) = (&old[tools], &new[tools]) {
            let (generation, now) = (connection.generation, Instant::now());
            self.former_tools.update(old, new, diff, generation, now);
        }
        connection.set_former_tools(self.former_tools.clone());
    }

    pub(super) fn on_lists_awaited(&mut self, sender: oneshot::Sender<()>) {
        self.lists_awaited.push(sender);
        self.confirm_lists();
    }

    /// Signals the end of reading to those that wait for it, unless a list is being read.
    pub(super) fn confirm_lists(&mut self) {
        if self.relisting.is_empty() || self.active().is_none() {
            for sender in self.lists_awaited.drain(..) {
                let _ = sender.send(());
            }
        }
    }

    /// Applies the client's changed settings. A modern server gets a new listen stream, and the old one is closed once
    /// the new one is open; a legacy server gets the subscriptions that the client's own requests do not contain.
    /// `is_new` is true for a new active generation: the client's own request may have gone to its predecessor.
    pub(super) fn on_settings_changed(&mut self, is_new: bool) {
        let settings = self.shared.client_settings();
        let handshake = self.shared.handshake.borrow().clone();
        let (Some(active), Some(handshake)) = (self.active_mut(), handshake) else {
            return;
        };
        let connection = &active.running.connection;
        let sent = std::mem::replace(&mut active.sent_settings, settings.clone());
        if (settings.send_level || is_new) && sent.level != settings.level {
            send_level(connection, &handshake, &settings);
        }
        match connection.era() {
            Era::Modern if !sent.listens_like(&settings) => {
                let old = active.stream;
                self.open_stream(&handshake, &settings);
                if let (Some(old), Some(active)) = (old, self.active()) {
                    active.running.connection.cancel_own(old);
                }
            }
            Era::Modern => {}
            Era::Legacy => send_difference(connection, &sent, &settings),
        }
    }

    /// Opens a listen stream on the active generation.
    fn open_stream(&mut self, handshake: &Handshake, settings: &ClientSettings) {
        let Some(active) = self.active() else { return };
        let connection = &active.running.connection;
        let stream = listen(connection, handshake, settings).ok().flatten();
        let stream = stream.map(|stream| self.watch_listen_stream(connection.generation, stream));
        if let Some(active) = self.active_mut() {
            active.stream = stream;
        }
    }

    /// Waits in a task until the server ends the stream; returns the stream's number.
    pub(super) fn watch_listen_stream(&self, generation: u64, (number, end): ListenStream) -> u64 {
        let reports = self.context.reports.clone();
        tokio::spawn(async move {
            let opened = tokio::time::Instant::now();
            // Only an error is a refusal. A stream without a response was cut, as may happen to a remote server.
            if !matches!(end.await, Ok(RawResponse::Error(_))) {
                tokio::time::sleep_until(opened + STREAM_INTERVAL).await;
                reports.send(Report::StreamEnded {
                    number: generation,
                    stream: number,
                });
            }
        });
        number
    }

    /// Opens the stream again, and reads the lists that may have changed without it.
    pub(super) fn on_stream_ended(&mut self, number: u64, stream: u64) {
        let is_active = self.machine.active() == Some(number);
        let ended = is_active && self.active().is_some_and(|it| it.stream == Some(stream));
        let handshake = self.shared.handshake.borrow().clone();
        if let (true, Some(handshake)) = (ended, handshake) {
            self.open_stream(&handshake, &self.shared.client_settings());
            self.relist_all(&handshake);
        }
    }
}

/// Sets the log level of a server: at a modern one with each request, at a legacy one with a request of the proxy.
fn send_level(connection: &Connection, handshake: &Handshake, settings: &ClientSettings) {
    if connection.era() == Era::Modern {
        connection.change_identity(|identity| identity.log_level.clone_from(&settings.level));
    } else if let (Some(level), true) = (&settings.level, handshake.offers("logging")) {
        let params = format!(r#"{{"level":{level}}}"#);
        // The response is ignored: an error has no consequence here.
        let _ = connection.send_own("logging/setLevel", Some(&params), oneshot::channel().0);
        connection.change_identity(|identity| identity.log_level = Some(level.clone()));
    }
}

/// Subscribes and unsubscribes a legacy server to match the resources that the client follows in the modern way.
fn send_difference(connection: &Connection, sent: &ClientSettings, settings: &ClientSettings) {
    let ask = |method: &str, params: &str| {
        // The response is ignored: an error has no consequence here.
        let _ = connection.send_own(method, Some(params), oneshot::channel().0);
    };
    for uri in settings
        .proxy_only_uris()
        .difference(&sent.proxy_only_uris())
    {
        ask(
            "resources/subscribe",
            &format!(r#"{{"uri":{}}}"#, quoted(uri)),
        );
    }
    for uri in sent.proxy_only_uris().difference(&settings.uris()) {
        ask(
            "resources/unsubscribe",
            &format!(r#"{{"uri":{}}}"#, quoted(uri)),
        );
    }
}
