//! Commit: a candidate becomes the active generation.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::super::gate::GateStatus;
use super::super::generation::{ProofResults, ProvenGeneration, RunningGeneration};
use super::super::lists::{Lists, ListsChange, lists_diff};
use super::super::state::StartCause;
use super::super::status::state_in_words;
use super::super::{Reloaded, Snapshot, advice, loaded_files};
use super::{ActiveGeneration, Generation, Supervisor};
use crate::config::ReloadMode;
use crate::event::{Event, RehearsalReport, ToolDiff};
use crate::mcp::{Era, List, ListKind};

impl Supervisor {
    /// Makes the proven candidate `number` the active generation; returns the kinds of lists to announce. The lists are
    /// replaced in a single step: readers of the snapshot see either all of the old lists or all of the new ones.
    ///
    /// Invariant: the new lists are published before the gate opens to the new code, and the client is notified after
    /// that. A request for an entry that only the new code has waits for the gate and then looks into the published
    /// lists, as does a request for a list. A request that the old lists routed is held until then or was passed on
    /// before, so its answer comes from the saved code if it followed the save.
    pub(super) fn commit(
        &mut self,
        number: u64,
        cause: StartCause,
    ) -> Option<(Vec<ListKind>, StartCause)> {
        let Some(Generation::Proven(proof)) = self.generations.remove(&number) else {
            return None;
        };
        let ProvenGeneration {
            running,
            results,
            took,
            rehearsal,
        } = *proof;
        let ProofResults {
            handshake,
            mut lists,
            stream,
            sent_settings,
        } = results;
        let judgement = self.judge_tools(&mut lists);
        let before = self.shared.snapshot.borrow().clone();
        // A remote server that is reachable again may run newer code, and so may one that reloads itself.
        let runs_on = running.connection.is_remote() || self.keeps_process();
        let announced = match cause {
            StartCause::Crash if runs_on => StartCause::Save,
            cause => cause,
        };
        let changes = changes(&before.lists, &lists, announced);
        let diff = match before.generation {
            0 => ToolDiff::default(),
            _ => lists_diff(&before.lists, &lists),
        };
        self.keep_former_tools(&before.lists, &lists, &diff, &running.connection);
        self.check_results(&lists, &running.connection);
        self.record_calls(&lists, &running.connection);
        self.warn_of_unrehearsed_tools(before.generation, &lists);
        let snapshot = Arc::new(Snapshot {
            generation: number,
            lists,
            took,
            diff,
            since: Some(Instant::now()),
            former: self.former_lists(&before),
        });
        let is_first = before.generation == 0 || cause == StartCause::Client;
        let rehearsal = self.take_rehearsal(rehearsal);
        // Readers of the event look at the state. The event of the old generation's end cannot overtake it.
        self.shared.handshake.send_replace(Some(handshake.clone()));
        self.publish(snapshot.clone());
        self.describe_commit(before.generation > 0, rehearsal.clone());
        self.report_commit(&snapshot, handshake.era, is_first, rehearsal.clone());
        self.send_events(judgement);
        running.connection.go_live();
        self.warn_of_missed_port(&running);
        let stream = stream.map(|stream| self.watch_listen_stream(number, stream));
        let saved = std::mem::take(&mut self.changed_files);
        let ended = CancellationToken::new();
        self.follow_loaded_files(saved, ended.clone());
        let connection = running.connection.clone();
        let active = Generation::Active(Box::new(ActiveGeneration {
            running,
            stream,
            sent_settings,
            _ended: ended.clone().drop_guard(),
            ended: ended.clone(),
        }));
        self.generations.insert(number, active);
        // The client's identity may have changed since the candidate was started.
        self.send_identity();
        self.failure = None;
        self.timed_out_starts = 0;
        self.learn_answers(connection, ended);
        self.confirm_reloads(&snapshot, rehearsal.as_ref());
        // The client's settings may have changed since the new generation got them.
        self.on_settings_changed(true);
        self.restart_list_reads();
        self.resend_mismatched();
        Some((changes, cause))
    }

    /// Updates the status; `is_reload` is true unless the generation is the first.
    fn describe_commit(&self, is_reload: bool, rehearsal: Option<RehearsalReport>) {
        // The gate opens at the end of the step.
        let gate_status = if self.machine.is_suspect() {
            GateStatus::Held
        } else {
            GateStatus::Open
        };
        self.shared.describe(|status| {
            status.state = state_in_words(self.machine.state(), gate_status);
            status.last_error = None;
            status.rehearsal = rehearsal;
            if is_reload {
                status.reloads += 1;
                status.reloaded = Some(Instant::now());
            }
        });
    }

    /// Reports the commit to those that have requested a reload.
    fn confirm_reloads(&mut self, snapshot: &Snapshot, rehearsal: Option<&RehearsalReport>) {
        for waiter in self.reloads.drain(..) {
            let _ = waiter.send(Ok(Reloaded {
                generation: snapshot.generation,
                took: snapshot.took,
                diff: snapshot.diff.clone(),
                rehearsal: rehearsal.cloned(),
            }));
        }
    }

    /// Drops the reads of the old generation's lists, which are obsolete; lists to be read again are read anew.
    fn restart_list_reads(&mut self) {
        self.relisting.clear();
        self.reported_lists.clear();
        for kind in std::mem::take(&mut self.relist_again) {
            self.relist(kind);
        }
        self.confirm_lists();
    }

    /// Replaces the lists by those of `snapshot`, and serves them to the client.
    pub(super) fn publish(&self, snapshot: Arc<Snapshot>) {
        self.shared.snapshot.send_replace(snapshot);
        if let Some(observer) = &self.lists_observer {
            observer.publish_lists();
        }
    }

    /// Notifies the client of changed lists of these kinds; `cause` is that of a commit.
    pub(super) fn notify_client(&self, kinds: &[ListKind], cause: Option<StartCause>) {
        let is_renewed = matches!(
            cause,
            Some(StartCause::Save | StartCause::Asked | StartCause::Crash)
        );
        if let Some(observer) = &self.lists_observer {
            observer.notify_client(&ListsChange {
                kinds,
                is_first: cause == Some(StartCause::Begin),
                renewed: is_renewed.then_some(self.context.spec.name.as_str()),
            });
        }
    }

    /// Returns the lists of the generation before, if the page compares them.
    fn former_lists(&self, before: &Snapshot) -> Option<Arc<Lists>> {
        let is_kept = self.context.resources.keeps_former_lists && before.generation > 0;
        is_kept.then(|| Arc::new(before.lists.clone()))
    }

    /// Records the files that the new generation, started for `saved`, loads, until it is `ended`. Also starts to
    /// prepare the next standby.
    fn follow_loaded_files(&self, saved: BTreeSet<PathBuf>, ended: CancellationToken) {
        if let Some(load_log) = self.shared.warm.started(&self.context.spec, true) {
            let events = self.context.resources.events.clone();
            let following =
                loaded_files::report_loaded(load_log, self.shared.clone(), saved, events);
            self.tasks.spawn(ended.run_until_cancelled_owned(following));
        }
    }

    /// Warns of a port that the server did not get beside its predecessor. If it is a debugger's port, the server runs,
    /// but the user cannot reach the debugger.
    fn warn_of_missed_port(&self, running: &RunningGeneration) {
        let spec = &self.context.spec;
        let is_beside = |it: &Generation| matches!(it, Generation::Active(_));
        if !self.generations.values().any(is_beside) || spec.reload == ReloadMode::StopFirst {
            return;
        }
        let stderr = running.backend.stderr();
        let stderr = stderr.map(|it| it.last(usize::MAX)).unwrap_or_default();
        if let Some(line) = advice::missed_port(&stderr) {
            self.context.resources.events.send(Event::PortMissed {
                server: self.name(),
                line: line.to_owned(),
            });
        }
    }

    /// Reports the commit. `is_first` is true for the first generation, and for the first after a new introduction.
    fn report_commit(
        &self,
        snapshot: &Snapshot,
        era: Era,
        is_first: bool,
        rehearsal: Option<RehearsalReport>,
    ) {
        let (server, generation, took) = (self.name(), snapshot.generation, snapshot.took);
        let count = |kind| snapshot.list(kind).map_or(0, |list| list.entries.len());
        self.context.resources.events.send(if is_first {
            Event::Ready {
                server,
                generation,
                took,
                era: era.name(),
                tools: count(ListKind::Tools),
                prompts: count(ListKind::Prompts),
                resources: count(ListKind::Resources) + count(ListKind::Templates),
            }
        } else {
            Event::Reloaded {
                server,
                generation,
                took,
                diff: snapshot.diff.clone(),
                rehearsal,
            }
        });
    }
}

/// Returns the kinds of lists to announce after a commit: after a reload all lists with entries or errors, after a
/// restart only those that differ.
fn changes(before: &Lists, after: &Lists, cause: StartCause) -> Vec<ListKind> {
    let is_served = |lists: &Lists, at: usize| {
        !lists[at]
            .as_ref()
            .is_ok_and(|list| *list == List::default())
    };
    let differ = |at: usize| match (&before[at], &after[at]) {
        // A server of the other era wraps the same entries in a different result.
        (Ok(before), Ok(after)) => before.entries != after.entries,
        (before, after) => before != after,
    };
    let is_announced = |at: usize| match cause {
        StartCause::Save | StartCause::Asked => {
            at == 0 || is_served(before, at) || is_served(after, at)
        }
        StartCause::Begin => at == 0 || is_served(after, at),
        StartCause::Crash | StartCause::Client => differ(at),
    };
    let mut kinds: Vec<ListKind> = ListKind::ALL
        .into_iter()
        .enumerate()
        .filter(|(at, _)| is_announced(*at))
        .map(|(_, kind)| kind)
        .collect();
    // Templates are announced as resources.
    if kinds.contains(&ListKind::Templates) && kinds.contains(&ListKind::Resources) {
        kinds.retain(|kind| *kind != ListKind::Templates);
    }
    kinds
}
