//! The grammar of one requirement. It has only forms that pip and uv read alike and install without running code of the
//! package.

use pep440_rs::VersionSpecifiers;

/// Content of a line of requirements.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    /// Files of requirements to include.
    pub(super) files: Vec<String>,
    /// True if a package comes from an address, or packages from an index other than `PyPI`.
    pub(super) elsewhere: bool,
}

/// Options without a value.
const ALONE: [&str; 4] = ["--pre", "--prefer-binary", "--require-hashes", "--no-index"];
/// Options that name an index.
const INDEXES: [&str; 3] = ["-i", "--index-url", "--extra-index-url"];
/// Options that include other requirements files.
const FILES: [&str; 4] = ["-r", "--requirement", "-c", "--constraint"];
/// Index whose packages cannot depend on sources at an address.
const PYPI: &str = "https://pypi.org/simple";
/// Endings of archives: pip takes a requirement with such an ending for a path, even `mcp==1.0+x.zip`.
const ARCHIVES: [&str; 15] = [
    "whl", "zip", "egg", "tar", "tgz", "tbz", "txz", "tlz", "tzst", "gz", "bz2", "xz", "lz",
    "lzma", "zst",
];
/// Words outside of quotes in a marker (PEP 508).
#[rustfmt::skip] // A table.
const MARKER_WORDS: [&str; 16] = [
    "and", "or", "not", "in", "extra", "os_name", "sys_platform", "platform_machine",
    "platform_python_implementation", "platform_release", "platform_system", "platform_version", "python_version",
    "python_full_version", "implementation_name", "implementation_version",
];
/// Hash functions of packages.
const HASHES: [&str; 6] = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"];

/// Parses a line; `None` if it is not understood as a whole, or could run code.
pub(super) fn parse(line: &str) -> Option<Parsed> {
    if line.starts_with('-') {
        return options(line);
    }
    let dashes = line.match_indices([' ', '\t']).map(|(at, _)| at + 1);
    let options = dashes.into_iter().find(|&at| line[at..].starts_with('-'));
    let (package, hashes) = line.split_at(options.unwrap_or(line.len()));
    let mut hashes = hashes.split_whitespace();
    while let Some(word) = hashes.next() {
        let value = match word.strip_prefix("--hash")? {
            "" => hashes.next()?,
            value => value.strip_prefix('=')?,
        };
        let (function, digits) = value.split_once(':')?;
        if !is_hash(function, digits) {
            return None;
        }
    }
    parse_package(package.trim())
}

/// Parses a requirement without options, as it may also stand in a list of packages.
pub(super) fn parse_package(text: &str) -> Option<Parsed> {
    let elsewhere = Parsed {
        elsewhere: true,
        ..Parsed::default()
    };
    if text.starts_with("https://") {
        return is_wheel_with_marker(text).then_some(elsewhere);
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    let is_name =
        name.starts_with(is_alphanumeric) && name.ends_with(is_alphanumeric) && !is_archive(name);
    if !is_name {
        return None;
    }
    let mut rest = rest.trim_start();
    if let Some(inner) = rest.strip_prefix('[') {
        let (extras, after) = inner.split_once(']')?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-, \t".contains(c);
        if !extras.chars().all(is_plain) {
            return None;
        }
        rest = after.trim_start();
    }
    if let Some(place) = rest.strip_prefix('@') {
        return is_wheel_with_marker(place.trim_start()).then_some(elsewhere);
    }
    let (versions, marker) = match rest.split_once(';') {
        Some((versions, marker)) => (versions.trim_end(), marker),
        None => (rest, ""),
    };
    let inner = versions
        .strip_prefix('(')
        .and_then(|it| it.strip_suffix(')'));
    let plain = inner.unwrap_or(versions);
    let is_known = plain.is_empty() || plain.parse::<VersionSpecifiers>().is_ok();
    (is_known && !is_archive(versions) && is_marker(marker)).then(Parsed::default)
}

/// Parses a line of options. Abbreviated names are not understood: pip accepts some of them, uv none.
fn options(line: &str) -> Option<Parsed> {
    let mut parsed = Parsed::default();
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        if ALONE.contains(&word) {
            continue;
        }
        let (name, value) = if word.starts_with("--") {
            word.split_once('=')
                .map_or((word, None), |(name, value)| (name, Some(value)))
        } else {
            let (name, value) = word.split_at_checked(2)?;
            (name, Some(value).filter(|it| !it.is_empty()))
        };
        let value = unquoted(value.or_else(|| words.next())?)?;
        if FILES.contains(&name) {
            if !is_file_name(value) {
                return None;
            }
            parsed.files.push(value.to_owned());
        } else if INDEXES.contains(&name) {
            let place = value
                .strip_prefix("https://")
                .or_else(|| value.strip_prefix("http://"))?;
            if place.is_empty() || !place.chars().all(is_of_address) {
                return None;
            }
            parsed.elsewhere |= value.trim_end_matches('/') != PYPI;
        } else if name == "--only-binary" {
            // `:none:` would permit builds again.
            let is_name = |c: char| c.is_ascii_alphanumeric() || "._-,".contains(c);
            if value != ":all:" && !value.chars().all(is_name) {
                return None;
            }
        } else {
            return None;
        }
    }
    Some(parsed)
}

/// Removes quotes around a value; `None` for quotes elsewhere, and for a value that might be an option.
fn unquoted(value: &str) -> Option<&str> {
    let inner = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let value = inner.unwrap_or(value);
    let is_plain = !value.contains(['"', '\'']) && !value.starts_with(['-', '=']);
    (is_plain && !value.is_empty()).then_some(value)
}

/// Accepts relative paths, no addresses.
fn is_file_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+@/".contains(c);
    !name.starts_with('/') && name.chars().all(is_plain)
}

fn is_alphanumeric(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

fn is_archive(text: &str) -> bool {
    let ending = text.rsplit_once('.').map_or("", |(_, ending)| ending);
    ARCHIVES.contains(&&*ending.to_ascii_lowercase())
}

/// Accepts `https://….whl`, with a hash and a marker behind it.
fn is_wheel_with_marker(text: &str) -> bool {
    let (address, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let rest = rest.trim_start();
    let marker = rest.strip_prefix(';');
    is_wheel(address) && (rest.is_empty() || marker.is_some_and(is_marker))
}

fn is_wheel(address: &str) -> bool {
    let Some(place) = address.strip_prefix("https://") else {
        return false;
    };
    let (place, fragment) = place.split_once('#').unwrap_or((place, "md5="));
    let (path, query) = place.split_once('?').unwrap_or((place, ""));
    let hash = fragment.split_once('=');
    path.contains('/')
        && path.strip_suffix(".whl").is_some()
        && path.chars().chain(query.chars()).all(is_of_address)
        && hash.is_some_and(|(function, digits)| is_hash(function, digits))
}

fn is_of_address(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._~%+/:@=&-".contains(c)
}

fn is_hash(function: &str, digits: &str) -> bool {
    HASHES.contains(&function) && digits.chars().all(|c| c.is_ascii_hexdigit())
}

/// Accepts text made of known words, operators, parentheses and plain strings. A tool rejects a wrong order of them.
fn is_marker(text: &str) -> bool {
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '(' | ')' => 1,
            '"' | '\'' => {
                let Some(end) = rest[1..].find(first) else {
                    return false;
                };
                let is_plain = |c: char| c.is_ascii_alphanumeric() || " ._+*,-".contains(c);
                if !rest[1..=end].chars().all(is_plain) {
                    return false;
                }
                end + 2
            }
            c if "<>=!~".contains(c) => 1,
            _ => {
                let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                if !MARKER_WORDS.contains(&&rest[..end]) {
                    return false;
                }
                end
            }
        };
        rest = rest[end..].trim_start();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_wheels_and_harmless_options_are_understood() {
        let digest = "0123456789abcdef";
        for (line, elsewhere, files) in [
            ("mcp", false, &[][..]),
            ("mcp [cli, rich] >=1.2, <2", false, &[]),
            ("mcp(>=1)", false, &[]),
            ("mcp==1.*", false, &[]),
            ("mcp~=1.0;python_version<'3.9'", false, &[]),
            (
                "x ; (os_name == \"nt\" or sys_platform not in 'win32, cygwin') and extra == 'a-b'",
                false,
                &[],
            ),
            (
                "x==1 ; python_version > '3' --hash=sha256:ab --hash md5:cd",
                false,
                &[],
            ),
            (
                "x @ https://x.example/a%2Bb/y-1-py3-none-any.whl",
                true,
                &[],
            ),
            (
                "x[y]@https://x/y.whl?a=b#sha256=ab ; os_name == 'nt'",
                true,
                &[],
            ),
            ("https://x/y.whl", true, &[]),
            (
                "--pre --prefer-binary --require-hashes --no-index",
                false,
                &[],
            ),
            ("-i https://pypi.org/simple/", false, &[]),
            ("--index-url=http://x/simple", true, &[]),
            ("--extra-index-url 'https://x'", true, &[]),
            ("--only-binary=numpy,x", false, &[]),
            ("-rmore.txt", false, &["more.txt"]),
            (
                "--requirement=\"a/b.txt\" -c ../c.txt",
                false,
                &["a/b.txt", "../c.txt"],
            ),
        ] {
            let files = files.iter().map(|&it| it.to_owned()).collect();
            assert_eq!(parse(line), Some(Parsed { files, elsewhere }), "{line}");
        }
        assert!(parse(&format!("x==1 --hash=sha512:{digest}")).is_some());
    }

    #[test]
    fn all_else_is_not_understood() {
        for line in [
            "x.zip",
            "x.WHL",
            "x.tar.gz[a]",
            "x==1.0+a.zip",
            "x===1+a.tar.xz",
            "x==1.0+a.tlz ; os_name == 'nt'",
            "x>=1.0.",
            "x y",
            "x; import os",
            "print==1;exec('x')",
            "x; os_name == 'a/b'",
            "x ; os_name == 'nt",
            "https://x/y.tar.gz",
            "https://x/y.tar.gz;a=.whl",
            "https://x/y.tar.gz?a=.whl",
            "https://x/y.tar.gz#a=.whl",
            "https://x/y.whl#egg=x",
            "https://x/y.whl#subdirectory=x",
            "https://x/y.whl; os_name == 'nt'",
            "http://x/y.whl",
            "HTTPS://x/y.whl",
            "x @ y.whl",
            "x @ file:///y.whl",
            "x @ git+https://x/y.whl",
            "x/y.whl",
            "./y.whl",
            "~/y.whl",
            "-e .",
            "--editable=.",
            "--edi .",
            "--req x.txt",
            "--req=x.txt",
            "--find-links .",
            "-f .",
            "-f.",
            "--trusted-host x",
            "--no-binary=:all:",
            "--only-binary=:none:",
            "--only-binary :all:,:none:",
            "--config-settings a=b",
            "--global-option=x",
            "--use-feature x",
            "--unknown",
            "-i file:///x",
            "-i x",
            "--index-url=https://x/'y'",
            "-r /etc/x.txt",
            "-r https://x/y.txt",
            "-r file:x.txt",
            "-r \"my file.txt\"",
            "-r x\"y\".txt",
            "-r=x.txt",
            "-r",
            "-r -",
            "- x",
            "x -r y.txt",
            "x --hash=sha256:zz",
            "x --hash=sha256",
            "x --hashed=sha256:ab",
            "x --config-settings=a=b",
            "x --global-option=a",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
