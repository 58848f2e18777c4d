//! The wake-up itself.

use super::models;

macro_rules! explored {
    ($($model:ident)*) => {$(
        #[test]
        fn $model() {
            models::$model();
        }
    )*};
}

explored! { wakes wakes_twice two_ring waits_for_room two_wait_for_room closes both_ways }
