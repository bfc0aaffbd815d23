//! Notices files that change each time the server or its build is started: whoever writes what is
//! watched is started for ever, and the user sees no reason. Pure: time is an argument.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A change this soon after a start may be the start's own doing.
const SOON: Duration = Duration::from_secs(2);
/// This many in a row are no accident.
const IN_A_ROW: u32 = 5;

/// How often in a row files changed right after a start.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    started: Option<Instant>,
    counts: HashMap<PathBuf, u32>,
}

impl Echoes {
    /// The build or the server was started.
    pub(super) fn started(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// These files changed; gives the one that the user should hear of, once for each row.
    pub(super) fn changed(&mut self, paths: &[PathBuf], now: Instant) -> Option<PathBuf> {
        let soon = self
            .started
            .take()
            .is_some_and(|started| now.duration_since(started) < SOON);
        if !soon {
            self.counts.clear();
            return None;
        }
        let before = std::mem::take(&mut self.counts);
        let count = |path: &PathBuf| before.get(path).map_or(1, |count| count + 1);
        self.counts = paths
            .iter()
            .map(|path| (path.clone(), count(path)))
            .collect();
        let told = |path: &&PathBuf| self.counts.get(*path) == Some(&IN_A_ROW);
        paths.iter().find(told).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the changes, each this long after a start, makes the user hear of a file.
    fn told(changes: &[(&[&str], Duration)]) -> Vec<Option<PathBuf>> {
        let mut echoes = Echoes::default();
        let mut now = Instant::now();
        let change = |(paths, after): &(&[&str], Duration)| {
            echoes.started(now);
            now += *after;
            let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            echoes.changed(&paths, now)
        };
        changes.iter().map(change).collect()
    }

    #[test]
    fn the_fifth_change_in_a_row_is_told_once() {
        let after = Duration::from_millis(300);
        let change: (&[&str], Duration) = (&["gen.json"], after);
        let told = told(&[change; 12]);
        let some: Vec<usize> = (0..12).filter(|&at| told[at].is_some()).collect();
        assert_eq!(some, [4]);
        assert_eq!(told[4], Some("gen.json".into()));
    }

    #[test]
    fn a_late_change_or_another_file_ends_the_row() {
        let (soon, late) = (Duration::from_millis(300), Duration::from_secs(3));
        let mut changes: Vec<(&[&str], Duration)> = vec![(&["a"], soon); 4];
        changes.push((&["a"], late));
        changes.extend([(&["a"] as &[&str], soon); 4]);
        changes.push((&["b"], soon));
        changes.extend([(&["a"] as &[&str], soon); 4]);
        assert_eq!(told(&changes), vec![None; changes.len()]);
    }

    #[test]
    fn the_file_is_told_from_those_that_change_beside_it() {
        let soon = Duration::from_millis(300);
        let changes: [(&[&str], Duration); 5] = [
            (&["a", "gen"], soon),
            (&["gen"], soon),
            (&["b", "gen"], soon),
            (&["gen"], soon),
            (&["a", "gen"], soon),
        ];
        assert_eq!(told(&changes)[4], Some("gen".into()));
    }
}
