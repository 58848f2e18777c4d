// The twins of the one-producer ring. `build.rs` and the tests include this
// file.

/// A copy of the ring with one edit.
struct Twin {
    /// The name of its module and test.
    name: &'static str,
    /// The file in `core/src` that is edited.
    file: &'static str,
    /// What stands there, once in the file.
    from: &'static str,
    /// What stands in its place.
    to: &'static str,
    /// The model that rejects the twin.
    model: &'static str,
    /// Part of what it says then.
    says: &'static str,
}

const WRITE_RACE: &str = "Causality violation: Concurrent write accesses to `UnsafeCell`";
const READ_RACE: &str = "Causality violation: Concurrent read and write accesses";

/// What must be rejected.
const TWINS: &[Twin] = &[
    Twin {
        name: "commit_store_relaxed",
        file: "ring/producer.rs",
        from: "header.store(value, Ordering::Release);",
        to: "header.store(value, Ordering::Relaxed);",
        model: "publish",
        says: READ_RACE,
    },
    Twin {
        name: "commit_load_relaxed",
        file: "ring/consumer.rs",
        from: "match header.load(Ordering::Acquire) {",
        to: "match header.load(Ordering::Relaxed) {",
        model: "publish",
        says: READ_RACE,
    },
    Twin {
        name: "head_store_relaxed",
        file: "ring/consumer.rs",
        from: ".head.store(position, Ordering::Release)",
        to: ".head.store(position, Ordering::Relaxed)",
        model: "reuse",
        says: WRITE_RACE,
    },
    Twin {
        name: "head_load_relaxed",
        file: "ring/producer.rs",
        from: ".head.load(Ordering::Acquire)",
        to: ".head.load(Ordering::Relaxed)",
        model: "reuse",
        says: WRITE_RACE,
    },
    Twin {
        name: "producer_gone_store_relaxed",
        file: "ring/producer.rs",
        from: "producer_gone.store(true, Ordering::Release)",
        to: "producer_gone.store(true, Ordering::Relaxed)",
        model: "producer_leaves",
        says: "finished with a record left",
    },
    Twin {
        name: "producer_gone_load_relaxed",
        file: "ring/consumer.rs",
        from: "producer_gone.load(Ordering::Acquire)",
        to: "producer_gone.load(Ordering::Relaxed)",
        model: "producer_leaves",
        says: "finished with a record left",
    },
    Twin {
        name: "consumer_gone_store_relaxed",
        file: "ring/consumer.rs",
        from: "consumer_gone.store(true, Ordering::Release)",
        to: "consumer_gone.store(true, Ordering::Relaxed)",
        model: "consumer_leaves",
        says: "closed with room left",
    },
    Twin {
        name: "consumer_gone_load_relaxed",
        file: "ring/producer.rs",
        from: "consumer_gone.load(Ordering::Acquire)",
        to: "consumer_gone.load(Ordering::Relaxed)",
        model: "consumer_leaves",
        says: "closed with room left",
    },
    Twin {
        name: "records_before_gone",
        file: "ring/consumer.rs",
        from: "self.region.control().producer_gone.load(Ordering::Acquire) && !self.finds(self.head)",
        to: "!self.finds(self.head) && self.region.control().producer_gone.load(Ordering::Acquire)",
        model: "producer_leaves",
        says: "finished with a record left",
    },
    Twin {
        name: "head_before_gone",
        file: "ring/producer.rs",
        from: "return Err(if abandoned {",
        to: "return Err(if self.is_abandoned() {",
        model: "consumer_leaves",
        says: "closed with room left",
    },
    Twin {
        name: "wipe_skipped",
        file: "ring/consumer.rs",
        from: "unsafe { self.region.wipe(self.head, len) };",
        to: "",
        model: "reuse",
        says: "left == right",
    },
    Twin {
        name: "wipe_after_head",
        file: "ring/consumer.rs",
        from: "unsafe { self.region.wipe(self.head, len) };\n        self.head = position;",
        to: "self.region.control().head.store(position, Ordering::Release);\n        \
             unsafe { self.region.wipe(self.head, len) };\n        self.head = position;",
        model: "reuse",
        says: WRITE_RACE,
    },
    Twin {
        name: "forgotten_header_wiped",
        file: "ring/producer.rs",
        from: "unsafe { self.region.bytes_mut(payload, self.state.lent) }.fill(0);",
        to: "let _ = payload;\n        \
             unsafe { self.region.wipe(self.state.tail, padding + span(self.state.lent)) };",
        model: "no_commit",
        says: "Causality violation: Concurrent read and write accesses to `UnsafeCell`",
    },
    Twin {
        name: "commit_before_the_payload",
        file: "ring/producer.rs",
        from: "let mut grant = self.reserve(record.len())?;",
        to: "let mut grant = self.reserve(record.len())?;\n        \
             grant.put_header(grant.record(), record.len() as u32 + 1);",
        model: "publish",
        says: READ_RACE,
    },
    Twin {
        name: "walk_beyond_a_lap",
        file: "ring/consumer.rs",
        from: "if self.at.wrapping_sub(self.head) >= region.capacity() {",
        to: "if self.at.wrapping_sub(self.head) > region.capacity() {",
        model: "reuse",
        says: "left == right",
    },
];

/// What loom cannot reject, since it breaks nothing.
///
/// - `padding_before_the_record`: a consumer that sees the padding alone steps
///   over it, finds zeros and says that there is nothing, which is so. It may
///   release the padding; the producer has nothing to do with it any more. The
///   ring's order spares the consumer that second look.
const EQUIVALENT: &[Twin] = &[Twin {
    name: "padding_before_the_record",
    file: "ring/producer.rs",
    from: "self.put_header(record, len as u32 + 1);\n        if self.padding > 0 {",
    to: "if self.padding > 0 {\n            \
         self.put_header(self.state.tail, PAD | self.padding as u32);\n        }\n        \
         self.put_header(record, len as u32 + 1);\n        if false {",
    model: "wrap",
    says: "",
}];
