//! Newest calls of a server's clients that may run once more: new code rehearses them (`rehearse = "recorded"`).
//!
//! A call may run again if its tool declares that it only reads, or if the user names the tool. A call of an idempotent
//! tool may run again until another call may have had effects, which it could undo.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::config::RehearsedCall;
use crate::jsonrpc::Members;
use crate::lock::locked;
use crate::mcp::{Entry, List};

/// Maximum number of calls that are kept.
const MAX_CALLS: usize = 32;
/// Maximum length in bytes of the arguments of a call that is kept.
pub(super) const MAX_ARGUMENTS: usize = 64 * 1024;
/// Maximum length in bytes of an answer that is kept. The live code is asked for a longer one.
pub(super) const MAX_ANSWER: usize = 256 * 1024;

/// Permission to call a tool once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RepeatPermission {
    /// The tool only reads.
    ReadOnly,
    /// The user names the tool.
    Named,
    /// The tool has no further effect if it is called again with the same arguments.
    Idempotent,
    Denied,
}

impl RepeatPermission {
    /// Returns the permission for a tool by its annotations; `named` are the tools that the user names.
    fn of(tool: &Entry, named: &[String]) -> Self {
        let definition = Members::of(&tool.raw);
        let annotations = definition.object("annotations");
        let is = |hint: &str| annotations.get(hint) == Some("true");
        if is("readOnlyHint") && !is("destructiveHint") {
            Self::ReadOnly
        } else if named.contains(&tool.name) {
            Self::Named
        } else if is("idempotentHint") && !is("destructiveHint") {
            Self::Idempotent
        } else {
            Self::Denied
        }
    }
}

/// Returns true if recorded calls of the tool may run once more.
pub(super) fn is_repeatable(tool: &Entry, named: &[String]) -> bool {
    RepeatPermission::of(tool, named) != RepeatPermission::Denied
}

/// Returns true if calls of the tool may run at any time: it only reads, or the user names it.
pub(super) fn is_always_repeatable(tool: &Entry, named: &[String]) -> bool {
    matches!(
        RepeatPermission::of(tool, named),
        RepeatPermission::ReadOnly | RepeatPermission::Named
    )
}

/// Returns true if code with these tools may get a call that a client asks to rehearse: the code has no such tool, or calls
/// of the tool may run at any time.
pub(super) fn admits_asked(tools: Option<&List>, call: &RehearsedCall, named: &[String]) -> bool {
    tools.is_some_and(|tools| {
        let tool = tools.find(&call.tool);
        tool.is_none_or(|it| is_always_repeatable(it, named))
    })
}

/// Newest distinct calls of clients.
#[derive(Debug, Default)]
pub(super) struct RecentCalls {
    /// The newest first.
    calls: VecDeque<Arc<RecentCall>>,
    /// Number of calls so far that may have had effects.
    effects: u64,
}

/// Call of a client that was answered.
#[derive(Debug)]
pub(super) struct RecentCall {
    pub(super) call: RehearsedCall,
    /// Time to its answer.
    pub(super) took: Duration,
    /// True if its tool only reads.
    pub(super) is_read_only: bool,
    /// Generation that answered.
    pub(super) generation: u64,
    /// Raw result or error, unless it is too long.
    pub(super) answer: Option<Result<Box<str>, Box<str>>>,
    /// Number of calls with effects up to this one, if any other one would forbid to repeat it.
    effects: Option<u64>,
}

impl RecentCalls {
    /// Returns the calls that may run once more, in the order in which they must run: those that only read, the newest
    /// first, and then the others, the oldest first, so that the newest effect is the last one again.
    pub(super) fn repeatable(&self) -> Vec<Arc<RecentCall>> {
        let calls = self.calls.iter();
        let may_repeat = |it: &&Arc<RecentCall>| it.effects.is_none_or(|it| it == self.effects);
        let calls = calls.filter(may_repeat).cloned();
        let (mut ordered, others): (Vec<_>, Vec<_>) = calls.partition(|it| it.is_read_only);
        ordered.extend(others.into_iter().rev());
        ordered
    }

    /// Forgets the calls, because later ones are not recorded. Calls in flight do not count as the last effect.
    pub(super) fn clear(&mut self) {
        self.calls.clear();
        self.effects += 1;
    }

    fn add(&mut self, call: RecentCall) {
        self.calls.retain(|it| it.call != call.call);
        self.calls.push_front(Arc::new(call));
        self.calls.truncate(MAX_CALLS);
    }
}

/// Recorder of the calls to one generation.
#[derive(Debug)]
pub(super) struct CallRecorder {
    permissions: HashMap<String, RepeatPermission>,
    /// True if other sessions have servers of their own, whose effects are not counted here.
    has_other_sessions: bool,
    generation: u64,
    calls: Arc<Mutex<RecentCalls>>,
}

/// Call of a client in flight.
#[derive(Debug)]
pub(super) struct RecordedCall {
    call: RehearsedCall,
    is_read_only: bool,
    effects: Option<u64>,
    began: Instant,
    recorder: Arc<CallRecorder>,
}

impl CallRecorder {
    /// Creates the recorder of calls to `tools`. Calls to the tools in `named` may be repeated without any annotation. With
    /// `has_other_sessions`, calls to tools that are only idempotent may not, since another session may have undone them.
    pub(super) fn new(
        tools: &List,
        named: &[String],
        has_other_sessions: bool,
        generation: u64,
        calls: Arc<Mutex<RecentCalls>>,
    ) -> Self {
        let permissions = tools
            .all()
            .map(|it| (it.name.clone(), RepeatPermission::of(it, named)));
        Self {
            permissions: permissions.collect(),
            has_other_sessions,
            generation,
            calls,
        }
    }

    /// Takes the call of `tool` in `line`, which is sent to the server. Returns it if it may be repeated.
    pub(super) fn sent(self: &Arc<Self>, tool: &str, line: &str) -> Option<RecordedCall> {
        let permission = self.permissions.get(tool).copied();
        let permission = permission.unwrap_or(RepeatPermission::Denied);
        let mut effects = None;
        if permission != RepeatPermission::ReadOnly {
            let mut calls = locked(&self.calls);
            calls.effects += 1;
            effects = Some(calls.effects).filter(|_| permission == RepeatPermission::Idempotent);
        }
        let is_idempotent = permission == RepeatPermission::Idempotent;
        if permission == RepeatPermission::Denied || is_idempotent && self.has_other_sessions {
            return None;
        }
        let message = Members::of(line);
        let params = message.object("params");
        // A task has no result yet, and a repetition with input continues another call.
        let others = ["task", "inputResponses", "requestState"];
        let arguments = params.get("arguments").unwrap_or("{}");
        if others.iter().any(|it| params.get(it).is_some()) || arguments.len() > MAX_ARGUMENTS {
            return None;
        }
        Some(RecordedCall {
            call: RehearsedCall {
                tool: tool.to_owned(),
                arguments: arguments.to_owned(),
            },
            is_read_only: permission == RepeatPermission::ReadOnly,
            effects,
            began: Instant::now(),
            recorder: self.clone(),
        })
    }
}

impl RecordedCall {
    /// Takes the raw result or error. A call that is answered by a request for input is not kept.
    pub(super) fn answered(self, outcome: Result<&str, &str>) {
        let length = outcome.map_or_else(str::len, str::len);
        let asks =
            |it: &str| Members::of(it).text("resultType").as_deref() == Some("input_required");
        if length <= MAX_ANSWER && outcome.is_ok_and(asks) {
            return;
        }
        let kept = || outcome.map(Box::from).map_err(Box::from);
        locked(&self.recorder.calls).add(RecentCall {
            call: self.call,
            took: self.began.elapsed(),
            is_read_only: self.is_read_only,
            generation: self.recorder.generation,
            answer: (length <= MAX_ANSWER).then(kept),
            effects: self.effects,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::ListKind;

    const TOOLS: &str = r#"{"tools":[
        {"name":"read","annotations":{"readOnlyHint":true}},
        {"name":"set","annotations":{"idempotentHint":true}},
        {"name":"delete","annotations":{"idempotentHint":true,"destructiveHint":true}},
        {"name":"odd","annotations":{"readOnlyHint":true,"destructiveHint":true}},
        {"name":"false","annotations":{"readOnlyHint":false}},
        {"name":"plain"},
        {"name":"named","annotations":{"destructiveHint":true}}]}"#;

    fn recorder() -> Arc<CallRecorder> {
        recorder_of(false)
    }

    fn recorder_of(has_other_sessions: bool) -> Arc<CallRecorder> {
        let mut tools = List::default();
        tools.add_page(ListKind::Tools, TOOLS).unwrap();
        let named = ["named".to_owned(), "unknown".to_owned()];
        let calls = Arc::default();
        let recorder = CallRecorder::new(&tools, &named, has_other_sessions, 3, calls);
        Arc::new(recorder)
    }

    fn call(recorder: &Arc<CallRecorder>, tool: &str, params: &str) {
        let line = format!(r#"{{"id":1,"params":{{"name":"x"{params}}}}}"#);
        if let Some(call) = recorder.sent(tool, &line) {
            call.answered(Ok("{}"));
        }
    }

    fn repeatable(recorder: &CallRecorder) -> Vec<String> {
        let calls = locked(&recorder.calls).repeatable();
        calls.iter().map(|it| it.call.to_string()).collect()
    }

    #[test]
    fn only_calls_without_effects_or_of_named_tools_are_repeated() {
        let recorder = recorder();
        for tool in [
            "read", "delete", "odd", "false", "plain", "named", "unknown",
        ] {
            call(&recorder, tool, "");
        }
        assert_eq!(repeatable(&recorder), ["read", "named"]);
        for params in [
            r#","task":{}"#,
            r#","inputResponses":{}"#,
            r#","requestState":"x""#,
        ] {
            call(
                &recorder,
                "read",
                &format!(r#"{params},"arguments":{{"a":1}}"#),
            );
        }
        assert_eq!(repeatable(&recorder), ["read", "named"]);
    }

    #[test]
    fn a_call_that_a_client_asks_for_has_no_effects() {
        let mut tools = List::default();
        tools.add_page(ListKind::Tools, TOOLS).unwrap();
        let admitted = |tools: Option<&List>, tool: &str| {
            let call = RehearsedCall::parse(tool).unwrap();
            admits_asked(tools, &call, &["named".to_owned()])
        };
        for tool in ["read", "named", "unknown"] {
            assert!(admitted(Some(&tools), tool), "{tool}");
            assert!(!admitted(None, tool), "{tool}");
        }
        for tool in ["set", "delete", "odd", "false", "plain"] {
            assert!(!admitted(Some(&tools), tool), "{tool}");
        }
    }

    #[test]
    fn an_idempotent_call_is_repeated_until_another_effect() {
        let recorder = recorder();
        let with = |value| format!(r#","arguments":{{"to":{value}}}"#);
        call(&recorder, "set", &with(1));
        call(&recorder, "read", "");
        assert_eq!(repeatable(&recorder), ["read", r#"set {"to":1}"#]);
        call(&recorder, "set", &with(2));
        assert_eq!(repeatable(&recorder), ["read", r#"set {"to":2}"#]);
        for tool in ["plain", "named", "unlisted"] {
            call(&recorder, "set", &with(2));
            call(&recorder, tool, "");
            assert!(!repeatable(&recorder).contains(&r#"set {"to":2}"#.to_owned()));
        }
        // Clients of other sessions may have effects that are not counted.
        let recorder = recorder_of(true);
        call(&recorder, "set", "");
        call(&recorder, "read", "");
        assert_eq!(repeatable(&recorder), ["read"]);
    }

    #[test]
    fn the_newest_effect_is_the_last_one_again() {
        let recorder = recorder();
        let with = |value: u32| format!(r#","arguments":{{"to":{value}}}"#);
        for value in [1, 2] {
            call(&recorder, "named", &with(value));
            call(&recorder, "read", &with(value));
        }
        let expected = [
            r#"read {"to":2}"#,
            r#"read {"to":1}"#,
            r#"named {"to":1}"#,
            r#"named {"to":2}"#,
        ];
        assert_eq!(repeatable(&recorder), expected);
        // A call that was in flight when the recorder ended may have been followed by others.
        let in_flight = recorder.sent("set", "{}").unwrap();
        locked(&recorder.calls).clear();
        in_flight.answered(Ok("{}"));
        assert!(repeatable(&recorder).is_empty());
    }

    #[test]
    fn the_newest_distinct_calls_are_kept_within_bounds() {
        let recorder = recorder();
        let with = |value: &str| format!(r#","arguments":{{"a":{value}}}"#);
        for number in 0..=MAX_CALLS {
            call(&recorder, "read", &with(&number.to_string()));
        }
        call(&recorder, "read", &with("9"));
        let calls = repeatable(&recorder);
        assert_eq!(calls.len(), MAX_CALLS);
        assert_eq!(calls[..2], [r#"read {"a":9}"#, r#"read {"a":32}"#]);
        assert!(!calls.contains(&r#"read {"a":0}"#.to_owned()));
        let long = format!("\"{}\"", "x".repeat(MAX_ARGUMENTS));
        call(&recorder, "read", &with(&long));
        assert_eq!(repeatable(&recorder), calls);
        let answered = |answer: &str| {
            let sent = recorder.sent("read", "{}").unwrap();
            sent.answered(Err(answer));
            let newest = locked(&recorder.calls).calls[0].clone();
            (newest.answer.is_some(), newest.generation)
        };
        assert_eq!(answered("{}"), (true, 3));
        let asked = recorder.sent("read", r#"{"params":{"arguments":{"b":1}}}"#);
        asked
            .unwrap()
            .answered(Ok(r#"{"resultType":"input_required","inputRequests":{}}"#));
        assert!(!repeatable(&recorder).contains(&r#"read {"b":1}"#.to_owned()));
        assert_eq!(answered(&"x".repeat(MAX_ANSWER + 1)), (false, 3));
    }
}
