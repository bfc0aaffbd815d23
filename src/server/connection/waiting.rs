//! Waits of a connection: for the client to read, for the server to answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::tasks::Task;
use super::Connection;
use crate::jsonrpc::{Envelope, Members, notification};
use crate::lock::locked;

/// Number of unread bytes in the client's pipe from which on even a candidate's output is not read.
const UNREAD: usize = 64 << 20;

impl Connection {
    /// Marks the generation as live.
    pub(crate) fn go_live(&self) {
        self.live.store(true, Ordering::Relaxed);
    }

    /// Returns true if the generation is live.
    pub(crate) fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }

    /// Returns the number of the oldest request that the server has not answered.
    pub(crate) fn oldest_request(&self) -> Option<u64> {
        locked(&self.pending).oldest()
    }

    /// Waits until the client has read most of its backlog: a slow client slows its server down, as without a proxy. It
    /// must not keep new code from proving itself, so a candidate waits only beyond [`UNREAD`].
    pub(crate) async fn client_reads(&self) {
        match self.client.pipe() {
            Some(pipe) if self.is_live() => pipe.ready().await,
            Some(pipe) => pipe.ready_beyond(UNREAD).await,
            None => {}
        }
    }

    /// Returns true if a client's call is in flight, or the last one was answered less than `recently` ago.
    pub(crate) fn is_busy(&self, recently: Duration) -> bool {
        let pending = locked(&self.pending);
        let was = |since: Instant| since.elapsed() < recently;
        pending.call_count > 0 || pending.idle_since.is_some_and(was)
    }

    /// Returns the method of the proxy's own newest request, except requests that stay open.
    pub(crate) fn newest_own_method(&self) -> Option<Box<str>> {
        locked(&self.pending).newest_own_method.clone()
    }

    /// Returns the number of clients' calls in flight.
    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> usize {
        locked(&self.pending).call_count
    }

    /// Returns true if the generation runs the task `id` for a client.
    pub(in super::super) fn has_task(&self, id: &str) -> bool {
        locked(&self.pending).tasks.has(id)
    }

    /// Removes and returns the unfinished tasks, which are not waited for any more.
    pub(in super::super) fn take_tasks(&self) -> VecDeque<Task> {
        let tasks = locked(&self.pending).tasks.take(Instant::now());
        self.idle.notify_waiters();
        tasks
    }

    /// Updates a task from a status notification of the server.
    pub(super) fn update_task(&self, line: &str) {
        let message = Members::of(line);
        let mut pending = locked(&self.pending);
        pending.tasks.apply_status(&message.object("params"));
        drop(pending);
        self.idle.notify_waiters();
    }

    /// Sends a notification to the client in the server's name.
    pub(crate) fn notify_client(self: &Arc<Self>, method: &str, params: &str) {
        let line = notification(method, Some(params));
        if let Ok(envelope) = Envelope::parse(&line) {
            self.client
                .deliver_notification(self, &line, &envelope, None);
        }
    }

    /// Waits until no client's request is in flight and, unless the connection has ended, no client's task is running
    /// and no stream of the server's site is open.
    pub(crate) async fn finished(&self) {
        loop {
            let idle = self.idle.notified();
            let next = {
                let mut pending = locked(&self.pending);
                let is_over = pending.closed
                    || pending.tasks.is_empty(Instant::now()) && pending.site_streams == 0;
                if is_over && pending.is_idle() {
                    return;
                }
                pending.tasks.next_end()
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
            if locked(&self.pending).is_idle() {
                return;
            }
            idle.await;
        }
    }
}
