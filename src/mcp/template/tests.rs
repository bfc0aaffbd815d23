//! Tests with the examples of RFC 6570, templates of real servers, and hostile input.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(template: &str, yes: &[&str], no: &[&str]) {
    let read = Template::new(template);
    for uri in yes {
        assert!(read.matches(uri), "{template} should match {uri:?}");
    }
    for uri in no {
        assert!(!read.matches(uri), "{template} should not match {uri:?}");
    }
}

#[test]
fn simple_and_reserved_values() {
    check(
        "note://{id}/text",
        &["note://1/text", "note://a b/text", "note://%C3%BC/text"],
        &[
            "note:///text",
            "note://a/b/text",
            "note://1/text2",
            "Note://1/text",
            "note://1?/text",
        ],
    );
    check(
        "file:///{+path}",
        &["file:///a", "file:///a/b?c#d"],
        &["file:///", "file://a"],
    );
    check(
        "map?{x,y}",
        &["map?1024,768", "map?1024"],
        &["map?", "map?1/2"],
    );
    check("{+x,hello,y}", &["1024,Hello%20World!,768"], &[""]);
    check("{+path,x}here", &["/foo/bar,1024here"], &["/foo/bar,1024"]);
    check("{a}{b}", &["ab", "abc"], &["a", ""]);
}

#[test]
fn fragments_labels_and_segments() {
    check("x{#a,b}", &["x", "x#1", "x#/foo/bar,1024"], &["x1", "y#1"]);
    check(
        "www{.dom*}",
        &["www.example.com", "www"],
        &["www/example", "wwwx"],
    );
    check("X{.x,y}", &["X.1024.768", "X.1024"], &["X1024"]);
    check("a{/b}/c", &["a/b/c", "a/c", "a//c"], &["a/b/b/c", "a/bc"]);
    check(
        "{/list*,path:4}",
        &["/red/green/blue/%2Ffoo", "/x"],
        &["red"],
    );
    check(
        "{/var:1,var}",
        &["/v/value", "/value"],
        &["/va/value", "/v/a/b"],
    );
    check("a{/b*}", &["a", "a/1/2/3"], &["ab", "a/1?x"]);
}

#[test]
fn parameters_and_queries() {
    check(
        "{;x,y,empty}",
        &[";x=1024;y=768;empty", ";y=1", ""],
        &[";z=1", "x=1", ";x=1/2", ";xy"],
    );
    check("{;hello:5}", &[";hello=Hello"], &[";hello=Hello!"]);
    check("{;keys*}", &[";comma=%2C;dot=.;semi=%3B"], &[";a/b", "a=1"]);
    check(
        "search://{kind}{?q,limit}",
        &[
            "search://a",
            "search://a?q=x",
            "search://a?limit=3&q=x/y?z",
            "search://a?q=",
            "search://a?q=1,2&limit",
        ],
        &[
            "search://a?x=1",
            "search://a?q=x&x=1",
            "search://a?q=x#y",
            "search://a?quite=x",
        ],
    );
    check(
        "x?fixed=yes{&x}",
        &["x?fixed=yes&x=1024", "x?fixed=yes"],
        &["x?fixed=yes?x=1"],
    );
    check(
        "x{?list*}",
        &["x?list=red&list=green", "x?any=thing"],
        &["x&a=b"],
    );
}

#[test]
fn a_prefix_counts_characters() {
    check(
        "p:{a:3}",
        &[
            "p:abc",
            "p:a",
            "p:üüü",
            "p:%C3%BC%C3%BC%C3%BC",
            "p:a%20b",
            "p:%zz",
        ],
        &["p:abcd", "p:", "p:üüüü", "p:a%20bc", "p:%zzz"],
    );
    check("{a:1}{b:1}", &["ab"], &["a", "abc"]);
}

#[test]
fn literals_match_as_they_are_or_encoded() {
    check(
        "café://a b/{x}",
        &["café://a b/1", "caf%C3%A9://a%20b/1"],
        &["cafe://a b/1"],
    );
    check("test://static", &["test://static"], &["test://static/", ""]);
    check("", &[""], &["a"]);
}

#[test]
fn a_malformed_template_matches_itself_alone() {
    for template in [
        "a{",
        "a}",
        "a{}",
        "{a",
        "{a}}",
        "{{a}}",
        "{=a}",
        "{!a}",
        "{a:0}",
        "{a:10000}",
        "{a:+1}",
        "{a:}",
        "{a:1*}",
        "{a,}",
        "{+}",
        "{a b}",
        "{a*:1}",
    ] {
        check(template, &[template], &["a", "x", "ab", ""]);
    }
}

#[test]
fn a_hostile_pair_takes_bounded_time() {
    let uri = "a".repeat(LONGEST_URI - 1) + "b";
    for expression in ["{+a}", "{a*}", "{/a*,b*}", "{+a}a{+b}"] {
        let template = Template::new(&(expression.repeat(60) + "c"));
        assert!(!template.matches(&uri), "{expression}");
    }
    assert!(!Template::new("{+a}").matches(&"a".repeat(LONGEST_URI + 1)));
    let long = "{a}".repeat(LONGEST_TEMPLATE);
    check(&long, &[], &["a"]);
    let long = "a".repeat(LONGEST_TEMPLATE + 1);
    check(&long, &[&long], &[]);
}

/// Expands `{op name}` for a value as defined in RFC 6570.
fn expand(operator: &str, name: &str, value: &str) -> String {
    let encode = |reserved: bool| -> String {
        value
            .bytes()
            .map(|b| match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    char::from(b).to_string()
                }
                _ if reserved && b":/?#[]@!$&'()*+,;=".contains(&b) => char::from(b).to_string(),
                _ => format!("%{b:02X}"),
            })
            .collect()
    };
    match operator {
        "" => encode(false),
        "+" => encode(true),
        "#" => format!("#{}", encode(true)),
        "." | "/" => format!("{operator}{}", encode(false)),
        _ => format!("{operator}{name}={}", encode(false)),
    }
}

proptest! {
    #[test]
    fn an_expanded_template_matches(
        parts in prop::collection::vec(("[a-z:/]{0,4}", "[+#./;?&]?", "[a-z]{1,3}", "\\PC{1,6}"), 0..5),
    ) {
        let (mut template, mut uri) = (String::new(), String::new());
        for (literal, operator, name, value) in parts {
            template += &[&literal, "{", &operator, &name, "}"].concat();
            uri += &(literal + &expand(&operator, &name, &value));
        }
        prop_assert!(Template::new(&template).matches(&uri), "{} {}", template, uri);
    }

    #[test]
    fn nothing_makes_it_panic(template in "[{}a:*,+#?&;/.1ü%]{0,20}", uri in "[a/?&;#.,=%8ü]{0,20}") {
        Template::new(&template).matches(&uri);
    }
}
