//! Checks results of tools against the definitions of the tools and the limit of the client.
//!
//! A result is checked after its delivery, on another thread, and only if the tool declares an output schema or the
//! result is longer than the client accepts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::connection::ConnectionNotice;
use crate::contract::{ClientVersion, ResultLimit, misfit, too_long};
use crate::jsonrpc::Members;
use crate::mcp::List;

/// Number of results of a tool that are checked against its schema in one generation.
const MAX_CHECKS: u32 = 100;
/// Maximum length in bytes of a result that is checked against a schema.
const MAX_LENGTH: usize = 1 << 20;

/// Checks of a server's tools by the server's own names. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct ResultChecks(Arc<HashMap<String, Arc<ResultCheck>>>);

/// Check of the results of one tool.
#[derive(Debug)]
pub(crate) struct ResultCheck {
    tool: String,
    /// Schema of its results.
    schema: Option<Value>,
    /// Number of further results to check against the schema.
    remaining: AtomicU32,
    /// Limit of the client.
    limit: Option<ClientLimit>,
}

#[derive(Debug, Clone, Copy)]
struct ClientLimit {
    client: ClientVersion,
    /// Maximum length in bytes of the text for the model.
    bytes: usize,
}

/// Kind of a fault of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ResultFault {
    /// The result does not fit the schema.
    Misfit,
    /// The result is too long for the client.
    TooLong,
}

impl ResultChecks {
    /// Creates the checks of `tools`, without those for which a fault is known. `limit` is that of a client for results.
    pub(super) fn new(
        tools: &List,
        known: &HashSet<(String, ResultFault)>,
        limit: Option<(ClientVersion, ResultLimit)>,
    ) -> Self {
        let is_unknown = |tool: &str, fault| !known.contains(&(tool.to_owned(), fault));
        let checks = tools.all().filter_map(|entry| {
            let definition = Members::of(&entry.raw);
            let schema = definition.get("outputSchema");
            let schema = schema.filter(|_| is_unknown(&entry.name, ResultFault::Misfit));
            let schema = schema.and_then(|it| serde_json::from_str(it).ok());
            let limit = limit.map(|(client, limit)| ClientLimit {
                client,
                bytes: limit.bytes(&definition),
            });
            let limit = limit.filter(|_| is_unknown(&entry.name, ResultFault::TooLong));
            let check = ResultCheck {
                tool: entry.name.clone(),
                remaining: AtomicU32::new(MAX_CHECKS),
                schema,
                limit,
            };
            let checks_anything = check.schema.is_some() || check.limit.is_some();
            checks_anything.then(|| (entry.name.clone(), Arc::new(check)))
        });
        Self(Arc::new(checks.collect()))
    }

    /// Returns the check of the tool's results; `None` if there is nothing to check.
    pub(super) fn of(&self, tool: &str) -> Option<Arc<ResultCheck>> {
        self.0.get(tool).cloned()
    }

    /// Returns true if no tool has results to check.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl ResultCheck {
    /// Checks a result on another thread; sends faults to `notices`.
    pub(super) fn run(self: &Arc<Self>, result: &str, notices: &UnboundedSender<ConnectionNotice>) {
        let is_long = self.limit.is_some_and(|limit| result.len() > limit.bytes);
        let checks_schema = self.schema.is_some()
            && result.len() <= MAX_LENGTH
            && self.remaining.load(Ordering::Relaxed) > 0;
        if checks_schema {
            self.remaining.fetch_sub(1, Ordering::Relaxed);
        }
        if !is_long && !checks_schema {
            return;
        }
        let (check, result, notices) = (self.clone(), result.to_owned(), notices.clone());
        tokio::task::spawn_blocking(move || {
            let result = Members::of(&result);
            let long = check.too_long(&result).map(|it| (ResultFault::TooLong, it));
            let misfit = check.misfit(&result).filter(|_| checks_schema);
            let misfit = misfit.map(|it| (ResultFault::Misfit, it));
            for (fault, reason) in long.into_iter().chain(misfit) {
                let tool = check.tool.clone();
                let _ = notices.send(ConnectionNotice::ResultFault(tool, fault, reason));
            }
        });
    }

    fn too_long(&self, result: &Members<'_>) -> Option<String> {
        let ClientLimit { client, bytes } = self.limit?;
        let text = too_long(result, bytes)?;
        Some(format!("{text}, which {client} does not pass to the model"))
    }

    fn misfit(&self, result: &Members<'_>) -> Option<String> {
        misfit(self.schema.as_ref()?, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::ListKind;

    const TOOLS: &str =
        r#"{"tools":[{"name":"plain"},{"name":"t","outputSchema":{"required":["a"]}}]}"#;

    fn tools() -> List {
        let mut list = List::default();
        list.add_page(ListKind::Tools, TOOLS).unwrap();
        list
    }

    fn limit() -> Option<(ClientVersion, ResultLimit)> {
        let client = ClientVersion::of_info("claude-code", "2.1.330")?;
        let variable = "";
        Some((
            client,
            ResultLimit {
                tokens: 10,
                variable,
            },
        ))
    }

    #[tokio::test]
    async fn faults_are_sent_as_notices() {
        let checks = ResultChecks::new(&tools(), &HashSet::new(), limit());
        let long = format!(r#"{{"structuredContent":{{"b":"{}"}}}}"#, "x".repeat(36));
        let of_length = "has about 11 tokens, more than 10, which claude-code 2.1.330 does not pass to the model";
        let of_schema = "does not fit the `outputSchema`: `a` is required";
        let both = [
            (ResultFault::TooLong, of_length),
            (ResultFault::Misfit, of_schema),
        ];
        for (result, expected) in [
            (&*long, &both[..]),
            (r#"{"structuredContent":{"b":1}}"#, &both[1..]),
            (r#"{"structuredContent":{"a":1}}"#, &[]),
        ] {
            let (notices, mut received) = tokio::sync::mpsc::unbounded_channel();
            checks.of("t").unwrap().run(result, &notices);
            drop(notices);
            for (fault, reason) in expected {
                let notice = ConnectionNotice::ResultFault("t".into(), *fault, (*reason).into());
                assert_eq!(received.recv().await, Some(notice));
            }
            assert_eq!(received.recv().await, None, "{result}");
        }
    }

    #[test]
    fn nothing_is_checked_without_a_reason() {
        let checks = |known: &[ResultFault], limit| {
            let known = known.iter().map(|fault| ("t".to_owned(), *fault)).collect();
            ResultChecks::new(&tools(), &known, limit)
        };
        let unlimited = checks(&[], None);
        assert!(unlimited.of("t").is_some() && unlimited.of("plain").is_none());
        assert!(checks(&[ResultFault::Misfit], None).is_empty());
        assert!(checks(&[], limit()).of("plain").is_some());
        let known = checks(&[ResultFault::Misfit, ResultFault::TooLong], limit());
        assert!(known.of("t").is_none());
    }
}
