//! Conditions in the members of a tool's definition and at the root of its schemas.

use serde_json::Value;

use super::super::schema::{escaped, properties};
use super::{ParsedTool, Place};
use crate::jsonrpc::Members;
use crate::mcp::List;

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

/// Returns the first element of `required` that is no string, as a place.
fn no_name(schema: Option<&Value>, pointer: &str) -> Option<Place> {
    let required = schema?.get("required")?.as_array()?;
    let wrong = required.iter().find(|it| !it.is_string())?;
    let text = format!("contains {}, not only strings", kind(wrong));
    Some(place(format!("{pointer}/required"), text))
}

pub(super) fn required_not_names(tool: &ParsedTool<'_>) -> Vec<Place> {
    one(no_name(tool.input_schema(), INPUT))
}

/// Finds members at the root of `outputSchema` that clients parse themselves.
pub(super) fn output_root_member(tool: &ParsedTool<'_>) -> Vec<Place> {
    let schema = tool.get("outputSchema");
    let wrong = |keyword: &str, is_right: fn(&Value) -> bool, expected: &str| {
        let value = schema?.get(keyword).filter(|it| !is_right(it))?;
        let text = format!("is {}, not {expected}", kind(value));
        Some(place(format!("{OUTPUT}/{keyword}"), text))
    };
    let required = wrong("required", Value::is_array, "an array");
    let properties = wrong("properties", Value::is_object, "an object");
    let all = [required, no_name(schema, OUTPUT), properties];
    all.into_iter().flatten().collect()
}

pub(super) fn output_property(tool: &ParsedTool<'_>) -> Vec<Place> {
    let declared = tool.get("outputSchema").and_then(properties);
    let wrong = declared
        .into_iter()
        .flatten()
        .filter(|(_, it)| !it.is_object());
    let found = wrong.map(|(name, schema)| {
        let text = format!("is {}, not an object", kind(schema));
        place(format!("{OUTPUT}/properties/{}", escaped(name)), text)
    });
    found.collect()
}

/// Returns the names and schemas of the arguments.
fn arguments<'a>(tool: &ParsedTool<'a>) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let properties = tool.input_schema().and_then(properties);
    properties.into_iter().flatten()
}

fn argument_pointer(name: &str) -> String {
    format!("/inputSchema/properties/{}", escaped(name))
}

/// Finds arguments whose schema is neither an object nor a boolean.
pub(super) fn property_not_schema(tool: &ParsedTool<'_>) -> Vec<Place> {
    let wrong = arguments(tool).filter(|(_, schema)| !schema.is_object() && !schema.is_boolean());
    wrong
        .map(|(name, schema)| {
            let text = format!("is {}, not an object", kind(schema));
            place(argument_pointer(name), text)
        })
        .collect()
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

/// Returns the optional members of a definition, with their pointers.
fn optional_members<'a>(tool: &ParsedTool<'a>) -> Vec<(String, &'a Value)> {
    const MEMBERS: [&str; 7] = [
        "title",
        "description",
        "annotations",
        "icons",
        "execution",
        "outputSchema",
        "_meta",
    ];
    let members = MEMBERS
        .iter()
        .filter_map(|name| Some((format!("/{name}"), tool.get(name)?)));
    let annotations = tool.get("annotations").and_then(Value::as_object);
    let annotations = annotations.into_iter().flatten();
    let known = annotations.filter(|(name, _)| *name == "title" || name.ends_with("Hint"));
    let inside = known.map(|(name, it)| (format!("/annotations/{}", escaped(name)), it));
    members.chain(inside).collect()
}

pub(super) fn null_member(tool: &ParsedTool<'_>) -> Vec<Place> {
    let members = optional_members(tool).into_iter();
    let null = members.filter(|(_, value)| value.is_null());
    null.map(|(pointer, _)| place(pointer, "is null")).collect()
}

pub(super) fn name_not_string(tool: &ParsedTool<'_>) -> Vec<Place> {
    one(match tool.get("name") {
        Some(Value::String(_)) => None,
        Some(other) => Some(place("/name", format!("is {}, not a string", kind(other)))),
        None => Some(place("", "`name` is missing")),
    })
}

/// Finds texts of another type. `null` has a rule of its own, here and below.
pub(super) fn text_not_string(tool: &ParsedTool<'_>) -> Vec<Place> {
    const TEXTS: [&str; 3] = ["/title", "/description", "/annotations/title"];
    let texts = optional_members(tool).into_iter();
    let wrong = texts.filter(|(pointer, value)| {
        TEXTS.contains(&&**pointer) && !value.is_string() && !value.is_null()
    });
    wrong
        .map(|(pointer, value)| place(pointer, format!("is {}, not a string", kind(value))))
        .collect()
}

pub(super) fn icons_invalid(tool: &ParsedTool<'_>) -> Vec<Place> {
    let icons = match tool.get("icons") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(icons)) => icons,
        Some(other) => {
            let text = format!("is {}, not an array", kind(other));
            return vec![place("/icons", text)];
        }
    };
    let found = icons.iter().enumerate().filter_map(|(at, icon)| {
        let is_text = |it: &Value| it.is_string();
        let is_texts = |it: &Value| it.as_array().is_some_and(|it| it.iter().all(is_text));
        let (step, expected) = if !icon.is_object() {
            ("", "must be an object")
        } else if !icon.get("src").is_some_and(is_text) {
            ("/src", "must be a string")
        } else if !icon.get("mimeType").is_none_or(is_text) {
            ("/mimeType", "must be a string")
        } else if !icon.get("sizes").is_none_or(is_texts) {
            ("/sizes", "must be an array of strings")
        } else {
            return None;
        };
        Some(place(format!("/icons/{at}{step}"), expected))
    });
    found.collect()
}

pub(super) fn execution_invalid(tool: &ParsedTool<'_>) -> Vec<Place> {
    const SUPPORT: [&str; 3] = ["forbidden", "optional", "required"];
    let Some(execution) = tool.get("execution").filter(|it| !it.is_null()) else {
        return Vec::new();
    };
    let support = execution.get("taskSupport");
    let is_known = |it: &Value| it.as_str().is_some_and(|it| SUPPORT.contains(&it));
    one(if !execution.is_object() {
        let text = format!("is {}, not an object", kind(execution));
        Some(place("/execution", text))
    } else if !support.is_none_or(is_known) {
        let text = format!("must be one of {}", SUPPORT.join(", "));
        Some(place("/execution/taskSupport", text))
    } else {
        None
    })
}

/// Returns a text if a page of the list has a cursor that is no string.
pub(super) fn cursor(list: &List) -> Option<Place> {
    let cursor = list.odd_cursor()?;
    Some(place("/nextCursor", format!("is {cursor}, not a string")))
}

pub(super) fn list_meta(list: &List) -> Option<Place> {
    let page = Members::of(list.first_page());
    let meta = page.get("_meta").filter(|it| !it.starts_with('{'))?;
    Some(place("/_meta", format!("is {meta}, not an object")))
}

pub(super) fn annotation_not_boolean(tool: &ParsedTool<'_>) -> Vec<Place> {
    let annotations = match tool.get("annotations") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Object(annotations)) => annotations,
        Some(other) => {
            let text = format!("is {}, not an object", kind(other));
            return vec![place("/annotations", text)];
        }
    };
    let wrong = |(name, value): &(&String, &Value)| {
        name.ends_with("Hint") && !value.is_boolean() && !value.is_null()
    };
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
    let wrong = tool
        .get("_meta")
        .filter(|it| !it.is_object() && !it.is_null());
    one(wrong.map(|it| place("/_meta", format!("is {}, not an object", kind(it)))))
}

pub(super) fn output_root_type(tool: &ParsedTool<'_>) -> Vec<Place> {
    one(match tool.get("outputSchema") {
        None | Some(Value::Null) => None,
        Some(schema @ Value::Object(_)) => root_type(schema).map(|text| place(OUTPUT, text)),
        Some(other) => Some(place(OUTPUT, format!("is {}, not an object", kind(other)))),
    })
}

/// Finds dialects that the SDK for TypeScript does not know.
pub(super) fn output_dialect_unknown(tool: &ParsedTool<'_>) -> Vec<Place> {
    const KNOWN: [&str; 4] = ["/2020-12/", "/2019-09/", "/draft-07/", "/draft-06/"];
    let dialect = tool.get("outputSchema").and_then(|it| it.get("$schema"));
    let is_known = |it: &Value| {
        it.as_str()
            .is_none_or(|it| KNOWN.iter().any(|known| it.contains(known)))
    };
    let unknown = dialect.filter(|it| !is_known(it));
    one(unknown.map(|it| place("/outputSchema/$schema", format!("is {it}"))))
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
