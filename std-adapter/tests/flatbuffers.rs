//! Runs the example, which checks itself.

#[path = "../examples/flatbuffers.rs"]
mod example;

#[test]
fn finished_buffers_go_out_uncopied_and_come_back_whole() {
    example::main().unwrap();
}
