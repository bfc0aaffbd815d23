//! Words of a failed command that were meant for a shell, for the client or for the proxy, none of which reads them.

use std::borrow::Cow;

use super::CommandLine;

/// Options of the proxy that few servers have, in commands that take a server's command.
#[rustfmt::skip] // A table.
pub(crate) const PROXY_OPTIONS: &[&str] = &[
    "--watch", "--no-watch", "--poll", "--reload", "--build", "--on-broken", "--on-bad-tool", "--on-regression",
    "--rehearse", "--rehearse-tools", "--rehearse-timeout", "--meta-tools", "--debounce", "--startup-wait",
    "--start-timeout", "--hold-timeout", "--drain-timeout", "--no-warm", "--no-log", "--page", "--record", "--era",
    "--max-message", "--http", "--cwd", "--env", "--name", "--url",
];

/// Words that only shells execute.
#[rustfmt::skip] // A table.
const SHELL_PROGRAMS: &[&str] = &[
    "cd", "export", "source", ".", "alias", "set", "unset", "eval", "exec", "if", "for", "while", "function", "!", "{",
    "nvm", "workon", "ulimit", "umask",
];

/// Words that connect or redirect commands in a shell.
const OPERATORS: &[&str] = &[
    "&&", "||", "|", "|&", ";", "&", ">", ">>", "<", "2>", "2>&1", "&>",
];

/// Beginnings of variables that clients replace.
const CLIENT_VARIABLES: &[&str] = &[
    "${workspaceFolder",
    "${workspaceRoot",
    "${userHome",
    "${env:",
    "${input:",
    "${__dirname",
    "${HOME",
];

/// Messages about options that a program does not know.
const UNKNOWN_OPTION: &[&str] = &[
    "unrecognized",
    "unrecognised",
    "unknown",
    "unexpected",
    "no such option",
    "invalid option",
    "bad option",
    "not defined",
    "illegal option",
];

impl CommandLine {
    /// Returns what to type in place of a command whose program was not found.
    pub(crate) fn misread_program(&self) -> Option<String> {
        let program = self.words.first()?;
        let (args, text) = (&self.words[1..], program.trim());
        if text.len() < program.len() {
            return Some(format!(
                "remove the space at the beginning or end of `{program}`"
            ));
        }
        if program == "--" {
            return Some("remove one of the two `--` before the command".to_owned());
        }
        if program.starts_with(['–', '—']) {
            return Some(format!("write `--` in place of `{program}`"));
        }
        if program.starts_with('-') {
            return Some(format!(
                "write `{program}` before `--` if it is an option of the proxy; behind it stands the server's program"
            ));
        }
        if ["dev", "check"].contains(&text) && args.iter().any(|word| word == "--") {
            return Some(format!("remove `{program} --`, which stands there twice"));
        }
        if text.starts_with('[') && text.ends_with(']') {
            return Some(format!(
                "pass the elements of the list `{program}` as separate words"
            ));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Some(
                "an address is no program: name the remote server in the configuration by `url` (`mcp-proxy help \
                 config`)"
                    .to_owned(),
            );
        }
        if let Some(bare) = without_quotes(program) {
            return Some(format!(
                "remove the quotes around `{bare}`: they are part of the word"
            ));
        }
        if SHELL_PROGRAMS.contains(&text) || text.starts_with('(') {
            return Some(self.through_shell(program));
        }
        self.expansion(program).or_else(|| self.operator())
    }

    /// Returns what to type in place of a command whose program exited at once, and wrote `stderr`.
    pub(crate) fn misread_arguments(&self, stderr: &[String]) -> Option<String> {
        if self.shell_commands().is_some() {
            return None;
        }
        let is_told = |word: &str| stderr.iter().any(|line| line.contains(word));
        let is_told =
            |word: &str| is_told(word) || word.starts_with("--") && is_told(option_name(word));
        let words = self.words.iter().skip(1).map(String::as_str);
        let mut told = words.filter(|&word| is_told(word));
        let is_refused = |option: &str| {
            let line = stderr.iter().find(|line| line.contains(option));
            let line = line.map(|line| line.to_lowercase()).unwrap_or_default();
            UNKNOWN_OPTION.iter().any(|sign| line.contains(sign))
        };
        let misread = |word: &str| {
            let option = option_name(word);
            if PROXY_OPTIONS.contains(&option) && is_refused(option) {
                return Some(format!(
                    "`{option}` was passed to the server: write options of the proxy before `--`"
                ));
            }
            if let Some(bare) = without_quotes(word) {
                return Some(format!(
                    "remove the quotes around `{bare}`: they are part of the word"
                ));
            }
            let is_pattern = word.contains(['*', '?']) && !word.starts_with('-');
            let pattern = is_pattern.then(|| self.through_shell(word));
            self.expansion(word).or(pattern)
        };
        self.operator().or_else(|| told.find_map(misread))
    }

    /// Returns the remedy if an argument connects or redirects commands.
    fn operator(&self) -> Option<String> {
        let is_operator = |word: &String| {
            let redirection = word.trim_start_matches(['1', '2', '&']).strip_prefix('>');
            // `>=3.11` is a version.
            let is_redirection = redirection.is_some_and(|to| !to.starts_with('='));
            let is_one = !word.contains(char::is_whitespace);
            // `Server=db;Name=x;` is a value.
            let is_ended = word
                .find([';', '='])
                .is_some_and(|at| at > 0 && word[at..] == *";");
            OPERATORS.contains(&word.as_str()) || (is_one && (is_redirection || is_ended))
        };
        // `--separator ;` is a value too.
        let is_value = |at: usize| self.words[at - 1].starts_with("--");
        let words = self.words.iter().enumerate().skip(1);
        let mut words = words.filter(|&(at, word)| word.len() > 1 || !is_value(at));
        let (_, word) = words.find(|(_, word)| is_operator(word))?;
        Some(self.through_shell(word.strip_suffix(';').map_or(word.as_str(), |_| ";")))
    }

    /// Returns the remedy if a shell or a client would replace a part of `word`.
    fn expansion(&self, word: &str) -> Option<String> {
        if let Some(variable) = CLIENT_VARIABLES.iter().find(|it| word.contains(**it)) {
            return Some(format!(
                "`{variable}…}}` stands in the command as it is, because neither the client nor a shell replaced it: \
                 write the path or value in its place"
            ));
        }
        let name_follows = |rest: &str| {
            rest.starts_with(|it: char| it.is_ascii_alphabetic() || "_{(".contains(it))
        };
        let is_replaced = word == "~"
            || word.starts_with("~/")
            || word.contains('`')
            || word
                .match_indices('$')
                .any(|(at, _)| name_follows(&word[at + 1..]))
            || (word.starts_with('%') && word[1..].contains('%'));
        is_replaced.then(|| self.through_shell(word))
    }

    /// Returns the command that a shell reads, as the remedy for a word that only shells interpret.
    fn through_shell(&self, word: &str) -> String {
        let words = self.words.iter().map(|word| {
            let is_one = !word.contains(char::is_whitespace);
            let quoted = shlex::try_quote(word).ok().filter(|_| !is_one);
            quoted.unwrap_or(Cow::Borrowed(word.as_str()))
        });
        let words: Vec<_> = words.collect();
        format!(
            "no shell reads the command, so `{word}` is an ordinary word; let one read it: -- {}",
            shell_call(&words.join(" "))
        )
    }
}

/// Returns true if `line` needs a shell.
pub(crate) fn needs_shell(line: &str) -> bool {
    let words: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
    let command = CommandLine {
        words,
        ..CommandLine::default()
    };
    let words = || command.words.iter();
    let begins = words()
        .next()
        .is_some_and(|word| SHELL_PROGRAMS.contains(&word.as_str()));
    begins || command.operator().is_some() || words().any(|word| command.expansion(word).is_some())
}

/// Returns the command that lets a shell read `line`.
pub(crate) fn shell_call(line: &str) -> String {
    if cfg!(windows) {
        return format!("cmd /c {line}");
    }
    let quoted = shlex::try_quote(line).map_or_else(|_| line.into(), Cow::into_owned);
    format!("sh -c {quoted}")
}

/// Returns the option of a word such as `--watch=src`.
fn option_name(word: &str) -> &str {
    word.split('=').next().unwrap_or(word)
}

/// Returns `word` without the quotes that enclose it, or that a text editor made typographic.
fn without_quotes(word: &str) -> Option<&str> {
    let bare = word.trim_matches(['“', '”', '„', '‘', '’', '«', '»']);
    if bare.len() < word.len() {
        return Some(bare);
    }
    let enclosed = |quote: char| word.strip_prefix(quote)?.strip_suffix(quote);
    ['"', '\'', '`']
        .into_iter()
        .find_map(enclosed)
        .filter(|bare| !bare.contains(' '))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn command(words: &[&str]) -> CommandLine {
        CommandLine {
            base: PathBuf::new(),
            words: words.iter().map(|&word| word.to_owned()).collect(),
        }
    }

    #[cfg(unix)]
    #[test]
    #[rustfmt::skip] // A table.
    fn programs_that_are_none_are_explained() {
        for (words, remedy) in [
            (&["cd", "a", "&&", "node", "b.js"][..], "-- sh -c 'cd a && node b.js'"),
            (&["export", "A=1"], "-- sh -c 'export A=1'"),
            (&["(cd", "a;", "node", "b)"], "-- sh -c '(cd a; node b)'"),
            (&["~/bin/server"], "-- sh -c '~/bin/server'"),
            (&["$HOME/bin/server", "x"], "-- sh -c '$HOME/bin/server x'"),
            (&["${workspaceFolder}/run.sh"], "neither the client nor a shell"),
            (&["$(which", "node)", "a.js"], "-- sh -c '$(which node) a.js'"),
            (&["nodex", "a.js", "|", "tee", "log"], "-- sh -c 'nodex a.js | tee log'"),
            (&["\"node\"", "a.js"], "quotes around `node`"),
            (&["“node”", "a.js"], "quotes around `node`"),
            (&["[\"node\",\"a.js\"]"], "separate words"),
            (&["node ", "a.js"], "remove the space"),
            (&["--watch", "src", "node"], "write `--watch` before `--`"),
            (&["—", "node"], "write `--` in place of `—`"),
            (&["--", "node"], "one of the two `--`"),
            (&["dev", "--", "node"], "remove `dev --`"),
            (&["https://a.example/mcp"], "`url`"),
        ] {
            let found = command(words).misread_program().unwrap_or_default();
            assert!(found.contains(remedy), "{words:?}: {found}");
        }
        for words in [&["wether"][..], &["server.py"], &["./my server", "a"], &["dev"], &["uv", "run", "a>b"]] {
            assert_eq!(command(words).misread_program(), None, "{words:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    #[rustfmt::skip] // A table.
    fn arguments_that_a_program_could_not_use_are_explained() {
        for (words, stderr, remedy) in [
            (&["npm", "run", "build", "&&", "node", "a.js"][..], "", "-- sh -c 'npm run build && node a.js'"),
            (&["node", "a.js;"], "Cannot find module '/p/a.js;'", "so `;` is"),
            (&["node", "a.js", "2>/dev/null"], "", "`2>/dev/null`"),
            (&["python3", "my file.py", "--quiet", "&&", "true"], "", r#"-- sh -c "python3 'my file.py' --quiet && true""#),
            (&["python3", "~/a.py"], "can't open file '/p/~/a.py'", "-- sh -c 'python3 ~/a.py'"),
            (&["python3", "*.py"], "can't open file '/p/*.py'", "`*.py`"),
            (&["node", "${workspaceFolder}/a.js"], "Cannot find module '/p/${workspaceFolder}/a.js'", "neither the client"),
            (&["node", "'a.js'"], "Cannot find module '/p/'a.js''", "quotes around `a.js`"),
            (&["python3", "a.py", "--reload", "stop-first"], "a.py: error: unrecognized arguments: --reload stop-first", "write options of the proxy before `--`"),
            (&["cargo", "run", "--meta-tools=none"], "error: unexpected argument '--meta-tools' found", "before `--`"),
        ] {
            let found = command(words).misread_arguments(&[stderr.to_owned()]).unwrap_or_default();
            assert!(found.contains(remedy), "{words:?}: {found}");
        }
        for (words, stderr) in [
            (&["node", "a.js", "$x"][..], "KeyError: 1"),
            (&["sh", "-c", "cd a && node b.js"], "cd: can't cd to a"),
            (&["uvicorn", "a:app", "--reload"], "--reload: watching"),
            (&["uv", "run", "--python", ">=3.11", "a.py"], ""),
            (&["sh", "-c", "node a.js;"], ""),
            (&["python3", "a.py", "--db", "Server=db;Database=x;"], "ECONNREFUSED"),
            (&["python3", "a.py", "--separator", "|"], "KeyError: 1"),
            (&["python3", "a.py", "{\"a\": 1}"], "bad value {\"a\": 1}"),
        ] {
            assert_eq!(command(words).misread_arguments(&[stderr.to_owned()]), None, "{words:?}");
        }
    }

    #[test]
    fn lines_for_shells_are_told_from_commands() {
        for line in [
            "node a.js && true",
            "cd a",
            "node ~/a.js",
            "node a.js 2>log",
            "$HOME/a",
        ] {
            assert!(needs_shell(line), "{line}");
        }
        for line in ["node server.js", "uv run a.py --port=3", "npx -y @a/b@1"] {
            assert!(!needs_shell(line), "{line}");
        }
    }
}
