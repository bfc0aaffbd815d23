//! Environment variables of this process.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::collections::HashMap;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

/// Environment variables, found by their names as the system compares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProcessVariables(HashMap<String, String>);

impl ProcessVariables {
    pub(crate) fn get(&self, name: &str) -> Option<&String> {
        self.0.get(&*system::key(name))
    }
}

impl FromIterator<(String, String)> for ProcessVariables {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        let keyed = |(name, value): (String, String)| (system::key(&name).into_owned(), value);
        Self(variables.into_iter().map(keyed).collect())
    }
}

#[cfg(any(test, fuzzing))]
impl<const N: usize> From<[(String, String); N]> for ProcessVariables {
    fn from(variables: [(String, String); N]) -> Self {
        variables.into_iter().collect()
    }
}
