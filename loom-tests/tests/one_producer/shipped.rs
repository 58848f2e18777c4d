//! The ring itself.

use forebay::ring;

#[path = "models.rs"]
mod models;

#[test]
fn publish() {
    models::publish();
}

#[test]
fn reuse() {
    models::reuse();
}

#[test]
fn wrap() {
    models::wrap();
}

#[test]
fn all_together() {
    models::all_together();
}

#[test]
fn no_commit() {
    models::no_commit();
}

#[test]
fn producer_leaves() {
    models::producer_leaves();
}

#[test]
fn consumer_leaves() {
    models::consumer_leaves();
}
