//! Installations over an existing entry: replacement, its backup, and a repeated request.

use std::fs;

use super::*;

const OWN: &str = r#"{"mcpServers": {"proxy": {"command": "mcp-proxy", "args": ["serve"]}}}"#;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

#[tokio::test]
async fn a_replaced_entry_is_kept_in_a_backup_that_the_result_names() {
    let world = World::new();
    let text = BEFORE.replace(r#""x""#, r#""x", "env": { "KEY": "precious" }"#);
    fs::write(world.config_file(), &text).unwrap();
    let request = InstallRequest {
        name: Some("other".into()),
        overwrite: true,
        ..world.request()
    };
    let installed = world.install(request.clone()).await.unwrap();
    let backup = &installed.backups[0];
    assert_eq!(fs::read_to_string(backup).unwrap(), text);
    let note = format!(
        "replaced the former entry `other`, which is kept in {}; the new entry lacks its KEY",
        backup.display()
    );
    assert!(installed.notes.contains(&note), "{:?}", installed.notes);
    assert!(!world.config().contains("precious"));

    let config = world.config();
    let again = InstallRequest {
        env: variables(&[("KEY", "other")]),
        origin: RequestOrigin::Tool,
        ..request
    };
    let replaced = world.install(again).await.unwrap();
    assert_eq!(replaced.outcome, InstallOutcome::Updated);
    let backup = fs::read_to_string(&replaced.backups[0]).unwrap();
    assert_eq!(backup, config);
    let told = |it: &String| it.starts_with("replaced the former entry") && !it.contains("lacks");
    assert!(replaced.notes.iter().any(told), "{:?}", replaced.notes);

    let new = world.install(world.request()).await.unwrap();
    assert!(new.backups.is_empty(), "{new:?}");
}

#[tokio::test]
async fn a_model_neither_removes_nor_replaces_the_proxy_itself() {
    let world = World::new();
    fs::write(world.config_file(), OWN).unwrap();
    let request = |origin, overwrite| InstallRequest {
        name: Some("proxy".into()),
        overwrite,
        origin,
        ..world.request()
    };
    let removal = world
        .installer
        .removal("proxy", false, true, RequestOrigin::Tool);
    for refused in [
        world
            .install(request(RequestOrigin::Tool, true))
            .await
            .err(),
        world
            .install(request(RequestOrigin::Tool, false))
            .await
            .err(),
        removal.await.err(),
    ] {
        assert!(matches!(refused, Some(InstallError::Own(_))), "{refused:?}");
    }
    assert_eq!((world.stored(), &*world.config()), (Vec::new(), OWN));

    let removed = world.remove("proxy", false).await.unwrap();
    let told = |it: &String| it.contains("no longer has the proxy");
    assert!(removed.notes.iter().any(told), "{:?}", removed.notes);
    fs::write(world.config_file(), OWN).unwrap();
    let replaced = world.install(request(PERSON, true)).await.unwrap();
    assert!(replaced.notes.iter().any(told), "{:?}", replaced.notes);
}

#[tokio::test]
async fn a_repetition_with_other_variables_is_refused() {
    let world = World::new();
    let request = |pairs: &[(&str, &str)], origin| InstallRequest {
        env: variables(pairs),
        origin,
        ..world.request()
    };
    let first = &[("KEY", "one")];
    world.install(request(first, PERSON)).await.unwrap();
    let config = world.config();
    for (origin, advice) in [
        (PERSON, "--overwrite"),
        (RequestOrigin::Tool, "`overwrite`"),
    ] {
        for (pairs, name) in [
            (&[("KEY", "two")][..], "of KEY;"),
            (&[("KEY", "one"), ("MORE", "one")], "of MORE;"),
        ] {
            let refused = world.install(request(pairs, origin)).await;
            let error = refused.unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(advice), "{error}");
        }
        for pairs in [&first[..], &[]] {
            let same = world.install(request(pairs, origin)).await.unwrap();
            assert_eq!(same.outcome, InstallOutcome::Same);
        }
    }
    assert_eq!(world.config(), config);
}

#[tokio::test]
async fn a_value_that_no_process_can_receive_is_refused() {
    let world = World::new();
    let request = InstallRequest {
        env: variables(&[("KEY", "a\0b")]),
        origin: RequestOrigin::Tool,
        ..world.request()
    };
    let error = world.install(request).await.unwrap_err();
    assert!(matches!(error, InstallError::VariableValue(_)), "{error}");
    world.assert_untouched("a NUL");
}
