//! Table with columns as wide as their widest cell.

use std::fmt::Write as _;

use anstyle::Style;

use crate::output::clean;
use crate::output::palette::HEAD;

/// Table for people.
#[derive(Debug)]
pub(super) struct TextTable<const N: usize> {
    /// True for right-aligned columns.
    right: [bool; N],
    rows: Vec<(Style, [String; N])>,
}

impl<const N: usize> TextTable<N> {
    /// Creates a table with the names of its columns; a `>` before a name aligns the column to the right.
    pub(super) fn new(head: [&str; N]) -> Self {
        let name = |name: &str| name.trim_start_matches('>').to_owned();
        Self {
            right: head.map(|name| name.starts_with('>')),
            rows: vec![(HEAD, head.map(name))],
        }
    }

    /// Adds a row; the cells may contain foreign text.
    pub(super) fn row(&mut self, style: Style, cells: [String; N]) {
        self.rows
            .push((style, cells.map(|it| clean(&it).into_owned())));
    }

    /// Returns the lines; the last column has no padding.
    pub(super) fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|(_, cells)| &cells[column]);
            cells.map(|it| it.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..N).map(width).collect();
        let mut text = String::new();
        for (style, cells) in &self.rows {
            let mut line = String::new();
            for (column, cell) in cells.iter().enumerate() {
                let width = widths[column];
                let _ = if self.right[column] {
                    write!(line, "{cell:>width$}  ")
                } else {
                    write!(line, "{cell:<width$}  ")
                };
            }
            let _ = writeln!(text, "{style}{}{style:#}", line.trim_end());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = TextTable::new(["NAME", ">N", "WHAT"]);
        for row in [
            ["a", "1000", "x"],
            ["größer", "2", ""],
            ["z", "", "\u{1b}[31mred"],
        ] {
            table.row(Style::new(), row.map(str::to_owned));
        }
        let text = anstream::adapter::strip_str(&table.text()).to_string();
        assert_eq!(
            text,
            "NAME       N  WHAT\na       1000  x\ngrößer     2\nz             red\n"
        );
    }
}
