//! Two JSON texts side by side, line by line. Works on raw text, so that numbers and escapes are shown as they were sent.

use maud::{Markup, html};

use crate::output::clean;

/// Number of differing lines up to which lines are matched with each other.
const MAX_MATCHED: usize = 400;
/// Maximum number of rows that are shown.
const MAX_ROWS: usize = 600;
/// Number of equal lines shown around each difference.
const CONTEXT: usize = 3;
/// Maximum depth of the indentation.
const MAX_DEPTH: usize = 30;

/// Row of the table: the old line, the new line, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row<'a> {
    old: Option<&'a str>,
    new: Option<&'a str>,
}

impl Row<'_> {
    fn is_same(&self) -> bool {
        self.old == self.new
    }
}

/// Returns a table of both texts; an absent one has an empty column.
pub(super) fn side_by_side(old: Option<&str>, new: Option<&str>) -> Markup {
    let [old, new] = [old, new].map(|it| it.map(pretty).unwrap_or_default());
    let rows = rows(
        &old.lines().collect::<Vec<_>>(),
        &new.lines().collect::<Vec<_>>(),
    );
    let is_near = |at: usize| {
        let near = at.saturating_sub(CONTEXT)..rows.len().min(at + CONTEXT + 1);
        rows[near].iter().any(|row| !row.is_same())
    };
    let near: Vec<bool> = (0..rows.len().min(MAX_ROWS)).map(is_near).collect();
    html! {
        div.scroll tabindex="0" role="region" aria-label="Old and new" {
            table.sides {
                thead { tr { th scope="col" { "Old" } th scope="col" { "New" } } }
                tbody {
                    @for (at, row) in rows.iter().enumerate().take(MAX_ROWS) {
                        @if near[at] { (shown_row(*row)) }
                        @else if at == 0 || near[at - 1] { tr.soft { td { "…" } td { "…" } } }
                    }
                }
            }
        }
        @if rows.len() > MAX_ROWS { p { (rows.len() - MAX_ROWS) " more lines" } }
    }
}

fn shown_row(row: Row<'_>) -> Markup {
    let text = |line: Option<&str>| clean(line.unwrap_or_default()).into_owned();
    html! {
        tr {
            @if row.is_same() {
                td { bdi { "  " (text(row.old)) } }
                td { bdi { "  " (text(row.new)) } }
            } @else {
                td { @if row.old.is_some() { del { bdi { "− " (text(row.old)) } } } }
                td { @if row.new.is_some() { ins { bdi { "+ " (text(row.new)) } } } }
            }
        }
    }
}

/// Matches the lines of two texts.
fn rows<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Row<'a>> {
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = old.iter().zip(new).take_while(same).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev());
    let tail = tail.take_while(same).count();
    let old_middle = &old_rest[..old_rest.len() - tail];
    let new_middle = &new_rest[..new_rest.len() - tail];
    let both = |line: &&'a str| Row {
        old: Some(line),
        new: Some(line),
    };
    let mut rows: Vec<Row<'a>> = old[..head].iter().map(both).collect();
    add_middle(&mut rows, old_middle, new_middle);
    rows.extend(old[old.len() - tail..].iter().map(both));
    rows
}

/// Adds rows of lines, the longest common sequence of which stands side by side.
fn add_middle<'a>(rows: &mut Vec<Row<'a>>, old: &[&'a str], new: &[&'a str]) {
    let is_matched = old.len().max(new.len()) <= MAX_MATCHED;
    let width = new.len() + 1;
    // Length of the longest common sequence of the lines from each pair of positions on.
    let mut common = vec![
        0_usize;
        if is_matched {
            (old.len() + 1) * width
        } else {
            0
        }
    ];
    if is_matched {
        for a in (0..old.len()).rev() {
            for b in (0..new.len()).rev() {
                common[a * width + b] = if old[a] == new[b] {
                    common[(a + 1) * width + b + 1] + 1
                } else {
                    common[(a + 1) * width + b].max(common[a * width + b + 1])
                };
            }
        }
    }
    let (mut a, mut b) = (0, 0);
    let (mut gone, mut fresh) = (Vec::new(), Vec::new());
    while a < old.len() || b < new.len() {
        if is_matched && a < old.len() && b < new.len() && old[a] == new[b] {
            add_pairs(rows, &mut gone, &mut fresh);
            rows.push(Row {
                old: Some(old[a]),
                new: Some(new[b]),
            });
            (a, b) = (a + 1, b + 1);
        } else if b == new.len()
            || a < old.len()
                && (!is_matched || common[(a + 1) * width + b] >= common[a * width + b + 1])
        {
            gone.push(old[a]);
            a += 1;
        } else {
            fresh.push(new[b]);
            b += 1;
        }
    }
    add_pairs(rows, &mut gone, &mut fresh);
}

/// Adds differing lines in pairs.
fn add_pairs<'a>(rows: &mut Vec<Row<'a>>, gone: &mut Vec<&'a str>, fresh: &mut Vec<&'a str>) {
    for at in 0..gone.len().max(fresh.len()) {
        rows.push(Row {
            old: gone.get(at).copied(),
            new: fresh.get(at).copied(),
        });
    }
    gone.clear();
    fresh.clear();
}

/// Returns a JSON text with each member and each line of a text on a line of its own.
fn pretty(json: &str) -> String {
    let mut text = String::with_capacity(2 * json.len());
    let mut depth = 0_usize;
    let mut chars = json.chars().filter(|it| *it != '\r').peekable();
    let break_line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', 2 * depth.min(MAX_DEPTH)));
    };
    let mut is_text = false;
    while let Some(c) = chars.next() {
        match c {
            '"' => is_text = !is_text,
            '\\' if is_text => {
                text.push(c);
                let escaped = chars.next().unwrap_or_default();
                text.push(escaped);
                if escaped == 'n' {
                    break_line(&mut text, depth + 1);
                }
                continue;
            }
            _ if is_text => {}
            '{' | '[' => {
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                text.push(c);
                if let Some(end) = chars.next_if(|it| matches!(it, '}' | ']')) {
                    text.push(end);
                } else {
                    depth += 1;
                    break_line(&mut text, depth);
                }
                continue;
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut text, depth);
            }
            ',' => {
                text.push(c);
                break_line(&mut text, depth);
                continue;
            }
            ':' => {
                text.push_str(": ");
                continue;
            }
            _ if c.is_ascii_whitespace() => continue,
            _ => {}
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_shown_in_lines_as_it_was_sent() {
        assert_eq!(
            pretty(r#"{"a" : [1E400,{}], "t":"x{\ny\ud83d\"","e":[ ]}"#),
            "{\n  \"a\": [\n    1E400,\n    {}\n  ],\n  \"t\": \"x{\\n\n    y\\ud83d\\\"\",\n  \"e\": []\n}"
        );
    }

    #[test]
    fn equal_lines_stand_side_by_side() {
        let pairs = |old: &str, new: &str| -> Vec<String> {
            let [old, new] = [old, new].map(|it| it.split(' ').collect::<Vec<_>>());
            let rows = rows(&old, &new);
            let cell = |it: Option<&str>| it.unwrap_or("-").to_owned();
            let rows = rows.iter().map(|it| cell(it.old) + &cell(it.new));
            rows.collect()
        };
        assert_eq!(pairs("a b c", "a b c"), ["aa", "bb", "cc"]);
        assert_eq!(pairs("a b c", "a x y c"), ["aa", "bx", "-y", "cc"]);
        assert_eq!(
            pairs("a b c d e", "a c x e"),
            ["aa", "b-", "cc", "dx", "ee"]
        );
        let long = vec!["x"; MAX_MATCHED + 2];
        assert_eq!(rows(&long, &["y"]).len(), long.len());
    }

    #[test]
    fn differences_are_marked_with_signs_and_stay_text() {
        let old = r#"{"name":"a","description":"<b>\u202e</b>"}"#;
        let shown = side_by_side(
            Some(old),
            Some("{\"name\":\"a\",\"description\":\"\u{202e}\"}"),
        );
        let shown = shown.into_string();
        assert!(shown.contains("− ") && shown.contains("+ "), "{shown}");
        assert!(
            !shown.contains("<b>") && !shown.contains('\u{202e}'),
            "{shown}"
        );
        let many = format!("[{}1]", "1,".repeat(100_000));
        let cut = side_by_side(None, Some(&many)).into_string();
        assert!(
            cut.contains("more lines") && cut.len() < 100_000,
            "{}",
            cut.len()
        );
    }
}
