//! Common tree for TOML, JSON and YAML; keys and values carry their positions.

mod yaml;

use std::sync::Arc;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use super::location::{ConfigFile, FileSpan, Located};

pub(super) use yaml::yaml;

/// Value of a configuration file, with its position.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: FileSpan,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// JSON only.
    Null,
    Flag(bool),
    /// Number, as text.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Table(Entries),
    /// TOML only.
    Date,
    /// YAML only: an alias, or a value with an anchor or a tag.
    Reference,
}

/// Keys and values of a table.
pub(super) type Entries = Vec<(Located<String>, Node)>;

impl Node {
    /// Returns the name of the value's type, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Flag(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Date => "a date",
            Value::Reference => "a reference",
        }
    }

    /// Returns the value of `key` if the node is a table.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Table(entries) = &self.value else {
            return None;
        };
        let mut entries = entries.iter();
        let entry = entries.find(|(it, _)| it.value == key);
        entry.map(|(_, node)| node)
    }

    /// Returns a node with another value at the same position.
    pub(super) fn with(&self, value: Value) -> Self {
        let at = self.at.clone();
        Self { at, value }
    }
}

/// Maximum number of syntax errors of one file: later ones are mostly consequences of the first.
const MAX_FAULTS: usize = 5;

/// Parses a TOML file; returns the first syntax errors on failure.
pub(super) fn toml(source: &Arc<ConfigFile>) -> Result<Node, Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    if errors.is_empty() {
        let span = table.span();
        return Ok(toml_table(source, span, table.into_inner()));
    }
    let fault = |error: &toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        Fault::unreadable(
            &FileSpan::new(source, span),
            format!("not valid TOML: {message}"),
        )
    };
    Err(errors.iter().take(MAX_FAULTS).map(fault).collect())
}

fn toml_table(source: &Arc<ConfigFile>, span: std::ops::Range<usize>, table: DeTable<'_>) -> Node {
    let entries = table.into_iter().map(|(key, value)| {
        let at = FileSpan::new(source, key.span());
        let value_of_key = key.into_inner().into_owned();
        let key = Located {
            value: value_of_key,
            at,
        };
        (key, toml_value(source, value))
    });
    Node {
        value: Value::Table(entries.collect()),
        at: FileSpan::new(source, span),
    }
}

fn toml_value(source: &Arc<ConfigFile>, value: Spanned<DeValue<'_>>) -> Node {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => Value::Number(number.to_string()),
        DeValue::Float(number) => Value::Number(number.to_string()),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(items) => {
            let items = items.into_iter();
            Value::List(items.map(|item| toml_value(source, item)).collect())
        }
        DeValue::Table(table) => return toml_table(source, span, table),
    };
    Node {
        at: FileSpan::new(source, span),
        value,
    }
}

/// Parses a JSON file with comments and trailing commas; returns the first syntax error on failure. An empty file is an
/// empty table.
pub(super) fn json(source: &Arc<ConfigFile>) -> Result<Node, Vec<Fault>> {
    let options = ParseOptions {
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        ..ParseOptions::default()
    };
    match parse_to_ast(&source.text, &CollectOptions::default(), &options) {
        Ok(parsed) => Ok(parsed.value.map_or_else(
            || Node {
                at: FileSpan::new(source, 0..0),
                value: Value::Table(Vec::new()),
            },
            |value| json_value(source, value),
        )),
        Err(error) => {
            let range = error.range();
            let at = FileSpan::new(source, range.start..range.end);
            let message = format!("not valid JSON: {}", error.kind());
            Err(vec![Fault::unreadable(&at, message)])
        }
    }
}

fn json_value(source: &Arc<ConfigFile>, value: ast::Value<'_>) -> Node {
    let range = value.range();
    let at = FileSpan::new(source, range.start..range.end);
    let value = match value {
        ast::Value::StringLit(text) => Value::Text(text.value.into_owned()),
        ast::Value::NumberLit(number) => Value::Number(number.value.to_owned()),
        ast::Value::BooleanLit(flag) => Value::Flag(flag.value),
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::Array(list) => {
            let items = list.elements.into_iter();
            Value::List(items.map(|item| json_value(source, item)).collect())
        }
        ast::Value::Object(object) => {
            let entries = object.properties.into_iter().map(|property| {
                let range = property.name.range();
                let key = Located {
                    at: FileSpan::new(source, range.start..range.end),
                    value: property.name.into_string(),
                };
                (key, json_value(source, property.value))
            });
            Value::Table(entries.collect())
        }
    };
    Node { at, value }
}
