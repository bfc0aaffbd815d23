//! Inverted index and scoring.

use std::collections::HashMap;

use super::{Document, Hit, synonyms, words};

/// Saturation of repeated words: the smaller, the less a repetition counts.
const SATURATION: f64 = 1.2;
/// Factor for a partial match, such as a prefix: `repo` finds `repository`.
const BEGINNING: f64 = 0.6;
/// Factor for a synonym.
const SYNONYM: f64 = 0.5;
/// Minimum length of a prefix: shorter ones match too many words.
const SHORTEST_BEGINNING: usize = 3;
/// Influence of the share of matched query words: 0 is none.
const COMPLETENESS: f64 = 0.3;
/// Minimum length of the common prefix of two forms of one word.
const SHORTEST_COMMON: usize = 4;
/// The same for words in ASCII, which are mostly English.
const LONGER_COMMON: usize = 6;
/// Maximum length of the different endings of such forms.
const LONGEST_ENDING: usize = 3;
/// Bonus for a tool whose name equals the query: more than words can score.
const NAMED: f64 = 1000.0;
/// Bonus for a tool whose name begins with the query.
const NAME_BEGINS: f64 = 500.0;

/// One text field of a document.
struct Field {
    weight: f64,
    /// Penalty for long texts, per word: from 0, none, to 1.
    length_matters: f64,
}

/// Position of the name in [`FIELDS`].
const NAME: usize = 0;
/// Fields in the order in which [`cut`] fills them: name, title, server, description, parameters.
#[rustfmt::skip] // A table.
const FIELDS: [Field; 5] = [
    Field { weight: 3.0, length_matters: 0.3 },
    Field { weight: 1.0, length_matters: 0.3 },
    Field { weight: 1.5, length_matters: 0.0 },
    Field { weight: 1.5, length_matters: 0.6 },
    Field { weight: 0.6, length_matters: 0.6 },
];

/// Words of one document, per field, as numbers in the index.
type DocumentWords = [Vec<u32>; FIELDS.len()];

/// Weight of a word in one document.
#[derive(Debug, Clone, Copy)]
struct Posting {
    document: u32,
    weight: f64,
    in_name: bool,
}

/// Names of a tool, to recognize it in a query and to order equal scores.
#[derive(Debug)]
struct ToolNames {
    server: String,
    tool: String,
    /// Server name as one word.
    squeezed_server: String,
    /// Tool name as one word, without the server name that some servers prepend.
    bare: String,
}

impl ToolNames {
    fn new(document: Document) -> Self {
        let squeezed_server = words::squeezed(&document.server);
        let squeezed = words::squeezed(&document.name);
        let bare = squeezed
            .strip_prefix(&squeezed_server)
            .filter(|rest| !rest.is_empty());
        let bare = bare.unwrap_or(&squeezed).to_owned();
        Self {
            server: document.server,
            tool: document.name,
            squeezed_server,
            bare,
        }
    }

    /// Returns the bonus of a squeezed query that names this tool, with or without its server.
    fn bonus(&self, question: &str) -> f64 {
        let mut form = Some(question).filter(|question| !question.is_empty());
        let mut bonus: f64 = 0.0;
        while let Some(asked) = form {
            if self.bare == asked {
                return NAMED;
            }
            if self.bare.starts_with(asked) {
                bonus = NAME_BEGINS;
            }
            form = self.after_server(asked);
        }
        bonus
    }

    /// Returns the rest of a squeezed query that begins with the server name.
    fn after_server<'a>(&self, question: &'a str) -> Option<&'a str> {
        let server = self.squeezed_server.as_str();
        let rest = question.strip_prefix(server)?;
        (!server.is_empty() && !rest.is_empty()).then_some(rest)
    }
}

/// Score of a document for a query.
#[derive(Debug, Clone, Default)]
struct Score {
    earned: f64,
    /// Number of query words that matched.
    words: usize,
}

impl Score {
    /// Returns the final score: a match of the whole query ranks above a very good match of one word.
    fn of(&self, asked: usize) -> f64 {
        self.earned * (count(self.words) / count(asked.max(1))).powf(COMPLETENESS)
    }
}

/// Searchable set of tools. Built once, and rebuilt when a tool changes.
#[derive(Debug)]
pub(crate) struct Index {
    identities: Vec<ToolNames>,
    /// Words and the documents that contain them, sorted by word, so that words with a common prefix are neighbours.
    words: Vec<(String, Vec<Posting>)>,
}

impl Index {
    /// Indexes `documents`.
    pub(crate) fn new(documents: impl Iterator<Item = Document>) -> Self {
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let mut identities = Vec::new();
        let mut cuts = Vec::new();
        for document in documents {
            cuts.push(cut(&document, &mut numbers));
            identities.push(ToolNames::new(document));
        }
        let mut words: Vec<(String, Vec<Posting>)> = vec![Default::default(); numbers.len()];
        for (word, number) in numbers {
            words[number as usize].0 = word;
        }
        let average = average_lengths(&cuts);
        for (document, cut) in (0..).zip(&cuts) {
            post(document, cut, &average, &mut words);
        }
        words.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Self { identities, words }
    }

    /// Returns the `max_results` documents that match `query` best, the best first; equal scores are ordered by name,
    /// then by server. An empty query matches every document.
    pub(crate) fn search(&self, query: &str, max_results: usize) -> Vec<Hit> {
        let asks_for_all = query.trim().is_empty();
        let stems = words::of_question(query);
        let mut scores = vec![Score::default(); self.identities.len()];
        for stem in &stems {
            self.add_word(stem, &mut scores);
        }
        let squeezed_query = words::squeezed(query);
        let bonuses = self
            .identities
            .iter()
            .map(|identity| identity.bonus(&squeezed_query));
        let mut hits: Vec<Hit> = (0..)
            .zip(scores.iter().zip(bonuses))
            .map(|(document, (score, bonus))| Hit {
                document,
                score: score.of(stems.len()) + bonus,
            })
            .filter(|hit| asks_for_all || hit.score > 0.0)
            .collect();
        hits.sort_unstable_by(|a, b| {
            let place = |hit: &Hit| {
                let ToolNames { tool, server, .. } = &self.identities[hit.document];
                (tool, server, hit.document)
            };
            b.score
                .total_cmp(&a.score)
                .then_with(|| place(a).cmp(&place(b)))
        });
        hits.truncate(max_results);
        hits
    }

    /// Adds the score of each document for one query word: the best of the word itself and its substitutes, so that a
    /// tool does not win by repeating one meaning in three words.
    fn add_word(&self, stem: &str, scores: &mut [Score]) {
        let mut best: HashMap<u32, f64> = HashMap::new();
        let mut earn = |postings: &[Posting], share: f64, only_names: bool| {
            let rarity = self.rarity(postings.len());
            for posting in postings
                .iter()
                .filter(|posting| posting.in_name || !only_names)
            {
                let earned = share * rarity * posting.weight / (SATURATION + posting.weight);
                let best = best.entry(posting.document).or_default();
                *best = best.max(earned);
            }
        };
        let mut is_known = false;
        for (word, postings) in self.beginning_with(stem) {
            if word == stem {
                is_known = true;
                earn(postings, 1.0, false);
            } else if stem.chars().count() >= SHORTEST_BEGINNING {
                earn(postings, BEGINNING, true);
            }
        }
        if words::is_letter_word(stem) {
            for (word, postings) in self.words.iter().filter(|(word, _)| word.contains(stem)) {
                earn(postings, if word == stem { 1.0 } else { BEGINNING }, false);
            }
        } else if !is_known {
            // Inflected forms in a language without a stemmer, or parts of a compound.
            for (word, postings) in self.beginning_with(first_letters(stem)) {
                if is_alike(stem, word) {
                    earn(postings, BEGINNING, false);
                }
            }
        }
        for synonym in synonyms::of(stem) {
            if let Some((word, postings)) = self.beginning_with(synonym).next()
                && word == synonym
            {
                earn(postings, SYNONYM, false);
            }
        }
        for (document, earned) in best {
            let score = &mut scores[document as usize];
            score.earned += earned;
            score.words += 1;
        }
    }

    fn beginning_with<'a>(
        &'a self,
        beginning: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a [Posting])> {
        let first = self
            .words
            .partition_point(|(word, _)| word.as_str() < beginning);
        let words = self.words[first..].iter();
        words
            .take_while(move |(word, _)| word.starts_with(beginning))
            .map(|(word, postings)| (word.as_str(), postings.as_slice()))
    }

    /// Returns the inverse document frequency of a word that occurs in `documents` of them.
    fn rarity(&self, documents: usize) -> f64 {
        let (all, with) = (count(self.identities.len()), count(documents));
        (1.0 + (all - with + 0.5) / (with + 0.5)).ln()
    }
}

/// Returns the prefix that two forms of one word share at least.
fn first_letters(stem: &str) -> &str {
    let end = stem.char_indices().nth(SHORTEST_COMMON);
    &stem[..end.map_or(stem.len(), |(at, _)| at)]
}

/// Returns true if two words may be forms of one: they share a prefix, and the prefix is one of them, or only short
/// endings differ.
fn is_alike(stem: &str, word: &str) -> bool {
    let common = stem
        .chars()
        .zip(word.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let [shorter, longer] = {
        let (a, b) = (stem.chars().count(), word.chars().count());
        [a.min(b), a.max(b)]
    };
    let least = if stem.is_ascii() {
        LONGER_COMMON
    } else {
        SHORTEST_COMMON
    };
    common >= least && (common == shorter || common + LONGEST_ENDING >= longer)
}

/// Splits a document's texts into words and numbers the new ones.
fn cut(document: &Document, numbers: &mut HashMap<String, u32>) -> DocumentWords {
    let mut number = |stem: &str| {
        if let Some(known) = numbers.get(stem) {
            return *known;
        }
        let new = u32::try_from(numbers.len()).expect("a word takes more than a byte of memory");
        numbers.insert(stem.to_owned(), new);
        new
    };
    let mut cut = DocumentWords::default();
    let [name, title, server, description, parameters] = &mut cut;
    words::of_name(&document.name, |stem| name.push(number(stem)));
    words::of_prose(&document.title, |stem| title.push(number(stem)));
    words::of_prose(&document.server, |stem| server.push(number(stem)));
    words::of_prose(&document.description, |stem| description.push(number(stem)));
    for parameter in &document.parameters {
        words::of_name(parameter, |stem| parameters.push(number(stem)));
    }
    cut
}

fn average_lengths(cuts: &[DocumentWords]) -> [f64; FIELDS.len()] {
    std::array::from_fn(|field| {
        let total: usize = cuts.iter().map(|cut| cut[field].len()).sum();
        count(total) / count(cuts.len().max(1))
    })
}

/// Adds one document to the postings of its words, with the weight it has there.
fn post(
    document: u32,
    cut: &DocumentWords,
    average: &[f64; FIELDS.len()],
    words: &mut [(String, Vec<Posting>)],
) {
    for (place, field) in FIELDS.iter().enumerate() {
        let length = count(cut[place].len()) / average[place];
        let weight = field.weight / (1.0 - field.length_matters + field.length_matters * length);
        for word in &cut[place] {
            let postings = &mut words[*word as usize].1;
            let in_name = place == NAME;
            match postings.last_mut().filter(|last| last.document == document) {
                // The name is the first field, so that it alone sets `in_name`.
                Some(posting) => posting.weight += weight,
                None => postings.push(Posting {
                    document,
                    weight,
                    in_name,
                }),
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "there are fewer than 2^52 tools and words"
)]
fn count(of: usize) -> f64 {
    of as f64
}
