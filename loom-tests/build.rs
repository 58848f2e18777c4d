//! Makes the twins: the source of the ring, of the wake-up and of the drainer
//! as one module each, with one edit.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

include!("twins.rs");
include!("bells.rs");
include!("drain.rs");

/// What is copied, and for which models.
struct Subject {
    /// The folder of its source.
    folder: &'static str,
    /// What of it a copy is made of.
    modules: &'static [&'static str],
    /// Makes the text of a file over.
    over: fn(&Path, String) -> String,
    /// What a copy has beside it.
    beside: &'static str,
    /// The folder of its models.
    tests: &'static str,
    models: &'static [&'static str],
}

const RINGS: Subject = Subject {
    folder: "core/src",
    modules: &["sync", "ledger", "ring"],
    over: |_, text| text,
    beside: "",
    tests: "rings",
    models: &["one", "many", "overwrite"],
};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for twins in ["twins.rs", "bells.rs", "drain.rs"] {
        println!("cargo::rerun-if-changed={twins}");
    }
    let mut rings = RINGS.twins(TWINS);
    for twin in EQUIVALENT {
        let tests = format!("#[test] fn passes() {{ {}(); }}", twin.model);
        rings += &RINGS.copy(twin.name, Some(twin), &tests);
    }
    put("twins.rs", &rings);
    put("bells.rs", &(BELLS.twins(BELL_TWINS) + &BELLS.shipped()));
    put("drain.rs", &(DRAIN.twins(DRAIN_TWINS) + &DRAIN.shipped()));
}

fn put(name: &str, text: &str) {
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    fs::write(out_dir.join(name), text).unwrap();
}

impl Subject {
    /// A copy for each twin, with a test that it is rejected.
    fn twins(&self, twins: &[Twin]) -> String {
        let copies = twins.iter().map(|twin| {
            let Twin { name, model, says, .. } = twin;
            let tests = format!(
                "#[test] #[ignore = \"`is_rejected` runs it\"] fn model() {{ {model}(); }}\n\
                 #[test] fn is_rejected() {{\n\
                 forebay_loom_tests::rejects(\"{name}::model\", {says:?});\n}}"
            );
            self.copy(name, Some(twin), &tests)
        });
        copies.collect()
    }

    /// The source as it ships, with a test of each model.
    fn shipped(&self) -> String {
        let tests = here().join("tests").join(self.tests).join("shipped.rs");
        self.copy("shipped", None, &format!("#[path = {tests:?}] mod tests;"))
    }

    /// The source with the twin's edit, the models and `tests`.
    fn copy(&self, name: &str, twin: Option<&Twin>, tests: &str) -> String {
        let mut out = format!("mod {name} {{\n{tests}\n{}\n", self.beside);
        for model in self.models {
            let file = here().join("tests").join(self.tests).join(model).with_extension("rs");
            writeln!(out, "#[path = {file:?}] mod {model};").unwrap();
        }
        let folder = here().parent().unwrap().join(self.folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut edits = 0;
        for module in self.modules {
            let (inner, module) = module.rsplit_once('/').unwrap_or(("", module));
            let text = self.text(&folder.join(inner), module, twin, &mut edits);
            let text = text.replace("crate::", &format!("crate::{name}::"));
            writeln!(out, "#[allow(warnings, clippy::all)] mod {module} {{\n{text}\n}}").unwrap();
        }
        if let Some(Twin { file, from, .. }) = twin {
            assert_eq!(edits, 1, "{name}: found {edits} times in {file}: {from}");
        }
        out + "}\n"
    }

    /// A module's text with its submodules in place, which the models may name.
    /// Counts the edits.
    fn text(&self, folder: &Path, module: &str, twin: Option<&Twin>, edits: &mut usize) -> String {
        let inner = folder.join(module);
        let file = if inner.is_dir() { inner.join("mod.rs") } else { inner.with_extension("rs") };
        let mut text = fs::read_to_string(&file).unwrap();
        if let Some(twin) = twin.filter(|twin| file.ends_with(twin.file)) {
            *edits += text.matches(twin.from).count();
            text = text.replace(twin.from, twin.to);
        }
        let mut whole = String::new();
        for line in (self.over)(&file, text).lines() {
            match line.strip_suffix(';').and_then(|line| line.split_once("mod ")) {
                Some(("" | "pub " | "pub(crate) ", "tests")) => whole.push_str("mod tests {}"),
                Some(("" | "pub " | "pub(crate) ", submodule)) => {
                    let text = self.text(&inner, submodule, twin, edits);
                    write!(whole, "pub mod {submodule} {{\n{text}\n}}").unwrap();
                }
                _ => whole.push_str(line),
            }
            whole.push('\n');
        }
        whole
    }
}

fn here() -> PathBuf {
    PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap())
}
