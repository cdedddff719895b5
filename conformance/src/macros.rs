//! The list of cases and what is made from it.

use std::io::Write as _;

use crate::ahead::Ahead;
use crate::harness::Harness;
use crate::outcome::Outcome;

/// The one list of cases. `__cases! { all m }` expands to `m! { a b c … }`, and
/// `__cases! { each m }` to `m! { a }  m! { b }  m! { c } …`.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    (@expand all $macro:ident; $($name:ident)*) => { $macro! { $($name)* } };
    (@expand each $macro:ident; $($name:ident)*) => { $( $macro! { $name } )* };
    ($how:ident $macro:ident) => {
        $crate::__cases! { @expand $how $macro;
            extensions

            send_receive
            receive_on_several_channels
            receive_empty_list
            try_receive_returns_at_once
            receive_blocks_until_sent
            receive_is_woken_by_any_channel
            at_most_once
            clients_share_channels

            process_specific_receive
            receive_with_local_part_fails
            process_specific_prefixes_are_separate
            process_specific_without_local_part

            new_channel_single_reader
            new_channel_process_specific
            new_channel_patterns
            new_channel_is_unique

            value_types
            strings
            unicode_text
            byte_strings
            integers
            floats
            nested_values
            key_order
            many_keys
            empty_message
            reserved_key
            one_megabyte_json
            larger_messages_are_whole_or_refused
            message_alteration_after_send
            message_alteration_after_receive

            name_of_100_bytes
            longest_names
            names_are_exact
            names_are_free
            many_channels

            capacity
            capacity_process
            capacity_is_per_channel
            capacity_recovers_after_receive
            capacity_holds_for_concurrent_senders
            channel_full_names_the_channel
            refused_messages_are_not_delivered
            send_never_blocks
            expired_messages_do_not_hold_capacity
            old_messages_do_not_hold_capacity

            message_expiry
            message_expiry_of_single_reader_and_process_specific
            message_expiry_in_groups
            message_expiry_is_per_message
            messages_wait_until_they_expire

            groups
            groups_process
            group_channels
            groups_are_separate
            group_and_channel_may_share_a_name
            group_members_of_every_kind
            group_add_twice_one_copy
            discard_non_member
            empty_group
            group_of_a_thousand
            group_send_wakes_receivers
            groups_across_clients
            group_changes_under_load
            capacity_group
            capacity_group_process
            group_send_drops_only_full_members
            larger_group_messages_are_whole_or_refused

            group_expiry
            group_expiry_is_per_membership
            readd_extends_group_expiry
            membership_survives_idling
            membership_survives_delivery
            local_expiry_drops_membership
            group_message_expiry_drops_membership
            rejoining_after_expiry_lasts

            flush
            flush_groups
            flush_removes_membership
            flush_is_seen_by_every_client
            flush_keeps_blocked_receivers
            flush_frees_capacity

            statistics_of_a_channel
            statistics_of_process_specific_channels
            statistics_max_age
            statistics_of_full_channels
            statistics_per_second
            statistics_global
            expired_messages_are_not_pending

            single_reader_fifo
            process_local_fifo_across_local_parts
            order_under_load
            order_of_group_and_direct_sends

            many_writers_many_readers
            many_writers_one_single_reader
            many_writers_one_process
            each_message_wakes_one_reader

            busy_channel_does_not_starve_a_quiet_one
            busy_channels_do_not_starve_a_quiet_one
            busy_channel_does_not_starve_a_process_specific_one

            cancelled_receive_takes_no_later_message
            cancelled_receive_passes_its_message_on
            cancelled_receives_under_load

            delivery_rate
        }
    };
}

/// One constant for each case, so that a misspelt name in `suite!` does not compile.
#[doc(hidden)]
#[allow(
    missing_docs,
    non_upper_case_globals,
    reason = "the constants stand for the cases of the same names, which have documentation"
)]
pub mod names {
    macro_rules! constants {
        ($($name:ident)*) => { $( pub const $name: &str = stringify!($name); )* };
    }

    crate::__cases! { all constants }
}

/// Makes a `#[test]` of every case, for the layer of a [`Harness`]: `suite!(MyHarness)`.
///
/// Where a layer is meant to differ, it says so and why: `suite!(MyHarness, ignore { case:
/// "reason", … })`. The case is then ignored, and the reason shows in the output of `cargo test`;
/// `cargo test -- --ignored` tries those alone. The crate's documentation has examples.
///
/// A name that is not in the list does not compile:
///
/// ```compile_fail,E0425
/// # use conformance::Harness;
/// # struct MyHarness;
/// # impl Harness for MyHarness {
/// #     type Layer = asgiref::InMemoryChannelLayer;
/// #     async fn layer(&self) -> Self::Layer { asgiref::InMemoryChannelLayer::new() }
/// # }
/// conformance::suite!(MyHarness, ignore {
///     group_mesage_expiry: "misspelt",
/// });
/// ```
///
/// Most cases wait most of the time. Unless tests are chosen by name, or run one at a time, some
/// run before the test harness comes to them, so that the suite does not take longer on a machine
/// with few processors; the times the test harness tells are then not those of the cases.
///
/// The tests stand where the macro stands. To run the suite more than once in one file, for a
/// layer with several modes, give each its own module.
#[macro_export]
macro_rules! suite {
    ($harness:expr $(,)?) => {
        $crate::suite! { $harness, ignore {} }
    };
    ($harness:expr, ignore { $($name:ident: $reason:literal),* $(,)? } $(,)?) => {
        static __CONFORMANCE_AHEAD: $crate::Ahead = $crate::Ahead::new();
        const __CONFORMANCE_IGNORED: &[&str] = &[$($crate::names::$name),*];

        fn __conformance_case(name: &'static str) {
            let harness = || $harness;
            $crate::test_case(&__CONFORMANCE_AHEAD, harness, name, __CONFORMANCE_IGNORED);
        }

        macro_rules! __conformance_test {
            $(
                ($name) => {
                    #[test]
                    #[ignore = $reason]
                    fn $name() {
                        __conformance_case(stringify!($name));
                    }
                };
            )*
            ($case:ident) => {
                #[test]
                fn $case() {
                    __conformance_case(stringify!($case));
                }
            };
        }

        $crate::__cases! { each __conformance_test }
    };
}

/// What a test made by [`suite!`](crate::suite) does.
///
/// # Panics
///
/// If the layer fails the case.
#[doc(hidden)]
pub fn test_case<H: Harness>(
    ahead: &'static Ahead,
    harness: fn() -> H,
    name: &'static str,
    ignored: &'static [&'static str],
) {
    match ahead.report(harness, name, ignored).outcome {
        Outcome::Passed => {}
        // Past libtest's capture: a skip nobody sees is how suites die.
        Outcome::Skipped(reason) => {
            let _ = writeln!(
                std::io::stderr(),
                "conformance case {name} skipped: {reason}"
            );
        }
        Outcome::Failed(message) => panic!("conformance case `{name}`: {message}"),
    }
}
