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
fn dropped() {
    models::dropped();
}

#[test]
fn producers_leave() {
    models::producers_leave();
}
