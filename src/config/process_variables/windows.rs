//! Names of variables on Windows, which ignores their case: programs from the desktop have `Path`.

use std::borrow::Cow;

pub(super) fn key(name: &str) -> Cow<'_, str> {
    Cow::Owned(name.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::super::ProcessVariables;

    #[test]
    fn the_case_of_names_is_ignored() {
        let variables = ProcessVariables::from([("Path".to_owned(), r"C:\bin".to_owned())]);
        assert_eq!(variables.get("PATH").unwrap(), r"C:\bin");
        assert_eq!(variables.get("path").unwrap(), r"C:\bin");
    }
}
