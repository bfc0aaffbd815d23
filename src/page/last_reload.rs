//! The last reload of a server: its time, the changes of the lists with old and new definitions, and the answers to
//! rehearsed calls.

use maud::{Markup, html};
use serde_json::Value;

use super::layout::{milliseconds, short_name, time};
use super::side_by_side::side_by_side;
use crate::config::HiddenValues;
use crate::mcp::{Entry, List, ListKind};
use crate::output::clean;
use crate::server::Snapshot;

/// Maximum number of entries that are compared.
const MAX_ENTRIES: usize = 40;

/// Returns the description of the reload that `event` tells of, which led to `snapshot`.
pub(super) fn reloaded(event: &Value, snapshot: &Snapshot, hidden: &HiddenValues) -> Markup {
    let took = event["took_ms"].as_u64().unwrap_or_default();
    html! {
        section aria-label="Last reload" {
            h4 { "Last reload" }
            p {
                (time(event["time"].as_str().unwrap_or_default())) ": generation " (event["generation"])
                " in " (milliseconds(took))
                @let saved = names(&event["saved"]);
                @if !saved.is_empty() { ", after a save of " bdi { (saved) } }
            }
            (difference(&event["diff"]))
            (compared(&event["diff"]["contract"], snapshot, hidden))
            (rehearsal(&event["rehearsal"]))
        }
    }
}

/// Returns the changes of the lists, from the event of the reload.
pub(super) fn difference(diff: &Value) -> Markup {
    let lists = diff.as_object().into_iter().flatten();
    let is_empty = lists.map(|(_, list)| items(list)).all(<[Value]>::is_empty);
    html! {
        @if is_empty {
            p { "The lists are the same as before." }
        } @else {
            ul {
                @for list in ["added", "removed"] {
                    @if !items(&diff[list]).is_empty() { li { (list) ": " bdi { (names(&diff[list])) } } }
                }
                @for it in items(&diff["changed"]) {
                    li { "changed: " bdi { (text(&it["tool"])) } " (" bdi { (names(&it["members"])) } ")" }
                }
                @for change in items(&diff["contract"]) {
                    @let class = text(&change["class"]);
                    li class=(if class == "breaking" { "bad" } else { "warn" }) {
                        (class) ": " (text(&change["kind"])) " " bdi { (text(&change["name"])) } ": "
                        bdi { (text(&change["text"])) }
                    }
                }
            }
        }
    }
}

/// Returns the texts of a list of an event.
fn names(list: &Value) -> String {
    let names: Vec<String> = items(list).iter().map(text).collect();
    names.join(", ")
}

/// Returns a text of an event for the page.
fn text(value: &Value) -> String {
    clean(value.as_str().unwrap_or_default()).into_owned()
}

/// Returns the elements of a list of an event.
fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Returns the entries that differ from those before the reload, old and new side by side. `contract` has the classes of
/// the changes.
fn compared(contract: &Value, snapshot: &Snapshot, hidden: &HiddenValues) -> Markup {
    let Some(former) = &snapshot.former else {
        return html! {};
    };
    let lists = ListKind::ALL.into_iter().filter_map(|kind| {
        let old = former[kind.index()].as_ref().ok()?;
        Some((kind, differing(old, snapshot.list(kind)?)))
    });
    let all: Vec<_> = lists
        .flat_map(|(kind, entries)| entries.into_iter().map(move |it| (kind, it)))
        .collect();
    html! {
        @for (kind, (old, new)) in all.iter().take(MAX_ENTRIES) {
            (entry(contract, *kind, *old, *new, hidden))
        }
        @if all.len() > MAX_ENTRIES { p { (all.len() - MAX_ENTRIES) " more entries differ" } }
    }
}

/// Returns the entries that differ, old and new.
fn differing<'a>(old: &'a List, new: &'a List) -> Vec<(Option<&'a Entry>, Option<&'a Entry>)> {
    let (before, after) = (old.by_name(), new.by_name());
    let gone = old.all().filter(|it| !after.contains_key(&*it.name));
    let gone = gone.map(|it| (Some(it), None));
    let others = new.all().filter_map(|it| {
        let former = before.get(&*it.name).copied();
        former
            .is_none_or(|former| former.raw != it.raw)
            .then_some((former, Some(it)))
    });
    gone.chain(others).collect()
}

fn entry(
    contract: &Value,
    kind: ListKind,
    old: Option<&Entry>,
    new: Option<&Entry>,
    hidden: &HiddenValues,
) -> Markup {
    let name = old.or(new).map_or("", |it| &it.name);
    let name = hidden.hide(name.to_owned());
    let what = match (old, new) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    let is_of = |it: &&Value| it["kind"] == kind.entry_name() && it["name"] == *name;
    // The gravest change comes first.
    let class = items(contract)
        .iter()
        .find(is_of)
        .map(|it| text(&it["class"]));
    let raw = |it: &Entry| hidden.hide_in_json(&it.raw);
    let [old, new] = [old, new].map(|it| it.map(raw));
    html! {
        details {
            summary {
                (kind.entry_name()) " " bdi { code { (short_name(&name)) } } " " (what)
                @match class.as_deref() {
                    Some("breaking") => { ", " strong.bad { "breaking" } }
                    Some(class) => { ", " span.warn { (class) } }
                    None => {}
                }
            }
            (side_by_side(old.as_deref(), new.as_deref()))
        }
    }
}

/// Returns the answers to rehearsed calls, from the event of the reload.
fn rehearsal(report: &Value) -> Markup {
    html! {
        @for call in items(&report["calls"]) {
            p {
                "Rehearsed " bdi { code { (text(&call["call"])) } } ": "
                (text(&call["outcome"]).replace('_', " "))
                (rehearsed_times(call))
            }
            @let differences = items(&call["differences"]);
            @if !differences.is_empty() { (answers(differences)) }
            @if call["difference_count"].as_u64() > Some(differences.len() as u64) {
                p { "Differences in all: " (call["difference_count"]) }
            }
        }
    }
}

/// Returns the time to the answer, and to that of the code before.
fn rehearsed_times(call: &Value) -> Markup {
    html! {
        @if let Some(took) = call["took_ms"].as_u64() {
            " in " (milliseconds(took))
            @if let Some(before) = call["took_before_ms"].as_u64() { ", before " (milliseconds(before)) }
            @if call["slower"] == true { " " strong.warn { "slower" } }
        }
    }
}

fn answers(differences: &[Value]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Differences of answers" {
            table.sides {
                thead { tr { th scope="col" { "Place" } th scope="col" { "Old" } th scope="col" { "New" } } }
                tbody {
                    @for it in differences {
                        tr {
                            td { bdi { (text(&it["place"])) } }
                            td { del { bdi { (text(&it["before"])) } } }
                            td { ins { bdi { (text(&it["after"])) } } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::ServerSpec;

    #[test]
    fn definitions_have_no_secret_however_it_is_written() {
        let mut spec = ServerSpec::new("t".to_owned(), "t".into(), Vec::new(), "/".into());
        spec.env = vec![("TOKEN".into(), "pa\"ss-1234567".into())];
        let tool = Entry {
            name: "a".to_owned(),
            raw: r#"{"name":"a","title":"pa\"ss-1234567","description":"\u0070a\"ss-1234567"}"#
                .to_owned(),
        };
        let hidden = spec.hidden_values();
        let shown = entry(&Value::Null, ListKind::Tools, Some(&tool), None, &hidden).into_string();
        assert_eq!(shown.matches("${TOKEN}").count(), 2, "{shown}");
        assert!(!shown.contains("1234567"), "{shown}");
    }

    #[test]
    fn changes_of_a_reload_are_listed() {
        let none =
            json!({ "added": [], "removed": [], "changed": [], "contract": [], "left_out": [] });
        assert!(
            difference(&none)
                .into_string()
                .contains("the same as before")
        );
        let diff = json!({
            "added": ["a", "b"], "removed": [], "changed": [{ "tool": "c", "members": ["title"] }],
            "contract": [{ "class": "breaking", "kind": "tool", "name": "d", "text": "gone" }], "left_out": [],
        });
        assert_eq!(
            difference(&diff).into_string(),
            "<ul><li>added: <bdi>a, b</bdi></li><li>changed: <bdi>c</bdi> (<bdi>title</bdi>)</li>\
             <li class=\"bad\">breaking: tool <bdi>d</bdi>: <bdi>gone</bdi></li></ul>"
        );
    }
}
