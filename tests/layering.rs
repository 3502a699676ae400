//! Which module may name which: the layers of the crate, checked against its sources.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A layer and the layers below that it may name.
const LAYERS: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("storage", &["time"]),
    ("proto", &["time", "storage"]),
    ("session", &["time", "storage", "proto"]),
    ("hub", &[]),
    ("config", &[]),
    ("stats", &[]),
    ("error", &["config", "proto"]),
    ("reactor", &["time", "storage"]),
    ("net", &["time", "storage", "reactor"]),
    (
        "conn",
        &[
            "time", "storage", "proto", "reactor", "net", "config", "stats",
        ],
    ),
];
/// One layer that may name all of the crate.
const TOP: &[&str] = &[
    "server",
    "connection",
    "events",
    "router",
    "mounts",
    "routes",
    "manual",
    "lib",
];
/// Modules that touch no clock, socket, thread, file or randomness.
const PURE: &[&str] = &[
    "time.rs",
    "storage/mod.rs",
    "proto/mod.rs",
    "session/mod.rs",
    "hub/mod.rs",
];
const PURE_LINTS: &str = "#![deny(clippy::disallowed_methods, clippy::disallowed_types)]";
/// What only tests may write.
const FOR_TESTS: &[&str] = &[".unwrap()", "todo!", "dbg!", "unimplemented!"];

/// A file below `src/` and its text.
type Sources = BTreeMap<String, String>;

#[test]
fn layers_name_only_what_is_below() {
    let sources = read_sources();
    assert!(sources.len() > 50, "the sources were not found");
    let found = violations(&sources);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_unsafe_code() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let lints = manifest.split("[lints.rust]").nth(1).unwrap();
    let lints = lints.split("\n[").next().unwrap();
    let mut lines = lints.lines().map(str::trim);
    assert!(lines.any(|line| line == r#"unsafe_code = "forbid""#));
}

#[test]
fn a_made_up_source_is_seen_through() {
    let found = |file: &str, text: &str| {
        let mut sources: Sources = PURE
            .iter()
            .map(|name| ((*name).to_owned(), PURE_LINTS.to_owned()))
            .collect();
        sources.insert(file.to_owned(), text.to_owned());
        violations(&sources)
    };
    let one = |file, text| assert_eq!(found(file, text).len(), 1, "{file}: {text}");
    let none = |file, text| assert_eq!(found(file, text), [""; 0], "{file}: {text}");

    one("storage/wheel.rs", "use crate::reactor::IoLoop;");
    one("proto/a.rs", "use crate::{storage::x, conn};");
    one(
        "proto/a.rs",
        "use crate::{\n  storage::{x, y},\n  net::{z},\n};",
    );
    one("hub/a.rs", "fn f() { crate::time::Instant::START; }");
    one("hub/a.rs", "const A: char = '\"'; use crate::time; // \"");
    one("net/a.rs", "use crate::SocketServer;");
    one("net/a.rs", "use super::super::server::Core;");
    one("config.rs", "use super::server::Core;");
    one("proto/mod.rs", "//! No lints.");
    one("new.rs", "");
    one("conn/a.rs", "fn f() { g().unwrap(); }");
    one("server/a.rs", "fn f() { todo!() }");
    one("server/a.rs", "#[cfg(test)] use a; fn f() { dbg!(1) }");

    none("conn/a.rs", "use crate::net::Stream; use super::f;");
    none("server/a.rs", "use crate::{conn, SocketServer};");
    none(
        "hub/a.rs",
        "/// As crate::time, r#.unwrap()\n/* crate::net /* */ crate::net */",
    );
    none(
        "hub/a.rs",
        "const A: &str = \"crate::net\\\" crate::net\"; pub(crate) fn f() {}",
    );
    none(
        "hub/a.rs",
        "const A: &str = r#\"crate::net \" crate::net\"#; fn f<'a>(_: &'a str) {}",
    );
    none(
        "hub/a.rs",
        "#[cfg(test)]\nmod tests { fn f() { g({}).unwrap(); } }",
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read_sources() -> Sources {
    let src = root().join("src");
    let mut sources = Sources::new();
    let mut directories: Vec<PathBuf> = vec![src.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&src).unwrap().to_str().unwrap();
                sources.insert(name.replace('\\', "/"), fs::read_to_string(&path).unwrap());
            }
        }
    }
    sources
}

fn violations(sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    for pure in PURE {
        let text = sources.get(*pure).map_or("", String::as_str);
        if !text.lines().any(|line| line.trim() == PURE_LINTS) {
            found.push(format!("{pure}: does not deny the lints of a pure module"));
        }
    }
    let tests = test_files(sources);
    for (file, text) in sources {
        let code = without_comments_and_text(text);
        let layer = file.split(['/', '.']).next().unwrap_or_default();
        let allowed = LAYERS.iter().find(|(name, _)| *name == layer);
        if allowed.is_none() && !TOP.contains(&layer) {
            found.push(format!("{file}: {layer} is in no layer"));
        }
        for named in crate_paths(&code) {
            let Some((_, below)) = allowed else { break };
            if named != layer && !below.contains(&named.as_str()) {
                found.push(format!("{file}: {layer} names crate::{named}"));
            }
        }
        if tests.contains(file) {
            continue;
        }
        let code = without_tests(&code);
        if allowed.is_some() && code.contains(&"super::".repeat(depth(file))) {
            found.push(format!("{file}: names the root of the crate by super"));
        }
        for word in FOR_TESTS.iter().filter(|word| code.contains(**word)) {
            found.push(format!("{file}: {word} outside of tests"));
        }
    }
    found
}

/// How many modules `file` lies in, itself included.
fn depth(file: &str) -> usize {
    let parts = file.split('/').count();
    parts - usize::from(file.ends_with("/mod.rs"))
}

/// The files that a `#[cfg(test)] mod name;` declares.
fn test_files(sources: &Sources) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for (file, text) in sources {
        let code = without_comments_and_text(text);
        for rest in code.split("#[cfg(test)]").skip(1) {
            let Some(rest) = rest.trim_start().strip_prefix("mod ") else {
                continue;
            };
            let name = rest.split([';', '{']).next().unwrap_or_default().trim();
            if rest[name.len()..].trim_start().starts_with(';') {
                let directory = file.trim_end_matches("mod.rs").trim_end_matches(".rs");
                let directory = directory.trim_end_matches('/');
                files.insert(format!("{directory}/{name}.rs"));
            }
        }
    }
    files
}

/// The first names behind `crate::`, those of a list in braces each.
fn crate_paths(code: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        let text = text.trim_start();
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            names.push(name(rest));
            continue;
        };
        let mut open = 0;
        let mut begins = true;
        for (at, c) in list.char_indices() {
            match c {
                '{' => open += 1,
                '}' if open == 0 => break,
                '}' => open -= 1,
                ',' if open == 0 => begins = true,
                c if begins && !c.is_whitespace() => {
                    names.push(name(&list[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    names
}

/// `code` without the items behind `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut parts = code.split("#[cfg(test)]");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut open = 0;
        let end = part.char_indices().find(|(_, c)| {
            match c {
                '{' => open += 1,
                '}' => open -= 1,
                _ => {}
            }
            open == 0 && matches!(c, ';' | '}')
        });
        kept.push_str(end.map_or("", |(at, _)| &part[at + 1..]));
    }
    kept
}

/// Rust source with its comments, strings and character literals left out.
fn without_comments_and_text(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment_bytes(rest)
        } else if c == '"' {
            text_bytes(rest, '"')
        } else if let Some(n) = raw_text_bytes(rest, &code) {
            n
        } else if c == '\'' && is_char(rest) {
            text_bytes(rest, '\'')
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[skipped..];
    }
    code
}

fn comment_bytes(rest: &str) -> usize {
    let mut open = 0;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            open += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            open -= 1;
            at += 2;
            if open == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn text_bytes(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_text_bytes(rest: &str, before: &str) -> Option<usize> {
    if before.ends_with(|c: char| c.is_alphanumeric() && c != 'b' || c == '_') {
        return None;
    }
    let hashed = rest.strip_prefix('r')?;
    let text = hashed.trim_start_matches('#');
    let hashes = hashed.len() - text.len();
    let end = format!("\"{}", "#".repeat(hashes));
    let n = text.strip_prefix('"')?.find(&end)?;
    Some(1 + hashes + 1 + n + end.len())
}

/// Not a lifetime.
fn is_char(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}
