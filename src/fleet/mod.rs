//! The servers of one session.

mod fingerprint;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "for the catalog, which is not there yet")
)]
mod names;
