//! Stemming of English words.

/// Returns the stem of an English word, equal for all forms (`copies`, `copied`, `copying`, `copy`); not always a word.
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
            stem.truncate(undoubled(rest).len());
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
    stem = american(stem);
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

/// Converts a stem to American spelling. Also changes some stems that have only one spelling: it only matters that both
/// spellings of a word become equal.
fn american(stem: String) -> String {
    for (british, american) in [
        ("our", "or"),
        ("ourit", "orit"),
        ("ourite", "orite"),
        ("is", "iz"),
        ("ise", "ize"),
        ("iser", "izer"),
        ("isat", "izat"),
        ("ys", "yz"),
        ("yse", "yze"),
        ("yser", "yzer"),
        ("tre", "ter"),
        ("bre", "ber"),
        ("ogue", "og"),
        ("ence", "ense"),
        ("ell", "el"),
        ("programme", "program"),
        ("grey", "gray"),
        ("artefact", "artifact"),
    ] {
        if let Some(rest) = stem.strip_suffix(british)
            && (rest.len() > 1 || rest.is_empty())
        {
            return format!("{rest}{american}");
        }
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

/// Removes a doubled final letter: `stopp` of `stopped` becomes `stop`; `add`, `call` and `press` stay.
fn undoubled(rest: &str) -> &str {
    match rest.as_bytes() {
        [.., a, b] if a == b && !b"dlsz".contains(b) => &rest[..rest.len() - 1],
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
