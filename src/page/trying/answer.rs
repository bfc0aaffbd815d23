//! Answer to a call of the page, alone or beside an earlier one.

use std::fmt::Write as _;
use std::sync::Arc;

use maud::{Markup, html};

use super::calls::{PageCall, PageCallState, answer, outcome};
use crate::config::HiddenValues;
use crate::jsonrpc::Members;
use crate::lock::locked;
use crate::output::{clean, duration};
use crate::page::json_tree::json_tree;
use crate::page::layout::{lines, short_name};
use crate::page::routes::Site;
use crate::rehearsal::{Varying, compare};

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
    let (PageCallState::Answered(old, _), PageCallState::Answered(new, _)) =
        (before.state(), now.state())
    else {
        return html! {
            @if !matches!(now.state(), PageCallState::Open) { p { "There is nothing to compare." } }
        };
    };
    let compared = compare(
        &now.tried.tool,
        &answer(&old),
        &answer(&new),
        &Varying::default(),
    );
    let shown = |text: &str| clean(&hidden.hide_in_json(text)).into_owned();
    let count = compared.differences.len();
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
        PageCallState::Answered(line, took) => {
            let outcome = outcome(&line);
            let is_error = |result: &String| Members::of(result).get("isError") == Some("true");
            let (class, words) = match &outcome {
                Ok(result) if is_error(result) => ("bad", "✕ tool error"),
                Ok(_) => ("good", "✓ result"),
                Err(_) => ("bad", "✕ error"),
            };
            let (Ok(text) | Err(text)) = outcome;
            html! {
                p.state.(class) { (words) }
                (facts(Some(duration(took))))
                (json(&text, hidden))
            }
        }
    }
}

/// Returns an answer as folded JSON, or the beginning of a very long one.
fn json(text: &str, hidden: &HiddenValues) -> Markup {
    if text.len() <= MAX_SHOWN {
        return json_tree(&hidden.hide_in_json(text));
    }
    let hidden = hidden.hide_in_json(text);
    let end = (0..=BEGINNING.min(hidden.len())).rev();
    let end = end
        .into_iter()
        .find(|at| hidden.is_char_boundary(*at))
        .unwrap_or(0);
    let mut shown = hidden[..end].to_owned();
    let _ = write!(shown, "\n… (+{} bytes)", hidden.len() - end);
    html! { (lines(shown.lines())) }
}
