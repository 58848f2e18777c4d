// The drainer of `forebay-std` and its twins. `build.rs` includes this file.

/// Without `Running`, which is a thread of loom's in the models.
const DRAIN: Subject = Subject {
    folder: "std-adapter/src",
    modules: &["bell", "drain"],
    over: |file, text| {
        let text = text.replace("mod running;\n", "").replace("pub use running::Running;\n", "");
        // Few lanes are soon taken.
        let text = text.replace("SENDERS_MAX: usize = 64", "SENDERS_MAX: usize = 2");
        for_loom(file, text)
    },
    beside: "pub(crate) use bell::Bell;
             mod write { pub(crate) use forebay_loom_tests::stand_in::uninterrupted; }",
    tests: "drain",
    models: &["wire", "registrar", "shutdown"],
};

const LEFT: &str = "a message was left behind";

/// What must be rejected.
const DRAIN_TWINS: &[Twin] = &[
    // Calls for the drainer's attention.
    Twin {
        name: "called_by_a_store",
        file: "drain/shared.rs",
        from: "self.attention.swap(true, Ordering::Release);",
        to: "self.attention.store(true, Ordering::Release);",
        model: "registrar::two_leave",
        says: LOST,
    },
    Twin {
        name: "called_relaxed",
        file: "drain/shared.rs",
        from: "self.attention.swap(true, Ordering::Release);",
        to: "self.attention.swap(true, Ordering::Relaxed);",
        model: "registrar::two_leave",
        says: LOST,
    },
    Twin {
        name: "answered_relaxed",
        file: "drain/shared.rs",
        from: "self.attention.swap(false, Ordering::Acquire);",
        to: "self.attention.swap(false, Ordering::Relaxed);",
        model: "registrar::two_leave",
        says: LOST,
    },
    Twin {
        name: "called_without_ringing",
        file: "drain/shared.rs",
        from: "self.attention.swap(true, Ordering::Release);\n        self.bell.ring();",
        to: "self.attention.swap(true, Ordering::Release);",
        model: "registrar::two_leave",
        says: LOST,
    },
    Twin {
        name: "called_before_it_has_left",
        file: "drain/sender.rs",
        from: "let is_last = self.account.close(&self.published);",
        to: "self.shared.call();
             let is_last = self.account.close(&self.published) && false;",
        model: "registrar::two_leave",
        says: LOST,
    },
    Twin {
        name: "clones_close_relaxed",
        file: "drain/account.rs",
        from: "self.senders.fetch_sub(1, Ordering::AcqRel) == 1",
        to: "self.senders.fetch_sub(1, Ordering::Relaxed) == 1",
        model: "registrar::clones_leave",
        says: LOST,
    },
    Twin {
        name: "closed_before_its_ring",
        file: "drain/sender.rs",
        from: "    way: Way,\n    link: Link,\n",
        to: "    link: Link,\n    way: Way,\n",
        model: "registrar::two_leave",
        says: LOST,
    },
    Twin {
        name: "called_before_it_delivers",
        file: "drain/shared.rs",
        from: "        inbox.lanes.push(lane);\n        drop(inbox);\n        self.call();",
        to: "        drop(inbox);\n        self.call();\n        locked(&self.inbox).lanes.push(lane);",
        model: "registrar::comes_late",
        says: LEFT,
    },
    // Who may make channels still.
    Twin {
        name: "registrars_looked_at_relaxed",
        file: "drain/shared.rs",
        from: "self.registrars.load(Ordering::Acquire) > 0",
        to: "self.registrars.load(Ordering::Relaxed) > 0",
        model: "registrar::comes_late",
        says: LEFT,
    },
    Twin {
        name: "calls_looked_at_before_registrars",
        file: "drain/shared.rs",
        from: "self.registrars.load(Ordering::Acquire) > 0 || self.is_called()",
        to: "self.is_called() || self.registrars.load(Ordering::Acquire) > 0",
        model: "registrar::comes_late",
        says: LEFT,
    },
    Twin {
        name: "registrar_leaves_silently",
        file: "drain/shared.rs",
        from: "self.registrars.fetch_sub(1, Ordering::Release);\n        self.bell.ring();",
        to: "self.registrars.fetch_sub(1, Ordering::Release);",
        model: "registrar::leaves",
        says: LOST,
    },
    Twin {
        name: "asleep_to_calls",
        file: "drain/drainer.rs",
        from: "self.line.0.is_called() || self.pump.has_work()",
        to: "self.pump.has_work()",
        model: "registrar::comes_late",
        says: LOST,
    },
    Twin {
        name: "asleep_to_the_end",
        file: "drain/drainer.rs",
        from: "let awake = drainer.has_work() || drainer.is_finished();",
        to: "let awake = drainer.has_work();",
        model: "registrar::leaves",
        says: LOST,
    },
    Twin {
        name: "lane_taken_by_store",
        file: "drain/shared.rs",
        from: "self.lanes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()",
        to: "take(self.lanes.load(Ordering::Relaxed))
                .map(|lanes| self.lanes.store(lanes, Ordering::Relaxed)).is_some()",
        model: "registrar::last_lane",
        says: "one lane for two",
    },
    // The end.
    Twin {
        name: "asks_before_it_says_when",
        file: "drain/shared.rs",
        from: "        locked(&self.inbox).deadline = Some(deadline);\n        self.call();",
        to: "        self.call();\n        locked(&self.inbox).deadline = Some(deadline);",
        model: "shutdown::is_heard",
        says: LOST,
    },
    Twin {
        name: "closes_without_waking",
        file: "drain/shared.rs",
        from: "    pub(crate) fn close(&self) {\n        self.closed.store(true, Ordering::Relaxed);\n        self.room.made();",
        to: "    pub(crate) fn close(&self) {\n        self.closed.store(true, Ordering::Relaxed);",
        model: "shutdown::wakes_who_waits",
        says: LOST,
    },
    Twin {
        name: "hangs_up_without_waking",
        file: "drain/shared.rs",
        from: "        drop(lanes);\n        self.room.made();",
        to: "        drop(lanes);",
        model: "shutdown::hangs_up_on_who_waits",
        says: LOST,
    },
    Twin {
        name: "wakes_before_it_closes",
        file: "drain/shared.rs",
        from: "    pub(crate) fn close(&self) {\n        self.closed.store(true, Ordering::Relaxed);\n        self.room.made();",
        to: "    pub(crate) fn close(&self) {\n        self.room.made();\n        self.closed.store(true, Ordering::Relaxed);",
        model: "shutdown::wakes_who_waits",
        says: LOST,
    },
    Twin {
        name: "waits_without_a_look_at_the_end",
        file: "drain/sender.rs",
        from: "shared.is_closed() || !matches!(last, Err(ReserveError::Full { .. }))",
        to: "!matches!(last, Err(ReserveError::Full { .. }))",
        model: "shutdown::wakes_who_waits",
        says: LOST,
    },
    Twin {
        name: "delivers_whatever_is_closed",
        file: "drain/shared.rs",
        from: "        if self.is_closed() {\n            return false;\n        }\n        inbox",
        to: "        inbox",
        model: "shutdown::hangs_up_on_new_channels",
        says: "sent into the void",
    },
    Twin {
        name: "hangs_up_before_it_closes",
        file: "drain/shared.rs",
        from: "        self.closed.store(true, Ordering::Relaxed);\n        let lanes = mem::take(&mut locked(&self.inbox).lanes);",
        to: "        let lanes = mem::take(&mut locked(&self.inbox).lanes);\n        self.closed.store(true, Ordering::Relaxed);",
        model: "shutdown::hangs_up_on_new_channels",
        says: "sent into the void",
    },
];
