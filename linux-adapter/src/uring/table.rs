//! The descriptors that are registered with a ring, by their places in its
//! table.
//!
//! # Implementation
//!
//! A [`Place`] belongs to a file and is given up where that is dropped, on any
//! thread; the ring, which belongs to one, lets go of the descriptor when it
//! comes to look.

use std::sync::{Arc, Mutex, PoisonError};

/// Places that have been given up.
#[derive(Debug, Default)]
struct Left {
    places: Mutex<Vec<u32>>,
}

/// A place in a ring's table, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    left: Arc<Left>,
    index: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.left.places.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
    }
}

/// Which places of a ring's table are free.
#[derive(Debug)]
pub(crate) struct Table {
    left: Arc<Left>,
    free: Vec<u32>,
    /// Places that files have.
    used: u32,
}

impl Table {
    /// A table of `len` places, all of them free.
    pub(crate) fn new(len: u32) -> Self {
        Self { left: Arc::default(), free: (0..len).rev().collect(), used: 0 }
    }

    /// Takes a free place, for a descriptor that is about to be put there.
    pub(crate) fn take(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// The place of a descriptor that has been put there.
    pub(crate) fn placed(&mut self, index: u32) -> Place {
        self.used += 1;
        Place { left: Arc::clone(&self.left), index }
    }

    /// Takes none any more.
    pub(crate) fn give_up(&mut self) {
        self.free.clear();
    }

    /// Places that have been given up since the last call, whose descriptors
    /// are still there.
    pub(crate) fn left(&mut self) -> Vec<u32> {
        if self.used == 0 {
            return Vec::new();
        }
        let mut places = self.left.places.lock().unwrap_or_else(PoisonError::into_inner);
        let left = std::mem::take(&mut *places);
        drop(places);
        self.used -= u32::try_from(left.len()).unwrap_or(self.used);
        left
    }

    /// Gives a place back whose descriptor is gone.
    pub(crate) fn put_back(&mut self, index: u32) {
        self.free.push(index);
    }

    /// The number of a place, if it is one of this table.
    pub(crate) fn index(&self, place: &Place) -> Option<u32> {
        Arc::ptr_eq(&self.left, &place.left).then_some(place.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_had_once_and_comes_back() {
        let mut table = Table::new(2);
        let one = table.take().map(|index| table.placed(index)).unwrap();
        let other = table.take().map(|index| table.placed(index)).unwrap();
        assert_ne!(table.index(&one), table.index(&other));
        assert_eq!((table.take(), table.left()), (None, vec![]));

        let index = table.index(&one).unwrap();
        drop(one);
        assert_eq!(table.take(), None, "its descriptor is still there");
        assert_eq!(table.left(), [index]);
        table.put_back(index);
        assert_eq!(table.take(), Some(index));
        assert_eq!(Table::new(2).index(&other), None, "a place of another table");

        table.put_back(index);
        table.give_up();
        assert_eq!(table.take(), None);
    }
}
