//! Reads the causes of errors.

use std::error::Error;
use std::iter::successors;

/// Iterates over the causes of an error, the outermost first.
pub(crate) fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    successors(error.source(), |&cause| cause.source())
}

/// Returns the text of an error and of its causes, without a cause that the text already ends with.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    causes(error).fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.ends_with(&cause) {
            text
        } else {
            format!("{text}: {cause}")
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error("cannot read: {source}")]
        Whole { source: io::Error },
        #[error("cannot read")]
        Part { source: io::Error },
    }

    #[test]
    fn each_cause_is_told_once() {
        let source = || io::Error::other("gone");
        let whole = Failure::Whole { source: source() };
        let part = Failure::Part { source: source() };
        assert_eq!(with_causes(&whole), "cannot read: gone");
        assert_eq!(with_causes(&part), "cannot read: gone");
    }
}
