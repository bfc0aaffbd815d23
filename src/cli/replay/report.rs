//! Report of a replay: a table for people, JSON and `JUnit` XML for programs.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::Style;
use serde::Serialize;

use super::super::junit::{Case, CaseOutcome, document};
use super::super::result_text::shorten;
use super::super::table::TextTable;
use super::difference::{Difference, IgnoredPath, JsonPath, differences, without_varying};
use super::recorded_session::RecordedSession;
use crate::output::palette::{BAD, DIM};
use crate::output::{clean, count, duration};

/// Comparison of a recorded session with its replay.
#[derive(Debug, Serialize)]
pub(super) struct SessionReport {
    session: String,
    pub(super) ok: bool,
    requests: Vec<RequestReport>,
    /// Number of values that requests had from earlier results.
    carried: usize,
    /// Notifications of which there are more or fewer; they do not count as differences.
    notifications: Vec<NotificationReport>,
}

#[derive(Debug, Serialize)]
struct RequestReport {
    request: String,
    ok: bool,
    recorded_us: Option<u64>,
    now_us: Option<u64>,
    /// Reason why the responses were not compared.
    reason: Option<&'static str>,
    differences: Vec<Difference>,
    /// Places that differ, but vary by themselves.
    varied: Vec<JsonPath>,
}

#[derive(Debug, Serialize)]
struct NotificationReport {
    method: String,
    recorded: usize,
    now: usize,
}

impl SessionReport {
    /// Compares `recorded`, which is called `name`, with its replay. A second replay, `again`, shows the places that vary
    /// by themselves.
    pub(super) fn new(
        name: &str,
        recorded: &RecordedSession,
        now: &RecordedSession,
        again: Option<&RecordedSession>,
        ignored: &[IgnoredPath],
    ) -> Self {
        let line = |session: &RecordedSession, index: usize| {
            let response = session.requests.get(index)?.response.as_ref()?;
            response.line.clone()
        };
        let requests = recorded
            .requests
            .iter()
            .enumerate()
            .map(|(index, request)| {
                let response = request.response.as_ref();
                let request_now = now.requests.get(index);
                let response_now = request_now.and_then(|it| it.response.as_ref());
                let lines = [response, response_now].map(|it| it.and_then(|it| it.line.as_deref()));
                let (reason, differences) = match (response, response_now, lines) {
                    _ if recorded.is_own(request) => {
                        (Some("answered by mcp-proxy itself"), Vec::new())
                    }
                    (_, _, [Some(old), Some(new)]) => {
                        let mut found = differences(old, new, ignored);
                        let tokens = [Some(request), request_now];
                        let [old, new] = tokens.map(|it| it.and_then(|it| it.token.as_deref()));
                        found.retain(|it| !it.is_token(old, new));
                        (None, found)
                    }
                    (None, _, _) => (Some("no response was recorded"), Vec::new()),
                    (Some(_), None, _) => (Some("no response"), Vec::new()),
                    (Some(_), Some(_), _) => (Some("recorded in part"), Vec::new()),
                };
                let again = again.and_then(|it| line(it, index));
                let (differences, varied) = match (again, line(now, index)) {
                    (Some(again), Some(now)) => without_varying(differences, &now, &again),
                    _ => (differences, Vec::new()),
                };
                RequestReport {
                    request: request.subject.clone(),
                    ok: differences.is_empty() && reason != Some("no response"),
                    recorded_us: response.map(|it| it.took_us),
                    now_us: response_now.map(|it| it.took_us),
                    reason,
                    differences,
                    varied,
                }
            });
        let requests: Vec<_> = requests.collect();
        Self {
            session: name.to_owned(),
            ok: requests.iter().all(|it| it.ok),
            requests,
            carried: now.carried,
            notifications: notifications(recorded, now),
        }
    }

    /// Adds the rows of a table to `table`.
    fn add_to(&self, table: &mut TextTable<4>) {
        for request in &self.requests {
            let time = |us: Option<u64>| us.map(|us| duration(Duration::from_micros(us)));
            let times =
                [request.recorded_us, request.now_us].map(|us| time(us).unwrap_or_default());
            let [recorded, now] = times;
            let style = match (request.ok, request.reason) {
                (false, _) => BAD,
                (true, Some(_)) => DIM,
                (true, None) => Style::new(),
            };
            let outcome = request.outcome();
            table.row(style, [request.request.clone(), recorded, now, outcome]);
        }
        for it in &self.notifications {
            let outcome = format!("{} → {}", it.recorded, it.now);
            let method = it.method.clone();
            table.row(DIM, [method, String::new(), String::new(), outcome]);
        }
    }
}

impl RequestReport {
    /// Returns the case of this request, the number `number` of its session.
    fn case(&self, number: usize) -> Case {
        let lines: Vec<String> = self.differences.iter().map(ToString::to_string).collect();
        let details = lines.join("\n");
        Case {
            name: format!("{number} {}", self.request),
            ms: self.now_us.map(|us| us / 1000),
            outcome: match (self.ok, self.reason) {
                (true, reason) => CaseOutcome::Passed(reason.unwrap_or_default().to_owned()),
                (false, _) => CaseOutcome::Failed(self.outcome(), details),
            },
        }
    }

    fn outcome(&self) -> String {
        match (&self.differences[..], self.reason) {
            ([], None) if !self.varied.is_empty() => {
                let parts = count(
                    self.varied.len(),
                    "part varies by itself",
                    "parts vary by themselves",
                );
                format!("same ({parts})")
            }
            ([], reason) => reason.unwrap_or("same").to_owned(),
            ([first], _) => shorten(&first.to_string()),
            ([first, others @ ..], _) => {
                format!("{} (+{} more)", shorten(&first.to_string()), others.len())
            }
        }
    }
}

/// Returns the methods of which the client got another number of notifications from servers.
fn notifications(recorded: &RecordedSession, now: &RecordedSession) -> Vec<NotificationReport> {
    let methods = recorded
        .notifications
        .keys()
        .chain(now.notifications.keys());
    let methods: std::collections::BTreeSet<&String> = methods.collect();
    let methods = methods.into_iter().map(|method| NotificationReport {
        method: method.clone(),
        recorded: recorded.passed_on(method),
        now: now.passed_on(method),
    });
    methods.filter(|it| it.recorded != it.now).collect()
}

/// Returns the XML document of all sessions: a suite for each, with a case for each request.
pub(super) fn junit(reports: &[SessionReport]) -> String {
    let suites = reports.iter().map(|report| {
        let requests = report.requests.iter().enumerate();
        let cases = requests.map(|(index, request)| request.case(index + 1));
        (&*report.session, cases.collect())
    });
    document("replay", &suites.collect::<Vec<_>>())
}

/// Returns the table of all sessions and a summary.
pub(super) fn text(reports: &[SessionReport]) -> String {
    let mut text = String::new();
    for report in reports {
        if reports.len() > 1 {
            let _ = writeln!(text, "session {}", clean(&report.session));
        }
        let mut table = TextTable::new(["REQUEST", ">RECORDED", ">NOW", "DIFFERENCE"]);
        report.add_to(&mut table);
        text += &table.text();
        if report.carried > 0 {
            let carried = count(
                report.carried,
                "value of a request was",
                "values of requests were",
            );
            let _ = writeln!(text, "{carried} replaced by ids from earlier results");
        }
    }
    let requests = || reports.iter().flat_map(|it| &it.requests);
    let different = requests().filter(|it| !it.ok).count();
    let all = count(requests().count(), "request", "requests");
    text + &format!("{all}, {different} with another response\n")
}
