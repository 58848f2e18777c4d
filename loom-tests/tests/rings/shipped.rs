//! The rings themselves.

use forebay::ring;

#[path = "many.rs"]
mod many;
#[path = "one.rs"]
mod one;

/// A test of each model.
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
    one_producer: one { publish reuse wrap all_together no_commit producer_leaves consumer_leaves }
    many_producers: many { fan_in last_room dropped producers_leave }
}
