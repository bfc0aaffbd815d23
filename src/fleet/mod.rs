//! The servers of one session.

mod fingerprint;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "for the search, which nobody can ask yet")
)]
mod known;
mod names;
