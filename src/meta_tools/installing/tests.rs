use super::*;

#[test]
fn a_request_has_the_defaults_of_its_definition() {
    for (arguments, expected) in [
        (
            r#"{"git_url":"a/b"}"#,
            ("a/b", None, None, None, true, false),
        ),
        (
            r#"{"git_url":"\u0061","server_name":"n","server_file":"f","requirements_file":"r","auto_detect":false,"overwrite":true}"#,
            ("a", Some("n"), Some("f"), Some("r"), false, true),
        ),
        (
            r#"{"git_url":"a","server_name":null,"server_file":null,"requirements_file":null,"auto_detect":null,"overwrite":null,"env_vars":null}"#,
            ("a", None, None, None, true, false),
        ),
    ] {
        let request = request(&Members::of(arguments)).unwrap();
        let given = (
            &*request.source,
            request.name.as_deref(),
            request.choices.server_file.as_deref(),
            request.choices.requirements_file.as_deref(),
            request.auto_detect,
            request.overwrite,
        );
        assert_eq!(given, expected, "{arguments}");
        assert!(request.env.is_empty(), "{arguments}");
        assert_eq!(request.origin, RequestOrigin::Tool);
    }
}

#[test]
fn a_request_with_a_wrong_type_is_an_error() {
    for (arguments, error) in [
        ("{}", "`git_url` is missing"),
        (r#"{"git_url":5}"#, "`git_url` must be a string"),
        (
            r#"{"git_url":"a","server_name":5}"#,
            "`server_name` must be a string",
        ),
        (
            r#"{"git_url":"a","server_file":["f"]}"#,
            "`server_file` must be a string",
        ),
        (
            r#"{"git_url":"a","requirements_file":{}}"#,
            "`requirements_file` must be a string",
        ),
        (
            r#"{"git_url":"a","overwrite":"yes"}"#,
            "`overwrite` must be true or false",
        ),
        (
            r#"{"git_url":"a","auto_detect":1}"#,
            "`auto_detect` must be true or false",
        ),
        (r#"{"git_url":"a","env_vars":[]}"#, "`env_vars` must be"),
    ] {
        let given = request(&Members::of(arguments)).unwrap_err();
        let text = given["error"].as_str().unwrap();
        assert!(text.starts_with(error), "{arguments}: {text}");
    }
}

#[test]
fn variables_are_text_as_it_is_written() {
    for (raw, expected) in [
        (r#"{"A":"x","B":""}"#, Some(vec![("A", "x"), ("B", "")])),
        (r#"{"\u0041":"\u00e9"}"#, Some(vec![("A", "é")])),
        (
            r#"{"N":8080,"F":1.10,"M":-0,"T":true,"F2":false}"#,
            Some(vec![
                ("N", "8080"),
                ("F", "1.10"),
                ("M", "-0"),
                ("T", "true"),
                ("F2", "false"),
            ]),
        ),
        ("{}", Some(vec![])),
        (r#"{"A":null}"#, None),
        (r#"{"A":["x"]}"#, None),
        (r#"{"A":{"b":"c"}}"#, None),
        (r#"{"A":"\ud83d"}"#, None),
        (r#""A=x""#, None),
        (r#"["A=x"]"#, None),
        ("5", None),
    ] {
        let arguments = format!(r#"{{"env_vars":{raw}}}"#);
        let given = variables(&Members::of(&arguments)).ok();
        let expected = expected.map(|pairs| {
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            pairs.into_iter().map(owned).collect::<Vec<_>>()
        });
        assert_eq!(given, expected, "{raw}");
    }
}

#[test]
fn every_step_is_a_sentence() {
    for (step, expected) in [
        (
            InstallStep::Connecting("https://host/a".into()),
            "connecting to https://host/a",
        ),
        (
            InstallStep::Resolved {
                commit: "c0ffee".into(),
                reference: Some("main".into()),
            },
            "main is commit c0ffee",
        ),
        (
            InstallStep::Resolved {
                commit: "c0ffee".into(),
                reference: None,
            },
            "commit c0ffee",
        ),
        (
            InstallStep::CheckingOut { files: 3, total: 9 },
            "wrote 3 of 9 files",
        ),
        (InstallStep::Running("npm ci".into()), "running npm ci"),
        (InstallStep::Output("line".into()), "line"),
        (InstallStep::Note("note".into()), "note"),
    ] {
        assert_eq!(sentence(&step), expected);
    }
}
