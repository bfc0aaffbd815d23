//! Tests for permitted sources, and for sources that must be refused.

use proptest::prelude::*;

use super::*;

const ALL: SourcePermissions = SourcePermissions {
    insecure: true,
    local: true,
};

fn parse(text: &str) -> Result<Source, SourceError> {
    Source::parse(text, ALL, Path::new("/home/me/dev"))
}

/// Formats `repository | reference | subdir | folder | name`.
fn told(text: &str) -> String {
    let source = match parse(text) {
        Ok(source) => source,
        Err(error) => panic!("{text}: {error}"),
    };
    assert_eq!(
        told_by_source(&source),
        source.to_string(),
        "it does not come back"
    );
    let StoreLocation { host, owner, repo } = &source.place;
    let reference = source.reference.as_deref().unwrap_or("-");
    let subdir = source.subdir.as_deref().unwrap_or(Path::new("-")).display();
    let repository = source.repository();
    let name = source.default_name();
    let text = format!("{repository} | {reference} | {subdir} | {host}/{owner}/{repo} | {name}");
    text.replace('\\', "/")
}

#[cfg(windows)]
#[test]
#[rustfmt::skip] // A table.
fn local_folders_have_a_drive_on_windows() {
    for (text, expected) in [
        (r"C:\git\weather", "C:/git/weather | - | - | local/C%3A+git/weather | weather"),
        (r"D:\git\@me\weather@v1#src/srv", "D:/git/@me/weather | v1 | src/srv | local/D%3A+git+%40me/weather | srv"),
        ("c:/git/weather", "c:/git/weather | - | - | local/c%3A+git/weather | weather"),
    ] {
        assert_eq!(told(text), expected, "{text}");
    }
}

/// Parses the text of a source again and returns the new text.
fn told_by_source(source: &Source) -> String {
    let again = parse(&source.to_string()).unwrap();
    assert_eq!(again.place, source.place);
    again.to_string()
}

#[test]
#[rustfmt::skip] // A table.
fn every_form_is_taken_apart() {
    for (text, expected) in [
        ("https://github.com/acme/weather", "https://github.com/acme/weather | - | - | github.com/acme/weather | weather"),
        ("https://github.com/acme/weather.git", "https://github.com/acme/weather | - | - | github.com/acme/weather | weather"),
        ("https://github.com/acme/weather/", "https://github.com/acme/weather | - | - | github.com/acme/weather | weather"),
        ("  https://github.com/acme/weather\n", "https://github.com/acme/weather | - | - | github.com/acme/weather | weather"),
        ("HTTPS://GitHub.com/acme/weather", "https://github.com/acme/weather | - | - | github.com/acme/weather | weather"),
        ("github.com/acme/weather", "https://github.com/acme/weather | - | - | github.com/acme/weather | weather"),
        ("gitlab.example.com/group/sub/weather@v1#/srv", "https://gitlab.example.com/group/sub/weather | v1 | srv | gitlab.example.com/group+sub/weather | srv"),
        ("https://github.com/acme/weather#/src/weather/", "https://github.com/acme/weather | - | src/weather | github.com/acme/weather | weather"),
        ("git+https://github.com/acme/weather", "https://github.com/acme/weather | - | - | github.com/acme/weather | weather"),
        ("https://github.com/acme/weather@v1.2", "https://github.com/acme/weather | v1.2 | - | github.com/acme/weather | weather"),
        ("https://github.com/acme/weather.git@v1.2", "https://github.com/acme/weather | v1.2 | - | github.com/acme/weather | weather"),
        ("https://github.com/acme/weather@feature/x", "https://github.com/acme/weather | feature/x | - | github.com/acme/weather | weather"),
        ("https://github.com/acme/weather@0a1b2c3#srv", "https://github.com/acme/weather | 0a1b2c3 | srv | github.com/acme/weather | srv"),
        ("https://github.com/acme/weather#src/weather", "https://github.com/acme/weather | - | src/weather | github.com/acme/weather | weather"),
        ("https://github.com/acme/weather#./src/", "https://github.com/acme/weather | - | src | github.com/acme/weather | src"),
        ("https://github.com/acme/weather#subdirectory=src", "https://github.com/acme/weather | - | src | github.com/acme/weather | src"),
        ("https://github.com/acme/weather#my server", "https://github.com/acme/weather | - | my server | github.com/acme/weather | my-server"),
        ("https://me@github.com/acme/weather", "https://github.com/acme/weather | - | - | github.com/acme/weather | weather"),
        ("https://me:s3cret@github.com/acme/weather@v1", "https://github.com/acme/weather | v1 | - | github.com/acme/weather | weather"),
        ("https://x-token:a@b@github.com/acme/weather", "https://github.com/acme/weather | - | - | github.com/acme/weather | weather"),
        ("https://github.com@evil.example/me/x", "https://evil.example/me/x | - | - | evil.example/me/x | x"),
        ("https://github.com/acme/weather/tree/main", "https://github.com/acme/weather | main | - | github.com/acme/weather | weather"),
        ("https://github.com/acme/weather/tree/v2/src/srv", "https://github.com/acme/weather | v2 | src/srv | github.com/acme/weather | srv"),
        ("https://github.com/acme/weather/tree/v2/src#other", "https://github.com/acme/weather | v2 | other | github.com/acme/weather | other"),
        ("https://gitlab.com/a/b/weather/-/tree/main/srv", "https://gitlab.com/a/b/weather | main | srv | gitlab.com/a+b/weather | srv"),
        ("https://gitlab.com/a/b/weather", "https://gitlab.com/a/b/weather | - | - | gitlab.com/a+b/weather | weather"),
        ("https://git.sr.ht/~me/weather", "https://git.sr.ht/~me/weather | - | - | git.sr.ht/%7Eme/weather | weather"),
        ("https://host.example/@scope/weather", "https://host.example/@scope/weather | - | - | host.example/%40scope/weather | weather"),
        ("https://host.example:8443/a/weather", "https://host.example:8443/a/weather | - | - | host.example+8443/a/weather | weather"),
        ("https://host.example:443/a/weather", "https://host.example/a/weather | - | - | host.example/a/weather | weather"),
        ("https://[::1]:8443/a/weather", "https://[::1]:8443/a/weather | - | - | %5B%3A%3A1%5D+8443/a/weather | weather"),
        ("https://host.example/weather.git", "https://host.example/weather | - | - | host.example/_/weather | weather"),
        ("https://host.example/a/.github", "https://host.example/a/.github | - | - | host.example/a/%2Egithub | github"),
        ("https://host.example/a/-x", "https://host.example/a/-x | - | - | host.example/a/%2Dx | x"),
        ("https://host.example/a/my.server", "https://host.example/a/my.server | - | - | host.example/a/my.server | my-server"),
        ("https://host.example/a+b/c", "https://host.example/a+b/c | - | - | host.example/a%2Bb/c | c"),
        ("http://host.example/a/weather", "http://host.example/a/weather | - | - | host.example/a/weather | weather"),
        ("git://host.example/a/weather", "git://host.example/a/weather | - | - | host.example/a/weather | weather"),
        ("ssh://git@host.example/a/weather.git", "ssh://git@host.example/a/weather | - | - | host.example/a/weather | weather"),
        ("ssh://git@host.example:2222/a/weather@main", "ssh://git@host.example:2222/a/weather | main | - | host.example+2222/a/weather | weather"),
        ("ssh://host.example/~/weather", "ssh://host.example/~/weather | - | - | host.example/%7E/weather | weather"),
        ("git@github.com:acme/weather.git", "git@github.com:acme/weather | - | - | github.com/acme/weather | weather"),
        ("git@github.com:acme/weather.git@v1#srv", "git@github.com:acme/weather | v1 | srv | github.com/acme/weather | srv"),
        ("work:acme/weather", "work:acme/weather | - | - | work/acme/weather | weather"),
        ("git@host.example:/srv/weather.git", "git@host.example:/srv/weather | - | - | host.example/srv/weather | weather"),
        ("acme/weather", "https://github.com/acme/weather | - | - | github.com/acme/weather | weather"),
        ("acme/weather@v1#srv", "https://github.com/acme/weather | v1 | srv | github.com/acme/weather | srv"),
        ("acme/weather.git", "https://github.com/acme/weather | - | - | github.com/acme/weather | weather"),
        ("acme/weather@feature/x", "https://github.com/acme/weather | feature/x | - | github.com/acme/weather | weather"),
        ("/srv/git/weather", "/srv/git/weather | - | - | local/srv+git/weather | weather"),
        ("/srv/git/weather.git@main", "/srv/git/weather.git | main | - | local/srv+git/weather | weather"),
        ("file:///srv/git/weather", "/srv/git/weather | - | - | local/srv+git/weather | weather"),
        ("file:/srv/git/weather", "/srv/git/weather | - | - | local/srv+git/weather | weather"),
        ("file:///srv/a%40b/weather@v1", "/srv/a@b/weather | v1 | - | local/srv+a%40b/weather | weather"),
        (".", "/home/me/dev | - | - | local/home+me/dev | dev"),
        ("./weather", "/home/me/dev/weather | - | - | local/home+me+dev/weather | weather"),
        ("./weather#srv", "/home/me/dev/weather | - | srv | local/home+me+dev/weather | srv"),
        ("../weather", "/home/me/weather | - | - | local/home+me/weather | weather"),
        ("../../../../../weather", "/weather | - | - | local/_/weather | weather"),
        ("/srv/my server", "/srv/my server | - | - | local/srv/my%20server | my-server"),
        ("/srv/.hidden", "/srv/.hidden | - | - | local/srv/%2Ehidden | hidden"),
    ] {
        assert_eq!(told(text), expected, "{text}");
    }
}

#[test]
fn hostile_and_empty_sources_are_refused() {
    for text in [
        "",
        "   ",
        "-x",
        "--upload-pack=touch /tmp/x",
        "weather",
        "a/b/c",
        "acme/",
        "/",
        "https://",
        "https://host.example",
        "https://host.example/",
        "https:///a/b",
        "https://host.example/..",
        "https://host.example/a/../../b",
        "https://host.example/a/%2e%2e/b",
        "https://host.example/a/.%2E",
        "https://host.example/a%2f..%2fb",
        "https://host.example/a\\..\\b/c",
        "https://host.example/a/./b",
        "https://host.example/a/.git",
        "https://host.example/a/b?x=y",
        "https://host.example/a b",
        "https://host.example/a\u{7}b/c",
        "https://host.example/a/b@",
        "https://host.example/a/b@-x",
        "https://host.example/a/b@--upload-pack=x",
        "https://host.example/a/b@a..b",
        "https://host.example/a/b@main^1",
        "https://host.example/a/b@main@{1}",
        "https://host.example/a/b@../x",
        "https://host.example/a/b@.hidden",
        "https://host.example/a/b@x.lock",
        "https://host.example/a/b@x:y",
        "https://host.example/a/b#",
        "https://host.example/a/b#/",
        "https://host.example/a/b#//etc",
        "https://host.example/a/b#/../etc",
        "https://host.example/a/b#..",
        "https://host.example/a/b#x/../../y",
        "https://host.example/a/b#-x",
        "https://host.example/a/b#.git/hooks",
        "https://host.example/a/b#x/.GIT",
        "https://host.example/a/b#x\\..\\y",
        "https://host.example/a/b/tree/-x",
        "ssh://-oProxyCommand=x/a",
        "ssh://me@-oProxyCommand=x/a",
        "ssh://%2DoProxyCommand=x/a",
        "ssh://%2doProxyCommand=x/a",
        "ssh://me@%2DoProxyCommand=x/a",
        "ssh://%2Dl@host/a",
        "ssh://me%40-oProxyCommand=x/a",
        "ssh://me%40%2DoProxyCommand=x/a",
        "https://%2Dhost/a/b",
        "ssh://host/-x/y",
        "ssh://host/%2Dx/y",
        "ssh://host//%2dx",
        "-oProxyCommand=x:a/b",
        "git@-oProxyCommand=x:a/b",
        "git@host:-x/y",
        "git@host:../../x",
        "git@host:",
        ":a/b",
        "ext::sh -c touch",
        "ext::sh",
        "fd::7",
        "ftp://host.example/a/b",
        "javascript://host/a/b",
        "file://host/share/x",
        "file:relative",
        #[cfg(unix)]
        "C:\\repo\\weather",
        "acme/..",
        "../..@../../x",
    ] {
        assert!(parse(text).is_err(), "{text:?} became {:?}", parse(text));
    }
}

#[test]
fn a_file_is_told_from_its_repository() {
    for (text, site) in [
        (
            "https://github.com/acme/weather/blob/main/server.py",
            "https://github.com",
        ),
        (
            "github.com/acme/weather/blob/main/src/server.py",
            "https://github.com",
        ),
        (
            "https://me:s3cret@git.example/acme/weather/-/blob/main/server.py",
            "https://git.example",
        ),
    ] {
        let said = parse(text).unwrap_err().to_string();
        let told = format!("write `{site}/acme/weather`");
        assert!(said.contains(&told), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
    assert!(parse("https://host.example/group/blob/weather").is_ok());
}

#[test]
fn some_must_be_permitted() {
    let strict =
        |text: &str| Source::parse(text, SourcePermissions::default(), Path::new("/")).unwrap_err();
    let insecure = |scheme: &str| SourceError::Insecure(scheme.to_owned(), "");
    for (text, expected) in [
        ("http://h/a/b", insecure("http")),
        ("git://h/a/b", insecure("git")),
        ("HTTP://h/a/b", insecure("http")),
        ("/srv/x", SourceError::Local("/srv/x".into())),
        ("./x", SourceError::Local("./x".into())),
        ("~/x", SourceError::Local("~/x".into())),
        ("file:///srv/x", SourceError::Local("file:///srv/x".into())),
    ] {
        assert_eq!(strict(text), expected);
    }
    // A model must not be told how the risk can be taken.
    assert!(!strict("http://h/a/b").to_string().contains("--insecure"));
    let person = SourcePermissions {
        insecure: false,
        local: true,
    };
    let told = Source::parse("http://h/a/b", person, Path::new("/")).unwrap_err();
    assert!(told.to_string().ends_with("or pass --insecure"), "{told}");
}

#[cfg(windows)]
#[test]
fn a_drive_within_a_path_is_refused() {
    for text in [r"~\A:", "./C:/x", r".\x\C:\y"] {
        assert!(
            matches!(parse(text), Err(SourceError::NoRepository(_))),
            "{text}"
        );
    }
}

#[test]
fn credentials_are_never_shown() {
    let source = parse("https://me:s3cret@host.example/a/b@v1").unwrap();
    let credentials = ("me".to_owned(), "s3cret".to_owned());
    assert!(
        matches!(&source.remote, RepositoryAddress::Http { credentials: Some(it), .. } if *it == credentials)
    );
    assert!(!format!("{source:?} {source} {}", source.repository()).contains("s3cret"));
    for text in [
        "https://me:s3cret@host.example/a/b?x",
        "https://me:s3cret@host.example/",
        "https://me:s3cret@-host.example/a",
        "ssh://me:s3cret@%2Dhost/a",
    ] {
        let said = parse(text).unwrap_err().to_string();
        assert!(!said.contains("s3cret"), "{said}");
    }
    assert!(parse("https://me:p%40-x@host.example/a/b").is_ok());
}

#[test]
fn a_long_name_stays_a_name_of_its_own() {
    let long = |end: &str| {
        parse(&format!("https://h/a/{}{end}", "x".repeat(300)))
            .unwrap()
            .place
    };
    assert_ne!(long("1"), long("2"));
    assert!(long("1").repo.len() < 150);
}

proptest! {
    #[test]
    fn nothing_leaves_its_place(text in "[-a-zA-Z0-9@:/.#%+~ \\\\]{0,40}|(https|ssh)://[-a-z0-9@:/.#%]{0,40}") {
        if let Ok(source) = parse(&text) {
            let StoreLocation { host, owner, repo } = &source.place;
            for name in [host, owner, repo] {
                prop_assert!(!name.is_empty() && name.len() < 200, "{}", name);
                prop_assert!(!name.starts_with(['.', '-']), "{}", name);
                prop_assert!(!name.contains(['/', '\\', '\0']), "{}", name);
            }
            if let Some(subdir) = &source.subdir {
                prop_assert!(subdir.components().all(|it| matches!(it, Component::Normal(_))));
            }
            prop_assert!(source.reference.as_deref().is_none_or(|it| !it.starts_with('-')));
            match &source.remote {
                RepositoryAddress::Program(url) => prop_assert!(!url.starts_with('-')),
                RepositoryAddress::Http { url, .. } => prop_assert!(url.username().is_empty() && url.password().is_none()),
                RepositoryAddress::Local(path) => prop_assert!(path.has_root()),
            }
            prop_assert!(source.default_name().chars().all(|it| is_plain(it) && it != '.'));
        }
    }

    #[test]
    fn different_repositories_have_different_places(one in "[a-c.+%]{1,4}(/[a-c.+%]{1,4}){1,2}", other in "[a-c.+%]{1,4}(/[a-c.+%]{1,4}){1,2}") {
        let place = |path: &str| parse(&format!("https://h/{path}")).map(|it| it.place);
        if let (Ok(first), Ok(second)) = (place(&one), place(&other)) {
            let plain = |path: &str| path.strip_suffix(".git").unwrap_or(path).to_owned();
            prop_assert_eq!(plain(&one) == plain(&other), first == second);
        }
    }
}
