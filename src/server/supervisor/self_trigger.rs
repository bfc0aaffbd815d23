//! Warnings about servers that are reloaded because of files that they write themselves.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::self_trigger::{SelfTrigger, TouchMoment};
use super::Supervisor;
use crate::config::ServerSpec;
use crate::event::Event;

/// Usual delay, at most, between the response to a call and the report of a file touched before it.
const JUST: Duration = Duration::from_millis(100);
/// Like [`JUST`], on a machine that is too busy to report files at once.
const MAX_DELAY: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Records the first touch of a save, and whether a call may have caused it. At the end of the save, another call
    /// may have begun or ended.
    pub(super) fn note_touch(&mut self) {
        let is_busy = |recently| self.connections().any(|it| it.is_busy(recently));
        let moment = if is_busy(JUST) {
            TouchMoment::DuringCall
        } else if is_busy(MAX_DELAY) {
            TouchMoment::AfterCall
        } else {
            TouchMoment::BetweenCalls
        };
        self.self_triggers.touched(moment);
    }

    /// Warns, once for each save, if these files change in a pattern untypical of a user. The files that the command names
    /// are the server's code: it does not write them, but an agent may save them at any pace.
    pub(super) fn check_self_trigger(&mut self, paths: &[PathBuf]) {
        let mut paths = paths.to_vec();
        paths.retain(|path| !names(&self.context.spec, path));
        if let Some(self_trigger) = self.self_triggers.changed(&paths, Instant::now()) {
            self.warn_of_self_trigger(&self_trigger);
        }
    }

    /// Warns the user, and stores the warning in the server's status.
    fn warn_of_self_trigger(&self, self_trigger: &SelfTrigger) {
        let message = match self_trigger {
            SelfTrigger::OfStarts(path) => {
                let path = path.display();
                format!(
                    "{path} changes right after each start: if the server or its build writes this file, add --watch \
                     '!{path}'"
                )
            }
            SelfTrigger::OfCalls(path) => {
                let path = path.display();
                format!(
                    "{path} changes during calls, and each change restarts the server, which loses its state: if the \
                     server writes this file, add --watch '!{path}'"
                )
            }
        };
        self.shared
            .describe(|status| status.hint = Some(message.clone()));
        self.context.resources.events.send(Event::WatchWarning {
            server: self.name(),
            message,
        });
    }
}

/// Whether a word of the command is this file.
fn names(spec: &ServerSpec, file: &Path) -> bool {
    let file = spec.cwd.join(file);
    let mut words = std::iter::once(&spec.program).chain(&spec.args);
    words.any(|word| spec.cwd.join(word) == file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_its_script_but_no_other_file() {
        let args = vec!["run".into(), "./src/server.py".into(), "/p/a/b.py".into()];
        let spec = ServerSpec::new("s".into(), "uv".into(), args, "/p/a".into());
        for (file, is_named) in [
            ("src/server.py", true),
            ("/p/a/src/server.py", true),
            ("b.py", true),
            ("server.py", false),
            ("src/gen.json", false),
        ] {
            assert_eq!(names(&spec, Path::new(file)), is_named, "{file}");
        }
    }
}
