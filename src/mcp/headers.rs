//! Headers that repeat parts of a modern request's body over HTTP, so that intermediaries can route the request without
//! reading the body (revision 2026-07-28, basic/transports).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{HEADER_MISMATCH, MODERN, meta};
use crate::jsonrpc::{Envelope, ErrorObject, INVALID_PARAMS, Members, RawJson, unquoted};

/// Header with the revision.
pub(crate) const REVISION: &str = "mcp-protocol-version";
/// Header with the method.
pub(crate) const METHOD: &str = "mcp-method";
/// Header with the name of the tool, prompt, resource or task.
pub(crate) const NAME: &str = "mcp-name";
/// Prefix of the headers that carry arguments of a tool.
const PARAM: &str = "mcp-param-";
/// Schema annotation that maps an argument to a header.
pub(crate) const ANNOTATION: &str = "x-mcp-header";

/// Returns `value` as a header value; encodes it unless it is plain text.
pub(crate) fn encode(value: &str) -> Cow<'_, str> {
    let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if plain && value.trim() == value && sentinel(value).is_none() {
        return Cow::Borrowed(value);
    }
    format!("=?base64?{}?=", STANDARD.encode(value)).into()
}

/// Returns the value that a header encodes; None if the encoding is invalid.
pub(crate) fn decode(value: &str) -> Option<Cow<'_, str>> {
    let Some(payload) = sentinel(value) else {
        return Some(Cow::Borrowed(value));
    };
    let bytes = STANDARD.decode(payload).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn sentinel(value: &str) -> Option<&str> {
    value.strip_prefix("=?base64?")?.strip_suffix("?=")
}

/// Returns the value of the header [`NAME`] for a request, if it must have one.
pub(crate) fn name_of(method: &str, params: &str) -> Option<String> {
    let member = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return None,
    };
    let params = Members::of(params);
    params.text(member).map(Cow::into_owned)
}

/// Argument of a tool that a header repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MirroredArgument {
    /// Name of the header, in lower case.
    pub(crate) header: String,
    /// Path of the argument within the arguments.
    path: Vec<String>,
    integer: bool,
}

impl MirroredArgument {
    /// Returns the raw argument; None if it is absent or `null`.
    fn raw<'a>(&self, arguments: &'a str) -> Option<&'a str> {
        let mut raw = arguments;
        for name in &self.path {
            raw = Members::of(raw).original(name)?;
        }
        Some(raw).filter(|raw| *raw != "null")
    }

    /// Returns the encoded header value for `arguments`; None if the header must be absent.
    pub(crate) fn render(&self, arguments: &str) -> Option<String> {
        let text = text(self.raw(arguments)?)?;
        Some(encode(&text).into_owned())
    }

    /// Returns true if `header` has the same value as the argument with this text.
    fn fits(&self, text: &str, header: &str) -> bool {
        if text == header {
            return true;
        }
        // 42 and 42.0 are the same integer. Beyond 2^53, neighbouring integers would compare as equal.
        let whole = |text: &str| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let is_plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
            let number = text.parse::<f64>().ok()?;
            let exact = number.fract() == 0.0 && number.abs() < 9e15;
            (exact && digits.bytes().all(is_plain)).then_some(number)
        };
        let both = whole(header).zip(text.parse::<f64>().ok());
        self.integer && both.is_some_and(|(one, other)| (one - other).abs() < f64::EPSILON)
    }
}

/// Returns the header text of a raw value; None if no text can represent it, such as half of a surrogate pair.
fn text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => unquoted(raw),
        b'{' | b'[' => None,
        _ => Some(raw.into()),
    }
}

/// Reason why no client may offer a tool over HTTP.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnnotationError {
    #[error("two of its arguments are for the header `{0}`")]
    Twice(String),
    #[error("`{}` stands where it is no argument's own", ANNOTATION)]
    Misplaced,
    #[error(
        "`{}` of `{argument}` is no name of a header: {annotation}",
        ANNOTATION
    )]
    Name { argument: String, annotation: Value },
    #[error("`{0}` is neither a string, an integer nor a boolean, so no header can carry it")]
    Type(String),
}

/// Returns the arguments that headers repeat for the tool with the definition `tool`.
pub(crate) fn mirrors(tool: &str) -> Result<Vec<MirroredArgument>, AnnotationError> {
    let mut mirrors = Vec::new();
    if !tool.contains(ANNOTATION) {
        return Ok(mirrors);
    }
    let schema = Members::of(tool).original("inputSchema").unwrap_or("{}");
    let Ok(schema) = serde_json::from_str::<Value>(schema) else {
        return Ok(mirrors);
    };
    find(&schema, &mut Vec::new(), true, &mut mirrors)?;
    for (at, mirror) in mirrors.iter().enumerate() {
        if mirrors[..at]
            .iter()
            .any(|other| other.header == mirror.header)
        {
            return Err(AnnotationError::Twice(mirror.header.clone()));
        }
    }
    Ok(mirrors)
}

/// Finds the annotations below `schema`. An annotation is an error if no chain of `properties` leads to it.
fn find(
    schema: &Value,
    path: &mut Vec<String>,
    reachable: bool,
    found: &mut Vec<MirroredArgument>,
) -> Result<(), AnnotationError> {
    let members = match schema {
        Value::Object(members) => members,
        Value::Array(all) => {
            return all.iter().try_for_each(|one| find(one, path, false, found));
        }
        _ => return Ok(()),
    };
    if let Some(annotation) = members.get(ANNOTATION) {
        if !reachable || path.is_empty() {
            return Err(AnnotationError::Misplaced);
        }
        found.push(mirror(annotation, members, path)?);
    }
    for (key, value) in members {
        match (key.as_str(), value) {
            // These hold data, not schemas.
            ("const" | "default" | "enum" | "examples" | ANNOTATION, _) => {}
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    path.push(name.clone());
                    find(property, path, reachable, found)?;
                    path.pop();
                }
            }
            // Maps from names to schemas.
            (
                "$defs" | "definitions" | "patternProperties" | "dependentSchemas",
                Value::Object(schemas),
            ) => {
                for schema in schemas.values() {
                    find(schema, path, false, found)?;
                }
            }
            (_, value) => find(value, path, false, found)?,
        }
    }
    Ok(())
}

fn mirror(
    annotation: &Value,
    schema: &Map<String, Value>,
    path: &[String],
) -> Result<MirroredArgument, AnnotationError> {
    let argument = path.join(".");
    let is_token = |name: &&str| {
        let special = b"!#$%&'*+-.^_`|~";
        let is_ok = |byte: u8| byte.is_ascii_alphanumeric() || special.contains(&byte);
        !name.is_empty() && name.bytes().all(is_ok)
    };
    let Some(name) = annotation.as_str().filter(is_token) else {
        let annotation = annotation.clone();
        return Err(AnnotationError::Name {
            argument,
            annotation,
        });
    };
    let kind = schema.get("type").and_then(Value::as_str);
    if !matches!(kind, Some("string" | "integer" | "boolean")) {
        return Err(AnnotationError::Type(argument));
    }
    Ok(MirroredArgument {
        header: format!("{PARAM}{}", name.to_ascii_lowercase()),
        path: path.to_vec(),
        integer: kind == Some("integer"),
    })
}

/// Checks the headers of the request `envelope` against its body: `get` returns all values of the header with that
/// name. `tool` is the definition of the called tool, if known.
pub(crate) fn check<'h>(
    envelope: &Envelope<'_>,
    params: &str,
    tool: Option<&str>,
    get: impl Fn(&str) -> Vec<&'h [u8]>,
) -> Result<(), ErrorObject> {
    let meta = &envelope.params.meta;
    if meta
        .client_capabilities
        .is_none_or(|raw| !raw.starts_with('{'))
    {
        let missing = meta::CLIENT_CAPABILITIES;
        let message = format!("`params._meta` has no object `{missing}`");
        return Err(ErrorObject::new(INVALID_PARAMS, message));
    }
    let version = meta.protocol_version.and_then(RawJson::text);
    let version = version.as_deref().unwrap_or(MODERN);
    let method = envelope.method.as_deref().unwrap_or_default();
    compare(REVISION, Some(version), &get)?;
    compare(METHOD, Some(method), &get)?;
    if let Some(name) = name_of(method, params) {
        compare(NAME, Some(&name), &get)?;
    }
    let mirrors = tool.map(mirrors).and_then(Result::ok).unwrap_or_default();
    if mirrors.is_empty() {
        return Ok(());
    }
    let arguments = envelope.params.arguments.unwrap_or("{}");
    for mirror in &mirrors {
        let header = one(&mirror.header, &get)?;
        match (header, mirror.raw(arguments).and_then(text)) {
            (None, None) => {}
            (Some(header), Some(text)) if mirror.fits(&text, &header) => {}
            (header, _) => return Err(differs(&mirror.header, header.as_deref())),
        }
    }
    Ok(())
}

fn compare<'h>(
    name: &str,
    expected: Option<&str>,
    get: &impl Fn(&str) -> Vec<&'h [u8]>,
) -> Result<(), ErrorObject> {
    let header = one(name, get)?;
    if header.as_deref() == expected {
        return Ok(());
    }
    Err(differs(name, header.as_deref()))
}

/// Returns the value of a header that may occur once.
fn one<'h>(
    name: &str,
    get: &impl Fn(&str) -> Vec<&'h [u8]>,
) -> Result<Option<String>, ErrorObject> {
    let values = get(name);
    let value = match values[..] {
        [] => return Ok(None),
        [value] => std::str::from_utf8(value).ok(),
        _ => {
            let message = format!("the header `{name}` is there more than once");
            return Err(ErrorObject::new(HEADER_MISMATCH, message));
        }
    };
    let decoded = value.and_then(|value| decode(value.trim()));
    decoded
        .map(|value| Some(value.into_owned()))
        .ok_or_else(|| {
            let message = format!("the header `{name}` is encoded wrongly");
            ErrorObject::new(HEADER_MISMATCH, message)
        })
}

fn differs(name: &str, header: Option<&str>) -> ErrorObject {
    let message = match header {
        None => format!("the header `{name}` is missing, which must say what the body says"),
        Some(header) => {
            format!("the header `{name}` says `{header}`, which is not what the body says")
        }
    };
    ErrorObject::new(HEADER_MISMATCH, message)
}

#[cfg(test)]
mod tests;
