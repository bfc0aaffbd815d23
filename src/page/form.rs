//! Form for a schema, of the arguments of a tool or of input, described for the script that builds it. Pure.
//!
//! Schemas come from servers, and may be hostile: depth, references and the number of fields are limited. A schema that
//! no control expresses becomes a field for JSON.

mod choices;

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::jsonrpc::{Members, elements, unquoted};
use crate::output::clean;
use choices::{constants, options, titles};

/// Maximum length of a schema in bytes.
const MAX_SCHEMA: usize = 1 << 20;
/// Maximum number of fields and references that are followed.
const MAX_FIELDS: usize = 400;
/// Maximum number of names in the pointer of a reference.
const MAX_POINTER: usize = 16;
/// Number of bytes of schemas that references lead through in one form.
const MAX_FOLLOWED: usize = 16 << 20;
/// Maximum depth of fields in fields.
const MAX_DEPTH: usize = 4;
/// Maximum number of references and wrappers around one schema.
const MAX_WRAPPERS: usize = 8;
/// Length to which a description is cut, in characters.
const MAX_ABOUT: usize = 1000;
/// Length in bytes from which on a value of the schema is not shown.
const MAX_VALUE: usize = 2000;

/// Form for one tool.
#[derive(Debug)]
pub(super) struct ArgumentsForm {
    /// Fields for the script; `None` if the form cannot express the schema.
    pub(super) fields: Option<Value>,
    /// Sentence on a part of the schema that the form does not express.
    pub(super) note: Option<&'static str>,
}

impl ArgumentsForm {
    /// Creates the form for an `inputSchema`.
    pub(super) fn of(schema: &str) -> Self {
        let impossible = |note| Self {
            fields: None,
            note: Some(note),
        };
        if schema.len() > MAX_SCHEMA {
            return impossible("The schema is too long for a form.");
        }
        let mut builder = FormBuilder {
            root: schema,
            left: MAX_FIELDS,
            followed: 0,
            is_cut: false,
        };
        let root = builder.resolve(schema);
        match Kind::of(&root.members) {
            Kind::Object => {}
            _ if root.members.get("type") == Some("\"object\"") => {}
            _ => return impossible("The form cannot express this schema."),
        }
        let fields = builder.fields(&root.members, 0);
        Self {
            fields: Some(fields),
            note: builder
                .is_cut
                .then_some("The schema has more fields than the form shows."),
        }
    }
}

/// Schema without references and wrappers.
struct Resolved<'a> {
    members: Members<'a>,
    is_nullable: bool,
    /// First description and default of the schema and its wrappers.
    about: Option<String>,
    default: Option<String>,
}

/// Control of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Integer,
    Boolean,
    Choice,
    Object,
    List,
    Json,
}

impl Kind {
    /// Returns the control for a resolved schema.
    fn of(schema: &Members<'_>) -> Self {
        let has = |name| schema.get(name).is_some();
        if has("enum") || has("const") || constants(schema).is_some() {
            return Self::Choice;
        }
        if has("anyOf") || has("oneOf") || has("allOf") || has("$ref") {
            // With fields of its own, an object may have conditions that the form does not know.
            let is_object = !has("$ref") && !schema.object("properties").is_empty();
            return if is_object { Self::Object } else { Self::Json };
        }
        let is_object = !schema.object("properties").is_empty();
        let is_list = schema.get("items").is_some_and(|it| it.starts_with('{'));
        let kind = schema
            .get("type")
            .map(|kind| unquoted(kind).unwrap_or(Cow::Borrowed(kind)));
        match kind.as_deref() {
            Some("string") => Self::Text,
            Some("number") => Self::Number,
            Some("integer") => Self::Integer,
            Some("boolean") => Self::Boolean,
            Some("null") => Self::Choice,
            Some("object") | None if is_object => Self::Object,
            Some("array") | None if is_list => Self::List,
            _ => Self::Json,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Choice => "choice",
            Self::Object => "object",
            Self::List => "list",
            Self::Json => "json",
        }
    }
}

/// Builder of the fields of one form.
struct FormBuilder<'a> {
    root: &'a str,
    /// Number of fields and references that may follow.
    left: usize,
    /// Number of bytes that references have led through.
    followed: usize,
    /// True if fields were left out.
    is_cut: bool,
}

impl<'a> FormBuilder<'a> {
    /// Returns the fields of an object.
    fn fields(&mut self, schema: &Members<'a>, depth: usize) -> Value {
        let required = schema.get("required").and_then(elements);
        let required: Vec<_> = required
            .into_iter()
            .flatten()
            .filter_map(unquoted)
            .collect();
        let Some(properties) = schema.original("properties") else {
            return json!([]);
        };
        let mut fields = Vec::new();
        for (name, property) in Members::of(properties).into_raw() {
            let (Some(name), Cow::Borrowed(property)) = (unquoted(&name), property) else {
                continue;
            };
            if self.left == 0 {
                self.is_cut = true;
                break;
            }
            let mut field = self.field(property, depth + 1);
            field["is_required"] = required.contains(&name).into();
            field["name"] = name.into();
            fields.push(field);
        }
        fields.into()
    }

    /// Returns the field for a schema.
    fn field(&mut self, schema: &'a str, depth: usize) -> Value {
        self.left = self.left.saturating_sub(1);
        let resolved = self.resolve(schema);
        let members = &resolved.members;
        let mut kind = Kind::of(members);
        let is_nested = matches!(kind, Kind::Object | Kind::List);
        if is_nested && (depth >= MAX_DEPTH || self.left == 0) {
            kind = Kind::Json;
        }
        let mut field = json!({
            "is_nullable": resolved.is_nullable,
            "about": resolved.about,
            "default": resolved.default,
        });
        match kind {
            Kind::Object => field["fields"] = self.fields(members, depth),
            Kind::List => {
                if let Some(item) = members.original("items") {
                    field["item"] = self.field(item, depth + 1);
                }
            }
            Kind::Choice => match options(members) {
                Some(options) if !options.is_empty() => {
                    field["options"] = options.into();
                    field["titles"] = titles(members).into();
                }
                _ => kind = Kind::Json,
            },
            _ => {}
        }
        field["kind"] = kind.name().into();
        field
    }

    /// Follows references, and removes the choice of null and wrappers with a single member.
    fn resolve(&mut self, schema: &'a str) -> Resolved<'a> {
        let mut resolved = Resolved {
            members: Members::of(schema),
            is_nullable: false,
            about: None,
            default: None,
        };
        for _ in 0..MAX_WRAPPERS {
            let members = &resolved.members;
            let about = members.text("description");
            let about =
                about.map(|it| clean(&it.chars().take(MAX_ABOUT).collect::<String>()).into_owned());
            let default = members.get("default").filter(|it| it.len() <= MAX_VALUE);
            resolved.default = resolved.default.or_else(|| default.map(str::to_owned));
            resolved.about = resolved.about.or(about);
            let Some((inner, is_nullable)) = self.inner(members) else {
                break;
            };
            resolved.is_nullable |= is_nullable;
            resolved.members = inner;
        }
        resolved
    }

    /// Returns the schema that a reference, a choice beside null or a single alternative stands for, and whether null
    /// may stand in its place.
    fn inner(&mut self, members: &Members<'a>) -> Option<(Members<'a>, bool)> {
        if let Some(reference) = members.text("$ref") {
            self.left = self.left.checked_sub(1)?;
            return Some((Members::of(self.pointed(&reference)?), false));
        }
        if !members.object("properties").is_empty() {
            return None;
        }
        for name in ["anyOf", "oneOf", "allOf"] {
            let Some(all) = members.original(name).and_then(elements) else {
                continue;
            };
            let others: Vec<_> = all.iter().copied().filter(|it| !is_null(it)).collect();
            if let [only] = others[..] {
                return Some((Members::of(only), all.len() > 1));
            }
        }
        let types = members.original("type").and_then(elements)?;
        let others: Vec<_> = types
            .iter()
            .copied()
            .filter(|it| *it != "\"null\"")
            .collect();
        let [only] = others[..] else { return None };
        let mut inner = members.clone();
        inner.set("type", only);
        Some((inner, types.len() > 1))
    }

    /// Returns the value at a pointer such as `#/$defs/City` or `#/anyOf/0`; `None` if the way there is too long, and for
    /// the name of an `$anchor`.
    fn pointed(&mut self, reference: &str) -> Option<&'a str> {
        let path = percent_decode_str(reference.strip_prefix('#')?);
        let path = path.decode_utf8().ok()?;
        let is_pointer = path.is_empty() || path.starts_with('/');
        if !is_pointer || path.split('/').skip(1).count() > MAX_POINTER {
            return None;
        }
        let mut value = self.root;
        for name in path.split('/').skip(1) {
            // Each step reads the rest of the schema.
            self.follow(value)?;
            value = if let Some(elements) = elements(value) {
                elements.get(name.parse::<usize>().ok()?).copied()?
            } else {
                let name = name.replace("~1", "/").replace("~0", "~");
                Members::of(value).original(&name)?
            };
        }
        self.follow(value)?;
        Some(value)
    }

    fn follow(&mut self, value: &str) -> Option<()> {
        self.followed += value.len();
        (self.followed <= MAX_FOLLOWED).then_some(())
    }
}

/// Returns true for the schema of null.
fn is_null(schema: &str) -> bool {
    let members = Members::of(schema);
    members.get("type") == Some("\"null\"") || members.get("const") == Some("null")
}

#[cfg(test)]
mod tests;
