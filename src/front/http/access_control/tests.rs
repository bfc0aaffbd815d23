#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;

use axum::http::HeaderValue;
use axum::response::IntoResponse as _;

use super::*;

fn options(address: &str) -> HttpOptions {
    HttpOptions {
        address: Address::Tcp(address.parse().unwrap()),
        token_file: None,
        origins: vec!["https://ide.example".to_owned()],
        hosts: vec!["dev.example".to_owned()],
        max_sessions: 1,
        pass_through: None,
        session_idle: std::time::Duration::from_secs(1),
    }
}

/// Returns the status with which a request with these headers is refused; 200 if it is allowed.
fn status(guard: &AccessControl, headers: &[(HeaderName, &str)]) -> u16 {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    let refused = guard
        .check_host_and_origin(&map)
        .and_then(|()| guard.check_token(&map))
        .err();
    refused.map_or(200, |refused| refused.into_response().status().as_u16())
}

#[test]
fn names_and_pages_that_lead_elsewhere_are_kept_out() {
    let guard = AccessControl::new(&options("127.0.0.1:8808")).unwrap();
    for (host, expected) in [
        ("127.0.0.1:8808", 200),
        ("localhost:8808", 200),
        ("LocalHost:8808", 200),
        ("[::1]:8808", 200),
        ("dev.example", 200),
        ("dev.example:8808", 200),
        ("localhost", 403),
        ("localhost:8809", 403),
        ("127.0.0.1:80808", 403),
        ("evil.example:8808", 403),
        ("localhost.evil.example:8808", 403),
        ("evil.example@localhost:8808", 403),
        ("", 403),
    ] {
        assert_eq!(status(&guard, &[(header::HOST, host)]), expected, "{host}");
    }
    let host = (header::HOST, "localhost:8808");
    for (origin, expected) in [
        ("http://localhost:8808", 200),
        ("http://127.0.0.1:8808", 200),
        ("https://ide.example", 200),
        ("http://localhost:5173", 403),
        ("http://localhost", 403),
        ("https://evil.example", 403),
        ("https://ide.example.evil.example", 403),
        ("file://localhost:8808", 403),
        ("null", 403),
    ] {
        let headers = [host.clone(), (header::ORIGIN, origin)];
        assert_eq!(status(&guard, &headers), expected, "{origin}");
    }
    assert_eq!(status(&guard, &[]), 403);
    assert_eq!(status(&guard, &[host.clone(), host.clone()]), 400);
    let origin = (header::ORIGIN, "http://localhost:8808");
    assert_eq!(status(&guard, &[host, origin.clone(), origin]), 400);
}

#[cfg(unix)]
#[test]
fn a_server_on_all_addresses_has_each_of_them() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret").unwrap();
    for (address, host, expected) in [
        ("0.0.0.0:8808", "192.168.1.5:8808", 200),
        ("[::]:8808", "[fd00::5]:8808", 200),
        ("[::]:80", "192.168.1.5", 200),
        ("0.0.0.0:8808", "localhost:8808", 200),
        ("0.0.0.0:8808", "192.168.1.5:8809", 403),
        ("0.0.0.0:8808", "192.168.1.5", 403),
        ("0.0.0.0:8808", "192.168.1.5.evil.example:8808", 403),
        ("0.0.0.0:8808", "evil.example:8808", 403),
        ("127.0.0.1:8808", "192.168.1.5:8808", 403),
    ] {
        let options = HttpOptions {
            token_file: Some(file.path().to_owned()),
            ..options(address)
        };
        let guard = AccessControl::new(&options).unwrap();
        let headers = [
            (header::HOST, host),
            (header::AUTHORIZATION, "Bearer s3cret"),
        ];
        assert_eq!(status(&guard, &headers), expected, "{address} {host}");
    }
}

#[cfg(unix)]
#[test]
fn a_token_is_asked_for_where_others_can_come() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let with_file = |address| HttpOptions {
        token_file: Some(file.clone()),
        ..options(address)
    };
    assert!(matches!(
        AccessControl::new(&options("0.0.0.0:1")),
        Err(AccessControlError::Open(_))
    ));
    assert!(matches!(
        AccessControl::new(&with_file("0.0.0.0:1")),
        Err(AccessControlError::Token(..))
    ));
    crate::private_files::write_new(&file, "\nx").unwrap();
    assert!(matches!(
        AccessControl::new(&with_file("[::1]:1")),
        Err(AccessControlError::NoToken(_))
    ));
    std::fs::write(&file, " s3cret \nmore").unwrap();
    let guard = AccessControl::new(&with_file("127.0.0.1:8808")).unwrap();
    for (shown, expected) in [
        ("Bearer s3cret", 200),
        ("bearer  s3cret", 200),
        ("Bearer s3cre", 401),
        ("Bearer s3cret2", 401),
        ("Basic s3cret", 401),
        ("s3cret", 401),
    ] {
        let headers = [
            (header::HOST, "localhost:8808"),
            (header::AUTHORIZATION, shown),
        ];
        assert_eq!(status(&guard, &headers), expected, "{shown}");
    }
    assert_eq!(status(&guard, &[(header::HOST, "localhost:8808")]), 401);
    for mode in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = AccessControl::new(&with_file("127.0.0.1:8808")).unwrap_err();
        let advice = format!("chmod 600 {}", file.display());
        assert!(error.to_string().contains(&advice), "{error}");
    }
}

#[test]
fn a_socket_in_the_file_system_has_no_names_and_no_pages() {
    let options = HttpOptions {
        address: Address::Unix("proxy.sock".into()),
        ..options("127.0.0.1:1")
    };
    let guard = AccessControl::new(&options).unwrap();
    let origin = |origin| status(&guard, &[(header::HOST, "any"), (header::ORIGIN, origin)]);
    assert_eq!(status(&guard, &[]), 200);
    assert_eq!(origin("http://localhost"), 403);
    assert_eq!(origin("https://ide.example"), 200);
}
