//! Fuzz targets for `tests/fuzz`: parsers of untrusted bytes. Every test run also reads the corpus and the inputs
//! found by fuzzers in `fixtures/fuzz`.

pub use crate::config::fuzz::configuration;
pub use crate::front::http::fuzz::requests;
pub use crate::install::fuzz::{packets, trees};
pub use crate::jsonrpc::fuzz::messages;
pub use crate::recorder::fuzz::recordings;
pub use crate::transport::http::fuzz::events;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    type Target = fn(&[u8]);

    const TARGETS: [(&str, Target); 7] = [
        ("configuration", super::configuration),
        ("events", super::events),
        ("messages", super::messages),
        ("packets", super::packets),
        ("recordings", super::recordings),
        ("requests", super::requests),
        ("trees", super::trees),
    ];

    #[test]
    fn findings_of_fuzzers_hold() {
        for (name, target) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/fuzz");
            let inputs = fs::read_dir(folder.join(name)).unwrap();
            let mut count = 0;
            for input in inputs {
                target(&fs::read(input.unwrap().path()).unwrap());
                count += 1;
            }
            assert!(count > 0, "{name}");
        }
    }
}
