//! Secrets in a line for a shell, or in any other text of several words.

use super::shown_words;

/// Hides the secrets in the words of `text`. Spaces, quotes and the signs of the shell are returned as written.
pub(crate) fn line(text: &str) -> String {
    let pieces = pieces(text);
    let words = pieces.iter().filter(|piece| piece.is_word);
    let mut words = shown_words(words.map(|piece| piece.text)).into_iter();
    let shown = pieces.iter().map(|piece| {
        if piece.is_word {
            words.next().unwrap_or_default()
        } else {
            piece.text.to_owned()
        }
    });
    shown.collect()
}

/// A word without its quotes, or the text between two words.
struct LinePiece<'a> {
    text: &'a str,
    is_word: bool,
}

/// Cuts a text into its words and the text between them. A string in quotes is a word.
fn pieces(text: &str) -> Vec<LinePiece<'_>> {
    let ends =
        |c: char| c.is_whitespace() || matches!(c, ';' | '|' | '(' | ')' | '<' | '>' | '"' | '\'');
    let (mut pieces, mut rest) = (Vec::new(), text);
    let mut add = |text, is_word| pieces.push(LinePiece { text, is_word });
    while let Some(first) = rest.chars().next() {
        let inside = &rest[first.len_utf8()..];
        let closing = inside.find(first).filter(|_| matches!(first, '"' | '\''));
        let length = if let Some(length) = closing {
            add(&rest[..1], false);
            add(&inside[..length], true);
            add(&rest[..1], false);
            length + 2
        } else if ends(first) {
            add(&rest[..first.len_utf8()], false);
            first.len_utf8()
        } else {
            let length = rest.find(ends).unwrap_or(rest.len());
            add(&rest[..length], true);
            length
        };
        rest = &rest[length..];
    }
    pieces
}
