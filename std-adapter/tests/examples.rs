//! The examples that log, run as programs: every line arrives, or is told of
//! and counted as lost.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

const THREADS: usize = 3;

/// Where `cargo test` puts the example's program, beside this test's.
fn program(name: &str) -> Option<PathBuf> {
    let test = env::current_exe().unwrap();
    let folder = test.ancestors().find(|folder| folder.join("examples").is_dir())?;
    let program = folder.join("examples").join(name).with_extension(env::consts::EXE_EXTENSION);
    program.exists().then_some(program)
}

/// Runs an example, with what is set in its environment.
fn run(program: &Path, lines: usize, vars: &[(&str, &str)]) -> (String, String, bool) {
    let mut command = Command::new(program);
    command.args([THREADS.to_string(), lines.to_string()]).envs(vars.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr), output.status.success())
}

/// The number before `word` in a text.
fn count(text: &str, word: &str) -> usize {
    let at = text.find(word).unwrap_or_else(|| panic!("no {word:?} in {text:?}"));
    let word_before = |text: &str| text.split_whitespace().next_back().map(str::to_owned);
    word_before(&text[..at]).unwrap().parse().unwrap()
}

/// The number after `word` in a text.
fn count_after(text: &str, word: &str) -> usize {
    let rest = text.split_once(word).unwrap_or_else(|| panic!("no {word:?} in {text:?}")).1;
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

fn every_line_arrives_or_is_counted(name: &str) {
    let Some(program) = program(name) else {
        println!("SKIPPED: the example {name} has not been built: `cargo test` builds it");
        return;
    };
    // A ring with room for all, and one with room for next to nothing.
    for (ring, lines) in [("1M", 200), ("512", 5000)] {
        let (out, err, success) = run(&program, lines, &[("FOREBAY_RING", ring)]);
        assert!(success && err.starts_with("all was delivered: "), "{err}");
        let mut next = [0; THREADS];
        let (mut arrived, mut lost) = (0, 0);
        for line in out.lines() {
            if line.starts_with("WARN ") {
                lost += count(line, " lines lost");
                continue;
            }
            let (name, number) = (count_after(line, "thread "), count_after(line, "line "));
            assert!(line.trim_start().starts_with("INFO "), "{line}");
            assert!(number >= next[name], "thread {name} is out of order");
            next[name] = number + 1;
            arrived += 1;
        }
        assert_eq!(arrived + lost, THREADS * lines, "{err}");
        assert_eq!(count_after(&err, "refused "), lost, "{err}");
        assert_eq!(count_after(&err, "delivered "), arrived, "{err}");
        assert_eq!(count_after(&err, "in flight "), 0, "{err}");
        if ring == "1M" {
            assert_eq!((arrived, next), (THREADS * lines, [lines; THREADS]));
        }
    }
    let (_, err, success) = run(&program, 1, &[("FOREBAY_BATCH", "big")]);
    assert!(!success && err.contains("FOREBAY_BATCH"), "{err}");
}

#[test]
fn log_writer() {
    every_line_arrives_or_is_counted("log_writer");
}

#[test]
fn tracing_writer() {
    every_line_arrives_or_is_counted("tracing_writer");
}
