//! Ranking of tools by a question in a person's or a model's own words.
//!
//! Owns an inverted index over what tools say of themselves, and scores with BM25F: each field (name, title,
//! server, description, parameters) has a weight and a length of its own, and a word that is everywhere counts
//! for little. Words are split, stemmed and widened by a small table of synonyms. A question that *is* a tool's
//! name, or the beginning of one, is answered by that tool first.
//!
//! Pure: no I/O, no clock, no state beside the index; whoever has the tools builds an [`Index`] of them. The
//! same documents and the same question give the same order, always.

mod index;
mod stem;
mod synonyms;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use index::Index;

/// A tool as the search sees it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Document {
    /// The server that has the tool.
    pub(crate) server: String,
    /// The tool's name on that server.
    pub(crate) name: String,
    /// The tool's title, empty when it has none.
    pub(crate) title: String,
    /// The tool's description, empty when it has none.
    pub(crate) description: String,
    /// The names of the tool's parameters.
    pub(crate) parameters: Vec<String>,
}

/// A document that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Hit {
    /// The document's place in what the index was built from.
    pub(crate) document: usize,
    /// How well it fits; 0 when nothing was asked for. To be compared within one search only.
    pub(crate) score: f64,
}
