// The twins of the rings. `build.rs` includes this file.

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
        model: "one::publish",
        says: READ_RACE,
    },
    Twin {
        name: "commit_load_relaxed",
        file: "ring/consumer.rs",
        from: "match header.load(Ordering::Acquire) {",
        to: "match header.load(Ordering::Relaxed) {",
        model: "one::publish",
        says: READ_RACE,
    },
    Twin {
        name: "head_store_relaxed",
        file: "ring/consumer.rs",
        from: ".head().store(position.0, Ordering::Release)",
        to: ".head().store(position.0, Ordering::Relaxed)",
        model: "one::reuse",
        says: WRITE_RACE,
    },
    Twin {
        name: "head_load_relaxed",
        file: "ring/one.rs",
        from: "region.head().load(Ordering::Acquire)",
        to: "region.head().load(Ordering::Relaxed)",
        model: "one::reuse",
        says: WRITE_RACE,
    },
    Twin {
        name: "producer_gone_store_relaxed",
        file: "ring/producer.rs",
        from: "producer_gone.store(true, Ordering::Release)",
        to: "producer_gone.store(true, Ordering::Relaxed)",
        model: "one::producer_leaves",
        says: "finished with a record left",
    },
    Twin {
        name: "producer_gone_load_relaxed",
        file: "ring/consumer.rs",
        from: "producer_gone.load(Ordering::Acquire)",
        to: "producer_gone.load(Ordering::Relaxed)",
        model: "one::producer_leaves",
        says: "finished with a record left",
    },
    Twin {
        name: "consumer_gone_store_relaxed",
        file: "ring/consumer.rs",
        from: "consumer_gone.store(true, Ordering::Release)",
        to: "consumer_gone.store(true, Ordering::Relaxed)",
        model: "one::consumer_leaves",
        says: "closed with room left",
    },
    Twin {
        name: "consumer_gone_load_relaxed",
        file: "ring/memory.rs",
        from: "consumer_gone.load(Ordering::Acquire)",
        to: "consumer_gone.load(Ordering::Relaxed)",
        model: "one::consumer_leaves",
        says: "closed with room left",
    },
    Twin {
        name: "records_before_gone",
        file: "ring/consumer.rs",
        from: "self.region.control().producer_gone.load(Ordering::Acquire) && !self.finds_first()",
        to: "!self.finds_first() && self.region.control().producer_gone.load(Ordering::Acquire)",
        model: "one::producer_leaves",
        says: "finished with a record left",
    },
    Twin {
        name: "head_before_gone",
        file: "ring/one.rs",
        from: "return Err(ReserveError::no_room(needed, free, abandoned));",
        to: "return Err(ReserveError::no_room(needed, free, region.is_abandoned()));",
        model: "one::consumer_leaves",
        says: "closed with room left",
    },
    Twin {
        name: "wipe_skipped",
        file: "ring/consumer.rs",
        from: "unsafe { self.region.wipe(self.head, len) };",
        to: "",
        model: "one::reuse",
        says: "left == right",
    },
    Twin {
        name: "wipe_after_head",
        file: "ring/consumer.rs",
        from: "unsafe { self.region.wipe(self.head, len) };\n        self.head = position;",
        to: "self.region.head().store(position.0, Ordering::Release);\n        \
             unsafe { self.region.wipe(self.head, len) };\n        self.head = position;",
        model: "one::reuse",
        says: WRITE_RACE,
    },
    Twin {
        name: "forgotten_header_wiped",
        file: "ring/one.rs",
        from: "unsafe { region.bytes_mut(forgotten.payload(), forgotten.len) }.fill(0);",
        to: "unsafe { region.wipe(self.tail, forgotten.needed()) };",
        model: "one::no_commit",
        says: "Causality violation: Concurrent read and write accesses to `UnsafeCell`",
    },
    Twin {
        name: "commit_before_the_payload",
        file: "ring/producer.rs",
        from: "grant.copy_from_slice(record);",
        to: "put_record(grant.region, grant.claim, record.len(), 0);\n        \
             grant.copy_from_slice(record);",
        model: "one::publish",
        says: READ_RACE,
    },
    Twin {
        name: "walk_beyond_a_lap",
        file: "ring/consumer.rs",
        from: "self.end = position.plus(self.region.capacity());",
        to: "self.end = position.plus(2 * self.region.capacity());",
        model: "one::reuse",
        says: "left == right",
    },
    Twin {
        name: "many_head_load_relaxed",
        file: "ring/many.rs",
        from: "region.head().load(Ordering::Acquire)",
        to: "region.head().load(Ordering::Relaxed)",
        model: "many::last_room",
        says: WRITE_RACE,
    },
    Twin {
        name: "many_claim_by_store",
        file: "ring/many.rs",
        from: "tail.compare_exchange_weak(from.0, to.0, Ordering::Relaxed, Ordering::Relaxed)",
        to: "{ tail.store(to.0, Ordering::Relaxed); Ok::<_, crate::sync::PositionWord>(()) }",
        model: "many::fan_in",
        says: WRITE_RACE,
    },
    Twin {
        name: "many_dropped_grant_left_open",
        file: "ring/many.rs",
        from: "put_padding(region, claim.record(), span(claim.len));",
        to: "",
        model: "many::dropped",
        says: "left == right",
    },
    Twin {
        name: "many_last_commit_not_released",
        file: "ring/many.rs",
        from: "fetch_sub(1, Ordering::AcqRel)",
        to: "fetch_sub(1, Ordering::Acquire)",
        model: "many::producers_leave",
        says: "finished with a record left",
    },
    Twin {
        name: "many_last_commit_not_acquired",
        file: "ring/many.rs",
        from: "fetch_sub(1, Ordering::AcqRel)",
        to: "fetch_sub(1, Ordering::Release)",
        model: "many::producers_leave",
        says: "finished with a record left",
    },
    Twin {
        name: "many_first_to_leave_ends",
        file: "ring/many.rs",
        from: "fetch_sub(1, Ordering::AcqRel) == 0",
        to: "fetch_sub(1, Ordering::AcqRel) == 1",
        model: "many::producers_leave",
        says: "finished with a record left",
    },
    Twin {
        name: "group_begins_before_its_rest",
        file: "ring/group.rs",
        from: "for record in others.iter().rev() {",
        to: "grant.put_inner_header(0, first.len(), more);\n        \
             for record in others.iter().rev() {",
        model: "one::group",
        says: READ_RACE,
    },
    Twin {
        name: "batch_begins_before_its_rest",
        file: "ring/group.rs",
        from: "for record in others.iter().rev() {",
        to: "grant.put_inner_header(0, first.len(), more);\n        \
             for record in others.iter().rev() {",
        model: "many::batches",
        says: READ_RACE,
    },
    Twin {
        name: "hold_taken_relaxed",
        file: "ring/hold.rs",
        from: "compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)",
        to: "compare_exchange(false, true, Ordering::Relaxed, Ordering::Relaxed)",
        model: "overwrite::reader",
        says: READ_RACE,
    },
    Twin {
        name: "hold_given_relaxed",
        file: "ring/hold.rs",
        from: "held.store(false, Ordering::Release)",
        to: "held.store(false, Ordering::Relaxed)",
        model: "overwrite::reader",
        says: READ_RACE,
    },
    Twin {
        name: "hold_taken_by_store",
        file: "ring/hold.rs",
        from: "held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()",
        to: "{ let free = !held.load(Ordering::Acquire); held.store(true, Ordering::Relaxed); free }",
        model: "overwrite::two",
        says: READ_RACE,
    },
    Twin {
        name: "overwritten_without_the_hold",
        file: "ring/overwrite.rs",
        from: "if !region.take_hold() {",
        to: "if false {",
        model: "overwrite::reader",
        says: READ_RACE,
    },
    Twin {
        name: "read_without_the_hold",
        file: "ring/hold.rs",
        from: "self.taken = region.take_hold();",
        to: "self.taken = true;",
        model: "overwrite::reader",
        says: READ_RACE,
    },
    Twin {
        name: "hold_given_before_the_wipe",
        file: "ring/overwrite.rs",
        from: "    let enough = has_room(at);",
        to: "    region.give_hold_back();\n    let enough = has_room(at);",
        model: "overwrite::reader",
        says: READ_RACE,
    },
    Twin {
        name: "head_not_looked_at_with_the_hold",
        file: "ring/consumer.rs",
        from: "(self.head, self.walked) = (head, head);",
        to: "let head = self.head;",
        model: "overwrite::reader",
        says: "taken.is_sorted()",
    },
    Twin {
        name: "overwritten_head_stored_relaxed",
        file: "ring/overwrite.rs",
        from: "region.head().store(at.0, Ordering::Release);",
        to: "region.head().store(at.0, Ordering::Relaxed);",
        model: "overwrite::two",
        says: WRITE_RACE,
    },
    Twin {
        name: "overwritten_and_not_wiped",
        file: "ring/overwrite.rs",
        from: "unsafe { region.wipe(head, at.since(head)) };",
        to: "",
        model: "overwrite::reader",
        says: READ_RACE,
    },
    Twin {
        name: "overwritten_before_its_commit",
        file: "ring/overwrite.rs",
        from: "let enough = has_room(at);",
        to: "let mut at = at; if !has_room(at) { at = at.plus(8); }\n    let enough = has_room(at);",
        model: "overwrite::uncommitted",
        says: READ_RACE,
    },
    Twin {
        name: "group_overwritten_in_part",
        file: "ring/overwrite.rs",
        from: "while place.more",
        to: "while false && place.more",
        model: "overwrite::groups",
        says: "a group was parted",
    },
    Twin {
        name: "overwritten_uncounted",
        file: "ring/overwrite.rs",
        from: "*overwritten += drop_oldest(region, tail, needed, free)?;",
        to: "drop_oldest(region, tail, needed, free)?;",
        model: "overwrite::reader",
        says: "in flight",
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
    from: "put_header(region, claim.record(), header_of(len, mark));",
    to: "put_padding(region, claim.begin, claim.padding);\n    \
         put_header(region, claim.record(), header_of(len, mark));\n    \
         return;",
    model: "one::wrap",
    says: "",
}];
