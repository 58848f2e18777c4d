// The wake-up of `forebay-std` and its twins. `build.rs` includes this file.

const BELLS: Subject = Subject {
    folder: "std-adapter/src",
    modules: &["bell", "drain/room"],
    over: for_loom,
    beside: "pub(crate) use bell::Bell;",
    tests: "bells",
    models: &["models"],
};

/// The source of `forebay-std`, whose `std` is that of `src/stand_in.rs`. But
/// what counts for people alone keeps its atomics, which loom need not see.
fn for_loom(file: &Path, text: String) -> String {
    // loom's atomics are not made in constants.
    let text = text.replace("pub const fn new", "pub fn new");
    // Its own tests are none of a copy's.
    let text = text.replace("#[cfg(test)]", "#[cfg(any())]");
    if file.ends_with("drain/counters.rs") {
        return text;
    }
    text.replace("use std::", "use forebay_loom_tests::stand_in::")
}

const LOST: &str = "deadlock; threads =";

/// What must be rejected: each loses a wake-up.
const BELL_TWINS: &[Twin] = &[
    Twin {
        name: "sleeper_without_a_fence",
        file: "bell.rs",
        from: "// Pairs with the fence in `ring`.\n        fence(Ordering::SeqCst);",
        to: "",
        model: "models::wakes",
        says: LOST,
    },
    Twin {
        name: "sleeper_with_a_weaker_fence",
        file: "bell.rs",
        from: "// Pairs with the fence in `ring`.\n        fence(Ordering::SeqCst);",
        to: "fence(Ordering::AcqRel);",
        model: "models::wakes",
        says: LOST,
    },
    Twin {
        name: "ringer_without_a_fence",
        file: "bell.rs",
        from: "// Pairs with the fence in `sleep`.\n        fence(Ordering::SeqCst);",
        to: "",
        model: "models::wakes",
        says: LOST,
    },
    Twin {
        name: "ringer_with_a_weaker_fence",
        file: "bell.rs",
        from: "// Pairs with the fence in `sleep`.\n        fence(Ordering::SeqCst);",
        to: "fence(Ordering::AcqRel);",
        model: "models::wakes",
        says: LOST,
    },
    Twin {
        name: "looks_before_it_says_that_it_sleeps",
        file: "bell.rs",
        from: "let _asleep = Asleep::by(self);",
        to: "if has_work() { return; }
             let has_work = || false;
             let _asleep = Asleep::by(self);",
        model: "models::wakes",
        says: LOST,
    },
    Twin {
        name: "nobody_is_unparked",
        file: "bell.rs",
        from: "sleeper.unpark();",
        to: "",
        model: "models::wakes",
        says: LOST,
    },
    Twin {
        name: "flag_left_by_the_last_sleep",
        file: "bell.rs",
        from: "        bell.asleep.store(true, Ordering::Release);\n        Self(bell)",
        to: "        Self(bell)",
        model: "models::wakes_twice",
        says: LOST,
    },
    Twin {
        name: "drainer_without_a_fence",
        file: "drain/room.rs",
        from: "// Pairs with the fence in `Bell::sleep`.\n        fence(Ordering::SeqCst);",
        to: "",
        model: "models::waits_for_room",
        says: LOST,
    },
    Twin {
        name: "waits_before_it_says_so",
        file: "drain/room.rs",
        from: "self.waiting.fetch_add(1, Ordering::Relaxed);\n        let _waits = Waits(self);\n        sleep();",
        to: "sleep();\n        self.waiting.fetch_add(1, Ordering::Relaxed);\n        let _waits = Waits(self);",
        model: "models::waits_for_room",
        says: LOST,
    },
    Twin {
        name: "one_of_two_is_woken",
        file: "drain/room.rs",
        from: "for bell in &*self.bells() {",
        to: "for bell in self.bells().iter().take(1) {",
        model: "models::two_wait_for_room",
        says: LOST,
    },
];
