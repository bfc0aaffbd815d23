//! Conditions in the members of a tool's definition and at the root of its schemas.

use serde_json::Value;

use super::super::schema::{escaped, properties};
use super::{ParsedTool, Place};

/// Maximum length of a name in characters.
const MAX_NAME: usize = 64;
/// Maximum length of the names of server and tool together in Cursor.
const MAX_PREFIXED_NAME: usize = 60;

const INPUT: &str = "/inputSchema";
const OUTPUT: &str = "/outputSchema";

fn place(pointer: impl Into<String>, text: impl Into<String>) -> Place {
    Place {
        pointer: pointer.into(),
        text: text.into(),
    }
}

/// Returns the place if there is one.
fn one(place: Option<Place>) -> Vec<Place> {
    place.into_iter().collect()
}

impl<'a> ParsedTool<'a> {
    fn get(&self, member: &str) -> Option<&'a Value> {
        self.definition.get(member)
    }

    /// Returns `inputSchema`; `None` if it is not an object.
    fn input_schema(&self) -> Option<&'a Value> {
        self.get("inputSchema").filter(|schema| schema.is_object())
    }

    fn description(&self) -> &'a str {
        let description = self.get("description").and_then(Value::as_str);
        description.unwrap_or_default()
    }
}

/// Returns a short name of a value's type, with its article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

pub(super) fn input_missing(tool: &ParsedTool<'_>) -> Vec<Place> {
    one(match tool.get("inputSchema") {
        None => Some(place("", "`inputSchema` is missing")),
        Some(Value::Object(_)) => None,
        Some(other) => Some(place(INPUT, format!("is {}, not an object", kind(other)))),
    })
}

/// Returns a text if the root of a schema is not of the type `object`.
fn root_type(schema: &Value) -> Option<String> {
    match schema.get("type") {
        Some(Value::String(name)) if name == "object" => None,
        None => Some("`type` is missing, must be \"object\"".to_owned()),
        Some(other) => Some(format!("`type` is {other}, must be \"object\"")),
    }
}

pub(super) fn input_root_type(tool: &ParsedTool<'_>) -> Vec<Place> {
    let text = tool.input_schema().and_then(root_type);
    one(text.map(|text| place(INPUT, text)))
}

pub(super) fn required_not_array(tool: &ParsedTool<'_>) -> Vec<Place> {
    let required = tool.input_schema().and_then(|it| it.get("required"));
    let wrong = required.filter(|it| !it.is_array());
    one(wrong.map(|it| {
        let text = format!("is {}, not an array", kind(it));
        place("/inputSchema/required", text)
    }))
}

pub(super) fn properties_not_object(tool: &ParsedTool<'_>) -> Vec<Place> {
    let properties = tool.input_schema().and_then(|it| it.get("properties"));
    let wrong = properties.filter(|it| !it.is_object());
    one(wrong.map(|it| {
        let text = format!("is {}, not an object", kind(it));
        place("/inputSchema/properties", text)
    }))
}

/// Returns the names and schemas of the arguments.
fn arguments<'a>(tool: &ParsedTool<'a>) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let properties = tool.input_schema().and_then(properties);
    properties.into_iter().flatten()
}

fn argument_pointer(name: &str) -> String {
    format!("/inputSchema/properties/{}", escaped(name))
}

pub(super) fn boolean_property(tool: &ParsedTool<'_>) -> Vec<Place> {
    let boolean = arguments(tool).filter(|(_, schema)| schema.is_boolean());
    boolean
        .map(|(name, schema)| {
            let text = format!("is `{schema}`, not an object");
            place(argument_pointer(name), text)
        })
        .collect()
}

pub(super) fn property_key(tool: &ParsedTool<'_>) -> Vec<Place> {
    let allowed = |it: char| it.is_ascii_alphanumeric() || "_.-".contains(it);
    let is_valid = |name: &str| (1..=MAX_NAME).contains(&name.len()) && name.chars().all(allowed);
    arguments(tool)
        .filter(|(name, _)| !is_valid(name))
        .map(|(name, _)| {
            let text = "the name does not fit `[A-Za-z0-9_.-]{1,64}`";
            place(argument_pointer(name), text)
        })
        .collect()
}

pub(super) fn root_combinator(tool: &ParsedTool<'_>) -> Vec<Place> {
    let schema = tool.input_schema();
    ["anyOf", "oneOf", "allOf", "enum", "not"]
        .into_iter()
        .filter(|keyword| schema.is_some_and(|it| it.get(keyword).is_some()))
        .map(|keyword| {
            let text = format!("`{keyword}` at the root of the schema");
            place(format!("{INPUT}/{keyword}"), text)
        })
        .collect()
}

pub(super) fn no_properties(tool: &ParsedTool<'_>) -> Vec<Place> {
    let schema = tool.input_schema().filter(|it| root_type(it).is_none());
    let bare = schema.filter(|it| it.get("properties").is_none());
    one(bare.map(|_| place(INPUT, "`properties` is missing")))
}

pub(super) fn text_not_string(tool: &ParsedTool<'_>) -> Vec<Place> {
    ["title", "description"]
        .into_iter()
        .filter_map(|member| {
            let value = tool.get(member).filter(|it| !it.is_string())?;
            let text = format!("is {}, not a string", kind(value));
            Some(place(format!("/{member}"), text))
        })
        .collect()
}

pub(super) fn annotation_not_boolean(tool: &ParsedTool<'_>) -> Vec<Place> {
    let annotations = match tool.get("annotations") {
        None => return Vec::new(),
        Some(Value::Object(annotations)) => annotations,
        Some(other) => {
            let text = format!("is {}, not an object", kind(other));
            return vec![place("/annotations", text)];
        }
    };
    let wrong = |(name, value): &(&String, &Value)| name.ends_with("Hint") && !value.is_boolean();
    annotations
        .iter()
        .filter(wrong)
        .map(|(name, value)| {
            let text = format!("is {}, not a boolean", kind(value));
            place(format!("/annotations/{}", escaped(name)), text)
        })
        .collect()
}

pub(super) fn meta_not_object(tool: &ParsedTool<'_>) -> Vec<Place> {
    let wrong = tool.get("_meta").filter(|it| !it.is_object());
    one(wrong.map(|it| place("/_meta", format!("is {}, not an object", kind(it)))))
}

pub(super) fn output_root_type(tool: &ParsedTool<'_>) -> Vec<Place> {
    one(match tool.get("outputSchema") {
        None => None,
        Some(schema @ Value::Object(_)) => root_type(schema).map(|text| place(OUTPUT, text)),
        Some(other) => Some(place(OUTPUT, format!("is {}, not an object", kind(other)))),
    })
}

pub(super) fn output_dialect(tool: &ParsedTool<'_>) -> Vec<Place> {
    let dialect = tool.get("outputSchema").and_then(|it| it.get("$schema"));
    let other = dialect.filter(|it| it.as_str().is_some_and(|it| !it.contains("2020-12")));
    one(other.map(|it| place("/outputSchema/$schema", format!("is {it}"))))
}

pub(super) fn name_missing(tool: &ParsedTool<'_>) -> Vec<Place> {
    one(tool
        .name
        .is_empty()
        .then(|| place("/name", "is empty or missing")))
}

pub(super) fn name_characters(tool: &ParsedTool<'_>) -> Vec<Place> {
    let allowed = |it: char| it.is_ascii_alphanumeric() || "_-".contains(it);
    let strange = tool.name.chars().find(|it| !allowed(*it));
    one(strange.map(|it| place("/name", format!("contains {it:?}"))))
}

pub(super) fn name_length(tool: &ParsedTool<'_>) -> Vec<Place> {
    let length = tool.name.chars().count();
    one((length > MAX_NAME).then(|| place("/name", format!("has {length} characters"))))
}

pub(super) fn prefixed_name_length(tool: &ParsedTool<'_>) -> Vec<Place> {
    let length = tool.server.chars().count() + tool.name.chars().count();
    one((length > MAX_PREFIXED_NAME).then(|| {
        let text = format!("has {length} characters together with the server's name");
        place("/name", text)
    }))
}

pub(super) fn name_start(tool: &ParsedTool<'_>) -> Vec<Place> {
    let wrong = |it: &char| !it.is_ascii_alphabetic() && *it != '_';
    let start = tool.name.chars().next().filter(wrong);
    one(start.map(|it| place("/name", format!("begins with {it:?}"))))
}

fn description_over(tool: &ParsedTool<'_>, limit: usize) -> Vec<Place> {
    let length = tool.description().chars().count();
    one((length > limit).then(|| place("/description", format!("has {length} characters"))))
}

pub(super) fn description_over_4096(tool: &ParsedTool<'_>) -> Vec<Place> {
    description_over(tool, 4096)
}

pub(super) fn description_over_2048(tool: &ParsedTool<'_>) -> Vec<Place> {
    description_over(tool, 2048)
}

pub(super) fn description_missing(tool: &ParsedTool<'_>) -> Vec<Place> {
    let is_missing = tool.description().trim().is_empty();
    one(is_missing.then(|| place("/description", "is empty or missing")))
}
