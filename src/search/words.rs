//! Splits text into stemmed words.

use super::stem::stem;

/// Words without information in a query. They are rare in a list of tools and would get a high weight.
#[rustfmt::skip] // A table.
const STOP_WORDS: &[&str] = &[
    "a", "about", "all", "also", "am", "an", "and", "any", "anything", "are", "as", "at", "be", "been", "being",
    "but", "by", "came", "can", "come", "could", "did", "do", "does", "each", "else", "ever", "every", "everything",
    "for", "from", "give", "given", "go", "goes", "going", "got", "had", "has", "have", "he", "her", "here", "him",
    "his", "how", "i", "if", "in", "into", "is", "it", "its", "itself", "just", "know", "let", "like", "made",
    "many", "may", "me", "might", "more", "most", "much", "must", "my", "need", "no", "not", "now", "of", "on",
    "one", "only", "or", "other", "our", "over", "own", "please", "really", "s", "same", "shall", "she", "should",
    "since", "so", "some", "somebody", "someone", "something", "still", "such", "sure", "tell", "than", "that",
    "the", "their", "them", "then", "there", "these", "they", "thing", "things", "this", "those", "through", "to",
    "too", "tool", "until", "up", "upon", "us", "use", "used", "using", "very", "via", "want", "was", "way", "we",
    "were", "what", "when", "where", "whether", "which", "while", "who", "whom", "whose", "why", "will", "with",
    "within", "without", "would", "yet", "you", "your",
];

/// Splits an identifier, the name of a tool or parameter, into stems.
pub(super) fn of_name(text: &str, mut found: impl FnMut(&str)) {
    for run in runs(text) {
        each_hump(run, &mut found);
    }
}

/// Splits prose into stems. `camelCase` is split; `GitHub` and `YouTube` are one word each.
pub(super) fn of_prose(text: &str, mut found: impl FnMut(&str)) {
    for run in runs(text) {
        if run.starts_with(char::is_lowercase) {
            each_hump(run, &mut found);
        } else {
            each_part(run, &mut found);
        }
    }
}

/// Returns the distinct stems of a query, in order, without stop words unless it has no other words.
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

/// Joins `text` into one word, to compare names regardless of their style: `get-issue` equals `getIssue`.
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

/// Splits at spaces and punctuation. An apostrophe ends a word, so `file's` gives `file` and `s`.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|run| !run.is_empty())
}

/// Splits `listObjectsV2` into `list`, `Objects`, `V2` and `HTTPServer` into `HTTP`, `Server`.
fn each_hump(run: &str, found: &mut impl FnMut(&str)) {
    let mut start = 0;
    let mut chars = run.char_indices().peekable();
    let mut before: Option<char> = None;
    while let Some((at, c)) = chars.next() {
        if let Some(before) = before
            && c.is_uppercase()
        {
            let next_is_lower = chars.peek().is_some_and(|(_, next)| next.is_lowercase());
            // A single capital before a word belongs to it: `OAuth`.
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

/// Returns true if the script of `c` has no spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Burmese
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' // kana
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' // ideographs
        | '\u{ac00}'..='\u{d7af}' // Hangul, whose endings are written onto its words
        | '\u{20000}'..='\u{3ffff}')
}

/// Returns true for Hiragana, the script of Japanese endings and particles, which carry no meaning for a search.
fn is_hiragana(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{309f}')
}

/// Returns true if `stem` is a single letter of a script without spaces, which may be a word.
pub(super) fn is_letter_word(stem: &str) -> bool {
    let mut letters = stem.chars();
    letters.next().is_some_and(is_unspaced) && letters.next().is_none()
}

/// Passes on each pair of adjacent letters of a script without spaces: word boundaries are unknown.
fn each_pair(text: &str, found: &mut impl FnMut(&str)) {
    let letters: Vec<char> = text.chars().collect();
    if let [only] = letters[..] {
        return found(&only.to_string());
    }
    let says_nothing = |pair: &&[char]| pair.iter().all(|c| is_hiragana(*c));
    let pairs = || letters.windows(2);
    let all = pairs().all(|pair| says_nothing(&pair));
    for pair in pairs().filter(|pair| all || !says_nothing(pair)) {
        found(&pair.iter().collect::<String>());
    }
}

/// Passes on `word` and, if it mixes letters and digits, the parts that can stand alone: `base64` also gives `base` and
/// `64`, but `s3` only itself.
fn each_part(word: &str, found: &mut impl FnMut(&str)) {
    let mut rest = word;
    while let Some(c) = rest.chars().next() {
        let unspaced = is_unspaced(c);
        let end = rest
            .find(|c| is_unspaced(c) != unspaced)
            .unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        if unspaced {
            each_pair(part, found);
        } else {
            each_spaced_part(part, found);
        }
        rest = after;
    }
}

fn each_spaced_part(word: &str, found: &mut impl FnMut(&str)) {
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
