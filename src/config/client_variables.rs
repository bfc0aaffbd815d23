//! Variables in the files of clients that do not write them as `${VAR}`.

use super::expand::{ENVIRONMENT, is_variable_name, name_length};
use super::fault::Fault;
use super::node::{Node, Value};

/// Form of the variables in a client's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VariableForm {
    /// `${VAR}`, as `expand` reads it.
    Braces,
    /// `$VAR` or `${VAR}`, empty if unset: Gemini CLI.
    Dollar,
    /// `{env:VAR}`, empty if unset, and `{file:PATH}`: `OpenCode`.
    OpenCode,
}

/// Start of a value that `OpenCode` reads from a file.
const FILE: &str = "{file:";

impl VariableForm {
    /// Returns a text with the variables written as `${VAR}`.
    fn in_braces(self, text: &str) -> String {
        match self {
            Self::Braces => text.to_owned(),
            Self::Dollar => replaced(text, "$", dollar_variable),
            Self::OpenCode => replaced(text, "{env:", |rest| {
                let (name, rest) = rest.split_once('}')?;
                is_variable_name(name).then(|| (format!("${{{ENVIRONMENT}{name}:-}}"), rest))
            }),
        }
    }

    /// Returns a node of the file with all variables written as `${VAR}`, or a fault about a value that only the client
    /// can replace.
    pub(super) fn node_in_braces(self, node: &Node) -> Result<Node, Fault> {
        let value = match &node.value {
            Value::Text(text) if self == Self::OpenCode && text.contains(FILE) => {
                let message = "OpenCode reads this value from a file, mcp-proxy does not";
                let fault = Fault::new(&node.at.part(FILE), message);
                return Err(fault.help("use an environment variable: {env:VAR}"));
            }
            Value::Text(text) => Value::Text(self.in_braces(text)),
            Value::List(items) => {
                let items = items.iter().map(|it| self.node_in_braces(it));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            Value::Table(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, it)| Ok((key.clone(), self.node_in_braces(it)?)));
                Value::Table(entries.collect::<Result<_, Fault>>()?)
            }
            other => other.clone(),
        };
        Ok(node.with(value))
    }
}

/// Replaces each `start` in `text` for which `variable`, given the text after it, returns a new text and the rest.
fn replaced<'t>(
    text: &'t str,
    start: &str,
    variable: impl Fn(&'t str) -> Option<(String, &'t str)>,
) -> String {
    let (mut new, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(start) {
        new.push_str(before);
        if let Some((variable, after)) = variable(after) {
            new.push_str(&variable);
            rest = after;
        } else {
            new.push_str(start);
            rest = after;
        }
    }
    new + rest
}

/// Reads the variable after a dollar sign. A name in braces may be one of the client itself.
fn dollar_variable(rest: &str) -> Option<(String, &str)> {
    if let Some(braced) = rest.strip_prefix('{') {
        let (name, rest) = braced.split_once('}')?;
        return is_variable_name(name).then(|| (format!("${{{name}:-}}"), rest));
    }
    let (name, rest) = rest.split_at(name_length(rest));
    (!name.is_empty()).then(|| (format!("${{{ENVIRONMENT}{name}:-}}"), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_translated_and_other_text_kept() {
        use VariableForm::{Braces, Dollar, OpenCode};
        for (form, text, expected) in [
            (Braces, "$A ${B} {env:C}", "$A ${B} {env:C}"),
            (Dollar, "$A/b", "${env:A:-}/b"),
            (Dollar, "${A}$B", "${A:-}${env:B:-}"),
            (Dollar, "${A:-x} $1 $ ${", "${A:-x} $1 $ ${"),
            (Dollar, "{env:A}", "{env:A}"),
            (OpenCode, "x{env:A}{env:B}", "x${env:A:-}${env:B:-}"),
            (OpenCode, "$A {env:} {env:A", "$A {env:} {env:A"),
        ] {
            assert_eq!(form.in_braces(text), expected, "{text}");
        }
    }
}
