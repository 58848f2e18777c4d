//! The drainer itself.

use super::{registrar, shutdown};

macro_rules! explored {
    ($($tests:ident: $models:ident { $($model:ident)* })*) => {$(
        mod $tests {
            $(
                #[test]
                fn $model() {
                    super::$models::$model();
                }
            )*
        }
    )*};
}

explored! {
    registrars: registrar { comes_late leaves last_lane two_leave clones_leave }
    ends: shutdown {
        is_heard meets_new_channels delivers_what_came_before wakes_who_waits
        hangs_up_on_who_waits hangs_up_on_new_channels
    }
}
