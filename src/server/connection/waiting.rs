//! What a connection waits for: its client to read, its server to answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::tasks::Task;
use super::Connection;
use crate::jsonrpc::{Envelope, Members, notification};
use crate::lock::locked;

/// A client may have this many bytes to read before a generation that has not proved itself, too, waits for it.
const UNREAD: usize = 64 << 20;

impl Connection {
    /// From now on it answers clients.
    pub(crate) fn go_live(&self) {
        self.live.store(true, Ordering::Relaxed);
    }

    /// Waits until the client has read most of what it was sent: one that reads slowly slows its server down, as it would
    /// without a proxy. It must not keep new code from proving itself.
    pub(crate) async fn client_reads(&self) {
        match self.client.pipe() {
            Some(pipe) if self.live.load(Ordering::Relaxed) => pipe.ready().await,
            Some(pipe) => pipe.ready_beyond(UNREAD).await,
            None => {}
        }
    }

    /// Whether clients wait for answers, or did less than `recently` ago.
    pub(crate) fn is_busy(&self, recently: Duration) -> bool {
        let table = locked(&self.table);
        let was = |since: Instant| since.elapsed() < recently;
        table.calls > 0 || table.idle_since.is_some_and(was)
    }

    /// The method of the proxy's own request that the server was asked last.
    pub(crate) fn asked(&self) -> Option<Box<str>> {
        locked(&self.table).asked.clone()
    }

    /// How many clients' requests wait for an answer.
    pub(crate) fn in_flight(&self) -> usize {
        locked(&self.table).calls
    }

    /// Whether it runs the task `id` for a client.
    pub(in super::super) fn has_task(&self, id: &str) -> bool {
        locked(&self.table).tasks.has(id)
    }

    /// The tasks that it has not finished. Nobody waits for them from now on.
    pub(in super::super) fn take_tasks(&self) -> VecDeque<Task> {
        let tasks = locked(&self.table).tasks.take(Instant::now());
        self.idle.notify_waiters();
        tasks
    }

    /// Learns of a task's state from what the server tells its client.
    pub(super) fn note_status(&self, line: &str) {
        let message = Members::of(line);
        let mut table = locked(&self.table);
        table.tasks.hear_status(&message.object("params"));
        drop(table);
        self.idle.notify_waiters();
    }

    /// Tells the client something in the server's place.
    pub(crate) fn tell_client(self: &Arc<Self>, method: &str, params: &str) {
        let line = notification(method, Some(params));
        if let Ok(envelope) = Envelope::parse(&line) {
            self.client.notify(self, &line, &envelope, None);
        }
    }

    /// Waits until no client's request is in flight and, unless the link has ended, no task is run for one.
    pub(crate) async fn finished(&self) {
        loop {
            let idle = self.idle.notified();
            let next = {
                let mut table = locked(&self.table);
                let over = table.closed || table.tasks.is_empty(Instant::now());
                if over && table.calls == 0 {
                    return;
                }
                table.tasks.next_end()
            };
            match next {
                Some(next) => drop(tokio::time::timeout_at(next.into(), idle).await),
                None => idle.await,
            }
        }
    }

    /// Waits until no client's request is in flight.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }
}
