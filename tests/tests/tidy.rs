//! The house rules on the sources, each a function from a text to what is
//! wrong with it, and a test that each can fail.

#![forbid(unsafe_code)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The files that may hold unsafe code, and do.
const UNSAFE: &[&str] = &[
    "core/src/ring/consumer.rs",
    "core/src/ring/heap.rs",
    "core/src/ring/many.rs",
    "core/src/ring/memory.rs",
    "core/src/ring/mod.rs",
    "core/src/ring/one.rs",
    "core/src/ring/overwrite.rs",
    "core/src/ring/producer.rs",
    // System calls that rustix does not have.
    "linux-adapter/src/datagram/reader.rs",
    "linux-adapter/src/unsent.rs",
    // io_uring: the system calls, the queues shared with the kernel, the memory
    // lent to it, the promise that it stays, and the kernel of the tests.
    "linux-adapter/src/uring/arena.rs",
    "linux-adapter/src/uring/driver.rs",
    "linux-adapter/src/uring/fake/mod.rs",
    "linux-adapter/src/uring/hazards.rs",
    "linux-adapter/src/uring/kernel.rs",
    "linux-adapter/src/uring/queue.rs",
    "linux-adapter/src/uring/region.rs",
    "linux-adapter/src/uring/scratch.rs",
    // Registers, interrupts, names for the linker and Miri's entry.
    "firmware/lm3s6965/src/bin/interrupts.rs",
    "firmware/lm3s6965/src/bin/tasks.rs",
    "firmware/lm3s6965/src/lib.rs",
    "firmware/microbit/src/main.rs",
    "firmware/microbit/src/uart.rs",
    "firmware/miri/src/main.rs",
    "firmware/push/src/lib.rs",
    // A system call that a test sees, an allocator that counts.
    "linux-adapter/tests/sigpipe.rs",
    "linux-adapter/tests/uring/oracle.rs",
    // The io-uring crate.
    "benches/benches/files/direct.rs",
    "benches/benches/files/one.rs",
    "std-adapter/tests/common/counting.rs",
];

const LINES_MAX: usize = 700;

// ---------------------------------------------------------------- the rules

/// Unsafe code stands in the listed files alone.
fn unsafe_elsewhere(path: &str, code: &str) -> Vec<String> {
    let lines = lines_with(code, &["unsafe"]);
    match (UNSAFE.contains(&path), lines.is_empty()) {
        (true, true) => vec!["is listed as unsafe and is not".into()],
        (false, false) => at(&lines, "holds unsafe code and is not listed"),
        _ => vec![],
    }
}

/// In the core, one file names atomics and loom.
fn atomics_elsewhere(path: &str, code: &str) -> Vec<String> {
    if !path.starts_with("core/src/") || path == "core/src/sync.rs" {
        return vec![];
    }
    at(&lines_with(code, &["atomic", "loom"]), "names atomics or loom; `sync.rs` is for that")
}

/// Frames and decoder know neither ring nor sink.
fn layers_crossed(path: &str, code: &str) -> Vec<String> {
    if !path.starts_with("core/src/frame/") && path != "core/src/decoder.rs" {
        return vec![];
    }
    let above = ["ring", "Ring", "Producer", "Consumer", "sink", "Sink", "pump", "Pump"];
    at(&lines_with(code, &above), "names what is above frames")
}

/// Packages use each other by public name, and only those below them. (Their
/// tests may share files.)
fn insides_imported(path: &str, code: &str) -> Vec<String> {
    let above: &[&str] = match path.split_once("/src/") {
        Some(("core", _)) => &["forebay_std", "forebay_linux"],
        Some(("std-adapter", _)) => &["forebay_linux"],
        Some(("linux-adapter" | "cli", _)) => &[],
        _ => return vec![],
    };
    let mut wrong = at(&lines_with(code, above), "uses a package above it");
    wrong.extend(containing(code, &["#[path", "include!("], "takes a file by path"));
    wrong
}

/// A dependency on this workspace is declared by the workspace, not by path.
fn paths_in_manifest(manifest: &str) -> Vec<String> {
    containing(manifest, &["path = \".."], "names a path out of the package")
}

/// The root of a package without unsafe code forbids it.
fn lint_missing(package: &str, root: &str) -> Vec<String> {
    let holds = UNSAFE.iter().any(|path| path.starts_with(&format!("{package}/src/")));
    if holds || root.lines().any(|line| line == "#![forbid(unsafe_code)]") {
        return vec![];
    }
    vec!["does not forbid unsafe code".into()]
}

/// A long file is more than one concept.
fn too_long(text: &str) -> Vec<String> {
    let lines = text.lines().count();
    if lines > LINES_MAX { vec![format!("{lines} lines, over {LINES_MAX}")] } else { vec![] }
}

/// Nothing is left for later.
fn unfinished(text: &str) -> Vec<String> {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
    ];
    containing(text, &marks, "is left for later")
}

/// No tab, nothing after the last character, one newline at the end.
fn stray_space(text: &str) -> Vec<String> {
    let stray = |line: &str| line.contains('\t') || line.ends_with(char::is_whitespace);
    let lines: Vec<_> = numbered(text).filter(|(_, line)| stray(line)).collect();
    let mut wrong = at(&lines, "a tab or trailing space");
    if !text.ends_with('\n') || text.ends_with("\n\n") {
        wrong.push("does not end with one newline".into());
    }
    wrong
}

/// No pictographs; box drawing and mathematics are text.
fn emoji(text: &str) -> Vec<String> {
    let pictograph = |c| matches!(c, '\u{2600}'..='\u{27BF}' | '\u{2B00}'..='\u{2BFF}' | '\u{1F000}'..='\u{1FAFF}');
    let lines: Vec<_> = numbered(text).filter(|(_, line)| line.contains(pictograph)).collect();
    at(&lines, "holds an emoji")
}

/// A test waits for events.
fn sleeps(path: &str, code: &str) -> Vec<String> {
    if path.contains("tests/") { containing(code, &["thread::sleep"], "sleeps") } else { vec![] }
}

/// The cargo commands of README.md are those that CI reads from it: each
/// prefix that the script asks for begins one line, and no other line is a
/// command.
fn commands_unrun(readme: &str, checks: &str) -> Vec<String> {
    let asked: Vec<&str> = checks
        .lines()
        .filter_map(|line| line.split("(readme_command '").nth(1)?.split('\'').next())
        .collect();
    let begins = |line: &str, prefix: &str| {
        line.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let mut wrong = vec![];
    for prefix in ["cargo test", "cargo run"] {
        if !asked.contains(&prefix) {
            wrong.push(format!("CI does not read '{prefix}' from README.md"));
        }
    }
    for prefix in &asked {
        let count = readme.lines().filter(|line| begins(line, prefix)).count();
        if count != 1 {
            wrong.push(format!("README.md has {count} lines that begin with '{prefix}'"));
        }
    }
    for (number, line) in numbered(readme).filter(|(_, line)| line.starts_with("cargo ")) {
        if !asked.iter().any(|prefix| begins(line, prefix)) {
            wrong.push(format!("README.md {number}: '{line}' is not run by CI"));
        }
    }
    wrong
}

/// Each check is a function, a row of `.ci/run` and a word of CONTRIBUTING.md.
fn checks_unlisted(functions: &str, run: &str, contributing: &str) -> Vec<String> {
    let functions: Vec<String> = functions
        .lines()
        .filter_map(|line| Some(line.strip_prefix("check_")?.split_once("()")?.0.replace('_', "-")))
        .collect();
    let rows: Vec<&str> = run
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, limit)| limit.trim().parse::<u32>().is_ok())
        .map(|(name, _)| name)
        .collect();
    let mut wrong = vec![];
    for name in &functions {
        if !rows.contains(&name.as_str()) {
            wrong.push(format!("the check '{name}' has no row in .ci/run"));
        }
        if ![format!("`{name}`"), format!("run {name}`")].iter().any(|it| contributing.contains(it))
        {
            wrong.push(format!("the check '{name}' is not in CONTRIBUTING.md"));
        }
    }
    for row in rows {
        if !functions.iter().any(|name| name == row) {
            wrong.push(format!("the row '{row}' of .ci/run has no function"));
        }
    }
    wrong
}

/// Each fuzz target has seeds, and no seeds are without their target.
fn seeds_missing(targets: &[String], seeded: &[(String, usize)]) -> Vec<String> {
    let mut wrong = vec![];
    if targets.is_empty() {
        wrong.push("fuzz/ has no targets".into());
    }
    for target in targets {
        if !seeded.iter().any(|(name, count)| name == target && *count > 0) {
            wrong.push(format!("the fuzz target '{target}' has no seeds"));
        }
    }
    for (name, _) in seeded {
        if !targets.contains(name) {
            wrong.push(format!("the seeds of '{name}' have no fuzz target"));
        }
    }
    wrong
}

// ------------------------------------------------------- the rules, applied

#[test]
fn sources_keep_the_house_rules() {
    let mut wrong = vec![];
    let mut sources = 0;
    for (path, text) in texts() {
        let mut found = too_long(&text);
        found.extend(unfinished(&text));
        found.extend(emoji(&text));
        if path.ends_with(".rs") || path.ends_with(".md") {
            found.extend(stray_space(&text));
        }
        if path.ends_with(".rs") {
            sources += 1;
            let code = code(&text);
            found.extend(unsafe_elsewhere(&path, &code));
            found.extend(atomics_elsewhere(&path, &code));
            found.extend(layers_crossed(&path, &code));
            found.extend(insides_imported(&path, &code));
            found.extend(sleeps(&path, &code));
        }
        let published = ["core", "std-adapter", "linux-adapter", "cli"];
        if path.strip_suffix("/Cargo.toml").is_some_and(|package| published.contains(&package)) {
            found.extend(paths_in_manifest(&text));
        }
        let root = path.strip_suffix("/src/lib.rs").or_else(|| path.strip_suffix("/src/main.rs"));
        if let Some(package) = root {
            found.extend(lint_missing(package, &text));
        }
        wrong.extend(found.into_iter().map(|found| format!("{path}: {found}")));
    }
    assert!(sources > 30, "{sources} sources seen");
    none(&wrong);
}

#[test]
fn listed_files_exist() {
    let absent = UNSAFE.iter().filter(|path| !root().join(path).exists());
    none(&absent.map(|path| format!("{path} is listed as unsafe and absent")).collect::<Vec<_>>());
}

#[test]
fn readme_and_ci_agree() {
    none(&commands_unrun(&read("README.md"), &read(".ci/checks.sh")));
}

#[test]
fn checks_are_listed() {
    let functions = read(".ci/setup.sh") + &read(".ci/checks.sh");
    none(&checks_unlisted(&functions, &read(".ci/run"), &read("CONTRIBUTING.md")));
}

#[test]
fn fuzz_targets_have_seeds() {
    let names = |path: &str| entries(&root().join("fuzz").join(path));
    let targets: Vec<String> = names("fuzz_targets")
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.strip_suffix(".rs")?.to_owned()))
        .collect();
    let seeded: Vec<(String, usize)> = names("seeds")
        .iter()
        .filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), entries(path).len())))
        .collect();
    none(&seeds_missing(&targets, &seeded));
}

// -------------------------------------------------------- what they rest on

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The entries of a directory; none when there is no such directory.
fn entries(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return vec![] };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Every text of the project with its path from the root.
fn texts() -> Vec<(String, String)> {
    let (mut texts, mut directories) = (vec![], vec![root()]);
    while let Some(directory) = directories.pop() {
        for path in entries(&directory) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let kind = path.extension().and_then(|kind| kind.to_str());
            if path.is_dir() {
                if !["target", ".git", "corpus", "artifacts"].contains(&name) {
                    directories.push(path);
                }
            } else if name == "run" || matches!(kind, Some("rs" | "md" | "toml" | "sh")) {
                let short = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                texts.push((short, fs::read_to_string(path).unwrap()));
            }
        }
    }
    texts.sort();
    texts
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.split('\n'))
}

/// The lines in which one of `words` stands as a word of its own.
fn lines_with<'t>(text: &'t str, words: &[&str]) -> Vec<(usize, &'t str)> {
    let parts = |line: &'t str| line.split(|c: char| !c.is_alphanumeric() && c != '_');
    numbered(text).filter(|(_, line)| parts(line).any(|part| words.contains(&part))).collect()
}

/// Reports the lines that contain one of `pieces`.
fn containing(text: &str, pieces: &[&str], what: &str) -> Vec<String> {
    let found = |line: &str| pieces.iter().any(|piece| line.contains(piece));
    at(&numbered(text).filter(|(_, line)| found(line)).collect::<Vec<_>>(), what)
}

fn at(lines: &[(usize, &str)], what: &str) -> Vec<String> {
    lines.iter().map(|(number, line)| format!("{number}: {what}: {}", line.trim())).collect()
}

#[track_caller]
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Rust source without its comments and without what its literals hold; lines
/// stay where they are.
fn code(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut previous = ' ';
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment_len(rest),
            '"' => string_len(rest),
            'r' | 'b' | 'c' if !previous.is_alphanumeric() && previous != '_' => {
                raw_string_len(rest)
            }
            '\'' => char_len(rest),
            _ => 0,
        };
        if len == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest[..len].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[len..];
        }
        previous = first;
    }
    out
}

fn block_comment_len(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"..."`, `br#"..."#` and their like; 0 for what is none.
fn raw_string_len(text: &str) -> usize {
    let Some(after) = text.trim_start_matches(['b', 'c']).strip_prefix('r') else { return 0 };
    let bare = after.trim_start_matches('#');
    if !bare.starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(after.len() - bare.len()));
    let begin = text.len() - bare.len() + 1;
    bare[1..].find(&end).map_or(text.len(), |at| begin + at + end.len())
}

/// The length of a character literal; 0 for a lifetime.
fn char_len(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => text[3..].find('\'').map_or(0, |at| 3 + at + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

// ---------------------------------------------------------- each rule fails

mod can_fail {
    use super::*;

    #[test]
    fn code_is_without_comments_and_literals() {
        let source = concat!(
            "fn f<'a>(x: &'a str) { // unsafe\n",
            "/* unsafe /* */ unsafe */ g(\"unsafe \\\" unsafe\", 'u', '\\'', b\"unsafe\");\n",
            "/// unsafe\n",
            "h(r#\"unsafe \" unsafe\"#, br\"unsafe\\\", '\\u{41}', attr); unsafe {}\n"
        );
        let code = code(source);
        assert_eq!(lines_with(&code, &["unsafe"]).len(), 1, "{code}");
        assert_eq!(lines_with(&code, &["attr"]), lines_with(&code, &["unsafe"]));
        assert_eq!(code.lines().count(), source.lines().count());
        assert!(code.starts_with("fn f<'a>(x: &'a str) {"));
    }

    #[test]
    fn unsafe_elsewhere_does() {
        assert_eq!(
            unsafe_elsewhere("core/src/batch.rs", "fn f() {\n    unsafe { g() }\n}").len(),
            1
        );
        assert_eq!(unsafe_elsewhere(UNSAFE[0], "fn f() {}").len(), 1);
        none(&unsafe_elsewhere(UNSAFE[0], "unsafe { g() }"));
        none(&unsafe_elsewhere("core/src/batch.rs", "#![forbid(unsafe_code)]"));
    }

    #[test]
    fn atomics_elsewhere_does() {
        let import = "use core::sync::atomic::AtomicBool;";
        assert_eq!(atomics_elsewhere("core/src/pump.rs", import).len(), 1);
        assert_eq!(atomics_elsewhere("core/src/ring/mod.rs", "loom::model(f)").len(), 1);
        none(&atomics_elsewhere("core/src/sync.rs", import));
        none(&atomics_elsewhere("core/src/pump.rs", "#[cfg(forebay_loom)] use crate::sync::A;"));
    }

    #[test]
    fn layers_crossed_does() {
        assert_eq!(layers_crossed("core/src/frame/cobs.rs", "use crate::ring::Ring;").len(), 1);
        assert_eq!(layers_crossed("core/src/decoder.rs", "fn f(sink: &mut impl Sink) {}").len(), 1);
        none(&layers_crossed("core/src/pump.rs", "use crate::ring::Ring;"));
        none(&layers_crossed("core/src/decoder.rs", "let string = wiring;"));
    }

    #[test]
    fn insides_imported_does() {
        assert_eq!(insides_imported("core/src/a.rs", "use forebay_std::Bell;").len(), 1);
        assert_eq!(insides_imported("std-adapter/src/a.rs", "use forebay_linux::FdSink;").len(), 1);
        assert_eq!(insides_imported("linux-adapter/src/a.rs", "#[path = \"x\"]\nmod x;").len(), 1);
        assert_eq!(insides_imported("cli/src/a.rs", "include!(\"x\");").len(), 1);
        none(&insides_imported("linux-adapter/src/a.rs", "use forebay_std::Bell;"));
    }

    #[test]
    fn paths_in_manifest_does() {
        assert_eq!(
            paths_in_manifest("[dependencies]\nforebay = { path = \"../core\" }\n").len(),
            1
        );
        none(&paths_in_manifest("[[bin]]\npath = \"src/main.rs\"\n"));
    }

    #[test]
    fn lint_missing_does() {
        assert_eq!(lint_missing("cli", "//! It.\nfn main() {}").len(), 1);
        none(&lint_missing("cli", "//! It.\n#![forbid(unsafe_code)]\n"));
        none(&lint_missing("core", "//! It.\n"));
    }

    #[test]
    fn too_long_does() {
        none(&too_long(&"a\n".repeat(LINES_MAX)));
        assert_eq!(too_long(&"a\n".repeat(LINES_MAX + 1)).len(), 1);
    }

    #[test]
    fn unfinished_does() {
        for mark in [concat!("// TO", "DO: f"), concat!("// FIX", "ME"), concat!("to", "do!()")] {
            assert_eq!(unfinished(&format!("a\n{mark}\n")).len(), 1, "{mark}");
        }
        none(&unfinished("what is to do, fixed by me\n"));
    }

    #[test]
    fn stray_space_does() {
        for text in ["a \n", "\ta\n", "a\r\n", "a", "a\n\n"] {
            assert_eq!(stray_space(text).len(), 1, "{text:?}");
        }
        none(&stray_space("    a\n\nb\n"));
    }

    #[test]
    fn emoji_does() {
        for text in ["\u{1F680}", "\u{2705} a", "\u{26A0}\u{FE0F}"] {
            assert_eq!(emoji(text).len(), 1, "{text:?}");
        }
        none(&emoji("┌──┐ <= × ≤ é"));
    }

    #[test]
    fn sleeps_does() {
        assert_eq!(sleeps("tests/tests/a.rs", "std::thread::sleep(short);").len(), 1);
        none(&sleeps("std-adapter/tests/bell.rs", "bell.sleep(deadline);"));
    }

    #[test]
    fn commands_unrun_does() {
        let checks = "a=$(readme_command 'cargo test')\nb=$(readme_command 'cargo run')\n";
        let readme = "```sh\ncargo run -- demo\ncargo test\n```\n";
        none(&commands_unrun(readme, checks));
        assert_eq!(commands_unrun("cargo test\n", checks).len(), 1);
        assert_eq!(commands_unrun(&readme.repeat(2), checks).len(), 2);
        assert_eq!(commands_unrun(&format!("{readme}cargo bench\n"), checks).len(), 1);
        assert_eq!(commands_unrun(readme, "a=$(readme_command 'cargo run')").len(), 2);
    }

    #[test]
    fn checks_unlisted_does() {
        let functions = "check_no_allocator() {\ncheck_thread() {\n";
        let run = "no-allocator   120\nthread 900\nfor name in a; do\n";
        let contributing = "| `no-allocator` | x |\n| `.ci/run thread` | y |\n";
        none(&checks_unlisted(functions, run, contributing));
        assert_eq!(checks_unlisted(functions, "thread 900\n", contributing).len(), 1);
        assert_eq!(checks_unlisted(functions, run, "`no-allocator`").len(), 1);
        assert_eq!(checks_unlisted("check_thread() {\n", run, contributing).len(), 1);
    }

    #[test]
    fn seeds_missing_does() {
        let targets = ["cobs".to_owned(), "ring".to_owned()];
        let seeds = |cobs, ring| [("cobs".to_owned(), cobs), ("ring".to_owned(), ring)];
        none(&seeds_missing(&targets, &seeds(1, 2)));
        assert_eq!(seeds_missing(&targets, &seeds(1, 0)).len(), 1);
        assert_eq!(seeds_missing(&targets, &seeds(1, 2)[..1]).len(), 1);
        assert_eq!(seeds_missing(&targets[..1], &seeds(1, 2)).len(), 1);
        assert_eq!(seeds_missing(&[], &[]).len(), 1);
    }
}
