//! Every value a message may hold.

use crate::interop::values;
use crate::support::pair::Settings;

#[tokio::test]
async fn python_receives_every_value_as_it_was_sent() {
    let settings = Settings::shared();
    values::check_to_python(&settings.ours(), &settings.theirs()).await;
}

#[tokio::test]
async fn we_receive_every_value_as_python_sent_it() {
    let settings = Settings::shared();
    values::check_to_us(&settings.ours(), &settings.theirs()).await;
}

#[tokio::test]
async fn tuples_arrive_as_lists() {
    let settings = Settings::shared();
    values::check_tuples(&settings.ours(), &settings.theirs()).await;
}

#[tokio::test]
async fn integers_that_no_message_may_hold_are_skipped() {
    let settings = Settings::shared();
    values::check_large_integers(&settings.ours(), &settings.theirs()).await;
}

#[tokio::test]
async fn one_writer_and_one_reader_keep_the_order() {
    let settings = Settings::shared();
    values::check_order(&settings.ours(), &settings.theirs()).await;
}
