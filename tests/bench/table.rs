//! The figures of a run and their printing: a median per row and variant, and one ratio per row.

use std::io::{self, Write};

/// How the middle process is compared.
#[derive(Clone, Copy)]
pub(crate) enum Compare {
    /// The addition of the proxy to direct, in multiples of the addition of the pipe.
    Added,
    /// The proxy's figure as a share of the pipe's.
    Share,
    /// The addition of the proxy to direct, in the row's unit.
    Beyond,
    /// The proxy's figure as a share of the direct one.
    OfDirect,
    /// The figure stands alone.
    Alone,
}

/// A row: its subject, unit, comparison and aim.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) compare: Compare,
    pub(crate) aim: &'static str,
    /// By variant: the figure of each round.
    pub(crate) figures: [Vec<f64>; 3],
}

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Table {
    /// The row of this name, made when it is first asked for.
    pub(crate) fn row(&mut self, name: &str, compare: Compare, aim: &'static str) -> &mut Row {
        let index = self.rows.iter().position(|row| row.name == name);
        let index = index.unwrap_or_else(|| {
            self.rows.push(Row {
                name: name.to_owned(),
                compare,
                aim,
                figures: Default::default(),
            });
            self.rows.len() - 1
        });
        &mut self.rows[index]
    }

    /// A line below the table.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(crate) fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "\n{:<40}{:>10}{:>10}{:>10}   {:<24}aim",
            "medians", "direct", "pipe", "proxy", "proxy against the rest"
        )?;
        for row in &self.rows {
            let [direct, pipe, proxy] = row.figures.each_ref().map(|rounds| median(rounds));
            writeln!(
                out,
                "{:<40}{:>10}{:>10}{:>10}   {:<24}{}",
                row.name,
                figure(direct),
                figure(pipe),
                figure(proxy),
                row.compare.text(direct, pipe, proxy).unwrap_or_default(),
                row.aim
            )?;
        }
        for note in &self.notes {
            writeln!(out, "{note}")?;
        }
        Ok(())
    }
}

impl Compare {
    fn text(self, direct: Option<f64>, pipe: Option<f64>, proxy: Option<f64>) -> Option<String> {
        Some(match self {
            Self::Added => format!(
                "{:.2}x the pipe's own",
                (proxy? - direct?) / (pipe? - direct?)
            ),
            Self::Share => format!("{:.0} % of the pipe's", 100.0 * proxy? / pipe?),
            Self::OfDirect => format!("{:.0} % of direct", 100.0 * proxy? / direct?),
            Self::Beyond => format!("{:+.1}", proxy? - direct?),
            Self::Alone => return None,
        })
    }
}

/// The middle of some figures; none of none.
pub(crate) fn median(figures: &[f64]) -> Option<f64> {
    quantile(figures, 0.5)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index from a share between 0 and 1"
)]
pub(crate) fn quantile(figures: &[f64], share: f64) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get(((sorted.len().saturating_sub(1)) as f64 * share).round() as usize)
        .copied()
}

fn figure(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| match value {
        _ if value >= 1000.0 => format!("{value:.0}"),
        _ => format!("{value:.1}"),
    })
}
