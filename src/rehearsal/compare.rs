//! Differences between two answers, by JSON paths and by lines, and the places that vary by themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Answer;
use super::answer::json;
use crate::event::AnswerDifference;
use crate::jsonrpc::quoted;

/// Stands for a missing value.
const NOTHING: &str = "(nothing)";
/// Factor from which on an answer counts as slower, if it also takes [`SLOWER_BY`] longer.
const SLOWER_FACTOR: u32 = 5;
/// See [`SLOWER_FACTOR`].
const SLOWER_BY: Duration = Duration::from_millis(100);

/// Result of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Differences, in the order of the answer.
    pub(crate) differences: Vec<AnswerDifference>,
    /// Places that differ, but vary by themselves.
    pub(crate) varied: BTreeSet<String>,
    /// True if an error stands where a result was.
    pub(crate) is_regression: bool,
}

/// Places of an answer that differ although the code is the same: paths, lines of texts and words of lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Varying(BTreeSet<String>);

impl Varying {
    /// Adds the places at which two answers of the same code differ. Answers of different kinds, such as a result and
    /// an error, have no places in common.
    pub(crate) fn learn(&mut self, tool: &str, one: &Answer, other: &Answer) {
        let mut comparer = Comparer::new(self);
        comparer.answers(tool, one, other);
        let keys: Vec<String> = comparer.found.into_iter().flat_map(|it| it.keys).collect();
        self.0.extend(keys);
    }

    /// Adds the places of `other`.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    fn has(&self, key: &str) -> bool {
        self.0.contains(key)
    }
}

/// Compares the answers `before` and `after` to a call of `tool`, without the places in `varying`.
pub(crate) fn compare(
    tool: &str,
    before: &Answer,
    after: &Answer,
    varying: &Varying,
) -> Comparison {
    let mut comparer = Comparer::new(varying);
    let of_structured = comparer.answers(tool, before, after);
    // The content repeats the structured content.
    if of_structured > 0 {
        comparer.found.truncate(of_structured);
    }
    Comparison {
        differences: comparer.found.into_iter().map(|it| it.difference).collect(),
        varied: comparer.varied,
        is_regression: matches!((before, after), (Answer::Result { .. }, Answer::Error(_))),
    }
}

/// Returns true if the values `before` and `now` of one place differ only where `again`, a second value of the code that
/// gave `now`, differs from `now` too.
pub(crate) fn differs_by_itself(before: &Value, now: &Value, again: &Value) -> bool {
    let none = Varying::default();
    let mut comparer = Comparer::new(&none);
    comparer.part(now, again);
    let keys = comparer.found.into_iter().flat_map(|it| it.keys);
    let varying = Varying(keys.collect());
    let mut comparer = Comparer::new(&varying);
    comparer.part(before, now);
    comparer.found.is_empty()
}

/// Returns true if a call takes so much longer than before that the code is a likelier reason than the machine.
pub(crate) fn is_slower(before: Duration, after: Duration) -> bool {
    after >= before * SLOWER_FACTOR && after >= before + SLOWER_BY
}

/// Difference with the keys by which its place is known as varying.
struct FoundDifference {
    keys: Vec<String>,
    difference: AnswerDifference,
}

/// Relation of two lines.
enum LineMatch {
    Same,
    /// They differ only where the line varies by itself.
    Varied,
    /// They differ at the places with these keys.
    Differs(Vec<String>),
}

struct Comparer<'a> {
    varying: &'a Varying,
    found: Vec<FoundDifference>,
    varied: BTreeSet<String>,
}

impl<'a> Comparer<'a> {
    fn new(varying: &'a Varying) -> Self {
        Self {
            varying,
            found: Vec::new(),
            varied: BTreeSet::new(),
        }
    }

    /// Compares two answers; returns the number of differences in their structured content, which come first.
    fn answers(&mut self, tool: &str, before: &Answer, after: &Answer) -> usize {
        match (before, after) {
            (
                Answer::Result {
                    structured,
                    content,
                },
                Answer::Result {
                    structured: new_structured,
                    content: new_content,
                },
            ) => {
                match (structured, new_structured) {
                    (Some(before), Some(after)) => self.value(tool, before, after),
                    (None, None) => {}
                    (before, after) => {
                        let [before, after] = [before, after].map(|it| {
                            it.as_ref()
                                .map_or_else(|| NOTHING.to_owned(), Value::to_string)
                        });
                        self.differ(&member(tool, "structuredContent"), before, after);
                    }
                }
                let of_structured = self.found.len();
                match (content, new_content) {
                    (Value::String(before), Value::String(after)) => self.text(tool, before, after),
                    (before, after) => self.value(tool, before, after),
                }
                of_structured
            }
            (Answer::Error(before), Answer::Error(after)) => {
                self.text(&format!("{tool} (error)"), before, after);
                0
            }
            (Answer::InputRequest, Answer::InputRequest) => 0,
            (before, after) => {
                self.found.push(FoundDifference {
                    keys: Vec::new(),
                    difference: AnswerDifference {
                        place: tool.to_owned(),
                        before: kind(before),
                        after: kind(after),
                    },
                });
                0
            }
        }
    }

    /// Compares two values that are no part of others. A text is decoded if it is JSON, or else compared by words.
    fn part(&mut self, before: &Value, after: &Value) {
        let (Value::String(before), Value::String(after)) = (before, after) else {
            return self.value("", before, after);
        };
        match (json(before), json(after)) {
            (Some(before), Some(after)) => self.value("", &before, &after),
            _ => self.text("", before, after),
        }
    }

    fn value(&mut self, path: &str, before: &Value, after: &Value) {
        if before == after {
            return;
        }
        if self.varying.has(path) {
            self.varied.insert(path.to_owned());
            return;
        }
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => self.members(path, before, after),
            (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
                for (index, (before, after)) in before.iter().zip(after).enumerate() {
                    self.value(&format!("{path}[{index}]"), before, after);
                }
            }
            (Value::Array(before), Value::Array(after)) => {
                let elements = |count: usize| format!("{count} elements");
                self.differ(path, elements(before.len()), elements(after.len()));
            }
            (Value::String(before), Value::String(after))
                if before.contains('\n') || after.contains('\n') =>
            {
                self.text(path, before, after);
            }
            (before, after) => self.differ(path, before.to_string(), after.to_string()),
        }
    }

    fn members(&mut self, path: &str, before: &Map<String, Value>, after: &Map<String, Value>) {
        for (name, old) in before {
            let path = member(path, name);
            match after.get(name) {
                Some(new) => self.value(&path, old, new),
                None => self.differ(&path, old.to_string(), NOTHING.to_owned()),
            }
        }
        for (name, new) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
            self.differ(&member(path, name), NOTHING.to_owned(), new.to_string());
        }
    }

    /// Compares two texts line by line. If their numbers of lines differ, the lines between the common start and the
    /// common end are one difference.
    fn text(&mut self, path: &str, before: &str, after: &str) {
        if before == after {
            return;
        }
        if self.varying.has(path) {
            self.varied.insert(path.to_owned());
            return;
        }
        let [old, new] = [before, after].map(|text| text.split('\n').collect::<Vec<_>>());
        if old.len() == new.len() {
            let is_single = old.len() == 1;
            for (at, (old, new)) in old.iter().zip(&new).enumerate() {
                let place = if is_single {
                    path.to_owned()
                } else {
                    line_place(path, at)
                };
                match self.line(path, at, old, new) {
                    LineMatch::Same => {}
                    LineMatch::Varied => _ = self.varied.insert(place),
                    LineMatch::Differs(keys) => {
                        let [before, after] = [old, new].map(|line| quoted(line));
                        self.differ_at(place, keys, before, after);
                    }
                }
            }
            return;
        }
        let fits = |at: usize, old: &str, new: &str| {
            !matches!(self.line(path, at, old, new), LineMatch::Differs(_))
        };
        let least = old.len().min(new.len());
        let start = (0..least)
            .take_while(|at| fits(*at, old[*at], new[*at]))
            .count();
        let end = (0..least - start)
            .take_while(|at| {
                let (old_at, new_at) = (old.len() - 1 - at, new.len() - 1 - at);
                fits(old_at, old[old_at], new[new_at])
            })
            .count();
        let [before, after] =
            [&old, &new].map(|lines| lines_shown(&lines[start..lines.len() - end]));
        self.differ_at(
            line_place(path, start),
            vec![path.to_owned()],
            before,
            after,
        );
    }

    /// Compares the line `at` of the text at `path` word by word.
    fn line(&self, path: &str, at: usize, before: &str, after: &str) -> LineMatch {
        if before == after {
            return LineMatch::Same;
        }
        let key = format!("{path}\0{at}");
        if self.varying.has(&key) {
            return LineMatch::Varied;
        }
        let [old, new] = [before, after].map(|line| line.split_whitespace().collect::<Vec<_>>());
        let word_key = |word: usize| format!("{key}\0{word}");
        let varies = |word: usize| self.varying.has(&word_key(word));
        let does_vary = (0..old.len()).any(varies);
        if old.len() != new.len() {
            // A value that varies may have several words.
            return if does_vary {
                LineMatch::Varied
            } else {
                LineMatch::Differs(vec![key])
            };
        }
        let differing: Vec<usize> = (0..old.len())
            .filter(|word| old[*word] != new[*word])
            .collect();
        let fixed: Vec<usize> = differing
            .into_iter()
            .filter(|word| !varies(*word))
            .collect();
        if !fixed.is_empty() {
            LineMatch::Differs(fixed.into_iter().map(word_key).collect())
        } else if does_vary {
            LineMatch::Varied
        } else {
            // Only white space differs.
            LineMatch::Differs(vec![key])
        }
    }

    fn differ(&mut self, path: &str, before: String, after: String) {
        if self.varying.has(path) {
            self.varied.insert(path.to_owned());
        } else {
            self.differ_at(path.to_owned(), vec![path.to_owned()], before, after);
        }
    }

    fn differ_at(&mut self, place: String, keys: Vec<String>, before: String, after: String) {
        self.found.push(FoundDifference {
            keys,
            difference: AnswerDifference {
                place,
                before,
                after,
            },
        });
    }
}

/// Returns the path of a member: `days.max`, `days["the best"]`.
fn member(path: &str, name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(is_plain) {
        format!("{path}.{name}")
    } else {
        format!("{path}[{}]", Value::from(name))
    }
}

fn line_place(path: &str, at: usize) -> String {
    format!("{path} line {}", at + 1)
}

/// Returns the kind of an answer in words.
fn kind(answer: &Answer) -> String {
    match answer {
        Answer::Result { .. } => "a result".to_owned(),
        Answer::Error(message) => {
            let line = message.lines().next().unwrap_or_default();
            format!("error {}", quoted(line))
        }
        Answer::InputRequest => "a request for input".to_owned(),
    }
}

fn lines_shown(lines: &[&str]) -> String {
    match lines {
        [] => NOTHING.to_owned(),
        [line] => quoted(line),
        lines => format!("{} lines", lines.len()),
    }
}

#[cfg(test)]
mod tests;
