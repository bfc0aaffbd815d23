use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// Returns a port on which nothing listens, for a program that takes only a fixed one.
///
/// It is below the ports that the proxy and systems choose themselves (from 20,000, from 32,768 on Linux, from 49,152 on
/// others), so that no socket that asks for any free port, e.g. the proxy's own, gets it before that program. Each call
/// returns another.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 8_000;
    static TRIED: AtomicU16 = AtomicU16::new(0);
    // Two runs of the tests at once begin at different ports.
    let start = process::id().wrapping_mul(64);
    loop {
        let tried = u32::from(TRIED.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + start.wrapping_add(tried) % COUNT;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
