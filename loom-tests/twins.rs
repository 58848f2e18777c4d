// The twins of the ring. `build.rs` includes this file.

/// The twins of one test target.
struct Family {
    /// The folder of the target, with its models.
    target: &'static str,
    /// What must be rejected.
    rejected: &'static [Twin],
    /// What loom cannot reject, since it breaks nothing.
    equivalent: &'static [Twin],
}

const FAMILIES: &[Family] = &[
    Family { target: "one_producer", rejected: ONE, equivalent: ONE_EQUIVALENT },
    Family { target: "many_producers", rejected: MANY, equivalent: MANY_EQUIVALENT },
];

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

const ONE: &[Twin] = &[
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
        file: "ring/one.rs",
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
        file: "ring/memory.rs",
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
        file: "ring/one.rs",
        from: "no_room(needed, free, abandoned)",
        to: "no_room(needed, free, region.is_abandoned())",
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
        file: "ring/one.rs",
        from: "unsafe { region.bytes_mut(forgotten.payload(), forgotten.len) }.fill(0);",
        to: "unsafe { region.wipe(forgotten.begin, forgotten.needed()) };",
        model: "no_commit",
        says: "Causality violation: Concurrent read and write accesses to `UnsafeCell`",
    },
    Twin {
        name: "commit_before_the_payload",
        file: "ring/producer.rs",
        from: "let mut grant = self.reserve(record.len())?;",
        to: "let mut grant = self.reserve(record.len())?;\n        \
             put_header(grant.region, grant.claim.record(), record.len() as u32 + 1);",
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

/// - `padding_before_the_record`: a consumer that sees the padding alone steps
///   over it, finds zeros and says that there is nothing, which is so. It may
///   release the padding; the producer has nothing to do with it any more. The
///   ring's order spares the consumer that second look.
const ONE_EQUIVALENT: &[Twin] = &[Twin {
    name: "padding_before_the_record",
    file: "ring/producer.rs",
    from: "    put_header(region, claim.record(), len as u32 + 1);\n    \
           // After the record's header, so that a reader that sees the padding sees\n    \
           // the record.\n    \
           put_padding(region, claim.begin, claim.padding);",
    to: "    put_padding(region, claim.begin, claim.padding);\n    \
         put_header(region, claim.record(), len as u32 + 1);",
    model: "wrap",
    says: "",
}];

const MANY: &[Twin] = &[
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
        name: "head_load_relaxed",
        file: "ring/many.rs",
        from: ".head.load(Ordering::Acquire)",
        to: ".head.load(Ordering::Relaxed)",
        model: "reuse",
        says: WRITE_RACE,
    },
    Twin {
        name: "claim_in_two_steps",
        file: "ring/many.rs",
        from: "match control.tail.compare_exchange_weak(\n                tail,\n                \
               claim.end(),\n                Ordering::Relaxed,\n                \
               Ordering::Relaxed,\n            ) {",
        to: "control.tail.store(claim.end(), Ordering::Relaxed);\n            \
             match Ok::<usize, usize>(tail) {",
        model: "publish",
        says: "",
    },
    Twin {
        name: "dropped_grant_kept",
        file: "ring/many.rs",
        from: "put_padding(region, claim.record(), span(claim.len));",
        to: "",
        model: "dropped",
        says: "left == right",
    },
    Twin {
        name: "rest_not_given_back",
        file: "ring/many.rs",
        from: "put_padding(region, rest, span(claim.len) - span(len));",
        to: "let _ = rest;",
        model: "dropped",
        says: "left == right",
    },
    Twin {
        name: "leave_relaxed",
        file: "ring/many.rs",
        from: "fetch_sub(1, Ordering::AcqRel)",
        to: "fetch_sub(1, Ordering::Relaxed)",
        model: "producers_leave",
        says: "finished with a record left",
    },
    Twin {
        name: "any_leave_ends",
        file: "ring/many.rs",
        from: "fetch_sub(1, Ordering::AcqRel) == 1",
        to: "fetch_sub(1, Ordering::AcqRel) >= 1",
        model: "producers_leave",
        says: "finished with a record left",
    },
];

/// - `stale_tail_kept`: a head past a tail that others have moved leaves no
///   room to be seen, and the record is refused. So it would have been in the
///   moment in which that tail was loaded. The ring looks again, so that it
///   does not refuse what there is room for.
const MANY_EQUIVALENT: &[Twin] = &[Twin {
    name: "stale_tail_kept",
    file: "ring/many.rs",
    from: "if now != tail {",
    to: "if now != tail && false {",
    model: "reuse",
    says: "",
}];
