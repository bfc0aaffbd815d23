//! Tests of the ranking: invariants, and its quality on 300 tools and queries in people's own words.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Tool {
    server: String,
    name: String,
    #[serde(default)]
    title: String,
    description: String,
    parameters: Vec<String>,
}

#[derive(Deserialize)]
struct Question {
    query: String,
    /// `server/name` of each tool that answers the query.
    expected: Vec<String>,
}

fn tools() -> Vec<Document> {
    let text = include_str!("../../fixtures/search/tools.json");
    documents(serde_json::from_str(text).unwrap())
}

fn documents(tools: Vec<Tool>) -> Vec<Document> {
    tools
        .into_iter()
        .map(
            |Tool {
                 server,
                 name,
                 title,
                 description,
                 parameters,
             }| Document {
                server,
                name,
                title,
                description,
                parameters,
            },
        )
        .collect()
}

fn questions(text: &str) -> Vec<Question> {
    serde_json::from_str(text).unwrap()
}

fn path(document: &Document) -> String {
    format!("{}/{}", document.server, document.name)
}

/// Number of queries whose tool ranks first, and within the first five.
#[derive(Debug, Default)]
struct Rate {
    questions: usize,
    top_1: usize,
    top_5: usize,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            questions,
            top_1,
            top_5,
        } = self;
        write!(f, "top-1 {top_1}/{questions}, top-5 {top_5}/{questions}")
    }
}

/// Runs each query through `ranking`, which returns the positions of the best five.
fn measure(
    title: &str,
    tools: &[Document],
    questions: &[Question],
    ranking: impl Fn(&str) -> Vec<usize>,
) -> Rate {
    let mut rate = Rate {
        questions: questions.len(),
        ..Rate::default()
    };
    for Question { query, expected } in questions {
        let found: Vec<String> = ranking(query).iter().map(|at| path(&tools[*at])).collect();
        let place = found.iter().position(|path| expected.contains(path));
        rate.top_1 += usize::from(place == Some(0));
        rate.top_5 += usize::from(place.is_some());
        if place.is_none() {
            eprintln!("{title} misses {query:?}: {found:?}");
        }
    }
    eprintln!("{title}: {rate}");
    rate
}

/// Returns the best five by substrings: +20 for the whole query in the name, +10 for each word in the name, +5 for each
/// in the description.
fn by_substrings(tools: &[Document], query: &str) -> Vec<usize> {
    let query = query.to_lowercase();
    let words: BTreeSet<&str> = query.split_whitespace().collect();
    let score = |tool: &Document| {
        let (name, description) = (tool.name.to_lowercase(), tool.description.to_lowercase());
        let times = |text: &str| words.iter().filter(|word| text.contains(**word)).count();
        20 * usize::from(name.contains(&query)) + 10 * times(&name) + 5 * times(&description)
    };
    let mut scored: Vec<(usize, usize)> = tools.iter().map(score).enumerate().collect();
    scored.retain(|(_, score)| *score > 0);
    scored.sort_by_key(|(_, score)| Reverse(*score));
    scored.into_iter().take(5).map(|(at, _)| at).collect()
}

fn best_five(index: &Index, query: &str) -> Vec<usize> {
    index
        .search(query, 5)
        .iter()
        .map(|hit| hit.document)
        .collect()
}

/// The queries predate the ranking; the synonyms were written after a review of the misses without them.
#[test]
fn questions_in_peoples_words_find_their_tool() {
    let tools = tools();
    assert_eq!(tools.len(), 300);
    let index = Index::new(tools.iter().cloned());
    let asked = questions(include_str!("../../fixtures/search/queries.json"));
    assert_eq!(asked.len(), 60);

    let substrings = measure("substrings", &tools, &asked, |query| {
        by_substrings(&tools, query)
    });
    let ours = measure("ours", &tools, &asked, |query| best_five(&index, query));

    assert!(ours.top_5 * 100 >= ours.questions * 95, "{ours}");
    assert!(
        ours.top_1 > substrings.top_1,
        "{ours}; by substrings {substrings}"
    );
}

/// These queries were held out before the ranking existed, and the synonyms were written without a look at their
/// misses. Both have the same author, though: other people's queries may do worse.
#[test]
fn questions_put_aside_find_their_tool() {
    let tools = tools();
    let index = Index::new(tools.iter().cloned());
    let asked = questions(include_str!("../../fixtures/search/held_out.json"));

    let substrings = measure("substrings", &tools, &asked, |query| {
        by_substrings(&tools, query)
    });
    let ours = measure("ours", &tools, &asked, |query| best_five(&index, query));

    assert!(ours.top_5 * 100 >= ours.questions * 85, "{ours}");
    assert!(
        ours.top_1 > substrings.top_1,
        "{ours}; by substrings {substrings}"
    );
}

/// Chinese, Japanese, Korean, Russian, German and French, among the 300 tools with English descriptions.
#[test]
fn questions_in_other_languages_find_their_tool() {
    #[derive(Deserialize)]
    struct Set {
        tools: Vec<Tool>,
        questions: Vec<Question>,
    }
    let set: Set =
        serde_json::from_str(include_str!("../../fixtures/search/languages.json")).unwrap();
    let tools: Vec<_> = tools().into_iter().chain(documents(set.tools)).collect();
    let index = Index::new(tools.iter().cloned());
    assert!(set.questions.len() >= 20);
    let ours = measure("other languages", &tools, &set.questions, |query| {
        best_five(&index, query)
    });
    assert!(ours.top_5 * 100 >= ours.questions * 95, "{ours}");
}

#[test]
fn a_word_of_one_letter_is_found_within_others() {
    let index = index_of(&["a/x: 下雨天的音乐", "a/y: 天气"]);
    assert_eq!(places(&index, "雨"), [0]);
    assert_eq!(places(&index, "音乐播放"), [0]);
    assert!(places(&index, "云").is_empty());
}

#[test]
fn both_spellings_of_english_find_each_other() {
    for (british, american) in [
        ("colour", "color"),
        ("colours", "colors"),
        ("favourite", "favorite"),
        ("behaviour", "behavior"),
        ("organise", "organize"),
        ("organising", "organized"),
        ("organisation", "organization"),
        ("analyse", "analyze"),
        ("analysing", "analyzed"),
        ("centre", "center"),
        ("catalogue", "catalog"),
        ("licence", "license"),
        ("cancelled", "canceled"),
        ("labelling", "labeling"),
        ("programme", "program"),
        ("grey", "gray"),
        ("summarise", "summarizer"),
    ] {
        for (question, text) in [(british, american), (american, british)] {
            let index = index_of(&["a/x: Another", &format!("a/y: {text}")]);
            assert_eq!(places(&index, question), [1], "{question} {text}");
        }
    }
    // These pairs stay distinct.
    for (one, other) in [
        ("tree", "term"),
        ("for", "four"),
        ("tour", "tor"),
        ("list", "liz"),
    ] {
        assert_ne!(stem::stem(one), stem::stem(other), "{one} {other}");
    }
}

/// Builds an index of tools given as `server/name: description`.
fn index_of(tools: &[&str]) -> Index {
    Index::new(tools.iter().map(|tool| {
        let (path, description) = tool.split_once(": ").unwrap_or((tool, ""));
        let (server, name) = path.split_once('/').unwrap();
        Document {
            server: server.to_owned(),
            name: name.to_owned(),
            description: description.to_owned(),
            ..Document::default()
        }
    }))
}

fn places(index: &Index, query: &str) -> Vec<usize> {
    index
        .search(query, usize::MAX)
        .iter()
        .map(|hit| hit.document)
        .collect()
}

#[test]
fn an_empty_question_lists_everything_by_name_without_a_score() {
    let index = index_of(&["b/write", "a/write", "z/read", "m/list"]);
    for query in ["", "  \n"] {
        assert_eq!(places(&index, query), [3, 2, 1, 0]);
        assert!(index.search(query, 9).iter().all(|hit| hit.score == 0.0));
        assert_eq!(index.search(query, 2).len(), 2);
    }
    assert!(places(&index, "?!").is_empty());
    assert!(places(&index_of(&[]), "anything").is_empty());
    assert!(places(&index_of(&[]), "").is_empty());
}

#[test]
fn a_name_comes_first_then_names_that_begin_so() {
    let index = index_of(&[
        "notes/about_issues: How to create an issue; create issue after issue, create and create.",
        "jira/jira_create_issue_link: Create in jira a jira issue for an issue; create it in jira.",
        "jira/jira_create_issue",
    ]);
    for query in [
        "jira_create_issue",
        "create issue",
        "createIssue",
        "create-issue",
        "jira__jira_create_issue",
        "jira create issue",
        "jira: createIssue",
    ] {
        assert_eq!(places(&index, query)[..2], [2, 1], "{query}");
    }
    assert_eq!(places(&index, "create_iss")[2], 0);
}

#[test]
fn a_server_named_like_its_tool_and_one_without_a_name_are_found() {
    assert_eq!(
        places(
            &index_of(&["fetch/get_url: Fetch. Fetch.", "fetch/fetch"]),
            "fetch"
        )[0],
        1
    );
    assert_eq!(
        places(&index_of(&["/other: ping ping", "/ping"]), "ping"),
        [1, 0]
    );
}

#[test]
fn words_match_in_other_forms_by_their_beginning_and_by_synonyms() {
    let index = index_of(&[
        "a/list_repositories",
        "a/copyFiles",
        "a/drop: Deletes a record.",
    ]);
    assert_eq!(places(&index, "reposit"), [0]);
    assert_eq!(places(&index, "copying a file")[0], 1);
    assert_eq!(places(&index, "erase records")[0], 2);
}

#[test]
fn a_synonym_counts_for_less_than_the_word_and_only_once() {
    let index = index_of(&["a/x: Erase, drop, remove it.", "a/y: Delete it."]);
    assert_eq!(places(&index, "how to delete")[0], 1);
    let index = index_of(&["a/x: Erase it.", "a/y: Delete it."]);
    assert_eq!(places(&index, "how to delete"), [1, 0]);
}

#[test]
fn parameters_and_titles_are_searched() {
    let title = Document {
        title: "Spell out".to_owned(),
        name: "a".to_owned(),
        ..Document::default()
    };
    let parameter = Document {
        name: "b".to_owned(),
        parameters: vec!["messageId".to_owned()],
        ..Document::default()
    };
    let index = Index::new([title, parameter].into_iter());
    assert_eq!(places(&index, "spelling"), [0]);
    assert_eq!(places(&index, "the message"), [1]);
}

#[test]
fn equals_stand_by_name_then_server_whatever_the_order_they_came_in() {
    let index = index_of(&["b/ping: Same.", "a/pong: Same.", "a/ping: Same."]);
    assert_eq!(places(&index, "same"), [2, 0, 1]);
    let tools = tools();
    let index = Index::new(tools.iter().cloned());
    let turned = Index::new(tools.iter().rev().cloned());
    for Question { query, .. } in questions(include_str!("../../fixtures/search/queries.json")) {
        let there = index.search(&query, 20);
        let back = turned.search(&query, 20);
        for (there, back) in there.iter().zip(&back) {
            assert_eq!(there.document, tools.len() - 1 - back.document, "{query}");
        }
    }
}
