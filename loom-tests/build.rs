//! Makes the twins: the source of the ring and of the wake-up as one module
//! each, with one edit.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

include!("twins.rs");
include!("bells.rs");

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let source = here.parent().unwrap().join("core/src");
    let models = here.join("tests/rings");
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rerun-if-changed=twins.rs");
    println!("cargo::rerun-if-changed=build.rs");

    let mut out = String::new();
    for twin in TWINS {
        let Twin { name, model, says, .. } = twin;
        let tests = format!(
            "#[test] #[ignore = \"`is_rejected` runs it\"] fn model() {{ {model}(); }}\n\
             #[test] fn is_rejected() {{\n\
             forebay_loom_tests::rejects(\"{name}::model\", {says:?});\n}}"
        );
        out += &twin_module(twin, &tests, &source, &models);
    }
    for twin in EQUIVALENT {
        let tests = format!("#[test] fn passes() {{ {}(); }}", twin.model);
        out += &twin_module(twin, &tests, &source, &models);
    }
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    fs::write(out_dir.join("twins.rs"), out).unwrap();
    fs::write(out_dir.join("bells.rs"), bells(&here)).unwrap();
}

/// What the ring is made of, with the twin's edit, the models and `tests`.
fn twin_module(twin: &Twin, tests: &str, source: &Path, models: &Path) -> String {
    let name = twin.name;
    let mut out = format!("mod {name} {{\n{tests}\n");
    for module in ["one", "many", "overwrite"] {
        let file = models.join(module).with_extension("rs");
        writeln!(out, "#[path = {file:?}] mod {module};").unwrap();
    }
    let mut edits = 0;
    for module in ["sync", "ledger", "ring"] {
        let text = module_text(source, module, twin, &mut edits);
        let text = text.replace("crate::", &format!("crate::{name}::"));
        writeln!(out, "#[allow(warnings, clippy::all)] mod {module} {{\n{text}\n}}").unwrap();
    }
    assert_eq!(edits, 1, "{name}: found {edits} times in {}: {}", twin.file, twin.from);
    out + "}\n"
}

/// A module's text with its submodules in place. Counts the edits.
fn module_text(folder: &Path, module: &str, twin: &Twin, edits: &mut usize) -> String {
    let inner = folder.join(module);
    let file = if inner.is_dir() { inner.join("mod.rs") } else { inner.with_extension("rs") };
    let mut text = fs::read_to_string(&file).unwrap();
    if file.ends_with(twin.file) {
        *edits += text.matches(twin.from).count();
        text = text.replace(twin.from, twin.to);
    }
    let mut whole = String::new();
    for line in text.lines() {
        match line.strip_suffix(';').and_then(|line| line.split_once("mod ")) {
            Some(("" | "pub " | "pub(crate) ", "tests")) => whole.push_str("mod tests {}"),
            Some((visibility @ ("" | "pub " | "pub(crate) "), submodule)) => {
                let text = module_text(&inner, submodule, twin, edits);
                write!(whole, "{visibility}mod {submodule} {{\n{text}\n}}").unwrap();
            }
            _ => whole.push_str(line),
        }
        whole.push('\n');
    }
    whole
}
