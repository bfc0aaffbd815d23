//! Comparison of two configurations, server by server.

use super::{Config, ServerSpec};

/// Names of servers that differ, each list in the order of its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ConfigDiff {
    pub(crate) added: Vec<String>,
    pub(crate) changed: Vec<String>,
    pub(crate) removed: Vec<String>,
}

impl Config {
    /// Returns the server named `name`.
    pub(crate) fn server(&self, name: &str) -> Option<&ServerSpec> {
        self.servers.iter().find(|server| server.name == name)
    }

    /// Returns the names of all servers, in the order of the configuration.
    pub(crate) fn server_names(&self) -> Vec<&str> {
        self.servers.iter().map(|it| it.name.as_str()).collect()
    }

    /// Returns the keys that differ from `before` and take effect only after a restart of the proxy.
    pub(crate) fn needing_restart(&self, before: &Self) -> Vec<&'static str> {
        let keys = [
            (self.meta_tools != before.meta_tools, "meta_tools"),
            (self.max_message != before.max_message, "max_message"),
            (self.warm_limit != before.warm_limit, "warm_limit"),
            (
                self.watching.debounce != before.watching.debounce,
                "debounce",
            ),
        ];
        let changed = keys.into_iter().filter(|(changed, _)| *changed);
        changed.map(|(_, key)| key).collect()
    }
}

/// Returns the servers to start, reload and stop for a change from `old` to `new`.
pub(crate) fn diff(old: &Config, new: &Config) -> ConfigDiff {
    let mut changes = ConfigDiff::default();
    for server in &new.servers {
        match old.server(&server.name) {
            None => changes.added.push(server.name.clone()),
            Some(before) if before != server => changes.changed.push(server.name.clone()),
            Some(_) => {}
        }
    }
    let gone = old
        .servers
        .iter()
        .filter(|it| new.server(&it.name).is_none());
    changes.removed = gone.map(|server| server.name.clone()).collect();
    changes
}

#[cfg(test)]
mod tests {
    use super::super::tests;
    use super::*;

    /// Loads a text with the same `cwd` for each server, since each load has its own directory.
    fn config(text: &str) -> Config {
        tests::config(&text.replace("command='x'", "command='x'\ncwd='/'"))
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn each_server_is_compared_by_name() {
        let old =
            config("[servers.a]\ncommand='x'\n[servers.b]\ncommand='x'\n[servers.c]\ncommand='x'");
        let new = config(
            "[servers.d]\ncommand='x'\n[servers.c]\ncommand='x'\n[servers.b]\ncommand='x'\nwatch='*.py'",
        );
        let changes = diff(&old, &new);
        assert_eq!(changes.added, names(&["d"]));
        assert_eq!(changes.changed, names(&["b"]));
        assert_eq!(changes.removed, names(&["a"]));
        assert_eq!(diff(&old, &old), ConfigDiff::default());
    }

    #[test]
    fn changes_that_need_a_restart_are_known() {
        let old = config("[proxy]\nmax_name = 40");
        for (text, keys) in [
            ("[proxy]\nmeta_tools = 'all'", &["meta_tools"][..]),
            (
                "[proxy]\nmax_message = '1MiB'\nwarm_limit = 0",
                &["max_message", "warm_limit"],
            ),
            ("[watch]\ndebounce = '9ms'\nignore = 'x'", &["debounce"]),
            (
                "[proxy]\nmax_name = 41\nhold_timeout = '1s'\n[install]\nenabled = false",
                &[],
            ),
        ] {
            assert_eq!(config(text).needing_restart(&old), keys, "{text}");
        }
    }

    #[test]
    fn a_disabled_server_is_a_removed_one_and_a_common_timeout_changes_all() {
        let old = config("[servers.a]\ncommand='x'\n[servers.b]\ncommand='x'\nstart_timeout='9s'");
        let off = config(
            "[proxy]\nstart_timeout='7s'\n[servers.a]\ncommand='x'\nenabled=false\n[servers.b]\ncommand='x'\nstart_timeout='9s'",
        );
        assert_eq!(diff(&old, &off).removed, names(&["a"]));
        assert_eq!(diff(&old, &off).changed, names(&[]));
        let slow = config(
            "[proxy]\nhold_timeout='7s'\n[servers.a]\ncommand='x'\n[servers.b]\ncommand='x'\nstart_timeout='9s'",
        );
        assert_eq!(diff(&old, &slow).changed, names(&["a", "b"]));
    }
}
