//! Formats the result of a tool as text.

use std::borrow::Cow;

use crate::jsonrpc::{Members, elements};
use crate::output::count;

/// Returns the text pieces of a raw result and one line for each other piece of content. A result without text pieces
/// also shows its `structuredContent`, if any.
pub(super) fn text(result: &str) -> String {
    let result = Members::of(result);
    let content = result.get("content").and_then(elements).unwrap_or_default();
    let structured = result.get("structuredContent");
    let has_text = content.iter().any(|raw| kind(&Members::of(raw)) == "text");
    let mut text = String::new();
    for raw in &content {
        add(&mut text, &piece(&Members::of(raw)));
    }
    if let (false, Some(structured)) = (has_text, structured) {
        add(&mut text, structured);
    }
    text
}

/// Adds a piece and makes it end with a line end.
fn add(text: &mut String, piece: &str) {
    text.push_str(piece);
    if !piece.ends_with('\n') {
        text.push('\n');
    }
}

fn kind<'a>(content: &'a Members<'_>) -> Cow<'a, str> {
    content.text("type").unwrap_or_default()
}

fn piece(content: &Members<'_>) -> String {
    let kind = kind(content);
    let resource = content.object("resource");
    match &*kind {
        "text" => content.text("text").unwrap_or_default().into_owned(),
        "image" | "audio" => described(&kind, content, content.text("data")),
        "resource_link" => {
            let link = described("link", content, None);
            format!("{} {}", link, content.text("uri").unwrap_or_default())
        }
        "resource" => {
            let uri = resource.text("uri").unwrap_or_default();
            match resource.text("text") {
                Some(text) => format!("[resource] {uri}\n{text}"),
                None => format!(
                    "{} {uri}",
                    described("resource", &resource, resource.text("blob"))
                ),
            }
        }
        other => format!("[{other}]"),
    }
}

/// Describes a piece of content: `[image: image/png, 68 bytes]`.
fn described(what: &str, content: &Members<'_>, base64: Option<Cow<'_, str>>) -> String {
    let media = content.text("mimeType").map(Cow::into_owned);
    let size = base64.map(|data| count(decoded(&data), "byte", "bytes"));
    let details: Vec<String> = media.into_iter().chain(size).collect();
    match &details[..] {
        [] => format!("[{what}]"),
        details => format!("[{what}: {}]", details.join(", ")),
    }
}

/// Returns the number of bytes that `base64` encodes.
fn decoded(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rustfmt::skip] // A table.
    #[test]
    fn content_is_shown_as_text_or_described() {
        for (result, shown) in [
            (r#"{"content":[{"type":"text","text":"a\nb"},{"type":"text","text":"c\n"}]}"#, "a\nb\nc\n"),
            (r#"{"content":[{"type":"image","mimeType":"image/png","data":"aGVsbG8="}]}"#, "[image: image/png, 5 bytes]\n"),
            (r#"{"content":[{"type":"audio","data":"YQ=="}]}"#, "[audio: 1 byte]\n"),
            (r#"{"content":[{"type":"resource_link","uri":"mem://a","mimeType":"text/plain"}]}"#, "[link: text/plain] mem://a\n"),
            (r#"{"content":[{"type":"resource","resource":{"uri":"mem://a","text":"x"}}]}"#, "[resource] mem://a\nx\n"),
            (r#"{"content":[{"type":"resource","resource":{"uri":"mem://a","blob":"AAAA"}}]}"#, "[resource: 3 bytes] mem://a\n"),
            (r#"{"content":[{"type":"hologram"}]}"#, "[hologram]\n"),
            (r#"{"content":[],"structuredContent":{"n":1E400}}"#, "{\"n\":1E400}\n"),
            (r#"{"content":[{"type":"text","text":"t"}],"structuredContent":{"n":1}}"#, "t\n"),
            (r#"{"content":[{"type":"image","data":""}],"structuredContent":{"n":1}}"#, "[image: 0 bytes]\n{\"n\":1}\n"),
            (r#"{"content":[{"type":"text","text":""}]}"#, "\n"),
            ("{}", ""),
        ] {
            assert_eq!(text(result), shown, "{result}");
        }
    }
}
