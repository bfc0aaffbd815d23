//! Matches URIs against URI templates (RFC 6570): checks if some values expand a template to a URI.
//!
//! The match serves routing, so it is as tolerant as servers rather than as strict as the RFC: characters that an
//! expansion would encode may appear unencoded, and query parameters in any order.
//!
//! There is no backtracking. The set of positions in the URI that the first parts can reach is passed from part to
//! part, so that the time is at most the product of the two lengths, which are limited.

/// Maximum length of a URI; a longer one matches no template. Limits the time for a hostile pair to a few milliseconds.
const LONGEST_URI: usize = 16 << 10;
/// Maximum length of a template; a longer one is not parsed.
const LONGEST_TEMPLATE: usize = 4 << 10;

/// URI template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<TemplatePart>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePart {
    Literal(String),
    Expression(&'static Operator, Vec<TemplateVariable>),
}

/// Operator: the meaning of the character after `{`.
#[derive(Debug, PartialEq, Eq)]
struct Operator {
    /// First character of the expansion. An expansion that has one may be omitted.
    first: Option<u8>,
    /// Separator between two values.
    separator: u8,
    /// True if values follow `name=`.
    named: bool,
    /// Characters that end a value.
    stops: &'static [u8],
}

impl Operator {
    const fn new(first: Option<u8>, separator: u8, named: bool, stops: &'static [u8]) -> Self {
        Self {
            first,
            separator,
            named,
            stops,
        }
    }
}

static SIMPLE: Operator = Operator::new(None, b',', false, b"/?#");
static OPERATORS: [(u8, Operator); 7] = [
    (b'+', Operator::new(None, b',', false, b"")),
    (b'#', Operator::new(Some(b'#'), b',', false, b"")),
    (b'.', Operator::new(Some(b'.'), b'.', false, b"/?#")),
    (b'/', Operator::new(Some(b'/'), b'/', false, b"/?#")),
    (b';', Operator::new(Some(b';'), b';', true, b";/?#")),
    (b'?', Operator::new(Some(b'?'), b'&', true, b"&#")),
    (b'&', Operator::new(Some(b'&'), b'&', true, b"&#")),
];

#[derive(Debug, Clone, PartialEq, Eq)]
struct TemplateVariable {
    name: String,
    /// `*`: a list or a map, whose members are expanded like separate values.
    explode: bool,
    /// `:n`: maximum number of characters.
    longest: usize,
}

/// Reachable positions in a URI: one flag before each byte and one at the end.
type PositionSet = Vec<bool>;

impl Template {
    /// Parses a template. A malformed one matches only itself.
    pub(crate) fn new(text: &str) -> Self {
        let parts = (text.len() <= LONGEST_TEMPLATE).then(|| parse(text));
        Self {
            parts: parts
                .flatten()
                .unwrap_or_else(|| vec![TemplatePart::Literal(text.to_owned())]),
        }
    }

    /// Returns true if `uri` is an expansion of the template. A `{a}` or `{+a}` needs at least one character; an
    /// expansion with a first character of its own, such as `{?a}`, may be missing.
    pub(crate) fn matches(&self, uri: &str) -> bool {
        let uri = uri.as_bytes();
        if uri.len() > LONGEST_URI {
            return false;
        }
        let mut positions = vec![false; uri.len() + 1];
        positions[0] = true;
        for part in &self.parts {
            positions = match part {
                TemplatePart::Literal(text) => behind(text, uri, &positions),
                TemplatePart::Expression(operator, variables) => {
                    Expansion { operator, uri }.ends(variables, &positions)
                }
            };
            if !positions.contains(&true) {
                return false;
            }
        }
        positions[uri.len()]
    }
}

fn parse(mut text: &str) -> Option<Vec<TemplatePart>> {
    let mut parts = Vec::new();
    while let Some(at) = text.find(['{', '}']) {
        let (literal, rest) = text.split_at(at);
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(literal.to_owned()));
        }
        let (expression, rest) = rest.strip_prefix('{')?.split_once('}')?;
        let known = OPERATORS
            .iter()
            .find(|(sign, _)| expression.as_bytes().first() == Some(sign));
        let (operator, list) = match known {
            Some((_, operator)) => (operator, &expression[1..]),
            None => (&SIMPLE, expression),
        };
        let variables = list.split(',').map(variable).collect::<Option<_>>()?;
        parts.push(TemplatePart::Expression(operator, variables));
        text = rest;
    }
    if !text.is_empty() {
        parts.push(TemplatePart::Literal(text.to_owned()));
    }
    Some(parts)
}

fn variable(text: &str) -> Option<TemplateVariable> {
    let (name, explode, longest) = if let Some(name) = text.strip_suffix('*') {
        (name, true, usize::MAX)
    } else if let Some((name, longest)) = text.split_once(':') {
        let digits = longest.bytes().all(|b| b.is_ascii_digit());
        let longest = longest.parse().ok().filter(|n| (1..10_000).contains(n));
        (name, false, longest.filter(|_| digits)?)
    } else {
        (text, false, usize::MAX)
    };
    // The RFC does not allow the hyphen, but it is common.
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '%' | '-');
    let valid = !name.is_empty() && name.chars().all(allowed);
    valid.then(|| TemplateVariable {
        name: name.to_owned(),
        explode,
        longest,
    })
}

/// Returns the positions after `text`, written literally or encoded as in an expansion.
fn behind(text: &str, uri: &[u8], from: &PositionSet) -> PositionSet {
    let mut to = vec![false; from.len()];
    let encoded = encoded(text);
    for at in (0..from.len()).filter(|at| from[*at]) {
        for form in [text, &encoded] {
            if uri[at..].starts_with(form.as_bytes()) {
                to[at + form.len()] = true;
            }
        }
    }
    to
}

/// Percent-encodes the characters of a literal that a URI must not contain.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'!'..=b'~' if !br#""<>\^`{|}"#.contains(&byte) => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// One expression matched against one URI.
struct Expansion<'a> {
    operator: &'static Operator,
    uri: &'a [u8],
}

impl Expansion<'_> {
    /// Returns the positions after the expression if it starts at those of `from`.
    fn ends(&self, variables: &[TemplateVariable], from: &PositionSet) -> PositionSet {
        let mut some = vec![false; from.len()];
        if self.operator.named {
            some = self.values(variables, from, &some, true);
        } else {
            // Each variable may be undefined and left out.
            for variable in variables {
                let one = std::slice::from_ref(variable);
                let ends = self.values(one, from, &some, variable.explode);
                join(&mut some, &ends);
            }
        }
        if self.operator.first.is_some() {
            join(&mut some, from);
        }
        some
    }

    /// Returns the positions after a value of one of `variables`. A value that starts at `none` is the first of its
    /// expression; one that starts at `some` is a later one. With `again`, values may follow each other.
    fn values(
        &self,
        variables: &[TemplateVariable],
        none: &PositionSet,
        some: &PositionSet,
        again: bool,
    ) -> PositionSet {
        let Operator {
            first,
            separator,
            named,
            stops,
        } = *self.operator;
        let mut ends = vec![false; none.len()];
        // Number of characters left for a value that extends to this position.
        let mut room: Vec<Option<usize>> = vec![None; none.len()];
        for at in 0..none.len() {
            let here = self.uri.get(at).copied();
            let is_first = none[at] && first.is_none_or(|first| here == Some(first));
            let is_later = (some[at] || (again && ends[at])) && here == Some(separator);
            for (begins, start) in [
                (is_first, at + usize::from(first.is_some())),
                (is_later, at + 1),
            ] {
                for variable in variables.iter().filter(|_| begins) {
                    let value = if named && !variable.explode {
                        self.behind_name(variable, start, &mut ends)
                    } else {
                        Some(start)
                    };
                    if let Some(value) = value {
                        room[value] = room[value].max(Some(variable.longest));
                        ends[value] |= first.is_some();
                    }
                }
            }
            if let (Some(left), Some(byte)) = (room[at], here)
                && let Some(left) = left.checked_sub(self.weight(at))
                && !stops.contains(&byte)
            {
                room[at + 1] = room[at + 1].max(Some(left));
                ends[at + 1] = true;
            }
        }
        ends
    }

    /// Returns the position after `name=` at `start`. The name may also appear without `=`.
    fn behind_name(
        &self,
        variable: &TemplateVariable,
        start: usize,
        ends: &mut PositionSet,
    ) -> Option<usize> {
        let rest = self.uri[start..].strip_prefix(variable.name.as_bytes())?;
        let behind = start + variable.name.len();
        ends[behind] = true;
        (rest.first() == Some(&b'=')).then_some(behind + 1)
    }

    /// Returns 1 at the start of a character, literal or encoded, and 0 within one.
    fn weight(&self, at: usize) -> usize {
        let follows = |byte: u8| byte & 0xC0 == 0x80;
        let hex = |at: usize| {
            let digit = |at: usize| char::from(*self.uri.get(at)?).to_digit(16);
            Some((digit(at)?, digit(at + 1)?))
        };
        let encoded = |at: usize| hex(at + 1).filter(|_| self.uri[at] == b'%');
        let inside = (1..=2).any(|back| at >= back && encoded(at - back).is_some());
        let second = encoded(at).is_some_and(|(high, _)| (8..12).contains(&high));
        usize::from(!inside && !second && !follows(self.uri[at]))
    }
}

fn join(to: &mut PositionSet, more: &PositionSet) {
    for (to, more) in to.iter_mut().zip(more) {
        *to |= more;
    }
}

#[cfg(test)]
mod tests;
