//! The rings themselves.

use forebay::ring;

#[path = "many.rs"]
mod many;
#[path = "one.rs"]
mod one;
#[path = "overwrite.rs"]
mod overwrite;

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
    one_producer: one { publish group reuse wrap all_together no_commit producer_leaves consumer_leaves }
    many_producers: many { fan_in batches last_room out_of_order dropped producers_leave }
    overwriting: overwrite { reader two all_together uncommitted groups consumer_leaves producers_leave }
}
