//! Requests and notifications of clients, on their way through the gate of a server.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::ServerHandle;
use super::call::{Call, ResponseSink};
use super::connection::Connection;
use super::error_replies;
use super::gate::GateStatus;
use super::recent_calls::{MAX_ARGUMENTS, is_always_repeatable};
use super::report::Command;
use crate::config::RehearsedCall;
use crate::event::Failure;
use crate::jsonrpc::{Envelope, RawId};
use crate::lock::locked;
use crate::mcp::ListKind;
use crate::transport::stream::Cork;

impl ServerHandle {
    /// Sends a request to the active generation, holds it, or answers it with the reason why not.
    pub(crate) fn submit(&self, call: Call, line: &str, envelope: &Envelope<'_>) {
        if self.shared.gate.submit(call, line, envelope) {
            self.command(Command::RetryForCall);
        }
    }

    /// Lets new code answer a call of the client before it goes live, from now on, or no longer if it is not `wanted`.
    /// Returns the reason why a wanted call may not be rehearsed.
    pub(crate) fn rehearse(&self, call: RehearsedCall, wanted: bool) -> Result<(), String> {
        if wanted {
            self.may_rehearse(&call)?;
        }
        self.command(Command::Rehearse { call, wanted });
        Ok(())
    }

    /// Returns the reason if the server does not rehearse, if its tools are unknown or lack this one, if the tool may
    /// have effects, or if the arguments are too long.
    pub(crate) fn may_rehearse(&self, call: &RehearsedCall) -> Result<(), String> {
        let (snapshot, spec) = (self.snapshot(), self.spec());
        if spec.remote.is_some() {
            return Err(format!("`{}` is remote, and does not rehearse", spec.name));
        }
        let tools = snapshot.list(ListKind::Tools);
        let Some(tool) = tools.and_then(|tools| tools.find(&call.tool)) else {
            return Err(if snapshot.generation == 0 {
                format!(
                    "`{}` has not run yet, and its tools are unknown: try again when it runs",
                    spec.name
                )
            } else {
                format!("`{}` lists no tool `{}`", spec.name, call.tool)
            });
        };
        if !is_always_repeatable(tool, &spec.rehearse_tools) {
            return Err(format!(
                "`{}` may have effects: it does not declare `readOnlyHint`, or declares `destructiveHint` too, and \
                 the user does not name it in `rehearse_tools`",
                call.tool
            ));
        }
        if call.arguments.len() > MAX_ARGUMENTS {
            let limit = MAX_ARGUMENTS / 1024;
            return Err(format!(
                "the arguments are longer than {limit} KiB, and a rehearsal would repeat them at each reload"
            ));
        }
        Ok(())
    }

    /// Sends a client's notification to the active generation, or holds it until a generation can take it.
    pub(crate) fn notify(&self, line: &str) {
        self.shared.gate.forward_notification(line);
    }

    /// Cancels the client's request `id`; `params` are those of its notification.
    pub(crate) fn cancel(&self, sink: Arc<dyn ResponseSink>, id: RawId<'_>, params: &str) {
        if !self.shared.gate.cancel(&sink, id) {
            self.command(Command::Cancel {
                sink,
                id: id.into(),
                params: params.into(),
            });
        }
    }

    /// Combines writes to the active generation until the cork is dropped.
    pub(crate) fn cork(&self) -> Option<Cork> {
        self.shared.gate.cork()
    }

    /// Returns true if requests are held, in consideration of all saves so far.
    pub(crate) fn is_held(&self) -> bool {
        *self.shared.gate.status().borrow() == GateStatus::Held
    }

    /// Returns the explanation for a request that waited as long as a call may, if requests are still held.
    pub(crate) fn explain_hold(&self) -> Option<String> {
        let spec = self.spec();
        self.is_held().then(|| {
            let reason = self.shared.gate.hold_reason();
            error_replies::explain_hold(&spec.name, &reason, spec.timeouts.hold)
        })
    }

    /// Returns the state of the saved code if its lists are not in force: it is starting, or it does not run.
    pub(crate) fn explain_lag(&self) -> Option<String> {
        let name = &self.spec().name;
        if let Some(failure) = self.refusal() {
            return Some(error_replies::explain(name, &failure));
        }
        self.is_held().then(|| {
            let reason = self.shared.gate.hold_reason();
            format!("`{name}` is not ready: calls wait for {reason}")
        })
    }

    /// Returns the reason if requests are refused.
    pub(crate) fn refusal(&self) -> Option<Arc<Failure>> {
        self.shared.gate.refusal()
    }

    /// Returns true if a start has failed or the process has ended on its own, and no generation has gone live since.
    pub(crate) fn has_failed(&self) -> bool {
        locked(&self.shared.status).last_error.is_some()
    }

    /// Returns the active generation if requests pass.
    pub(crate) fn connection(&self) -> Option<Arc<Connection>> {
        self.shared.gate.connection()
    }

    /// Returns true if the server is remote and was unreachable at the last attempt.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.refusal().is_some_and(|failure| failure.remote)
    }

    /// Waits until requests are no longer held; returns the failure if they are refused. A server that was unreachable
    /// is retried first, as for a call.
    pub(crate) async fn answers(&self) -> Result<(), Arc<Failure>> {
        if self.is_unreachable() {
            self.command(Command::RetryForCall);
            self.wait_processed().await;
        }
        let mut status = self.shared.gate.status();
        let _ = status
            .wait_for(|standing| *standing != GateStatus::Held)
            .await;
        self.refusal().map_or(Ok(()), Err)
    }

    /// Waits until the lists that the server reports as changed are read.
    pub(crate) async fn lists_read(&self) {
        let (sender, read) = oneshot::channel();
        self.command(Command::AwaitLists(sender));
        let _ = read.await;
    }

    /// Waits until requests are not held, at most for `list_hold` (at first `first_list`) since the hold began.
    pub(crate) async fn settled(&self) {
        let mut status = self.shared.gate.status();
        let settled = status.wait_for(|status| *status != GateStatus::Held);
        let timeouts = self.spec().timeouts;
        let wait = if self.snapshot().generation == 0 {
            timeouts.first_list()
        } else {
            timeouts.list_hold
        };
        let until = self.shared.gate.held_since() + wait;
        let _ = tokio::time::timeout_at(until.into(), settled).await;
    }

    /// Waits until requests do not pass.
    pub(crate) async fn interrupted(&self) {
        let mut status = self.shared.gate.status();
        let _ = status.wait_for(|status| *status != GateStatus::Open).await;
    }

    /// Waits until the active generation has read all of its input, or until no generation is active.
    pub(crate) async fn ready(&self) {
        let keeps_up = |connection: Arc<Connection>| connection.link().backlog() == 0;
        if self.connection().is_none_or(keeps_up) {
            return;
        }
        let mut status = self.shared.gate.status();
        loop {
            status.borrow_and_update();
            let Some(connection) = self.connection() else {
                return;
            };
            tokio::select! {
                biased;
                () = connection.link().ready() => return,
                Ok(()) = status.changed() => {}
            }
        }
    }

    /// Waits until all requests are answered; those that are held wait no longer than any call.
    pub(crate) async fn idle(&self) {
        if self.shared.gate.holds_any() {
            let mut status = self.shared.gate.status();
            let passed = status.wait_for(|status| *status != GateStatus::Held);
            let _ = tokio::time::timeout(self.spec().timeouts.hold, passed).await;
        }
        if let Some(connection) = self.connection() {
            connection.idle().await;
        }
        self.drained().await;
    }

    /// Waits until the draining generations have answered all requests.
    pub(crate) async fn drained(&self) {
        let (sender, draining) = oneshot::channel();
        self.command(Command::ListDraining(sender));
        for connection in draining.await.unwrap_or_default() {
            connection.idle().await;
        }
    }
}
