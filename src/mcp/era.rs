//! The two eras of the protocol.

use crate::config::EraChoice;

/// Protocol era of a link; a property of the link, not of a server or a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Era {
    /// 2024-11-05 to 2025-11-25: `initialize` opens a session.
    Legacy,
    /// 2026-07-28: every request stands alone.
    Modern,
}

/// Newest revision of the legacy era.
pub(crate) const LATEST_LEGACY: &str = "2025-11-25";
/// The only revision in which a client may send several messages as one array.
pub(crate) const WITH_BATCHES: &str = "2025-03-26";
/// Revision of the modern era.
pub(crate) const MODERN: &str = "2026-07-28";

/// Error code for headers that differ from the body.
pub(crate) const HEADER_MISMATCH: i64 = -32020;

/// Error code for a request that needs a capability which its client did not declare.
pub(crate) const MISSING_CAPABILITY: i64 = -32021;

/// Error code for a request of a revision that the receiver does not support.
pub(crate) const UNSUPPORTED_REVISION: i64 = -32022;

/// Error code of legacy servers for a call that first needs the user at a URL, given in the error's data; the modern
/// era forbids it.
pub(crate) const URL_ELICITATION_REQUIRED: &str = "-32042";

/// Returns true for a revision of the legacy era.
pub(crate) fn is_legacy_version(version: &str) -> bool {
    legacy_version(version) == version
}

/// Returns the revision to agree on with a client that requested `requested`: the same one if it belongs to the legacy
/// era, else the newest legacy revision.
pub(crate) fn legacy_version(requested: &str) -> &'static str {
    ["2024-11-05", "2025-03-26", "2025-06-18"]
        .into_iter()
        .find(|version| *version == requested)
        .unwrap_or(LATEST_LEGACY)
}

impl Era {
    /// Returns the era that the user forces, if any.
    pub(crate) fn forced_by(choice: EraChoice) -> Option<Self> {
        match choice {
            EraChoice::Auto => None,
            EraChoice::Legacy => Some(Self::Legacy),
            EraChoice::Modern => Some(Self::Modern),
        }
    }

    /// Returns `legacy` or `modern`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}
