//! Text to words: cutting and stemming.

/// Words of questions that say nothing about what is wanted. In a list of tools they are rare and would weigh much.
const STOP_WORDS: &[&str] = &[
    "a",
    "about",
    "all",
    "am",
    "an",
    "and",
    "any",
    "are",
    "as",
    "at",
    "be",
    "been",
    "but",
    "by",
    "can",
    "could",
    "did",
    "do",
    "does",
    "for",
    "from",
    "had",
    "has",
    "have",
    "he",
    "her",
    "his",
    "how",
    "i",
    "if",
    "in",
    "into",
    "is",
    "it",
    "its",
    "let",
    "like",
    "may",
    "me",
    "my",
    "need",
    "of",
    "on",
    "or",
    "our",
    "please",
    "s",
    "she",
    "should",
    "so",
    "some",
    "somebody",
    "someone",
    "something",
    "than",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "to",
    "tool",
    "us",
    "using",
    "want",
    "was",
    "we",
    "were",
    "what",
    "when",
    "where",
    "which",
    "who",
    "whom",
    "why",
    "will",
    "with",
    "would",
    "you",
    "your",
];

/// The stems of an identifier: a tool's or a parameter's name.
pub(super) fn of_name(text: &str, mut found: impl FnMut(&str)) {
    for run in runs(text) {
        each_hump(run, &mut found);
    }
}

/// The stems of prose. `camelCase` is cut; `GitHub` and `YouTube` are one word each.
pub(super) fn of_prose(text: &str, mut found: impl FnMut(&str)) {
    for run in runs(text) {
        if run.starts_with(char::is_lowercase) {
            each_hump(run, &mut found);
        } else {
            each_part(run, &mut found);
        }
    }
}

/// The stems of a question, without its stop words, unless it has nothing else; each once, in order.
pub(super) fn of_question(text: &str) -> Vec<String> {
    let telling: Vec<&str> = runs(text).filter(|run| !is_stop_word(run)).collect();
    let text = if telling.is_empty() {
        text
    } else {
        &telling.join(" ")
    };
    let mut stems: Vec<String> = Vec::new();
    of_prose(text, |stem| {
        if !stems.iter().any(|known| known == stem) {
            stems.push(stem.to_owned());
        }
    });
    stems
}

/// `text` as one word, by which names are compared whatever their style: `get-issue` is `getIssue`.
pub(super) fn squeezed(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

fn is_stop_word(run: &str) -> bool {
    STOP_WORDS
        .binary_search(&run.to_lowercase().as_str())
        .is_ok()
}

/// What stands between spaces and punctuation. An apostrophe ends a word, so `file's` gives `file` and `s`.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|run| !run.is_empty())
}

/// Cuts `listObjectsV2` into `list`, `Objects`, `V2` and `HTTPServer` into `HTTP`, `Server`.
fn each_hump(run: &str, found: &mut impl FnMut(&str)) {
    let mut start = 0;
    let mut chars = run.char_indices().peekable();
    let mut before: Option<char> = None;
    while let Some((at, c)) = chars.next() {
        if let Some(before) = before
            && c.is_uppercase()
        {
            let next_is_lower = chars.peek().is_some_and(|(_, next)| next.is_lowercase());
            // One capital before a word belongs to it: `OAuth`.
            let ends_acronym = next_is_lower && run[start..at].chars().nth(1).is_some();
            if !before.is_uppercase() || ends_acronym {
                each_part(&run[start..at], found);
                start = at;
            }
        }
        before = Some(c);
    }
    each_part(&run[start..], found);
}

/// Gives `word` and, if letters and digits are mixed in it, those parts that can stand alone: `base64` is also
/// `base` and `64`, but `s3` is only itself.
fn each_part(word: &str, found: &mut impl FnMut(&str)) {
    let word = word.to_lowercase();
    found(&stem(&word));
    let is_digit = |c: char| c.is_ascii_digit();
    if !word.contains(is_digit) || word.chars().all(is_digit) {
        return;
    }
    let parts = word
        .split_inclusive(is_digit)
        .map(|part| part.trim_end_matches(is_digit));
    for part in parts.chain(word.split(|c| !is_digit(c))) {
        if part.chars().nth(1).is_some() {
            found(&stem(part));
        }
    }
}

/// What the forms of an English word have in common: `copies`, `copied`, `copying` and `copy`; not always a word.
pub(super) fn stem(word: &str) -> String {
    if !word.is_ascii() || word.len() < 4 {
        return word.to_owned();
    }
    let mut stem = singular(word);
    for ending in ["ing", "ed"] {
        if let Some(rest) = stem.strip_suffix(ending)
            && rest.len() > 2
            && rest.contains(['a', 'e', 'i', 'o', 'u', 'y'])
        {
            stem = undoubled(rest).to_owned();
            break;
        }
    }
    for (ending, instead) in [("ation", "at"), ("tion", "t"), ("ment", ""), ("ly", "")] {
        if let Some(rest) = stem.strip_suffix(ending)
            && rest.len() > 3
        {
            stem = format!("{rest}{instead}");
            break;
        }
    }
    if stem.len() > 3 && stem.ends_with('e') {
        stem.pop();
    }
    if stem.len() > 3
        && stem.ends_with('y')
        && !["ay", "ey", "oy"].iter().any(|end| stem.ends_with(end))
    {
        stem.pop();
        stem.push('i');
    }
    stem
}

fn singular(word: &str) -> String {
    let cut = |ending: &str| word.strip_suffix(ending).filter(|rest| rest.len() > 1);
    if let Some(rest) = cut("ies").or_else(|| cut("ied")) {
        return format!("{rest}y");
    }
    let sibilant = |rest: &&str| {
        ["ss", "x", "ch", "sh"]
            .iter()
            .any(|end| rest.ends_with(end))
    };
    if let Some(rest) = cut("es").filter(sibilant) {
        return rest.to_owned();
    }
    match cut("s") {
        Some(rest) if !rest.ends_with(['s', 'u', 'i']) => rest.to_owned(),
        _ => word.to_owned(),
    }
}

/// `stopp` of `stopped` is `stop`; `add`, `call` and `press` stay as they are.
fn undoubled(rest: &str) -> &str {
    match rest.as_bytes() {
        [.., a, b] if a == b && !b"dlsz".contains(b) => &rest[..rest.len() - 1],
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(cut: impl Fn(&str, &mut dyn FnMut(&str)), text: &str) -> Vec<String> {
        let mut found = Vec::new();
        cut(text, &mut |stem| found.push(stem.to_owned()));
        found
    }

    fn name(text: &str) -> Vec<String> {
        all(|text, found| of_name(text, found), text)
    }

    fn prose(text: &str) -> Vec<String> {
        all(|text, found| of_prose(text, found), text)
    }

    #[test]
    fn names_are_cut_in_every_style() {
        assert_eq!(name("git_log-now"), ["git", "log", "now"]);
        assert_eq!(name("getNowPlaying"), ["get", "now", "play"]);
        assert_eq!(name("HTTPServer"), ["http", "server"]);
        assert_eq!(name("ListObjectsV2"), ["list", "object", "v2"]);
        assert_eq!(name("OAuth2Token"), ["oauth2", "oauth", "token"]);
        assert_eq!(name("base64"), ["base64", "bas", "64"].map(stem));
        assert_eq!(name("S3Bucket"), ["s3", "bucket"]);
        assert_eq!(name("ÜberÄnderung"), ["über", "änderung"]);
        assert!(name("--__").is_empty());
    }

    #[test]
    fn product_names_in_prose_stay_whole() {
        assert_eq!(prose("GitHub's messageId"), ["github", "s", "messag", "id"]);
    }

    #[test]
    fn forms_of_a_word_have_one_stem() {
        for forms in [
            &["copy", "copies", "copied", "copying"][..],
            &["create", "creates", "created", "creating", "creation"],
            &["stop", "stops", "stopped", "stopping"],
            &["search", "searches", "searching"],
            &["deploy", "deployment", "deployments"],
            &["call", "calls", "called", "calling"],
            &["query", "queries"],
            &["message", "messages"],
            &["access", "accesses", "accessing"],
        ] {
            for form in forms {
                assert_eq!(stem(form), stem(forms[0]), "{form}");
            }
        }
        for whole in ["status", "this", "class", "string", "red", "need", "alias"] {
            assert!(stem(whole).len() + 1 >= whole.len(), "{whole}");
        }
    }

    #[test]
    fn a_question_keeps_the_words_that_tell_something() {
        assert_eq!(of_question("Who changed this file?"), ["chang", "fil"]);
        assert_eq!(of_question("what is it"), ["what", "is", "it"]);
        assert!(of_question("?!").is_empty());
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }
}
