//! Faults of results: a result that does not fit the output schema of its tool, or that is too long for the client.

use serde_json::Value;

use super::client::{ClientVersion, KnownClient};
use super::constraints::Patterns;
use super::schema::References;
use super::validator::{Schema, Validity};
use crate::jsonrpc::{Members, elements};

/// Number of bytes in which a token is estimated.
const BYTES_PER_TOKEN: usize = 4;

/// Limit of a client for the text of a result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResultLimit {
    /// Maximum number of tokens.
    pub(crate) tokens: usize,
    /// Environment variable by which the user of the client changes it.
    pub(crate) variable: &'static str,
}

/// Limit of Claude Code.
const CLAUDE_CODE: ResultLimit = ResultLimit {
    tokens: 25_000,
    variable: "MAX_MCP_OUTPUT_TOKENS",
};

impl ResultLimit {
    /// Returns the limit of `client`; `None` if none is known.
    pub(crate) fn of(client: ClientVersion) -> Option<Self> {
        (client.client == KnownClient::ClaudeCode).then_some(CLAUDE_CODE)
    }

    /// Returns the maximum length of a result's text in bytes. The definition of the tool may set another.
    pub(crate) fn bytes(self, definition: &Members<'_>) -> usize {
        let meta = definition.object("_meta");
        let own = meta.get("anthropic/maxResultSizeChars");
        let own = own.and_then(|it| it.parse().ok());
        own.unwrap_or(self.tokens * BYTES_PER_TOKEN)
    }
}

/// Returns the reason why a result does not fit the output schema of its tool, as a sentence fragment about it. Returns
/// `None` if it fits, if it need not, or if the validator does not know.
pub(crate) fn misfit(schema: &Value, result: &Members<'_>) -> Option<String> {
    let is_complete = result.text("resultType").is_none_or(|it| it == "complete");
    // The result of a call as a task describes the task.
    if !is_complete || result.get("isError") == Some("true") || result.get("task").is_some() {
        return None;
    }
    let Some(structured) = result.get("structuredContent") else {
        return Some("has no `structuredContent`, which the `outputSchema` requires".to_owned());
    };
    let value = serde_json::from_str(structured).ok()?;
    let reason = fault_of(schema, &value)?;
    Some(format!("does not fit the `outputSchema`: {reason}"))
}

/// Returns the reason why `value` does not fit `schema`, a sentence that begins with the member. Returns `None` if it
/// fits or if the validator does not know.
pub(crate) fn fault_of(schema: &Value, value: &Value) -> Option<String> {
    let references = References::of(schema);
    match Schema::new(&references, &Patterns::default()).verdict(value) {
        Validity::Misfit(reason) => Some(reason),
        Validity::Fits | Validity::Unknown => None,
    }
}

/// Returns the size of a result whose text is longer than `max_bytes`, as a sentence fragment about it.
pub(crate) fn too_long(result: &Members<'_>, max_bytes: usize) -> Option<String> {
    let content = result.get("content").and_then(elements).unwrap_or_default();
    let texts = content
        .iter()
        .filter_map(|it| Some(Members::of(it).text("text")?.len()));
    let text: usize = texts.sum();
    let length = match text {
        0 => result.get("structuredContent").map_or(0, str::len),
        text => text,
    };
    let tokens = |bytes: usize| bytes.div_ceil(BYTES_PER_TOKEN);
    (length > max_bytes).then(|| {
        let (has, limit) = (tokens(length), tokens(max_bytes));
        format!("has about {has} tokens, more than {limit}")
    })
}

/// Finds a result that does not fit the definition of its tool.
pub(super) fn mismatch(definition: &Members<'_>, result: &Members<'_>) -> Option<String> {
    let schema = serde_json::from_str(definition.get("outputSchema")?).ok()?;
    misfit(&schema, result)
}

/// Finds a result that is longer than the limit of Claude Code.
pub(super) fn length(definition: &Members<'_>, result: &Members<'_>) -> Option<String> {
    too_long(result, CLAUDE_CODE.bytes(definition))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_compared_with_the_schema() {
        let definition = r#"{"outputSchema":{"properties":{"days":{"items":{"type":"number"}}}}}"#;
        let missing = "has no `structuredContent`, which the `outputSchema` requires";
        let wrong = "does not fit the `outputSchema`: `days[1]` must be of type number";
        for (result, expected) in [
            (r#"{"structuredContent":{"days":[1,2]}}"#, None),
            (r#"{"structuredContent":{"days":[1,"2"]}}"#, Some(wrong)),
            (r#"{"content":[]}"#, Some(missing)),
            (r#"{"content":[],"isError":true}"#, None),
            (r#"{"resultType":"input_required"}"#, None),
            (r#"{"task":{"taskId":"1"}}"#, None),
            (r#"{"structuredContent":{"days":[1E400,"2"]}}"#, None),
        ] {
            let found = mismatch(&Members::of(definition), &Members::of(result));
            assert_eq!(found.as_deref(), expected, "{result}");
        }
        assert_eq!(mismatch(&Members::of("{}"), &Members::of("{}")), None);
    }

    #[test]
    fn references_in_circles_end_without_a_verdict() {
        let circle = r##"{"anyOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"},{"type":"string"}]}"##;
        let schema = format!(r##"{{"$ref":"#/$defs/a","$defs":{{"a":{circle}}}}}"##);
        let definition = format!(r#"{{"outputSchema":{schema}}}"#);
        let result = r#"{"structuredContent":{}}"#;
        let found = mismatch(&Members::of(&definition), &Members::of(result));
        assert_eq!(found, None);
    }

    #[test]
    fn only_text_for_the_model_counts_against_the_limit() {
        let long = "x".repeat(100_001);
        let text = format!(r#"{{"content":[{{"type":"text","text":"{long}"}}]}}"#);
        let image = format!(r#"{{"content":[{{"type":"image","data":"{long}"}}]}}"#);
        let structured = format!(r#"{{"content":[],"structuredContent":"{long}"}}"#);
        let own = r#"{"_meta":{"anthropic/maxResultSizeChars":100001}}"#;
        let told = Some("has about 25001 tokens, more than 25000");
        for (definition, result, expected) in [
            ("{}", &text, told),
            ("{}", &image, None),
            ("{}", &structured, told),
            (own, &text, None),
        ] {
            let found = length(&Members::of(definition), &Members::of(result));
            assert_eq!(found.as_deref(), expected, "{definition}");
        }
    }
}
