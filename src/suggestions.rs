//! Finds names that are similar to a misspelt one.

/// Maximum number of suggestions.
const MOST: usize = 3;

/// Returns up to three of `candidates` whose edit distance from `target`, ignoring case, is at most a third of its
/// length (but at least 1), the nearest first.
pub(crate) fn nearest<'a>(
    target: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Vec<&'a str> {
    let target = target.to_lowercase();
    let length = target.chars().count();
    let most = (length / 3).max(1);
    // Comparing costs the product of both lengths; names whose lengths differ too much are skipped.
    let comparable = |name: &&str| name.chars().count().abs_diff(length) <= most;
    let mut near: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(comparable)
        .map(|name| {
            (
                strsim::damerau_levenshtein(&target, &name.to_lowercase()),
                name,
            )
        })
        .filter(|(distance, _)| *distance <= most)
        .collect();
    near.sort_unstable();
    near.dedup();
    // Names much farther than the nearest one are unlikely to be meant.
    let limit = near
        .first()
        .map_or(0, |(distance, _)| (distance * 2).max(2));
    let near = near
        .into_iter()
        .take_while(|(distance, _)| *distance <= limit);
    near.map(|(_, name)| name).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_comes_first() {
        let names = [
            "get_rain",
            "get_rains",
            "getRain",
            "get_train",
            "forecast",
            "get_rain",
        ];
        assert_eq!(
            nearest("get_rain", names),
            ["get_rain", "getRain", "get_rains"]
        );
        assert_eq!(
            nearest("GETRAIN", names),
            ["getRain", "get_rain", "get_rains"]
        );
        assert_eq!(nearest("forcast", names), ["forecast"]);
        assert!(nearest("snow", names).is_empty());
        assert!(nearest("", names).is_empty());
        assert_eq!(nearest("b", ["a", "ab"]), ["a", "ab"]);
        // Five letters of three bytes each: one may differ.
        assert!(nearest("天气预报员", ["天气今晚员"]).is_empty());
    }

    /// Names come from a client and may have any length.
    #[test]
    fn a_long_name_costs_little() {
        let names: Vec<String> = (0..1000).map(|number| format!("get_{number}")).collect();
        let names = names.iter().map(String::as_str);
        assert!(nearest(&"a".repeat(1 << 20), names).is_empty());
    }
}
