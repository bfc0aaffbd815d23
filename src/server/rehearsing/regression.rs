//! Call that new code fails although the code before answered it.

use crate::config::RehearsedCall;

/// Maximum length in bytes of arguments that the reason of a failure contains.
const MAX_SHOWN_ARGUMENTS: usize = 200;

/// First rehearsed call that was answered before and is not any more.
#[derive(Debug)]
pub(in crate::server) struct Regression {
    call: String,
    /// Message of the error; `None` if the process ended.
    error: Option<String>,
}

impl Regression {
    /// Creates the regression of `call`, which gives this error.
    pub(super) fn new(call: &RehearsedCall, error: Option<String>) -> Self {
        // Secrets are hidden in the complete reason later: a secret that was cut here could not be recognised.
        let call = if call.arguments.len() > MAX_SHOWN_ARGUMENTS {
            format!("{} {{…}}", call.tool)
        } else {
            call.to_string()
        };
        Self { call, error }
    }

    /// Returns the regression as a sentence fragment about a generation; `how` says how its process ended.
    pub(in crate::server) fn reason(&self, how: &str) -> String {
        let call = &self.call;
        match &self.error {
            Some(error) => {
                format!("fails the rehearsed call `{call}`, which was answered before: {error}")
            }
            None => format!("{how} during the rehearsed call `{call}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_arguments_are_left_out() {
        let call = format!(r#"a {{"b":"{}"}}"#, "x".repeat(200));
        let regression = Regression::new(&RehearsedCall::parse(&call).unwrap(), None);
        assert_eq!(
            regression.reason("exited"),
            "exited during the rehearsed call `a {…}`"
        );
    }
}
