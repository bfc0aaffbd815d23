//! Parses addresses from a browser, which also name a reference and a folder. Pure.

use std::path::PathBuf;

use super::{SourceError, parse_reference, parse_subdir};

/// Reference and folder.
pub(super) type BrowsedPath = (String, Option<PathBuf>);

/// Splits a path at `site` from a browser: `owner/repo/tree/main/sub` or `group/repo/-/tree/main/sub`.
pub(super) fn split_browsed<'a>(
    path: &'a str,
    site: &str,
) -> Result<(&'a str, Option<BrowsedPath>), SourceError> {
    if let Some((repo, file)) = path.split_once("/blob/")
        && repo.contains('/')
        && file.contains('/')
    {
        let repo = repo.strip_suffix("/-").unwrap_or(repo);
        return Err(SourceError::File(path.to_owned(), format!("{site}/{repo}")));
    }
    let Some((repo, rest)) = path.split_once("/tree/") else {
        return Ok((path, None));
    };
    let repo = repo.strip_suffix("/-").unwrap_or(repo);
    let (reference, subdir) = rest.split_once('/').unwrap_or((rest, ""));
    let subdir = match subdir.trim_end_matches('/') {
        "" => None,
        subdir => Some(parse_subdir(subdir)?),
    };
    Ok((repo, Some((parse_reference(reference)?, subdir))))
}
