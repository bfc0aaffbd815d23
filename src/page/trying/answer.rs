//! Answer to a call of the page, alone or beside an earlier one.

use std::fmt::Write as _;
use std::sync::Arc;

use maud::{Markup, html};

use super::calls::{PageCall, PageCallState, PageOutcome};
use crate::config::HiddenValues;
use crate::lock::locked;
use crate::output::{clean, duration};
use crate::page::json_tree::json_tree;
use crate::page::layout::{lines, short_name};
use crate::page::routes::Site;
use crate::recorder::MARGIN;
use crate::rehearsal::{MAX_COMPARED, Varying, compare};

/// Length in bytes from which on only the beginning of an answer is shown.
const MAX_SHOWN: usize = 1024 * 1024;
/// Length of this beginning in bytes.
const BEGINNING: usize = 16 * 1024;
/// Maximum number of differences that are shown.
const MAX_DIFFERENCES: usize = 100;

/// Returns the answer to a call, beside the one that it is compared with.
pub(super) fn section(site: &Site, call: &Arc<PageCall>) -> Markup {
    let hidden = locked(&site.hidden).clone();
    let is_open = matches!(call.state(), PageCallState::Open);
    let number = call.number;
    let is_other = |(session, _): &(u64, _)| *session != call.tried.session;
    let names_session = site.fleets.all().iter().any(is_other);
    let one = |call: &PageCall| one(call, names_session, &hidden);
    html! {
        div data-call=(number) data-open=[is_open.then_some("open")] {
            h2 { "Answer to " bdi { code { (short_name(&call.tried.tool)) } } }
            @match call.before.map(|before| site.trying.calls.get(before)) {
                None => (one(call)),
                Some(None) => {
                    p.warn { "The earlier answer is not kept any more." }
                    (one(call))
                }
                Some(Some(before)) => {
                    (comparison(&before, call, &hidden))
                    div.pair {
                        section aria-label="Before" { h3 { "Before" } (one(&before)) }
                        section aria-label="Now" { h3 { "Now" } (one(call)) }
                    }
                }
            }
            div.actions {
                @if is_open {
                    form method="post" action="/try/cancel" {
                        input type="hidden" name="call" value=(number);
                        button { "Cancel" }
                    }
                } @else {
                    form method="post" action="/try/call" {
                        input type="hidden" name="call" value=(number);
                        button { "Run again and compare" }
                    }
                }
                a href=(format!("/try/messages?call={number}")) { "Messages" }
            }
            @if !is_open {
                p.soft { "The answer is kept: after a save, run the call again, and see both answers side by side." }
            }
        }
    }
}

/// Returns the differences between two answers.
fn comparison(before: &PageCall, now: &PageCall, hidden: &HiddenValues) -> Markup {
    let (PageCallState::Answered(old), PageCallState::Answered(new)) =
        (before.state(), now.state())
    else {
        return html! {
            @if !matches!(now.state(), PageCallState::Open) { p { "There is nothing to compare." } }
        };
    };
    let compared = compare(
        &now.tried.tool,
        &old.compared(),
        &new.compared(),
        &Varying::default(),
    );
    let shown = |text: &str| clean(&hidden.hide_in_json(text)).into_owned();
    let count = compared.differences.len();
    let is_long = old.outcome().1.len() > MAX_COMPARED;
    html! {
        @match (before.generation(), now.generation()) {
            (Some(old), Some(new)) if old == new => p.warn {
                "Both answers are of generation " (old) ": no other code has gone live in between. The code before \
                 cannot be asked any more, since a generation stops when the next one is live."
            },
            _ => {}
        }
        @if compared.is_regression { p.bad { "An error stands where a result was." } }
        @match count {
            0 if is_long && old.outcome() != new.outcome() => p.warn {
                "The answers differ. They are too long to be compared place by place."
            },
            0 => p.good { "The answers are the same." },
            1 => p { "1 place differs:" },
            _ => p { (count) " places differ:" },
        }
        ul.differences {
            @for it in compared.differences.iter().take(MAX_DIFFERENCES) {
                li {
                    bdi { code { (shown(&it.place)) } } ": "
                    del { bdi { (shown(&it.before)) } } " → " ins { bdi { (shown(&it.after)) } }
                }
            }
        }
        @if count > MAX_DIFFERENCES { p.soft { (count - MAX_DIFFERENCES) " more are not shown." } }
    }
}

/// Returns one answer with its facts.
fn one(call: &PageCall, names_session: bool, hidden: &HiddenValues) -> Markup {
    let generation = call.generation();
    let facts = |took: Option<String>| {
        html! {
            dl {
                dt { "Server" }
                dd {
                    bdi { (short_name(&call.tried.server)) }
                    @if names_session { ", session " (call.tried.session) }
                    @match generation {
                        Some(number) => { ", generation " (number) }
                        None => { ", which has not got the call" }
                    }
                }
                @if let Some(took) = took { dt { "Took" } dd { (took) } }
            }
        }
    };
    match call.state() {
        PageCallState::Open => html! { p.state.warn { "… waiting for the answer" } (facts(None)) },
        PageCallState::Cancelled => html! { p.state.warn { "✕ cancelled" } (facts(None)) },
        PageCallState::Answered(answer) => {
            let (outcome, text) = answer.outcome();
            let (class, words) = match outcome {
                PageOutcome::Result => ("good", "✓ result"),
                PageOutcome::ToolError => ("bad", "✕ tool error"),
                PageOutcome::Error => ("bad", "✕ error"),
            };
            html! {
                p.state.(class) { (words) }
                (facts(Some(duration(answer.took))))
                (json(text, hidden))
            }
        }
    }
}

/// Returns an answer as folded JSON, or the beginning of a very long one.
fn json(text: &str, hidden: &HiddenValues) -> Markup {
    if text.len() <= MAX_SHOWN {
        return json_tree(&hidden.hide_in_json(text));
    }
    // A value to hide may cross the end of the beginning.
    let hidden = hidden.hide_in_json(beginning(text, BEGINNING + MARGIN));
    let mut shown = beginning(&hidden, BEGINNING).to_owned();
    let _ = write!(shown, "\n… (+{} bytes)", text.len() - shown.len());
    html! { (lines(shown.lines())) }
}

/// Returns at most the first `length` bytes of a text.
fn beginning(text: &str, length: usize) -> &str {
    let end = (0..=length.min(text.len())).rev();
    let end = end.into_iter().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::super::TriedTool;
    use super::super::calls::PageCalls;
    use super::*;
    use crate::jsonrpc::Reply;
    use crate::page::data::PageData;
    use crate::server::ResponseSink as _;

    #[test]
    fn long_answers_of_one_length_are_not_the_same() {
        let (calls, data) = (PageCalls::default(), PageData::new("run".to_owned()));
        let answered = |letter: &str| {
            let tried = TriedTool {
                session: 1,
                server: "weather".to_owned(),
                tool: "forecast".to_owned(),
                arguments: "{}".to_owned(),
            };
            let call = calls.add(tried, None, &data);
            let text = letter.repeat(MAX_COMPARED);
            let result = format!(r#"{{"content":[{{"type":"text","text":"{text}"}}]}}"#);
            call.answer(call.id().as_raw(), Reply::Result(&result));
            call
        };
        let (a, b, again) = (answered("a"), answered("b"), answered("a"));
        let told = |one: &PageCall, other: &PageCall| {
            comparison(one, other, &HiddenValues::default()).into_string()
        };
        assert!(told(&a, &b).contains("The answers differ."));
        assert!(told(&a, &again).contains("The answers are the same."));
    }
}
