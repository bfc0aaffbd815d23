//! Edits of whole files: the new text, and the unchanged remainder.

use std::fs;

use proptest::prelude::*;

use super::*;

mod clients;

pub(super) fn server() -> NewServer {
    let text = |text: &str| text.to_owned();
    NewServer {
        command: text("uv"),
        args: vec![text("run"), text("a \"b\"\u{7f}.py")],
        env: vec![(text("API.KEY"), text("${KEY:-}"))],
        cwd: Some(text("/srv/x")),
        watch: vec![text("**/*.py"), text("!gen/**")],
        build: Some(text("go build -o \"bin/x\" .")),
    }
}

pub(super) fn remove(file: &Path, name: &str) -> Result<bool, EditError> {
    Ok(super::remove(file, name, |_| Ok(()))?.is_some())
}

/// Creates a folder with one file; returns the folder and the path of the file.
pub(super) fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    (folder, path)
}

pub(super) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Adds `x` and returns the new text; asserts that removing `x` restores `text`.
#[track_caller]
fn added(name: &str, text: &str) -> String {
    let (_folder, path) = file(name, text);
    let change = add(&path, "x", &server(), None).unwrap();
    assert_eq!((change.created, change.replaced), (false, false));
    let after = read(&path);
    assert!(remove(&path, "x").unwrap());
    assert_eq!(read(&path), text, "after removing it from\n{after}");
    assert!(!remove(&path, "x").unwrap());
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    after
}

/// Files in styles of people and programs.
const CLIENT_FILES: [&str; 24] = [
    "{}",
    "{}\n",
    "{ }",
    "{\n}\n",
    "{\n\n}\n",
    "{\"mcpServers\":{}}",
    "{\n  \"mcpServers\": {}\n}\n",
    "{\n  \"mcpServers\": {\n  }\n}\n",
    "{\n  \"mcpServers\": { }\n}",
    "{\n  \"inputs\": [\"http://x\"]\n}\n",
    "{\"inputs\": [\"http://x\"]}",
    "{\"mcpServers\":{\"a\":{\"command\":\"y\"}}}",
    "{\"mcpServers\": {\"a\": {\"url\": \"https://x\"}}, \"other\": 1}\n",
    "{\n    \"mcpServers\": {\n        \"a\": {\n            \"command\": \"y\"\n        }\n    }\n}\n",
    "{\n\t\"mcpServers\": {\n\t\t\"a\": {\n\t\t\t\"command\": \"y\"\n\t\t},\n\t},\n}",
    "\u{feff}{\r\n  \"mcpServers\": {\r\n    \"a\": {\"command\": \"y\"}\r\n  }\r\n}\r\n",
    "\u{feff}{\r\n}\r\n",
    "// head\n{\n  // servers\n  \"mcpServers\": {\n    // the first\n    \"a\": {\"command\": \"y\"} // about a\n    // \"b\": {}\n  }\n  // tail\n}\n// end",
    "{\n  \"mcpServers\": {\n    \"a\": {\"command\": \"y\"}, // about, a\n    /* none, yet */\n  },\n}\n",
    "{\n  \"mcpServers\": { // none\n  }\n}\n",
    "{\n  \"mcpServers\": {\n    // none\n  }\n}\n",
    "{\n  \"mcpServers\": { /* none */ }\n}\n",
    "{\n \"servers\": {\n  \"a\": {\"type\": \"stdio\", \"command\": \"y\", \"dev\": {\"watch\": \"*.py\"}}\n },\n \"inputs\": [ {\"id\": \"k\"} ]\n}\n",
    "{\n  \"mcpServers\": {\n    \"a\": {\"command\": \"y\"}   \n\n\n  }\n}   \n\n",
];

#[test]
fn an_entry_added_to_a_clients_file_is_removed_to_the_byte() {
    for text in CLIENT_FILES {
        added(".mcp.json", text);
        added(".vscode/mcp.json", text);
    }
}

#[test]
fn an_entry_is_written_as_its_neighbours_are() {
    let entry = |step: &str, indent: &str| {
        [
            "\"x\": {",
            "@\"command\": \"uv\",",
            "@\"args\": [\"run\", \"a \\\"b\\\"\u{7f}.py\"],",
            "@\"cwd\": \"/srv/x\",",
            "@\"env\": {",
            "@>\"API.KEY\": \"${KEY:-}\"",
            "@},",
            "@\"dev\": {",
            "@>\"watch\": [\"/srv/x/**/*.py\", \"!/srv/x/gen/**\"],",
            "@>\"build\": \"go build -o \\\"bin/x\\\" .\"",
            "@}",
            "}",
        ]
        .map(|line| line.replace(['@', '>'], step))
        .join(&format!("\n{indent}"))
    };
    let two = entry("  ", "    ");
    assert_eq!(
        added(".mcp.json", CLIENT_FILES[6]),
        format!("{{\n  \"mcpServers\": {{\n    {two}\n  }}\n}}\n")
    );
    let tab = entry("\t", "\t\t");
    assert_eq!(
        added(".mcp.json", CLIENT_FILES[14]),
        format!(
            "{{\n\t\"mcpServers\": {{\n\t\t\"a\": {{\n\t\t\t\"command\": \"y\"\n\t\t}},\n\t\t{tab},\n\t}},\n}}"
        )
    );
    let commented = added(".mcp.json", CLIENT_FILES[17]);
    let expected = format!("}}, // about a\n    // \"b\": {{}}\n    {two}\n  }}\n  // tail");
    assert!(commented.contains(&expected), "{commented}");
    let short = added(
        ".mcp.json",
        "{\"mcpServers\": {\"a\": {\"command\": \"y\"}}}",
    );
    assert!(!short.contains('\n') && short.contains("}, \"x\": {\"command\": \"uv\", "));
    let windows = added(".mcp.json", CLIENT_FILES[15]);
    assert_eq!(
        windows.matches('\n').count(),
        windows.matches("\r\n").count()
    );
}

#[test]
fn a_file_of_vs_code_gets_its_own_form() {
    let after = added(".vscode/mcp.json", "{\n}\n");
    assert!(
        after.contains("\"servers\": {\n    \"x\": {\n      \"type\": \"stdio\","),
        "{after}"
    );
    // Elsewhere, the key determines the format.
    let after = added("mcp.json", CLIENT_FILES[22]);
    assert!(
        after.contains("\"x\": {\n   \"type\": \"stdio\","),
        "{after}"
    );
}

const OWN_FILES: [&str; 12] = [
    "",
    "\n",
    "# nothing yet",
    "# nothing yet\n\n",
    "[proxy]\nmax_name = 60",
    "[proxy]\nmax_name = 60 # long\n",
    "[servers]\n[servers.a]\ncommand = 'y'\n\n\n# tail\n",
    "[servers.a]\r\ncommand = 'y'\r\n\r\n[servers.a.env]\r\nK = '1'\r\n",
    "\u{feff}[servers.a]\r\ncommand = 'y'",
    "[servers]\na.command = 'y'\nb = { command = 'z' }\n",
    "servers.a.command = 'y'\n",
    "[servers.a] # first\n  command = \"\"\"\n[servers.x]\n\"\"\"\n",
];

#[test]
fn an_entry_added_to_the_toml_is_removed_to_the_byte() {
    for text in OWN_FILES {
        added("mcp-proxy.toml", text);
    }
    let block = r#"[servers.x]
command = "uv"
args = ["run", "a \"b\"\u007f.py"]
cwd = "/srv/x"
env = { "API.KEY" = "${KEY:-}" }
watch = ["**/*.py", "!gen/**"]
build = "go build -o \"bin/x\" .""#;
    let after = added("mcp-proxy.toml", OWN_FILES[4]);
    assert_eq!(after, format!("{}\n\n{block}", OWN_FILES[4]));
    let after = added("mcp-proxy.toml", OWN_FILES[7]);
    let block = block.replace('\n', "\r\n");
    assert_eq!(after, format!("{}\r\n{block}\r\n", OWN_FILES[7]));
}

#[test]
fn a_written_entry_is_read_as_the_same_server() {
    for name in [".mcp.json", ".vscode/mcp.json", "mcp-proxy.toml"] {
        let (folder, path) = file(name, "");
        let cwd = folder.path().to_str().unwrap().to_owned();
        let server = NewServer {
            cwd: Some(cwd.clone()),
            ..server()
        };
        add(&path, "x", &server, None).unwrap();
        let loaded = super::super::load(&ConfigContext {
            explicit: Some(path.clone()),
            cwd: folder.path().to_owned(),
            ..ConfigContext::default()
        });
        assert!(loaded.faults.is_empty(), "{:?}", loaded.faults);
        let read = loaded.config.server("x").unwrap();
        assert_eq!(read.program, "uv");
        assert_eq!(
            read.args,
            server
                .args
                .iter()
                .map(Into::into)
                .collect::<Vec<std::ffi::OsString>>()
        );
        assert_eq!(read.env, [("API.KEY".into(), "".into())]);
        let watch = match name {
            "mcp-proxy.toml" => server.watch,
            _ => vec![format!("{cwd}/**/*.py"), format!("!{cwd}/gen/**")],
        };
        assert_eq!(read.watch, watch, "{name}");
    }
}

#[test]
fn a_server_goes_without_the_rest() {
    let cases = [
        (
            ".mcp.json",
            "{\"mcpServers\": {\n  // about x\n  \"x\": {}, // x, too\n\n  \"b\": {} // b\n}}",
            "{\"mcpServers\": {\n  // about x\n\n  \"b\": {} // b\n}}",
        ),
        (
            ".mcp.json",
            "{\"mcpServers\": {\"x\": {}, \"b\": {}}}",
            "{\"mcpServers\": {\"b\": {}}}",
        ),
        (
            ".mcp.json",
            "{\"mcpServers\": {\"a\": {}, \"x\": {}, /* b */ \"b\": {}}}",
            "{\"mcpServers\": {\"a\": {}, /* b */ \"b\": {}}}",
        ),
        (
            ".mcp.json",
            "{\"mcpServers\": {\n \"a\": {}, // a\n \"x\": {}}}",
            "{\"mcpServers\": {\n \"a\": {} // a\n }}",
        ),
        (
            "mcp-proxy.toml",
            "# head\n[servers.x]\ncommand = 'y'\n# args = []\n\n[servers.x.env]\nK = '1'\n\n# about b\n[servers.b]\ncommand = 'z'\n",
            "# head\n\n# about b\n[servers.b]\ncommand = 'z'\n",
        ),
        (
            "mcp-proxy.toml",
            "[servers]\nx.command = 'y'\nb.command = 'z' # b\nx.args = [\n  'p', # p\n]\n",
            "[servers]\nb.command = 'z' # b\n",
        ),
        (
            "mcp-proxy.toml",
            "[servers.a]\ncommand = 'y'\n\n[servers.x]\n\n[proxy]\nmax_name = 20\n",
            "[servers.a]\ncommand = 'y'\n\n[proxy]\nmax_name = 20\n",
        ),
    ];
    for (name, before, after) in cases {
        let (_folder, path) = file(name, before);
        assert!(remove(&path, "x").unwrap());
        assert_eq!(read(&path), after);
    }
}

#[test]
fn an_entry_is_replaced_only_when_asked() {
    let cases = [
        (
            ".mcp.json",
            "{\n  \"mcpServers\": {\n    \"x\": {\"command\": \"old\", \"args\": [1]}, // x\n    \"b\": {}\n  }\n}",
            "{\n  \"mcpServers\": {\n    \"x\": {\n      \"command\": \"new\",\n      \"args\": []\n    }, // x\n    \"b\": {}\n  }\n}",
        ),
        (
            "mcp-proxy.toml",
            "# x\n[servers.x]\ncommand = 'old'\nbuild = 'make'\n\n# b\n[servers.b]\ncommand = 'z'\n[servers.x.env]\nK = '1'\n",
            "# x\n[servers.x]\ncommand = \"new\"\n\n# b\n[servers.b]\ncommand = 'z'\n",
        ),
        (
            "mcp-proxy.toml",
            "[servers]\nx = { command = 'old' }\nb = { command = 'z' }\n",
            "[servers]\nb = { command = 'z' }\n\n[servers.x]\ncommand = \"new\"\n",
        ),
    ];
    let new = NewServer {
        command: "new".to_owned(),
        ..NewServer::default()
    };
    for (name, before, after) in cases {
        let (_folder, path) = file(name, before);
        let error = add(&path, "x", &new, None).unwrap_err();
        assert!(matches!(error, EditError::Exists { .. }), "{error}");
        assert_eq!(read(&path), before);
        assert!(
            add(&path, "x", &new, Some(&mut |_| Ok(())))
                .unwrap()
                .replaced
        );
        assert_eq!(read(&path), after);
    }
}

#[test]
fn a_file_that_cannot_be_edited_stays_as_it_is() {
    let cases = [
        (".mcp.json", "{\"mcpServers\": {,}}", "mcp.json:1:17"),
        (".mcp.json", "[]", "unsupported form"),
        (".mcp.json", "{\"mcpServers\": []}", "unsupported form"),
        (
            "mcp-proxy.toml",
            "[proxy]\n[servers.a\n",
            "mcp-proxy.toml:2:11",
        ),
        (
            "mcp-proxy.toml",
            "servers = { a = { command = 'y' } }",
            "write them as [servers.NAME]",
        ),
        ("mcp-proxy.toml", "servers = 1", "unsupported form"),
    ];
    for (name, text, said) in cases {
        let (_folder, path) = file(name, text);
        let error = add(&path, "x", &server(), Some(&mut |_| Ok(())))
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{error}");
        assert_eq!(read(&path), text);
    }
    let (_folder, path) = file("mcp-proxy.toml", "servers = { x = {}, a = {} }");
    assert!(remove(&path, "x").is_err());
    for name in ["", "a b", "../x", "a\"b"] {
        let error = add(&path, name, &server(), None).unwrap_err();
        assert!(matches!(error, EditError::Name(_)), "{error}");
    }
}

#[test]
fn a_missing_file_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".mcp.json");
    let change = add(&path, "x", &server(), None).unwrap();
    assert!(change.created && read(&path).ends_with("\n}\n"));
    assert!(remove(&path, "x").unwrap());
    assert_eq!(read(&path), "{\n  \"mcpServers\": {}\n}\n");
    assert!(!remove(&folder.path().join("mcp-proxy.toml"), "x").unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_file_where_the_name_stands_is_chosen() {
    let json = |name: &str| format!("{{\"mcpServers\": {{\"{name}\": {{}}}}}}");
    let cases: [(Option<&str>, Option<&str>, &str, usize); 6] = [
        (None, None, ".mcp.json", 0),
        (None, Some(""), "mcp-proxy.toml", 0),
        (Some("a"), Some(""), ".mcp.json", 0),
        (Some("a"), Some("[servers.x]"), "mcp-proxy.toml", 1),
        (Some("x"), Some("[servers.x]"), ".mcp.json", 2),
        (Some("x"), Some("[broken"), ".mcp.json", 1),
    ];
    for (shared, own, chosen, count) in cases {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
        if let Some(name) = shared {
            write(".mcp.json", json(name));
        }
        if let Some(text) = own {
            write("mcp-proxy.toml", text.to_owned());
        }
        fs::create_dir(folder.path().join(".git")).unwrap();
        let around = ConfigContext {
            cwd: folder.path().to_owned(),
            ..ConfigContext::default()
        };
        assert_eq!(choose(&around, "x"), folder.path().join(chosen));
        assert_eq!(places_of(&around, "x").len(), count);
    }
}

/// Generates white space and comments for the gap between two tokens.
fn gap() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just(""), 3 => Just(" "), 4 => Just("\n  "), 1 => Just("\r\n"), 1 => Just("\n\n\t"),
        1 => Just("// c, {}\n"), 1 => Just("/* c, } */"), 1 => Just(" // d\n    "),
    ];
    proptest::collection::vec(piece, 0..3).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_layout_comes_back(
        gaps in proptest::collection::vec(gap(), 16),
        servers in 0..3_usize,
        others in 0..2_usize,
        comma in any::<bool>(),
    ) {
        let mut gaps = gaps.into_iter().cycle();
        let mut gap = || gaps.next().unwrap();
        let mut text = gap() + "{" + &gap();
        for other in 0..others {
            let entry = format!("\"o{other}\"{}: [1]{},{}", gap(), gap(), gap());
            text.push_str(&entry);
        }
        // An empty section after a blank line looks like one created by `add`.
        let ends_blank = text[text.trim_ascii_end().len()..].matches('\n').count() > 1;
        prop_assume!(servers > 0 || !ends_blank);
        text = text + "\"mcpServers\":" + &gap() + "{";
        for server in 0..servers {
            let entry = format!("{}\"s{server}\": {{{}}}{}", gap(), gap(), gap());
            text.push_str(&entry);
            text += if server + 1 == servers && !comma { "" } else { "," };
        }
        text += &(gap() + "}" + &gap() + "}" + &gap());
        let parse = |text: &str| ConfigDocument::parse(Path::new(".mcp.json"), text).unwrap();
        let after = json::add(&parse(&text), "x", &server()).unwrap();
        let again = json::remove(&parse(&after), "x").unwrap();
        prop_assert_eq!(again, text, "{}", after);
        // Every other server can be removed too; comments before it stay.
        if servers > 0 {
            let text = json::remove(&parse(&after), "s0").unwrap();
            prop_assert!(parse(&after).proved(text, "s0", false).is_ok());
        }
    }
}

#[test]
fn a_folder_is_renamed_wherever_it_is_named() {
    let before = "{\n  // kept\n  \"mcpServers\": { \"a\": { \"command\": \"/d/12/bin/x\", \"args\": [\"/d/12\", \"/d/12-2\", \"/d/123/y\", \"/x/d/12/y\", \"file:///d/12/z\"] } }\n}";
    let (_folder, path) = file(".mcp.json", before);
    assert!(replace_path(&path, "/d/12", "/d/99").unwrap());
    let after = before
        .replace("\"/d/12/", "\"/d/99/")
        .replace("///d/12/", "///d/99/")
        .replace("\"/d/12\"", "\"/d/99\"");
    assert_eq!(read(&path), after);
    assert!(!replace_path(&path, "/nowhere", "/x").unwrap());
    assert_eq!(read(&path), after);
    let (_folder, path) = file("mcp-proxy.toml", "[servers.a]\ncommand = \"/d\\\"q/x\"\n");
    assert!(replace_path(&path, "/d\"q", "/e").unwrap());
    assert_eq!(read(&path), "[servers.a]\ncommand = \"/e/x\"\n");
    let marked = "\u{feff}{\"mcpServers\": {\"a\": {\"command\": \"/d/x\"}}}";
    let (_folder, path) = file(".mcp.json", marked);
    assert!(replace_path(&path, "/d", "/e").unwrap());
    assert_eq!(read(&path), marked.replace("/d/x", "/e/x"));
}
