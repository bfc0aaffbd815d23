//! Former definitions of tools whose arguments changed incompatibly: a call that a model made by the former definition
//! fails with a message that says so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::call::Call;
use crate::contract::outdated;
use crate::event::ToolDiff;
use crate::jsonrpc::{Envelope, Members, OwnedJson, elements, quoted, splice};
use crate::mcp::{List, Method};

/// Tools of a server with a former and a newer definition, by the server's own names. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct FormerTools(Arc<HashMap<String, FormerTool>>);

/// Maximum number of former definitions of one tool.
const MAX_DEFINITIONS: usize = 8;

#[derive(Debug, Clone)]
struct FormerTool {
    /// Definitions before the last incompatible changes, the newest first.
    former: VecDeque<FormerDefinition>,
    /// Definition in force.
    new: String,
}

#[derive(Debug, Clone)]
struct FormerDefinition {
    definition: String,
    /// Generation with which it ceased to be in force.
    generation: u64,
    until: Instant,
}

impl FormerTools {
    /// Returns true if no tool changed incompatibly.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the incompatible changes in `diff`, the difference between the lists `old` and `new` of tools. Forgets the
    /// tools that are gone.
    pub(super) fn update(
        &mut self,
        old: &List,
        new: &List,
        diff: &ToolDiff,
        generation: u64,
        now: Instant,
    ) {
        let broken = diff
            .contract
            .iter()
            .filter(|it| it.is_breaking && it.kind == "tool");
        let broken: Vec<&str> = broken.map(|it| &*it.name).collect();
        if self.is_empty() && broken.is_empty() {
            return;
        }
        let (before, after) = (old.by_name(), new.by_name());
        let mut known = (*self.0).clone();
        known.retain(|name, _| after.contains_key(&**name));
        for (name, tool) in &mut known {
            tool.new.clone_from(&after[&**name].raw);
        }
        for name in broken {
            if let (Some(old), Some(new)) = (before.get(name), after.get(name)) {
                let tool = known.entry(name.to_owned()).or_insert_with(|| FormerTool {
                    former: VecDeque::new(),
                    new: new.raw.clone(),
                });
                tool.former.push_front(FormerDefinition {
                    definition: old.raw.clone(),
                    generation,
                    until: now,
                });
                tool.former.truncate(MAX_DEFINITIONS);
            }
        }
        self.0 = Arc::new(known);
    }

    /// Returns the response in `envelope` with an explanation if it reports that `call` failed and the arguments fit
    /// only a former definition of the tool. `line` is the whole response.
    pub(super) fn explained(
        &self,
        call: &Call,
        line: &str,
        envelope: &Envelope<'_>,
        now: Instant,
    ) -> Option<String> {
        if self.is_empty() || call.method != Method::CallTool {
            return None;
        }
        let (failed, is_error) = match envelope.outcome()? {
            Ok(result) if Members::of(result).get("isError") == Some("true") => (result, false),
            Ok(_) => return None,
            Err(error) => (error, true),
        };
        let request = Envelope::parse(call.line.as_deref()?).ok()?;
        let own_name = call.rename.as_ref().map(OwnedJson::as_raw);
        let name = own_name.or(request.params.name)?.text()?;
        let tool = self.0.get(&*name)?;
        let params = Members::of(call.line.as_deref()?)
            .object("params")
            .to_string();
        let arguments = Members::of(&params)
            .get("arguments")
            .unwrap_or("{}")
            .to_owned();
        // The newest definition that the arguments fit tells when they ceased to fit.
        let (former, reason) = tool
            .former
            .iter()
            .find_map(|it| Some((it, outdated(&it.definition, &tool.new, &arguments)?)))?;
        let text = format!(
            "The definition of this tool has changed: {reason} since generation {} of the server ({} ago). List the \
             tools again.",
            former.generation,
            ago(now.saturating_duration_since(former.until).as_secs())
        );
        let failed_with_reason = if is_error {
            error_with(failed, &text)
        } else {
            result_with(failed, &text)
        };
        Some(splice(line, &mut [(failed, &*failed_with_reason)]))
    }
}

/// Appends a text to the content of a result.
fn result_with(result: &str, text: &str) -> String {
    let mut result = Members::of(result);
    let content = result.get("content").and_then(elements).unwrap_or_default();
    let explanation = format!(r#"{{"type":"text","text":{}}}"#, quoted(text));
    let content: Vec<&str> = content.into_iter().chain([&*explanation]).collect();
    let content = format!("[{}]", content.join(","));
    result.set("content", content);
    result.to_string()
}

/// Appends a text to the message of an error.
fn error_with(error: &str, text: &str) -> String {
    let mut error = Members::of(error);
    let message = error.text("message").unwrap_or_default().into_owned();
    error.set("message", quoted(&format!("{message}\n{text}")));
    error.to_string()
}

/// Formats a number of seconds: `12 s`, `3 min`, `2 h`.
fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::lists::lists_diff;
    use super::super::test_client::{call, client};
    use super::*;
    use crate::mcp::ListKind;

    fn tools(schema: &str) -> List {
        let mut list = List::default();
        let page = format!(r#"{{"tools":[{{"name":"forecast","inputSchema":{schema}}}]}}"#);
        list.add_page(ListKind::Tools, &page).unwrap();
        list
    }

    fn updated(known: &mut FormerTools, old: &List, new: &List, generation: u64, now: Instant) {
        let lists = |tools: &List| {
            ListKind::ALL.map(|kind| match kind {
                ListKind::Tools => Ok(tools.clone()),
                _ => Ok(List::default()),
            })
        };
        let diff = lists_diff(&lists(old), &lists(new));
        known.update(old, new, &diff, generation, now);
    }

    #[tokio::test]
    async fn a_call_by_the_former_definition_fails_with_the_reason() {
        let old = tools(r#"{"type":"object","properties":{}}"#);
        let new = tools(r#"{"type":"object","properties":{"city":{}},"required":["city"]}"#);
        let begun = Instant::now();
        let mut known = FormerTools::default();
        updated(&mut known, &old, &new, 7, begun);
        // A later reload without a change keeps the time of the change.
        updated(&mut known, &new, &new, 8, begun + Duration::from_secs(60));
        let (client, _reader) = client();
        let of = |arguments: &str| {
            Call {
            method: Method::CallTool,
            line: Some(
                format!(r#"{{"id":1,"method":"tools/call","params":{{"name":"forecast","arguments":{arguments}}}}}"#)
                    .into(),
            ),
            ..call(client.clone(), "1")
        }
        };
        let explained = |call: &Call, line: &str| {
            let envelope = Envelope::parse(line).unwrap();
            known.explained(call, line, &envelope, begun + Duration::from_secs(180))
        };
        let failed = r#"{"id":1,"result":{"content":[{"type":"text","text":"bad","n":1E400}],"isError":true}}"#;
        let told = explained(&of("{}"), failed).unwrap();
        let text = "The definition of this tool has changed: `city` is required since generation 7 of the server \
                    (3 min ago). List the tools again.";
        let expected = format!(
            r#"{{"id":1,"result":{{"content":[{{"type":"text","text":"bad","n":1E400}},{{"type":"text","text":"{text}"}}],"isError":true}}}}"#
        );
        assert_eq!(told, expected);
        let refused = r#"{"id":1,"error":{"code":-32602,"message":"bad"}}"#;
        let told = explained(&of("{}"), refused).unwrap();
        assert_eq!(told, refused.replace("bad", &format!("bad\\n{text}")));
        // Nothing is explained that succeeded, or that the new definition accepts.
        assert_eq!(
            explained(&of("{}"), r#"{"id":1,"result":{"content":[]}}"#),
            None
        );
        assert_eq!(explained(&of(r#"{"city":1}"#), failed), None);
        // A second incompatible change does not hide the first one.
        let newest = tools(
            r#"{"type":"object","properties":{"city":{},"unit":{}},"required":["city","unit"]}"#,
        );
        updated(
            &mut known,
            &new,
            &newest,
            9,
            begun + Duration::from_secs(90),
        );
        let explained = |arguments: &str| {
            let (call, envelope) = (of(arguments), Envelope::parse(failed).unwrap());
            known.explained(&call, failed, &envelope, begun + Duration::from_secs(180))
        };
        let first = "`city` is required since generation 7 of the server (3 min ago)";
        assert!(explained("{}").unwrap().contains(first));
        let second = "`unit` is required since generation 9 of the server (90 s ago)";
        assert!(explained(r#"{"city":1}"#).unwrap().contains(second));
        // A tool that is gone is forgotten.
        updated(&mut known, &newest, &List::default(), 10, begun);
        assert!(known.is_empty());
    }
}
