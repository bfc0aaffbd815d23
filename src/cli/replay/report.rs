//! Report of a replay: a table for people, JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::Style;
use serde::Serialize;

use super::super::result_text::shorten;
use super::super::table::TextTable;
use super::difference::{Difference, IgnoredPath, differences};
use super::recorded_session::RecordedSession;
use crate::output::palette::{BAD, DIM};
use crate::output::{clean, count, duration};

/// Comparison of a recorded session with its replay.
#[derive(Debug, Serialize)]
pub(super) struct SessionReport {
    session: String,
    pub(super) ok: bool,
    requests: Vec<RequestReport>,
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
}

#[derive(Debug, Serialize)]
struct NotificationReport {
    method: String,
    recorded: usize,
    now: usize,
}

impl SessionReport {
    /// Compares `recorded` with its replay; `None` if there was none.
    pub(super) fn new(
        recorded: &RecordedSession,
        now: Option<&RecordedSession>,
        ignored: &[IgnoredPath],
    ) -> Self {
        let requests = recorded
            .requests
            .iter()
            .enumerate()
            .map(|(index, request)| {
                let again = now.and_then(|now| now.requests.get(index));
                let response = request.response.as_ref();
                let response_now = again.and_then(|it| it.response.as_ref());
                let lines = [response, response_now].map(|it| it.and_then(|it| it.line.as_deref()));
                let (reason, differences) = match (response, response_now, lines) {
                    (_, _, [Some(old), Some(new)]) => (None, differences(old, new, ignored)),
                    (None, _, _) => (Some("no response was recorded"), Vec::new()),
                    (Some(_), None, _) => (Some("no response"), Vec::new()),
                    (Some(_), Some(_), _) => (Some("recorded in part"), Vec::new()),
                };
                RequestReport {
                    request: request.subject.clone(),
                    ok: differences.is_empty() && reason != Some("no response"),
                    recorded_us: response.map(|it| it.took_us),
                    now_us: response_now.map(|it| it.took_us),
                    reason,
                    differences,
                }
            });
        let requests: Vec<_> = requests.collect();
        Self {
            session: recorded.name.clone(),
            ok: requests.iter().all(|it| it.ok),
            requests,
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
    fn outcome(&self) -> String {
        match (&self.differences[..], self.reason) {
            ([], reason) => reason.unwrap_or("same").to_owned(),
            ([first], _) => shorten(&first.to_string()),
            ([first, others @ ..], _) => {
                format!("{} (+{} more)", shorten(&first.to_string()), others.len())
            }
        }
    }
}

/// Returns the methods of which the client got another number of notifications.
fn notifications(
    recorded: &RecordedSession,
    now: Option<&RecordedSession>,
) -> Vec<NotificationReport> {
    let Some(now) = now else { return Vec::new() };
    let methods = recorded
        .notifications
        .keys()
        .chain(now.notifications.keys());
    let methods: std::collections::BTreeSet<&String> = methods.collect();
    let number = |of: &RecordedSession, method| of.notifications.get(method).copied();
    let methods = methods.into_iter().map(|method| NotificationReport {
        method: method.clone(),
        recorded: number(recorded, method).unwrap_or_default(),
        now: number(now, method).unwrap_or_default(),
    });
    methods.filter(|it| it.recorded != it.now).collect()
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
    }
    let requests = || reports.iter().flat_map(|it| &it.requests);
    let different = requests().filter(|it| !it.ok).count();
    let all = count(requests().count(), "request", "requests");
    text + &format!("{all}, {different} with another response\n")
}
