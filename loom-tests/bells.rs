// The wake-up of `forebay-std` for the models, and its twins. `build.rs`
// includes this file.
//
// The source is taken as it is, but that what it imports of std is loom's.

/// The modules, and where their imports are made over.
const BELL_MODULES: &[(&str, &str, &str, &str)] = &[
    (
        "bell",
        "bell.rs",
        "use std::{",
        "use std::{sync::PoisonError, time::Instant};
         use forebay_loom_tests::parking::{self as thread, Thread};
         use loom::sync::{Mutex, MutexGuard, atomic::{AtomicBool, Ordering, fence}};",
    ),
    (
        "room",
        "drain/room.rs",
        "use std::sync::{",
        "use std::sync::{Arc, PoisonError};
         use loom::sync::{Mutex, MutexGuard, atomic::{AtomicUsize, Ordering, fence}};",
    ),
];

const LOST: &str = "deadlock; threads =";

/// What must be rejected: each loses a wake-up.
const BELL_TWINS: &[Twin] = &[
    Twin {
        name: "sleeper_without_a_fence",
        file: "bell.rs",
        from: "// Pairs with the fence in `ring`.\n        fence(Ordering::SeqCst);",
        to: "",
        model: "wakes",
        says: LOST,
    },
    Twin {
        name: "sleeper_with_a_weaker_fence",
        file: "bell.rs",
        from: "// Pairs with the fence in `ring`.\n        fence(Ordering::SeqCst);",
        to: "fence(Ordering::AcqRel);",
        model: "wakes",
        says: LOST,
    },
    Twin {
        name: "ringer_without_a_fence",
        file: "bell.rs",
        from: "// Pairs with the fence in `sleep`.\n        fence(Ordering::SeqCst);",
        to: "",
        model: "wakes",
        says: LOST,
    },
    Twin {
        name: "ringer_with_a_weaker_fence",
        file: "bell.rs",
        from: "// Pairs with the fence in `sleep`.\n        fence(Ordering::SeqCst);",
        to: "fence(Ordering::AcqRel);",
        model: "wakes",
        says: LOST,
    },
    Twin {
        name: "looks_before_it_says_that_it_sleeps",
        file: "bell.rs",
        from: "let _asleep = Asleep::by(self);",
        to: "if has_work() { return; }
             let has_work = || false;
             let _asleep = Asleep::by(self);",
        model: "wakes",
        says: LOST,
    },
    Twin {
        name: "nobody_is_unparked",
        file: "bell.rs",
        from: "sleeper.unpark();",
        to: "",
        model: "wakes",
        says: LOST,
    },
    Twin {
        name: "flag_left_by_the_last_sleep",
        file: "bell.rs",
        from: "        bell.asleep.store(true, Ordering::Release);\n        Self(bell)",
        to: "        Self(bell)",
        model: "wakes_twice",
        says: LOST,
    },
    Twin {
        name: "drainer_without_a_fence",
        file: "drain/room.rs",
        from: "// Pairs with the fence in `Bell::sleep`.\n        fence(Ordering::SeqCst);",
        to: "",
        model: "waits_for_room",
        says: LOST,
    },
    Twin {
        name: "waits_before_it_says_so",
        file: "drain/room.rs",
        from: "self.waiting.fetch_add(1, Ordering::Relaxed);\n        let _waits = Waits(self);\n        sleep();",
        to: "sleep();\n        self.waiting.fetch_add(1, Ordering::Relaxed);\n        let _waits = Waits(self);",
        model: "waits_for_room",
        says: LOST,
    },
    Twin {
        name: "one_of_two_is_woken",
        file: "drain/room.rs",
        from: "for bell in &*self.bells() {",
        to: "for bell in self.bells().iter().take(1) {",
        model: "two_wait_for_room",
        says: LOST,
    },
];

/// The wake-up as it ships, with a test of each model, and its twins.
fn bells(here: &Path) -> String {
    let source = here.parent().unwrap().join("std-adapter/src");
    for (_, file, _, _) in BELL_MODULES {
        println!("cargo::rerun-if-changed={}", source.join(file).display());
    }
    println!("cargo::rerun-if-changed=bells.rs");
    let models = here.join("tests/bells/models.rs");
    let mut out = String::new();
    for twin in BELL_TWINS {
        let (name, says) = (twin.name, twin.says);
        let tests = format!(
            "#[test] #[ignore = \"`is_rejected` runs it\"] fn model() {{ models::{}(); }}\n\
             #[test] fn is_rejected() {{\n\
             forebay_loom_tests::rejects(\"{name}::model\", {says:?});\n}}",
            twin.model
        );
        out += &bell_module(name, Some(twin), &tests, &source, &models);
    }
    out + &bell_module("shipped", None, "#[path = \"shipped.rs\"] mod tests;", &source, &models)
}

fn bell_module(
    name: &str,
    twin: Option<&Twin>,
    tests: &str,
    source: &Path,
    models: &Path,
) -> String {
    let tests = tests.replace("shipped.rs", models.with_file_name("shipped.rs").to_str().unwrap());
    let mut out = format!("mod {name} {{\n{tests}\n#[path = {models:?}] mod models;\n");
    let mut edits = 0;
    for (module, file, imports, loom) in BELL_MODULES {
        let mut text = fs::read_to_string(source.join(file)).unwrap();
        if let Some(twin) = twin.filter(|twin| twin.file == *file) {
            edits += text.matches(twin.from).count();
            text = text.replace(twin.from, twin.to);
        }
        // loom's atomics are not made in constants.
        let text = text.replace("pub const fn new", "pub fn new");
        let (docs, rest) = text.split_once(imports).expect("the imports are made over");
        let (_, rest) = rest.split_once("};\n").expect("the imports end");
        let rest = rest.replace("crate::Bell", "super::bell::Bell");
        // The module's own docs have no place within a module's braces.
        let docs = docs.replace("//!", "//");
        writeln!(out, "#[allow(warnings, clippy::all)] mod {module} {{\n{docs}{loom}{rest}\n}}")
            .unwrap();
    }
    if let Some(twin) = twin {
        assert_eq!(edits, 1, "{name}: found {edits} times in {}: {}", twin.file, twin.from);
    }
    out + "}\n"
}
