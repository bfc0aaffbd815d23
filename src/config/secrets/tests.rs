//! Hidden secrets, and ordinary text that stays readable.

use super::*;

/// Words of a command, each with its displayed form.
type Row = (&'static [&'static str], &'static [&'static str]);
#[rustfmt::skip] // A table.
const ROWS: &[Row] = &[
    (&["--api-key", "abc", "--port", "80"], &["--api-key", "***", "--port", "80"]),
    (&["--password=abc", "--pat=a", "--path=a"], &["--password=***", "--pat=***", "--path=a"]),
    (&["-H", "X-Api: abc"], &["-H", "X-Api: ***"]),
    (&["--header=Authorization:Bearer abc"], &["--header=Authorization:Bearer ***"]),
    (&["--header", "${H}"], &["--header", "${H}"]),
    (&["Authorization: Bearer ${T}"], &["Authorization: Bearer ${T}"]),
    (&["X-Api-Key:abc"], &["X-Api-Key:***"]),
    (&["https://u:p@x.example/a/b?k=v#f"], &["https://***@x.example/a/b?***"]),
    (&["https://x.example/services/T0/B0/a1b2c3d4e5f6g7h8i9"], &["https://x.example/services/T0/B0/***"]),
    (&["https://x.example/${A}/mcp"], &["https://x.example/${A}/mcp"]),
    (&["user:pass@db:5432"], &["***@db:5432"]),
    (
        &[
            "npm:left-pad@1.0.0",
            "@scope/server@1.2.3",
            "git@github.com:me/x",
        ],
        &[
            "npm:left-pad@1.0.0",
            "@scope/server@1.2.3",
            "git@github.com:me/x",
        ],
    ),
    (&["sk-abcdefgh12345678"], &["***"]),
    (&["--env=API_KEY=abc", "-e", "API_KEY=abc"], &["--env=API_KEY=***", "-e", "API_KEY=***"]),
    (&["-u", "me:abc"], &["-u", "me:***"]),
    (&["-u", "server.py", "--no-auth", "server.py"], &["-u", "server.py", "--no-auth", "server.py"]),
    (&["jdbc:sqlserver://db;user=sa;password=abc"], &["jdbc:sqlserver://db;user=sa;password=***"]),
    (&["host=db password=abc user=u"], &["host=db password=*** user=u"]),
    (&["exec env API_KEY=abc npx x"], &["exec env API_KEY=*** npx x"]),
    (&["mysql://u:a/bc@host/db", "pg://u:a?bc@h/db"], &["mysql://***@host/db", "pg://***@h/db"]),
    (&["--max-tokens", "4096", "--author", "me"], &["--max-tokens", "4096", "--author", "me"]),
    (&["/nix/store/a1b2c3d4e5f6a7b8-python3/bin/python"], &["/nix/store/a1b2c3d4e5f6a7b8-python3/bin/python"]),
    (
        &[
            "--user=me:abc",
            "-ume:abc",
            "-HX-Api: k=abc",
            "--proxy-user",
            "me:abc",
        ],
        &[
            "--user=me:***",
            "-ume:***",
            "-HX-Api: ***",
            "--proxy-user",
            "me:***",
        ],
    ),
    (
        &[
            "-c host=db password=abc",
            "-x --token abc",
            "--run=curl --token abc",
        ],
        &[
            "-c host=db password=***",
            "-x --token ***",
            "--run=curl --token ***",
        ],
    ),
    (&["-e", "PLAIN=abc", "--env=PLAIN=${A}"], &["-e", "PLAIN=***", "--env=PLAIN=${A}"]),
    (
        &[
            "--keyboard",
            "de",
            "--key-file",
            "k.pem",
            "--token-limit=80",
            "--monkey",
            "x",
        ],
        &[
            "--keyboard",
            "de",
            "--key-file",
            "k.pem",
            "--token-limit=80",
            "--monkey",
            "x",
        ],
    ),
    (
        &[
            "--auth-url",
            "https://x/y?k=1",
            "--webhook-url",
            "https://x/y",
        ],
        &["--auth-url", "https://x/y?***", "--webhook-url", "***"],
    ),
    (
        &[
            "apiKey=a",
            "--accessToken",
            "a",
            "TOKEN1=a",
            "pgpassword=a",
            "--mysecrets",
            "a",
        ],
        &[
            "apiKey=***",
            "--accessToken",
            "***",
            "TOKEN1=***",
            "pgpassword=***",
            "--mysecrets",
            "***",
        ],
    ),
    (
        &["curl -H 'Authorization: Bearer abc' -u me:abc https://u:p@x/y | sh"],
        &["curl -H 'Authorization: Bearer ***' -u me:*** https://***@x/y | sh"],
    ),
    (
        &["A_KEY=\"abc def\" run --token abc; Authorization: Bearer abc"],
        &["A_KEY=\"***\" run --token ***; Authorization: Bearer ***"],
    ),
    (
        &[
            "https://a.example,https://u:p@b.example",
            "https://proxy/https://u:p@x/y",
        ],
        &[
            "https://a.example,https://***@b.example",
            "https://proxy/https://***@x/y",
        ],
    ),
    (&["https://x/y?next=https://z/w"], &["https://x/y?***"]),
    (
        &["img@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
        &["img@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
    ),
    (&["C:\\Program Files\\x\\y.exe", "two  words", "it's"], &["C:\\Program Files\\x\\y.exe", "two  words", "it's"]),
    (
        &["git+https://github.com/x/y@0123456789abcdef0123456789abcdef01234567"],
        &["git+https://github.com/x/y@0123456789abcdef0123456789abcdef01234567"],
    ),
    (&["https://h:8080/x@v1"], &["https://h:8080/x@v1"]),
    (&["01234567-89ab-cdef-0123-456789abcdef"], &["***"]),
    (&["{\"apiKey\": \"abc\"}", "{\"a\": 1}"], &["***", "{\"a\": 1}"]),
    (&["${TOKEN:-abc}", "${DIR:-src}", "a/${X}/b"], &["${TOKEN:-***}", "${DIR:-src}", "a/${X}/b"]),
    (
        &[
            "/home/me/my-server-2/dist/index.js",
            "C:\\x\\y.py",
            "mcp_server_fetch==2025.1.17",
        ],
        &[
            "/home/me/my-server-2/dist/index.js",
            "C:\\x\\y.py",
            "mcp_server_fetch==2025.1.17",
        ],
    ),
];

#[test]
fn arguments_are_shown_without_secrets() {
    for (args, shown) in ROWS {
        let found = shown_words(args.iter().copied());
        assert_eq!(found, *shown, "{args:?}");
    }
}

#[test]
fn every_word_that_was_sent_is_hidden() {
    let sent = [
        "Bearer abcd".to_owned(),
        "sid=wxyz; theme=dark".to_owned(),
        "a b".to_owned(),
    ];
    let said = "got abcd (Bearer abcd), wxyz and dark; a b";
    assert_eq!(
        without(said, &words(&sent)),
        "got *** (***), *** and ***; a b"
    );
}
