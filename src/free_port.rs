//! Free ports that stay free until their user listens on them.

use std::io;
use std::ops::Range;

/// Ports to choose from. Systems take the ports of outgoing connections, and those that programs leave to them, from
/// above: such a port could be taken before its user listens on it, or does so again after a restart.
pub(crate) const CHOICE: Range<u16> = 20_000..32_768;
/// Number of ports to try before the choice is left to the system.
const TRIES: usize = 64;

/// Returns the result of `bind` with the first random port for which it succeeds, or with 0, by which the system chooses.
pub(crate) fn bind_free<T>(bind: impl Fn(u16) -> io::Result<T>) -> io::Result<T> {
    let chosen = (0..TRIES).find_map(|_| bind(random_port()?).ok());
    chosen.map_or_else(|| bind(0), Ok)
}

fn random_port() -> Option<u16> {
    let random = getrandom::u32().ok()? % u32::from(CHOICE.end - CHOICE.start);
    u16::try_from(random).ok().map(|it| CHOICE.start + it)
}
