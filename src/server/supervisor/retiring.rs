//! Retired generations: they finish their calls and tasks, then they are stopped.

use std::sync::Arc;
use std::time::Duration;

use super::super::error_replies;
use super::super::generation::RunningGeneration;
use super::super::report::Report;
use super::super::state::State;
use super::{Generation, Supervisor};
use crate::event::Event;
use crate::lock::locked;

/// Time for a replaced generation to exit after its stdin is closed.
const GRACE: Duration = Duration::from_secs(2);

impl Supervisor {
    /// Gives up an active generation: lets its requests finish, then stops it.
    pub(super) fn drain(&mut self, number: u64) {
        if let Some(Generation::Active(active)) = self.generations.remove(&number) {
            let max_wait = match self.machine.state() {
                State::Stopped => self.stop_max_wait,
                _ => self.context.spec.timeouts.drain,
            };
            self.retire(active.running, max_wait);
        }
    }

    /// Drains a generation for at most `max_wait`, then stops it.
    pub(super) fn retire(&mut self, running: RunningGeneration, max_wait: Duration) {
        let number = running.connection.generation;
        let draining = Generation::Draining(running.connection.clone());
        self.generations.insert(number, draining);
        self.shared.gate.add_draining(running.connection.clone());
        self.report_parked_calls(&running, max_wait);
        let shared = self.shared.clone();
        let is_stopped = self.machine.state() == State::Stopped;
        // No generation answers until this one has made room, so its tasks are not awaited. A reload of the server's own
        // waits in the same way.
        let makes_room =
            matches!(self.machine.state(), State::MakingRoom(_)) || self.keeps_process();
        let context = self.context.clone();
        if let (false, Some(link)) = (is_stopped, running.connection.link().http()) {
            // Requests that the server has not received go to newer code.
            link.return_queue();
        }
        let reason = if is_stopped {
            "was unloaded"
        } else if running.connection.is_remote() {
            "was reconnected"
        } else {
            "was replaced by newer code"
        };
        self.tasks.spawn(async move {
            let RunningGeneration {
                connection,
                backend,
                ..
            } = running;
            let finished = async {
                if is_stopped || makes_room {
                    connection.idle().await;
                } else {
                    connection.finished().await;
                }
            };
            let abandoned = tokio::time::timeout(max_wait, finished).await.is_err();
            let calls = if abandoned {
                connection.close()
            } else {
                vec![]
            };
            shared.gate.generation_ended(&connection, reason);
            if !calls.is_empty() {
                context.resources.events.send(Event::DrainAbandoned {
                    server: context.spec.name.clone(),
                    generation: number,
                    requests: calls.len(),
                });
            }
            for call in calls {
                let how = format!(
                    "{reason} and reached the drain timeout of {} s",
                    max_wait.as_secs_f64()
                );
                error_replies::ended(&call, &context.spec.name, &how, &[]);
            }
            // An open stream would keep the process from exiting.
            connection.cut_exchanges();
            connection.link().close();
            backend.stop(GRACE).await;
            context.resources.events.send(Event::Stopped {
                server: context.spec.name.clone(),
                generation: number,
            });
            context.reports.send(Report::Gone { number });
        });
    }

    /// Reports that a retired generation runs on because clients have not sent the input that it requests.
    fn report_parked_calls(&self, running: &RunningGeneration, max_wait: Duration) {
        let number = running.connection.generation;
        let parked = running.connection.parked_calls();
        if parked == 0 || max_wait.is_zero() {
            return;
        }
        let calls = if parked == 1 { "call" } else { "calls" };
        let wait = max_wait.as_secs_f64();
        self.context.resources.events.send(Event::WatchNote {
            server: self.name(),
            message: format!(
                "generation {number} runs for up to {wait} s more: the client has not sent the input for {parked} \
                 {calls} yet"
            ),
        });
    }

    pub(super) fn stop_all(&mut self) {
        let shared = self.shared.clone();
        self.tasks.spawn(async move { shared.warm.stop().await });
        let kept = locked(&self.shared.kept_process).take();
        // Otherwise the last generation that is linked to it ends it.
        if let Some(process) = kept.and_then(Arc::into_inner) {
            self.tasks.spawn(process.child.stop(Duration::ZERO));
        }
        let server = &self.context.spec.name;
        for connection in self.draining() {
            // Calls have time to finish; tasks and streams would take too long.
            self.shared.gate.generation_ended(connection, "was stopped");
            connection.cut_exchanges();
        }
        if self.stop_max_wait.is_zero() {
            for connection in self.draining() {
                // Closing wakes the tasks that wait for an idle connection.
                for call in connection.close() {
                    error_replies::ended(&call, server, "was stopped", &[]);
                }
            }
        }
        for call in self.shared.gate.close() {
            error_replies::unsent(&call, server);
        }
    }
}
