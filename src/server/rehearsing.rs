//! Rehearsal of a reload: a candidate answers the calls that the user names, and recent calls of clients if the user
//! wishes, before it goes live. Its answers are compared with those of the code before.
//!
//! The answers of the live code are remembered: those that it gave as a candidate, or, of the first code, after its start.
//! If an answer differs, the live code is asked once more, which shows the places that vary by themselves. Beside
//! stop-first, no code is live by then, so that the first code is asked twice.

mod learning;
mod recent;
mod regression;

use std::collections::HashMap;
use std::mem::discriminant;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use super::ServerShared;
use super::connection::Connection;
use super::pending_requests::RawResponse;
use super::recent_calls::admits_asked;
use crate::config::RehearsedCall;
use crate::event::{AnswerDifference, RehearsalOutcome, RehearsalReport, RehearsedAnswer};
use crate::jsonrpc::quoted;
use crate::lock::locked;
use crate::mcp::List;
use crate::rehearsal::{Answer, Comparison, Varying, compare, is_slower};
pub(super) use learning::{Learning, unknown_tool};
use regression::Regression;

/// Answers of the live code to rehearsed calls.
#[derive(Debug, Default)]
pub(super) struct RememberedAnswers(HashMap<RehearsedCall, LiveAnswer>);

/// Answer of the live code to one call.
#[derive(Debug, Clone, Default)]
enum LiveAnswer {
    #[default]
    Unasked,
    /// It did not answer, and is not sent the call again.
    Silent,
    Known(RememberedAnswer),
}

impl RememberedAnswers {
    /// Adds the answers of the code that goes live. For one of the calls `named` by the user that it did not answer, the
    /// earlier answer stays.
    pub(super) fn add(
        &mut self,
        answers: HashMap<RehearsedCall, RememberedAnswer>,
        named: &[RehearsedCall],
    ) {
        self.0.retain(|call, _| named.contains(call));
        let answers = answers.into_iter();
        self.0
            .extend(answers.map(|(call, answer)| (call, LiveAnswer::Known(answer))));
    }
}

/// Answer of one generation to one call.
#[derive(Debug, Clone)]
pub(super) struct RememberedAnswer {
    answer: Answer,
    took: Duration,
    varying: Varying,
    /// True if the code was asked twice.
    is_repeated: bool,
}

impl RememberedAnswer {
    fn new(answer: Answer, took: Duration) -> Self {
        Self {
            answer,
            took,
            varying: Varying::default(),
            is_repeated: false,
        }
    }

    /// Adds a second answer of the same code. If one is an error and the other is not, the newer one counts.
    fn repeat(&mut self, tool: &str, again: Self) {
        self.is_repeated = true;
        self.took = self.took.max(again.took);
        if discriminant(&self.answer) == discriminant(&again.answer) {
            self.varying.learn(tool, &self.answer, &again.answer);
        } else {
            self.answer = again.answer;
        }
    }

    /// Compares the answer with that of new code.
    fn compare(&self, tool: &str, new: &Self) -> Comparison {
        compare(tool, &self.answer, &new.answer, &self.varying)
    }
}

/// Response to a rehearsed call.
enum CallResponse {
    Answer(Answer, Duration),
    /// The server does not list the tool.
    NoTool,
    /// The time limit was reached.
    Late,
    /// The process has ended.
    Lost,
}

impl CallResponse {
    /// Returns the answer, if there is one.
    fn answer(self) -> Option<RememberedAnswer> {
        match self {
            Self::Answer(answer, took) => Some(RememberedAnswer::new(answer, took)),
            Self::NoTool | Self::Late | Self::Lost => None,
        }
    }
}

/// Answer of a candidate that is to be compared.
struct Judgement<'a> {
    new: RememberedAnswer,
    live: LiveAnswer,
    deadline: Instant,
    /// Candidate, for a recorded call: a difference must be confirmed by a second answer, that of the candidate if no code
    /// is live. Nobody vouches for such a call to give the same answer twice.
    confirmed_by: Option<&'a Connection>,
}

/// Rehearsal of one candidate.
#[derive(Debug)]
pub(super) struct Rehearsal {
    /// Calls that the user names, and after them those that the client asks for.
    pub(super) calls: Vec<RehearsedCall>,
    /// Number of the calls that the user names.
    pub(super) user_calls: usize,
    /// Tools whose calls may be repeated without any annotation.
    pub(super) repeatable_tools: Vec<String>,
    /// True if recorded calls are rehearsed too.
    pub(super) with_recorded: bool,
    /// Time limit for all calls together.
    pub(super) limit: Duration,
    /// Connection of the live code, unless it was stopped before the candidate started.
    pub(super) live: Option<Arc<Connection>>,
}

/// Result of a rehearsal.
#[derive(Debug)]
pub(super) struct RehearsalResult {
    pub(super) report: RehearsalReport,
    /// Answers to remember if the candidate goes live.
    pub(super) answers: HashMap<RehearsedCall, RememberedAnswer>,
    pub(super) regression: Option<Regression>,
}

impl Rehearsal {
    /// Lets the candidate, which has these tools, answer the calls in their order, and compares the answers.
    pub(super) async fn run(
        &self,
        candidate: &Connection,
        tools: Option<&List>,
        shared: &ServerShared,
    ) -> RehearsalResult {
        let deadline = Instant::now() + self.limit;
        let (named, asked) = self.calls.split_at(self.user_calls);
        let asked = asked.iter();
        let admitted = asked.filter(|it| admits_asked(tools, it, &self.repeatable_tools));
        let calls: Vec<&RehearsedCall> = named.iter().chain(admitted).collect();
        let mut responses = Vec::new();
        for call in &calls {
            let response = if lacks_tool(tools, call) {
                CallResponse::NoTool
            } else {
                ask(candidate, call, deadline).await
            };
            let is_lost = matches!(response, CallResponse::Lost);
            responses.push(response);
            if is_lost {
                break;
            }
        }
        let mut result = RehearsalResult {
            report: RehearsalReport {
                calls: Vec::new(),
                limit: self.limit,
            },
            answers: HashMap::new(),
            regression: None,
        };
        let mut learned = shared.answers_learned.subscribe();
        let _ = timeout_at(deadline.into(), learned.wait_for(|it| *it)).await;
        let unasked = std::iter::repeat_with(|| CallResponse::Late);
        let judgement = |new, live| Judgement {
            new,
            live,
            deadline,
            confirmed_by: None,
        };
        for (call, response) in calls.into_iter().zip(responses.into_iter().chain(unasked)) {
            let live = locked(&shared.remembered_answers).0.get(call).cloned();
            let live = live.unwrap_or_default();
            let report = match response {
                CallResponse::NoTool if !matches!(live, LiveAnswer::Known(_)) => {
                    report(call, RehearsalOutcome::NotCompared)
                }
                CallResponse::NoTool => {
                    let error = format!("the server has no tool `{}`", call.tool);
                    let gone = RememberedAnswer::new(Answer::Error(error), Duration::ZERO);
                    self.judge(call, judgement(gone, live), &mut result).await
                }
                CallResponse::Answer(answer, took) => {
                    let new = RememberedAnswer::new(answer, took);
                    self.judge(call, judgement(new, live), &mut result).await
                }
                CallResponse::Late => report(call, RehearsalOutcome::Unanswered),
                CallResponse::Lost => result.lost(call),
            };
            result.report.calls.push(report);
        }
        if !candidate.is_closed() {
            let run = self.run_recent(candidate, tools, shared, deadline, &mut result);
            run.await;
        }
        result
    }

    /// Compares the candidate's answer with that of the live code, which is asked again if they differ. Adds the answer
    /// and a regression to `result`.
    async fn judge(
        &self,
        call: &RehearsedCall,
        judgement: Judgement<'_>,
        result: &mut RehearsalResult,
    ) -> RehearsedAnswer {
        let Judgement {
            mut new,
            live,
            deadline,
            confirmed_by,
        } = judgement;
        let mut report = report(call, RehearsalOutcome::NotCompared);
        report.took = Some(new.took);
        let known = match live {
            LiveAnswer::Known(known) => Some(known),
            LiveAnswer::Silent => None,
            LiveAnswer::Unasked => self.ask_live(call, deadline).await,
        };
        if let Some(mut known) = known {
            let mut compared = known.compare(&call.tool, &new);
            let is_same = compared.differences.is_empty() && !is_slower(known.took, new.took);
            let again = match (&self.live, confirmed_by) {
                _ if is_same => None,
                (None, Some(candidate)) => {
                    match recent::confirm(candidate, call, &compared, deadline).await {
                        CallResponse::Lost => return result.lost(call),
                        response => response.answer(),
                    }
                }
                _ => self.ask_live(call, deadline).await,
            };
            if !is_same && again.is_none() && confirmed_by.is_some() {
                report.outcome = RehearsalOutcome::Unconfirmed;
                return report;
            }
            if let Some(again) = again {
                let repeated = if self.live.is_some() {
                    &mut known
                } else {
                    &mut new
                };
                repeated.repeat(&call.tool, again);
                if self.live.is_none() {
                    known.varying.extend(&new.varying);
                }
                compared = known.compare(&call.tool, &new);
            }
            if let (true, Answer::Error(message)) = (compared.is_regression, &new.answer) {
                let error = message.lines().next().unwrap_or_default().to_owned();
                result.add_regression(call, Some(error));
            }
            report.took_before = Some(known.took);
            report.is_slower = is_slower(known.took, new.took);
            report.outcome = outcome(&compared);
            report.differences = compared.differences;
            report.varied = compared.varied.into_iter().collect();
            new.varying = known.varying;
            new.is_repeated = known.is_repeated;
        }
        result.answers.insert(call.clone(), new);
        report
    }

    /// Returns the present answer of the live code, if there is one in time.
    async fn ask_live(&self, call: &RehearsedCall, deadline: Instant) -> Option<RememberedAnswer> {
        answer(self.live.as_ref()?, call, deadline).await
    }
}

impl RehearsalResult {
    /// Adds the end of the candidate's process during a call; returns the report about the call.
    fn lost(&mut self, call: &RehearsedCall) -> RehearsedAnswer {
        self.add_regression(call, None);
        let difference = AnswerDifference {
            place: call.tool.clone(),
            before: "a running process".to_owned(),
            after: "its end".to_owned(),
        };
        RehearsedAnswer {
            differences: vec![difference],
            ..report(call, RehearsalOutcome::Fails)
        }
    }

    fn add_regression(&mut self, call: &RehearsedCall, error: Option<String>) {
        self.regression
            .get_or_insert_with(|| Regression::new(call, error));
    }
}

/// Returns the report about a call without an answer.
fn report(call: &RehearsedCall, outcome: RehearsalOutcome) -> RehearsedAnswer {
    RehearsedAnswer {
        call: call.to_string(),
        outcome,
        took: None,
        took_before: None,
        is_slower: false,
        is_recorded: false,
        differences: Vec::new(),
        varied: Vec::new(),
    }
}

fn outcome(compared: &Comparison) -> RehearsalOutcome {
    if compared.is_regression {
        RehearsalOutcome::Fails
    } else if compared.differences.is_empty() {
        RehearsalOutcome::Same
    } else {
        RehearsalOutcome::Differs
    }
}

/// Calls a tool and waits for the answer until `deadline`. A request for input from the client is refused.
async fn ask(connection: &Connection, call: &RehearsedCall, deadline: Instant) -> CallResponse {
    let began = Instant::now();
    if began >= deadline {
        return CallResponse::Late;
    }
    let without_input = connection.without_input();
    let params = format!(
        r#"{{"name":{},"arguments":{}}}"#,
        quoted(&call.tool),
        call.arguments
    );
    let Ok(mut in_flight) = connection.call_tool(&params) else {
        return CallResponse::Lost;
    };
    let response = timeout_at(deadline.into(), in_flight.response()).await;
    let took = began.elapsed();
    match response {
        _ if without_input.is_refused() => CallResponse::Answer(Answer::InputRequest, took),
        Ok(Ok(RawResponse::Result(result))) => {
            CallResponse::Answer(Answer::of_result(&result), took)
        }
        Ok(Ok(RawResponse::Error(error))) => CallResponse::Answer(Answer::of_error(&error), took),
        Ok(Err(_)) => CallResponse::Lost,
        Err(_) => CallResponse::Late,
    }
}

/// Returns the answer to a call, if there is one in time.
async fn answer(
    connection: &Connection,
    call: &RehearsedCall,
    deadline: Instant,
) -> Option<RememberedAnswer> {
    ask(connection, call, deadline).await.answer()
}

/// Returns true if a known list of tools lacks the tool of the call.
fn lacks_tool(tools: Option<&List>, call: &RehearsedCall) -> bool {
    tools.is_some_and(|it| it.find(&call.tool).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(answer: Answer, ms: u64) -> RememberedAnswer {
        RememberedAnswer::new(answer, Duration::from_millis(ms))
    }

    fn number(number: u32) -> RememberedAnswer {
        answer(
            Answer::of_result(&format!(r#"{{"structuredContent":{{"n":{number}}}}}"#)),
            1,
        )
    }

    #[test]
    fn a_second_answer_shows_what_varies() {
        let mut known = number(1);
        assert_eq!(known.compare("t", &number(2)).differences.len(), 1);
        known.repeat("t", answer(number(2).answer, 50));
        assert!(known.compare("t", &number(3)).differences.is_empty());
        assert_eq!(known.took, Duration::from_millis(50));
        // Code that fails by now is no measure for the success of other code.
        let error = || answer(Answer::Error("no network".into()), 1);
        assert!(known.compare("t", &error()).is_regression);
        known.repeat("t", error());
        assert!(known.compare("t", &error()).differences.is_empty());
    }

    #[test]
    fn the_first_regression_counts() {
        let mut result = RehearsalResult {
            report: RehearsalReport::default(),
            answers: HashMap::new(),
            regression: None,
        };
        let call = |text: &str| RehearsedCall::parse(text).unwrap();
        let report = result.lost(&call("a {\"b\":1}"));
        assert_eq!(report.outcome, RehearsalOutcome::Fails);
        result.add_regression(&call("c"), Some("bad".into()));
        let reason = result.regression.unwrap().reason("exited with status 1");
        assert_eq!(
            reason,
            "exited with status 1 during the rehearsed call `a {\"b\":1}`"
        );
    }
}
