//! The official conformance suite from its other side: its servers must find the proxy to be as good a client as
//! the one that the proxy serves. The proxy does not log in to servers: it has `headers`.

use std::ffi::OsString;

use crate::harness::suite::{approved, run};
use crate::harness::{Proxy, program};

/// The client of the Python SDK plays the scenario through the proxy, which must pass the checks that it passes by itself,
/// `count` of them. More may pass there: the proxy asks for lists of its own accord.
#[track_caller]
fn plays(scenario: &str, revision: &str, count: usize) {
    plays_with(&[], scenario, revision, count);
}

/// The same with this environment besides, in which the client uses the proxy.
#[track_caller]
fn plays_with(environment: &[&str], scenario: &str, revision: &str, count: usize) {
    let client = program("python/conformance_client.py");
    let proxy = format!("MCP_PROXY_PROGRAM={}", Proxy::program().display());
    let mut through: Vec<OsString> = vec!["env".into(), proxy.into()];
    through.extend(environment.iter().map(OsString::from));
    through.extend(client.clone());
    let passed = |words: Vec<OsString>| {
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let command = shlex::try_join(words.iter().map(AsRef::as_ref)).unwrap();
        let options = [
            ["client", "--command", &command],
            ["--timeout", "600000", "--scenario"],
            [scenario, "--spec-version", revision],
        ];
        let options: Vec<_> = options.concat().iter().map(OsString::from).collect();
        run(&options, |_| {})
    };
    let direct = approved(&format!("{revision}/{scenario}"), || passed(client));
    let through = passed(through);
    assert_eq!(direct.len(), count, "{scenario}: {direct:#?}");
    let lost: Vec<_> = direct.difference(&through).collect();
    assert!(lost.is_empty(), "{scenario}: lost {lost:#?}");
}

#[test]
fn servers_of_the_legacy_era_find_nothing_amiss() {
    for (scenario, count) in [
        ("initialize", 1),
        ("tools_call", 2),
        ("elicitation-sep1034-client-defaults", 5),
        ("sse-retry", 3),
        ("json-schema-2020-12-preservation", 9),
    ] {
        plays(scenario, "2025-11-25", count);
    }
}

#[test]
fn servers_of_the_modern_era_find_nothing_amiss() {
    for (scenario, count) in [
        ("tools_call", 2),
        ("request-metadata", 8),
        ("sep-2322-client-request-state", 5),
        ("http-standard-headers", 9),
        ("http-custom-headers", 18),
        ("http-invalid-tool-headers", 12),
        ("json-schema-ref-no-deref", 1),
        ("json-schema-2020-12-preservation", 9),
    ] {
        plays(scenario, "2026-07-28", count);
    }
}

/// The client has no part in the eras: its answers to requests become members of the call that is sent again.
#[test]
fn a_legacy_client_gives_input_as_a_modern_one_does() {
    let scenario = "sep-2322-client-request-state";
    plays_with(&["MCP_PROXY_CLIENT=legacy"], scenario, "2026-07-28", 5);
}
