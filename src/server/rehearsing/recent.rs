//! Rehearsal of recent calls of clients, in the time that the calls of the user leave.

use std::time::Instant;

use tokio::time::sleep;

use super::super::ServerShared;
use super::super::connection::Connection;
use super::super::recent_calls::{MAX_ANSWER, RecentCall, is_repeatable};
use super::learning::REPEAT_PAUSE;
use super::{
    CallResponse, Judgement, LiveAnswer, Rehearsal, RehearsalResult, RememberedAnswer, ask, report,
};
use crate::config::RehearsedCall;
use crate::event::RehearsalOutcome;
use crate::lock::locked;
use crate::mcp::List;
use crate::rehearsal::{Answer, Comparison};

impl Rehearsal {
    /// Lets the candidate, which has these tools, answer recent calls; adds the comparison to `result`. A call that took
    /// longer than the time that is left is left out, and so is one whose tool may have effects by now. A call with an
    /// effect needs time for the later ones too, so that its effect does not outlast theirs.
    pub(super) async fn run_recent(
        &self,
        candidate: &Connection,
        tools: Option<&List>,
        shared: &ServerShared,
        deadline: Instant,
        result: &mut RehearsalResult,
    ) {
        let Some(tools) = tools.filter(|_| self.with_recorded) else {
            return;
        };
        let calls = locked(&shared.recent_calls).repeatable();
        for (index, recent) in calls.iter().enumerate() {
            let call = &recent.call;
            let needed = if recent.is_read_only {
                recent.took
            } else {
                calls[index..].iter().map(|it| it.took).sum()
            };
            let tool = tools.find(&call.tool);
            let left = deadline.saturating_duration_since(Instant::now());
            if self.calls.contains(call)
                || !tool.is_some_and(|it| is_repeatable(it, &self.repeatable_tools))
                || needed >= left
            {
                continue;
            }
            let response = ask(candidate, call, deadline).await;
            let is_late = matches!(response, CallResponse::Late);
            let mut told = match response {
                CallResponse::Answer(answer, took) => {
                    let judgement = Judgement {
                        new: RememberedAnswer::new(answer, took),
                        live: recent_answer(recent, shared),
                        deadline,
                        confirmed_by: Some(candidate),
                    };
                    let told = self.judge(call, judgement, result).await;
                    let kept = result.answers.get(call);
                    if kept.is_some_and(|it| it.answer.length() > MAX_ANSWER) {
                        result.answers.remove(call);
                    }
                    told
                }
                CallResponse::Lost => result.lost(call),
                CallResponse::Late | CallResponse::NoTool => {
                    report(call, RehearsalOutcome::Unanswered)
                }
            };
            told.is_recorded = true;
            result.report.calls.push(told);
            if is_late || candidate.is_closed() {
                break;
            }
        }
    }
}

/// Asks the candidate once more to confirm a difference, if there is time for it: times in seconds must have changed,
/// unless an error stands where a result was or the answer is only slower.
pub(super) async fn confirm(
    candidate: &Connection,
    call: &RehearsedCall,
    compared: &Comparison,
    deadline: Instant,
) -> CallResponse {
    if !compared.is_regression && !compared.differences.is_empty() {
        if deadline.saturating_duration_since(Instant::now()) <= REPEAT_PAUSE {
            return CallResponse::Late;
        }
        sleep(REPEAT_PAUSE).await;
    }
    ask(candidate, call, deadline).await
}

/// Returns the answer of the live code to a recent call: to the client if the live code gave it, or else as a candidate.
fn recent_answer(recent: &RecentCall, shared: &ServerShared) -> LiveAnswer {
    let remembered = locked(&shared.remembered_answers)
        .0
        .get(&recent.call)
        .cloned();
    let remembered = remembered.unwrap_or_default();
    let live_generation = shared.snapshot.borrow().generation;
    let answer = match &recent.answer {
        Some(Ok(result)) => Answer::of_result(result),
        Some(Err(error)) => Answer::of_error(error),
        None => return remembered,
    };
    if recent.generation != live_generation {
        return remembered;
    }
    let mut known = RememberedAnswer::new(answer, recent.took);
    if let LiveAnswer::Known(before) = remembered {
        known.varying = before.varying;
    }
    LiveAnswer::Known(known)
}
