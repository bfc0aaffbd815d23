//! The rules of the lint: conditions in the definition of a tool, each with the clients that it harms.
//!
//! A rule is a row of [`RULES`]. `measured` as a source means that the client was run against a server with such a tool
//! and a model API that kept its requests: Claude Code 2.1.330, Codex 0.169, Gemini CLI 0.61, the MCP SDKs for
//! TypeScript 1.32 and 2.4 and for Python 2.3, in November 2026. The other sources are public reports, as repository
//! and number.

mod definitions;
mod patterns;
mod schemas;

use serde_json::Value;

use super::client::KnownClient::{
    self, AnthropicApi, BedrockApi, ClaudeAi, ClaudeCode, Codex, CopilotCli, Cursor, GeminiApi,
    GeminiCli, MistralApi, OpenAiApi, PythonSdk, TypeScriptSdk, VsCode, Windsurf, Zed,
};
use super::client::{ClientVersion, Version};
use super::lint::LintLevel;
use super::results;
use super::schema::SchemaNode;
use crate::jsonrpc::Members;
use crate::mcp::List;

/// Condition that harms some clients.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Stable name.
    pub(crate) id: &'static str,
    /// Measurement or reports that the rule is taken from.
    pub(crate) source: &'static str,
    /// Remedy, as a sentence.
    pub(crate) advice: &'static str,
    pub(super) effects: &'static [ClientEffect],
    pub(super) find: Find,
}

/// Search for the condition of a rule.
#[derive(Debug)]
pub(super) enum Find {
    /// Returns the places in one tool.
    Tool(fn(&ParsedTool<'_>) -> Vec<Place>),
    /// Returns the place in a result of `tools/list`.
    Page(fn(&List) -> Option<Place>),
    /// The parser of this program cannot read the definition.
    Unread,
    /// The server has more tools than this.
    MoreTools(usize),
    /// The server lists a name twice.
    Twins,
    /// Returns the fault of a result, as a sentence fragment about it. Takes the definition of the tool and the result.
    Result(fn(&Members<'_>, &Members<'_>) -> Option<String>),
}

/// Effect of a condition on one client.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientEffect {
    client: KnownClient,
    /// Version from which on the effect no longer occurs; `None` if it occurs in all known versions.
    until: Option<Version>,
    pub(super) level: LintLevel,
    /// Effect as a sentence fragment about the client.
    pub(super) text: &'static str,
}

/// Definition of a tool, with the schemas in it.
#[derive(Debug)]
pub(super) struct ParsedTool<'a> {
    /// Name of the server in the configuration.
    pub(super) server: &'a str,
    pub(super) name: &'a str,
    pub(super) definition: &'a Value,
    pub(super) input: Vec<SchemaNode<'a>>,
    pub(super) output: Vec<SchemaNode<'a>>,
}

/// Place at which a condition holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// JSON pointer from the tool's definition.
    pub(super) pointer: String,
    /// Condition, as a sentence fragment.
    pub(super) text: String,
}

impl Rule {
    /// Returns the effect on a client; that of an older version comes first in the table.
    pub(super) fn effect(&self, on: ClientVersion) -> Option<&'static ClientEffect> {
        let occurs = |effect: &&ClientEffect| {
            let until = effect.until;
            effect.client == on.client
                && until.is_none_or(|until| on.version.is_some_and(|version| version < until))
        };
        self.effects.iter().find(occurs)
    }
}

const fn effect(client: KnownClient, level: LintLevel, text: &'static str) -> ClientEffect {
    ClientEffect {
        client,
        until: None,
        level,
        text,
    }
}

const fn error(client: KnownClient, text: &'static str) -> ClientEffect {
    effect(client, LintLevel::Error, text)
}

const fn warning(client: KnownClient, text: &'static str) -> ClientEffect {
    effect(client, LintLevel::Warning, text)
}

const fn hint(client: KnownClient, text: &'static str) -> ClientEffect {
    effect(client, LintLevel::Hint, text)
}

/// Returns the effect of a version below `until`.
const fn before(until: Version, effect: ClientEffect) -> ClientEffect {
    ClientEffect {
        until: Some(until),
        ..effect
    }
}

/// Returns true if a client that suffers this effect loses more than the one tool.
pub(super) fn costs_other_tools(effect: &str) -> bool {
    [ALL, REQUEST].contains(&effect)
}

const ALL: &str = "rejects the whole list, so that no tool of the server is left";
const TOOL: &str = "leaves the tool out";
const REQUEST: &str = "fails with every request that offers the tool";
const RENAMED: &str = "renames the tool for the model";
const DROPPED: &str = "drops the keyword";
const UNCHECKED: &str = "does not check results";
const CALL: &str = "fails with every call of the tool";
const UNKNOWN: &str = "is not known to accept the definition";
const REST: &str = "does not offer the tools beyond the limit";

/// Version of Claude Code that was measured; older ones passed more on to the API, which refuses it.
const CLAUDE_CODE_MEASURED: Version = [2, 1, 330];

/// The rules.
#[rustfmt::skip] // A table.
pub(super) const RULES: &[Rule] = &[
    // Members of a definition: a client that parses the list as a whole loses all tools.
    Rule { id: "input-missing", find: Find::Tool(definitions::input_missing),
        source: "measured",
        effects: &[error(ClaudeCode, ALL), error(Codex, ALL), error(GeminiCli, ALL), error(TypeScriptSdk, ALL),
            error(PythonSdk, ALL)],
        advice: "Give the tool an `inputSchema`; without arguments, {\"type\": \"object\", \"properties\": {}}." },
    Rule { id: "input-root-type", find: Find::Tool(definitions::input_root_type),
        source: "measured; Kiro#11027",
        effects: &[error(ClaudeCode, ALL), error(GeminiCli, ALL), error(TypeScriptSdk, ALL), error(PythonSdk, ALL),
            warning(Codex, "sends a schema that model APIs may refuse"), error(BedrockApi, REQUEST),
            error(AnthropicApi, REQUEST), error(OpenAiApi, REQUEST)],
        advice: "Set \"type\": \"object\" at the root of `inputSchema`, and put alternatives into one property." },
    Rule { id: "required-not-array", find: Find::Tool(definitions::required_not_array),
        source: "measured; PraisonAI#3111, anthropics/claude-code#44364",
        effects: &[error(ClaudeCode, ALL), error(GeminiCli, ALL), error(Cursor, ALL), error(TypeScriptSdk, ALL),
            warning(Codex, DROPPED)],
        advice: "Write `required` as an array of names, or leave it out." },
    Rule { id: "properties-not-object", find: Find::Tool(definitions::properties_not_object),
        source: "measured",
        effects: &[error(ClaudeCode, ALL), error(GeminiCli, ALL), error(TypeScriptSdk, ALL),
            warning(Codex, "assumes that there are no arguments")],
        advice: "Write `properties` as an object, {} if there are none." },
    Rule { id: "required-not-names", find: Find::Tool(definitions::required_not_names),
        source: "measured",
        effects: &[error(ClaudeCode, ALL), error(GeminiCli, ALL), error(TypeScriptSdk, ALL), error(Windsurf, TOOL),
            error(AnthropicApi, REQUEST), error(MistralApi, REQUEST)],
        advice: "Write the names of arguments into `required`, as strings." },
    Rule { id: "property-not-schema", find: Find::Tool(definitions::property_not_schema),
        source: "measured",
        effects: &[error(GeminiCli, ALL), before([2, 0, 0], error(TypeScriptSdk, ALL))],
        advice: "Describe the argument by an object, {} for any value." },
    Rule { id: "boolean-property", find: Find::Tool(definitions::boolean_property),
        source: "measured",
        effects: &[error(GeminiCli, ALL), before([2, 0, 0], error(TypeScriptSdk, ALL)),
            warning(Codex, "takes the argument for a string")],
        advice: "Replace `true` by {}, an object that allows everything as well." },
    Rule { id: "null-member", find: Find::Tool(definitions::null_member),
        source: "measured",
        effects: &[error(ClaudeCode, ALL), error(GeminiCli, ALL), error(TypeScriptSdk, ALL)],
        advice: "Leave the member out, or give it a value." },
    Rule { id: "name-not-string", find: Find::Tool(definitions::name_not_string),
        source: "measured",
        effects: &[error(ClaudeCode, ALL), error(GeminiCli, ALL), error(TypeScriptSdk, ALL), error(PythonSdk, ALL)],
        advice: "Give the tool a name of letters, digits, `_` and `-`." },
    Rule { id: "icons-invalid", find: Find::Tool(definitions::icons_invalid),
        source: "measured",
        effects: &[error(ClaudeCode, ALL), error(GeminiCli, ALL), error(TypeScriptSdk, ALL), error(PythonSdk, ALL)],
        advice: "Give each icon a `src`; write `sizes` as an array of strings such as \"48x48\"." },
    Rule { id: "execution-invalid", find: Find::Tool(definitions::execution_invalid),
        source: "measured",
        effects: &[error(ClaudeCode, ALL), error(GeminiCli, ALL), error(TypeScriptSdk, ALL), error(PythonSdk, ALL)],
        advice: "Set `taskSupport` to \"forbidden\", \"optional\" or \"required\", or leave `execution` out." },
    Rule { id: "cursor-not-string", find: Find::Page(definitions::cursor),
        source: "measured",
        effects: &[error(ClaudeCode, ALL), error(GeminiCli, ALL), error(TypeScriptSdk, ALL)],
        advice: "Leave `nextCursor` out of the last page. Through mcp-proxy, clients get one page without it." },
    Rule { id: "list-meta-not-object", find: Find::Page(definitions::list_meta),
        source: "measured",
        effects: &[error(TypeScriptSdk, "waits for the list in vain"), error(GeminiCli, "waits for the list in vain")],
        advice: "Write an object, or leave `_meta` out." },
    Rule { id: "text-not-string", find: Find::Tool(definitions::text_not_string),
        source: "measured",
        effects: &[error(ClaudeCode, ALL), error(Codex, ALL), error(GeminiCli, ALL), error(TypeScriptSdk, ALL),
            error(PythonSdk, ALL)],
        advice: "Write a string, or leave the member out." },
    Rule { id: "annotation-not-boolean", find: Find::Tool(definitions::annotation_not_boolean),
        source: "measured",
        effects: &[error(ClaudeCode, ALL), error(Codex, ALL), error(GeminiCli, ALL), error(TypeScriptSdk, ALL)],
        advice: "Write `true` or `false`, or leave the hint out." },
    Rule { id: "meta-not-object", find: Find::Tool(definitions::meta_not_object),
        source: "measured",
        effects: &[error(ClaudeCode, ALL), error(Codex, ALL), error(GeminiCli, ALL), error(TypeScriptSdk, ALL),
            error(PythonSdk, ALL)],
        advice: "Write an object, or leave `_meta` out." },
    Rule { id: "output-root-type", find: Find::Tool(definitions::output_root_type),
        source: "measured",
        effects: &[error(GeminiCli, ALL), error(TypeScriptSdk, ALL), error(PythonSdk, ALL)],
        advice: "Set \"type\": \"object\" at the root of `outputSchema`; wrap another result in a property." },
    Rule { id: "output-root-member", find: Find::Tool(definitions::output_root_member),
        source: "measured",
        effects: &[error(ClaudeCode, ALL), error(GeminiCli, ALL), error(TypeScriptSdk, ALL), error(PythonSdk, CALL)],
        advice: "Write `required` as an array of names and `properties` as an object, or leave them out." },
    Rule { id: "output-property", find: Find::Tool(definitions::output_property),
        source: "measured",
        effects: &[error(ClaudeCode, ALL), error(GeminiCli, ALL), before([2, 0, 0], error(TypeScriptSdk, ALL))],
        advice: "Describe the member by an object, {} for any value." },
    Rule { id: "output-invalid", find: Find::Tool(schemas::output_invalid),
        source: "measured",
        effects: &[before([2, 0, 0], error(TypeScriptSdk, ALL)), error(TypeScriptSdk, CALL), error(PythonSdk, CALL),
            warning(GeminiCli, UNCHECKED)],
        advice: "Write the keyword as JSON Schema 2020-12 defines it." },
    Rule { id: "output-refused", find: Find::Tool(schemas::output_refused),
        source: "measured",
        effects: &[before([2, 0, 0], error(TypeScriptSdk, ALL)), error(TypeScriptSdk, CALL),
            warning(GeminiCli, UNCHECKED)],
        advice: "Write patterns that JavaScript accepts with the flag `u`, values into `enum`, and `type` beside \
            `nullable`." },
    Rule { id: "output-items-list", find: Find::Tool(schemas::output_items_list),
        source: "measured",
        effects: &[before([2, 0, 0], hint(TypeScriptSdk, "takes the items for a tuple")), error(TypeScriptSdk, CALL),
            error(PythonSdk, CALL)],
        advice: "Write a tuple with `prefixItems`, as JSON Schema 2020-12 does." },
    Rule { id: "output-dialect-unknown", find: Find::Tool(definitions::output_dialect_unknown),
        source: "measured",
        effects: &[before([2, 0, 0], hint(TypeScriptSdk, "ignores the dialect")), error(TypeScriptSdk, CALL)],
        advice: "Leave `$schema` out; 2020-12 is the default." },
    Rule { id: "output-reference", find: Find::Tool(schemas::output_reference),
        source: "measured",
        effects: &[before([2, 0, 0], error(TypeScriptSdk, ALL)),
            error(TypeScriptSdk, CALL), error(PythonSdk, CALL), warning(GeminiCli, UNCHECKED)],
        advice: "Define the target below `$defs` of the same `outputSchema`." },
    Rule { id: "output-dialect", find: Find::Tool(definitions::output_dialect),
        source: "nataliapc/mcp-openmsx#22",
        effects: &[hint(ClaudeAi, "rejected this dialect in an older build of its desktop program")],
        advice: "Leave `$schema` out; 2020-12 is the default." },
    Rule { id: "twin-name", find: Find::Twins,
        source: "measured",
        effects: &[error(ClaudeCode, "keeps only the first"), error(Codex, "keeps only the first"),
            error(GeminiCli, "keeps only the last")],
        advice: "Give each tool a name of its own." },

    // Names and texts.
    Rule { id: "name-missing", find: Find::Tool(definitions::name_missing),
        source: "measured",
        effects: &[error(ClaudeCode, "offers a tool without a name"), error(GeminiCli, TOOL), warning(Codex, RENAMED),
            error(AnthropicApi, REQUEST), error(OpenAiApi, REQUEST)],
        advice: "Give the tool a name of letters, digits, `_` and `-`." },
    Rule { id: "name-characters", find: Find::Tool(definitions::name_characters),
        source: "measured; wassette#56, evoila/meho#2745, cline#11885",
        effects: &[warning(ClaudeCode, RENAMED), warning(Codex, RENAMED),
            warning(GeminiCli, "may rename the tool for the model"), error(ClaudeAi, ALL),
            error(AnthropicApi, REQUEST), error(OpenAiApi, REQUEST)],
        advice: "Use only letters, digits, `_` and `-`." },
    Rule { id: "name-length", find: Find::Tool(definitions::name_length),
        source: "measured; microsoft/mcp#842, Kiro#7684, 5ire#403, anthropics/claude-code#955",
        effects: &[before(CLAUDE_CODE_MEASURED, error(ClaudeCode, REQUEST)),
            warning(GeminiCli, "cuts the name in its middle"), error(ClaudeAi, ALL), error(BedrockApi, REQUEST),
            error(OpenAiApi, REQUEST)],
        advice: "Shorten the name to 64 characters at most; clients add a prefix to it." },
    Rule { id: "prefixed-name-length", find: Find::Tool(definitions::prefixed_name_length),
        source: "composio#2788, awslabs/mcp#1283",
        effects: &[error(Cursor, TOOL)],
        advice: "Shorten the name of the server or that of the tool: 60 characters together are possible." },
    Rule { id: "name-start", find: Find::Tool(definitions::name_start),
        source: "gemini-cli#7869, gemini-cli#20987",
        effects: &[error(GeminiApi, REQUEST)],
        advice: "Begin the name with a letter or `_`." },
    Rule { id: "description-length", find: Find::Tool(definitions::description_over_4096),
        source: "measured; anthropics/claude-code#41593, #87650",
        effects: &[warning(ClaudeCode, "cuts the description at 4096 characters")],
        advice: "Shorten the description; put details into those of the arguments." },
    Rule { id: "description-length-2048", find: Find::Tool(definitions::description_over_2048),
        source: "anthropics/claude-code#41593, #87650",
        effects: &[before(CLAUDE_CODE_MEASURED, warning(ClaudeCode, "cuts the description at 2048 characters"))],
        advice: "Shorten the description; put details into those of the arguments." },
    Rule { id: "description-missing", find: Find::Tool(definitions::description_missing),
        source: "LibreChat#13209, ms-365-mcp-server#76",
        effects: &[hint(ClaudeCode, "shows the model only the name"), hint(Codex, "shows the model only the name"),
            hint(GeminiCli, "shows the model only the name"), error(BedrockApi, REQUEST)],
        advice: "Describe the purpose of the tool." },

    // Schemas of arguments: the client leaves the tool out, or the model API refuses the request.
    Rule { id: "property-key", find: Find::Tool(definitions::property_key),
        source: "measured; AWS document-processing#709",
        effects: &[error(ClaudeCode, TOOL), error(AnthropicApi, REQUEST), error(BedrockApi, REQUEST)],
        advice: "Name arguments with 1 to 64 letters, digits, `_`, `.` and `-`." },
    Rule { id: "root-combinator", find: Find::Tool(definitions::root_combinator),
        source: "measured; anthropics/claude-code#5973, #45106, langchainjs#9804, notion-mcp-server#340",
        effects: &[before(CLAUDE_CODE_MEASURED, error(ClaudeCode, REQUEST)), warning(ClaudeCode, DROPPED),
            error(AnthropicApi, REQUEST), error(OpenAiApi, REQUEST)],
        advice: "Describe the alternatives in one property, or make them tools of their own." },
    Rule { id: "object-without-properties", find: Find::Tool(definitions::no_properties),
        source: "github-mcp-server#1548, copilot-cli#2223, openai-agents-python#449",
        effects: &[error(CopilotCli, REQUEST), error(OpenAiApi, REQUEST)],
        advice: "Add \"properties\": {}." },
    Rule { id: "array-without-items", find: Find::Tool(schemas::array_without_items),
        source: "measured; vscode#246119, openai-agents-python#392, spacectl#402, cocos-mcp-server#14",
        effects: &[error(VsCode, REQUEST), error(Windsurf, "refuses calls of the tool"),
            warning(Codex, "takes the items for strings"), error(OpenAiApi, REQUEST)],
        advice: "Describe the items: \"items\": {\"type\": …}, or {} for any." },
    Rule { id: "items-list", find: Find::Tool(schemas::items_list),
        source: "measured",
        effects: &[error(ClaudeCode, TOOL), error(Codex, TOOL), error(AnthropicApi, REQUEST)],
        advice: "Write a tuple with `prefixItems`, as JSON Schema 2020-12 does." },
    Rule { id: "draft-4-bounds", find: Find::Tool(schemas::draft_4_bounds),
        source: "measured; Dokploy/mcp#74, MCPSharp#9, pdf-reader-mcp#63",
        effects: &[error(ClaudeCode, TOOL), warning(Codex, DROPPED), error(Windsurf, TOOL),
            error(AnthropicApi, REQUEST), error(MistralApi, REQUEST)],
        advice: "Write the bound itself: \"exclusiveMinimum\": 0 instead of \"minimum\": 0 and `true`." },
    Rule { id: "unknown-type", find: Find::Tool(schemas::unknown_type),
        source: "measured",
        effects: &[error(ClaudeCode, TOOL), warning(Codex, "allows every value"), error(AnthropicApi, REQUEST),
            error(MistralApi, REQUEST)],
        advice: "Use a type of JSON Schema: array, boolean, integer, null, number, object or string." },
    Rule { id: "invalid-keyword", find: Find::Tool(schemas::invalid_keyword),
        source: "Dokploy/mcp#74, Kuadrant/mcp-gateway#662, pdf-reader-mcp#107",
        effects: &[error(ClaudeCode, TOOL), error(Windsurf, TOOL), error(AnthropicApi, REQUEST),
            error(MistralApi, REQUEST)],
        advice: "Write the keyword as JSON Schema 2020-12 defines it." },
    Rule { id: "invalid-pattern", find: Find::Tool(schemas::invalid_pattern),
        source: "vscode#245066",
        effects: &[error(VsCode, REQUEST), error(AnthropicApi, REQUEST)],
        advice: "Correct the regular expression." },
    Rule { id: "dynamic-keyword", find: Find::Tool(schemas::dynamic_keyword),
        source: "vscode#318984, firecrawl-mcp-server#112",
        effects: &[error(VsCode, TOOL)],
        advice: "Replace the keyword by `$ref` or `additionalProperties`." },
    Rule { id: "dangling-reference", find: Find::Tool(schemas::dangling_reference),
        source: "measured; gemini-cli#13326, opencode#12295",
        effects: &[error(GeminiCli, REQUEST), warning(ClaudeCode, "passes the reference on to the model"),
            warning(Codex, "passes the reference on to the model"), error(GeminiApi, REQUEST),
            error(OpenAiApi, REQUEST)],
        advice: "Define the target below `$defs` of the same `inputSchema`." },
    Rule { id: "undefined-required", find: Find::Tool(schemas::undefined_required),
        source: "opencode#3140, probe#569, gemini-cli#1458",
        effects: &[hint(VsCode, "removes the name from `required`"), error(GeminiApi, REQUEST)],
        advice: "Describe the argument in `properties`, or remove it from `required`." },

    // Support that some models or clients lack.
    Rule { id: "reference", find: Find::Tool(schemas::reference),
        source: "zed#60162, gemini-cli#13326",
        effects: &[hint(Zed, "leaves the tool out for some models"), error(GeminiApi, REQUEST)],
        advice: "Write the schema in place of the reference or condition." },
    Rule { id: "recursive-reference", find: Find::Tool(schemas::recursive_reference),
        source: "gemini-cli#14945, adk-python#3870",
        effects: &[error(GeminiApi, REQUEST)],
        advice: "Limit the depth, or take the structure as a string of JSON." },
    Rule { id: "string-format", find: Find::Tool(schemas::string_format),
        source: "measured; gemini-cli#2237, gemini-cli#3178",
        effects: &[hint(Codex, DROPPED), error(GeminiApi, REQUEST)],
        advice: "Name the format in the description." },
    Rule { id: "enum-value", find: Find::Tool(schemas::enum_value),
        source: "hevy-mcp#1161, mcp-server-excel#607",
        effects: &[error(GeminiApi, REQUEST)],
        advice: "Use strings that are not empty." },
    Rule { id: "subset-keyword", find: Find::Tool(schemas::subset_keyword),
        source: "measured; google_workspace_mcp#1099, k13d#28, langchain-mcp-tools-ts#36",
        effects: &[hint(Codex, "drops or rewrites the keyword"), error(GeminiApi, REQUEST)],
        advice: "Leave the keyword out, or send the schema as `parametersJsonSchema`." },
    Rule { id: "type-list", find: Find::Tool(schemas::type_list),
        source: "google_workspace_mcp#1099",
        effects: &[error(GeminiApi, REQUEST)],
        advice: "Name one type, and make the argument optional instead of nullable." },
    Rule { id: "foreign-keyword", find: Find::Tool(schemas::foreign_keyword),
        source: "opencode#11889, mcp-server-excel#672",
        effects: &[error(GeminiApi, REQUEST)],
        advice: "Remove the keyword, or correct `type`." },
    Rule { id: "nesting", find: Find::Tool(schemas::nesting),
        source: "gemini-cli#5923, ghidra-mcp#440",
        effects: &[warning(GeminiApi, "may fail with every request that offers the tool")],
        advice: "Flatten the arguments." },

    // Results.
    Rule { id: "output-mismatch", find: Find::Result(results::mismatch),
        source: "cyanheads/obsidian-mcp-server#108, koala73/worldmonitor#8330",
        effects: &[error(TypeScriptSdk, "fails with the call"), error(PythonSdk, "fails with the call")],
        advice: "Return `structuredContent` that fits `outputSchema`, or correct the schema." },
    Rule { id: "result-length", find: Find::Result(results::length),
        source: "Pimzino/spec-workflow-mcp#107, MCP-memento#21",
        effects: &[warning(ClaudeCode, "refuses the result or writes it to a file")],
        advice: "Return less at a time, or set `_meta[\"anthropic/maxResultSizeChars\"]` in the definition." },

    // Definitions that no other rule is applied to.
    Rule { id: "not-judged", find: Find::Unread,
        source: "the parser of mcp-proxy",
        effects: &[warning(ClaudeCode, UNKNOWN), warning(Codex, UNKNOWN), warning(CopilotCli, UNKNOWN),
            warning(Cursor, UNKNOWN), warning(GeminiCli, UNKNOWN), warning(VsCode, UNKNOWN), warning(Windsurf, UNKNOWN),
            warning(Zed, UNKNOWN), warning(PythonSdk, UNKNOWN), warning(TypeScriptSdk, UNKNOWN),
            warning(ClaudeAi, UNKNOWN), warning(AnthropicApi, UNKNOWN), warning(BedrockApi, UNKNOWN),
            warning(GeminiApi, UNKNOWN), warning(MistralApi, UNKNOWN), warning(OpenAiApi, UNKNOWN)],
        advice: "Write numbers within 64 bits, and nest objects and arrays at most 127 deep." },

    // Number of tools, at the server as a whole.
    Rule { id: "more-than-80-tools", find: Find::MoreTools(80),
        source: "mcp-testrail#6, Snowflake-Labs/mcp#77",
        effects: &[error(Cursor, REST)],
        advice: "Offer fewer tools (`tools` in the configuration), or load servers lazily with `mcp-proxy serve`." },
    Rule { id: "more-than-100-tools", find: Find::MoreTools(100),
        source: "go-mcp-mysql#3, cocos-mcp-server#11",
        effects: &[error(Windsurf, "refuses the server")],
        advice: "Offer fewer tools (`tools` in the configuration), or load servers lazily with `mcp-proxy serve`." },
    Rule { id: "more-than-128-tools", find: Find::MoreTools(128),
        source: "copilot-release#13065, Tools4AI#16, gitlab-mcp-zed#8",
        effects: &[error(VsCode, REQUEST), error(Zed, REQUEST), error(OpenAiApi, REQUEST)],
        advice: "Offer fewer tools (`tools` in the configuration), or load servers lazily with `mcp-proxy serve`." },
    Rule { id: "more-than-512-tools", find: Find::MoreTools(512),
        source: "gemini-cli#19083, gemini-cli#25440",
        effects: &[error(GeminiCli, REQUEST), error(GeminiApi, REQUEST)],
        advice: "Offer fewer tools (`tools` in the configuration), or load servers lazily with `mcp-proxy serve`." },
];
