//! Branches and tags of a repository, and the resolution of a name to a commit. Pure.

use git2::Oid;

/// Refs and capabilities that a repository advertises.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refs {
    /// Full names as git writes them; `^{}` after a tag's name marks the commit the tag points at.
    pub(super) all: Vec<(String, Oid)>,
    /// Branch that `HEAD` points at.
    pub(super) head: Option<String>,
    /// True if a commit that no ref points at can be requested.
    pub(super) any_commit: bool,
    /// True if a commit can be requested without its ancestors.
    pub(super) shallow: bool,
    /// True if commits can be requested without their files.
    pub(super) filter: bool,
}

/// Meaning of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RefLookup {
    /// Known commit, and the ref that led to it.
    Known {
        commit: Oid,
        reference: Option<String>,
    },
    /// Commit that no ref points at; it may still exist.
    Commit(String),
    /// Unknown name; holds similar names.
    Unknown(Vec<String>),
}

impl Refs {
    /// Resolves `name`: a branch first, as in `git clone --branch`, then a tag, then a commit. A full id always means
    /// that commit, since anybody can name a branch like it. Without a name, returns the default branch.
    pub(super) fn find(&self, name: Option<&str>) -> RefLookup {
        let Some(name) = name else {
            return self.default_branch();
        };
        let is_commit =
            (7..=40).contains(&name.len()) && name.bytes().all(|it| it.is_ascii_hexdigit());
        if is_commit && name.len() == 40 {
            return self.pointed_at(&name.to_ascii_lowercase());
        }
        let full = [
            format!("refs/heads/{name}"),
            format!("refs/tags/{name}"),
            name.to_owned(),
        ];
        let is_full = |it: &String| it.starts_with("refs/") || it == "HEAD";
        for reference in full.into_iter().filter(is_full) {
            if let Some(commit) = self.commit_of(&reference) {
                let reference = Some(reference);
                return RefLookup::Known { commit, reference };
            }
        }
        if is_commit {
            return RefLookup::Commit(name.to_ascii_lowercase());
        }
        RefLookup::Unknown(self.near(name))
    }

    /// Returns the commit with this full id, or the commit of the tag with this id.
    fn pointed_at(&self, id: &str) -> RefLookup {
        let named = self.all.iter().find(|(_, it)| it.to_string() == id);
        match named.and_then(|(name, _)| self.commit_of(name)) {
            Some(commit) => RefLookup::Known {
                commit,
                reference: None,
            },
            None => RefLookup::Commit(id.to_owned()),
        }
    }

    fn default_branch(&self) -> RefLookup {
        let reference = self.head.clone();
        match self
            .commit_of("HEAD")
            .or_else(|| self.commit_of(reference.as_deref()?))
        {
            Some(commit) => RefLookup::Known { commit, reference },
            None => RefLookup::Unknown(Vec::new()),
        }
    }

    fn commit_of(&self, reference: &str) -> Option<Oid> {
        let id = |name: &str| {
            self.all
                .iter()
                .find(|(it, _)| it == name)
                .map(|(_, id)| *id)
        };
        id(&format!("{reference}^{{}}")).or_else(|| id(reference))
    }

    /// Returns up to three names similar to `name`.
    fn near(&self, name: &str) -> Vec<String> {
        let short = |full: &str| {
            let short = full
                .strip_prefix("refs/heads/")
                .or_else(|| full.strip_prefix("refs/tags/"));
            short.filter(|it| !it.ends_with("^{}")).map(str::to_owned)
        };
        let likeness = |it: &String| {
            // Similarity of letters underrates `v1.2` for `1.2` and `master` for `main`.
            let contains = it.contains(name) || name.contains(it.as_str());
            let defaults = ["main", "master"];
            let default = defaults.contains(&it.as_str()) && defaults.contains(&name);
            if contains || default {
                1.0
            } else {
                strsim::jaro_winkler(name, it)
            }
        };
        let mut near: Vec<(f64, String)> = self
            .all
            .iter()
            .filter_map(|(full, _)| short(full))
            .map(|it| (likeness(&it), it))
            .filter(|(likeness, _)| *likeness > 0.8)
            .collect();
        near.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        near.into_iter().map(|(_, name)| name).take(3).collect()
    }

    /// Returns true if any ref points at this commit.
    pub(super) fn stands_for(&self, commit: Oid) -> bool {
        self.all.iter().any(|(_, id)| *id == commit)
    }

    /// Returns true if a branch, tag or `HEAD` points at this commit. Anybody can create other refs (pull requests).
    pub(super) fn is_tip(&self, commit: Oid) -> bool {
        let mut all = self.all.iter();
        all.any(|(name, id)| *id == commit && (is_branch_or_tag(name) || name == "HEAD"))
    }

    /// Returns the ids of all branches and tags, for a repository that serves no other commits.
    pub(super) fn branches_and_tags(&self) -> Vec<Oid> {
        let mut ids: Vec<Oid> = self
            .all
            .iter()
            .filter(|(name, _)| is_branch_or_tag(name) && !name.ends_with("^{}"))
            .map(|(_, id)| *id)
            .collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

fn is_branch_or_tag(name: &str) -> bool {
    name.starts_with("refs/heads/") || name.starts_with("refs/tags/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> Oid {
        Oid::from_str(&digit.to_string().repeat(40)).unwrap()
    }

    fn refs() -> Refs {
        let all = [
            ("HEAD", '1'),
            ("refs/heads/main", '1'),
            ("refs/heads/feature/x", '2'),
            ("refs/heads/both", '3'),
            ("refs/tags/both", '4'),
            ("refs/tags/v1.0", '5'),
            ("refs/tags/v1.0^{}", '6'),
            ("refs/pull/7/head", '7'),
            ("refs/heads/8888888888888888888888888888888888888888", '2'),
        ];
        Refs {
            all: all
                .map(|(name, digit)| (name.to_owned(), id(digit)))
                .to_vec(),
            head: Some("refs/heads/main".to_owned()),
            ..Refs::default()
        }
    }

    #[test]
    fn a_name_means_a_branch_then_a_tag_then_a_commit() {
        let seven = "7".repeat(40);
        for (name, commit, reference) in [
            (None, '1', Some("refs/heads/main")),
            (Some("main"), '1', Some("refs/heads/main")),
            (Some("feature/x"), '2', Some("refs/heads/feature/x")),
            (Some("both"), '3', Some("refs/heads/both")),
            (Some("refs/tags/both"), '4', Some("refs/tags/both")),
            (Some("v1.0"), '6', Some("refs/tags/v1.0")),
            (Some("refs/pull/7/head"), '7', Some("refs/pull/7/head")),
            (Some("HEAD"), '1', Some("HEAD")),
            (Some(&*seven), '7', None),
        ] {
            let reference = reference.map(str::to_owned);
            let known = RefLookup::Known {
                commit: id(commit),
                reference,
            };
            assert_eq!(refs().find(name), known, "{name:?}");
        }
        let hidden = "ABCDEF0123";
        assert_eq!(
            refs().find(Some(hidden)),
            RefLookup::Commit(hidden.to_lowercase())
        );
    }

    #[test]
    fn an_id_is_no_name() {
        let eight = "8".repeat(40);
        assert_eq!(refs().find(Some(&eight)), RefLookup::Commit(eight));
        let tag = refs().find(Some(&"5".repeat(40)));
        let commit = id('6');
        assert_eq!(
            tag,
            RefLookup::Known {
                commit,
                reference: None
            }
        );
        let tips = ['1', '2', '5', '6', '7', '9'].map(|it| refs().is_tip(id(it)));
        assert_eq!(tips, [true, true, true, true, false, false]);
    }

    #[test]
    fn an_unknown_name_has_near_ones() {
        let near = |name| match refs().find(Some(name)) {
            RefLookup::Unknown(near) => near,
            other => panic!("{other:?}"),
        };
        assert_eq!(near("master"), ["main"]);
        assert_eq!(near("1.0"), ["v1.0"]);
        assert_eq!(near("feture/x"), ["feature/x"]);
        assert_eq!(near("pull/7/head"), [""; 0]);
        assert_eq!(near("abcdef"), [""; 0]);
        assert_eq!(Refs::default().find(None), RefLookup::Unknown(Vec::new()));
    }

    #[test]
    fn everything_is_asked_for_once() {
        let ids = ['1', '2', '3', '4', '5'].map(id);
        assert_eq!(refs().branches_and_tags(), ids);
    }
}
