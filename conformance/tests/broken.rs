//! The suite is tested too: a layer that breaks one rule fails the cases about that rule and no
//! others, and every case is failed by some such layer.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelLayer, Extension};
use conformance::{CaseReport, Harness, Outcome, case_names, run, run_case};
use support::{CAPACITY as MODEL_CAPACITY, EXPIRY as MODEL_EXPIRY, Fault, Model};

/// The model layer with one fault.
struct Broken(Fault);

impl Harness for Broken {
    type Layer = Model;
    const EXPIRY: Duration = MODEL_EXPIRY;
    const CAPACITY: Option<usize> = Some(MODEL_CAPACITY);
    const VIRTUAL_TIME: bool = true;
    // Enough for the fault that loses one in a thousand, and no more.
    const DELIVERIES: usize = 2_000;
    // Less than the fault blocks its thread for.
    const CASE_LIMIT: Duration = Duration::from_secs(20);

    async fn layer(&self) -> Model {
        Model::clients(self.0, 1).remove(0)
    }

    async fn clients(&self, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
        clients(self.0, count)
    }
}

/// The model layer as one that has all liberties the knobs give.
struct Lenient(Fault);

impl Harness for Lenient {
    type Layer = Model;
    const EXPIRY: Duration = MODEL_EXPIRY;
    const CAPACITY: Option<usize> = Some(MODEL_CAPACITY);
    const RECEIVE_TRIES: usize = 3;
    const VIRTUAL_TIME: bool = true;
    const CANCEL_MAY_LOSE_ONE: bool = true;
    const DELIVERIES: usize = 2_000;

    async fn layer(&self) -> Model {
        Model::clients(self.0, 1).remove(0)
    }

    async fn clients(&self, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
        clients(self.0, count)
    }
}

/// The model layer as one without extensions and capacity.
struct Plain(Fault);

impl Harness for Plain {
    type Layer = Model;
    const EXPIRY: Duration = MODEL_EXPIRY;
    const EXTENSIONS: &'static [Extension] = &[];
    const VIRTUAL_TIME: bool = true;

    async fn layer(&self) -> Model {
        Model::clients(self.0, 1).remove(0)
    }
}

fn clients(fault: Fault, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
    Model::clients(fault, count)
        .into_iter()
        .map(|client| Arc::new(client) as Arc<dyn ChannelLayer>)
        .collect()
}

#[test]
fn a_layer_without_fault_passes() {
    let report = run(Broken(Fault::None));
    assert!(report.is_success(), "{report}");
    assert!(report.cases.iter().all(CaseReport::passed), "{report}");
}

fn expect_failures(fault: Fault, expected: &[&str]) {
    let report = run(Broken(fault));
    let failed: BTreeSet<_> = report.failed().map(|case| case.name).collect();
    let expected: BTreeSet<_> = expected.iter().copied().collect();
    let missed: Vec<_> = expected.difference(&failed).collect();
    let blamed: Vec<_> = failed.difference(&expected).collect();
    assert!(
        missed.is_empty() && blamed.is_empty(),
        "a layer that breaks the rule {fault:?} must fail exactly the cases about it; \
         it passed {missed:?} and failed {blamed:?} besides\n{report}"
    );
}

/// For each fault a test, and the cases it must fail; and a test that all cases are among them.
macro_rules! faults {
    ($($test:ident: $fault:ident => [$($case:ident)+])+) => {
        $(
            #[test]
            fn $test() {
                expect_failures(Fault::$fault, &[$(stringify!($case)),+]);
            }
        )+

        #[test]
        fn every_case_is_failed_by_some_layer() {
            let failed: BTreeSet<_> = [$($(stringify!($case)),+),+].into();
            let all: BTreeSet<_> = case_names().iter().copied().collect();
            assert_eq!(failed, all, "cases that some fault fails (left), all cases (right)");
        }
    };
}

faults! {
    // ---- Sending and receiving
    delivers_twice: DeliversTwice => [
        send_receive receive_on_several_channels try_receive_returns_at_once
        receive_is_woken_by_any_channel at_most_once process_specific_receive
        process_specific_prefixes_are_separate reserved_key one_megabyte_json
        larger_messages_are_whole_or_refused name_of_100_bytes longest_names names_are_exact
        many_channels capacity_recovers_after_receive capacity_holds_for_concurrent_senders
        refused_messages_are_not_delivered message_expiry_is_per_message groups
        groups_process groups_are_separate group_and_channel_may_share_a_name
        group_add_twice_one_copy group_of_a_thousand groups_across_clients
        group_changes_under_load capacity_group capacity_group_process
        group_send_drops_only_full_members larger_group_messages_are_whole_or_refused
        group_expiry_is_per_membership membership_survives_delivery statistics_of_a_channel
        statistics_of_process_specific_channels statistics_max_age statistics_global
        single_reader_fifo process_local_fifo_across_local_parts order_under_load
        order_of_group_and_direct_sends many_writers_many_readers
        many_writers_one_single_reader many_writers_one_process
        each_message_wakes_one_reader cancelled_receives_under_load delivery_rate
    ]
    readers_race: ReadersRace => [
        many_writers_many_readers each_message_wakes_one_reader
        cancelled_receives_under_load
    ]
    drops_one_in_a_thousand: DropsOneInAThousand => [
        many_channels group_of_a_thousand delivery_rate
    ]
    clients_apart: ClientsApart => [
        receive_blocks_until_sent receive_is_woken_by_any_channel clients_share_channels
        new_channel_process_specific capacity_holds_for_concurrent_senders
        group_send_wakes_receivers groups_across_clients group_changes_under_load
        flush_keeps_blocked_receivers order_under_load many_writers_many_readers
        many_writers_one_single_reader many_writers_one_process
        each_message_wakes_one_reader cancelled_receive_takes_no_later_message
        cancelled_receive_passes_its_message_on delivery_rate
    ]
    receive_gives_up: ReceiveGivesUp => [receive_empty_list receive_blocks_until_sent]
    receive_sleeps_on: ReceiveSleepsOn => [
        receive_blocks_until_sent receive_is_woken_by_any_channel group_send_wakes_receivers
        flush_keeps_blocked_receivers order_under_load many_writers_many_readers
        many_writers_one_single_reader many_writers_one_process
        each_message_wakes_one_reader cancelled_receive_passes_its_message_on
    ]
    waits_on_first_channel: WaitsOnFirstChannel => [
        receive_is_woken_by_any_channel flush_keeps_blocked_receivers
        cancelled_receive_passes_its_message_on
    ]
    wakes_for_first_message: WakesForFirstMessage => [each_message_wakes_one_reader]
    try_receive_waits: TryReceiveWaits => [try_receive_returns_at_once]
    empty_list_fails: EmptyListFails => [receive_empty_list]
    empty_list_takes_all: EmptyListTakesAll => [receive_empty_list]
    serves_in_order: ServesInOrder => [
        busy_channel_does_not_starve_a_quiet_one busy_channels_do_not_starve_a_quiet_one
        busy_channel_does_not_starve_a_process_specific_one
    ]
    dropped_receive_stays: DroppedReceiveStays => [
        cancelled_receive_takes_no_later_message cancelled_receive_passes_its_message_on
        cancelled_receives_under_load
    ]
    loses_handed_message: LosesHandedMessage => [cancelled_receive_passes_its_message_on]
    loses_taken_message: LosesTakenMessage => [cancelled_receives_under_load]

    // ---- Order
    newest_first: NewestFirst => [
        many_channels refused_messages_are_not_delivered
        single_reader_fifo process_local_fifo_across_local_parts order_under_load
        order_of_group_and_direct_sends many_writers_one_single_reader
        many_writers_one_process
    ]
    sometimes_overtakes: SometimesOvertakes => [
        many_channels order_under_load many_writers_one_single_reader
        many_writers_one_process
    ]
    groups_overtake: GroupsOvertake => [order_of_group_and_direct_sends]

    // ---- Names
    takes_local_part: TakesLocalPart => [receive_with_local_part_fails]
    loses_local_part: LosesLocalPart => [
        receive_on_several_channels receive_blocks_until_sent
        receive_is_woken_by_any_channel at_most_once clients_share_channels
        process_specific_receive process_specific_prefixes_are_separate
        new_channel_process_specific value_types strings unicode_text byte_strings integers
        floats nested_values key_order many_keys empty_message reserved_key
        name_of_100_bytes longest_names names_are_free many_channels
        message_expiry_is_per_message messages_wait_until_they_expire groups_process
        group_members_of_every_kind group_add_twice_one_copy group_of_a_thousand
        group_send_wakes_receivers groups_across_clients group_changes_under_load
        capacity_group_process group_send_drops_only_full_members
        group_expiry_is_per_membership readd_extends_group_expiry membership_survives_idling
        membership_survives_delivery rejoining_after_expiry_lasts
        flush_keeps_blocked_receivers process_local_fifo_across_local_parts
        order_of_group_and_direct_sends busy_channel_does_not_starve_a_process_specific_one
        cancelled_receive_takes_no_later_message cancelled_receive_passes_its_message_on
    ]
    needs_local_part: NeedsLocalPart => [
        process_specific_without_local_part group_members_of_every_kind
        busy_channel_does_not_starve_a_process_specific_one
    ]
    mixes_kinds: MixesKinds => [
        process_specific_prefixes_are_separate new_channel_single_reader names_are_exact
        many_channels capacity capacity_is_per_channel capacity_recovers_after_receive
        channel_full_names_the_channel expired_messages_do_not_hold_capacity
        message_expiry_is_per_message group_add_twice_one_copy group_of_a_thousand
        group_send_wakes_receivers flush_frees_capacity delivery_rate
    ]
    ignores_case: IgnoresCase => [names_are_exact groups_are_separate]
    short_names: ShortNames => [name_of_100_bytes longest_names]
    quite_long_names: QuiteLongNames => [longest_names]
    reserves_names: ReservesNames => [names_are_free]
    few_channels: FewChannels => [many_channels]

    // ---- new_channel
    repeats_new_channel: RepeatsNewChannel => [new_channel_single_reader new_channel_is_unique]
    counts_new_channels: CountsNewChannels => [new_channel_is_unique]
    no_process_patterns: NoProcessPatterns => [new_channel_process_specific new_channel_patterns]

    // ---- Messages
    shares_one_buffer: SharesOneBuffer => [
        send_receive receive_on_several_channels message_alteration_after_send
        message_alteration_after_receive names_are_exact many_channels
        refused_messages_are_not_delivered groups_are_separate
        group_and_channel_may_share_a_name group_send_drops_only_full_members
        single_reader_fifo process_local_fifo_across_local_parts order_under_load
        order_of_group_and_direct_sends many_writers_many_readers
        many_writers_one_single_reader many_writers_one_process
        each_message_wakes_one_reader cancelled_receives_under_load delivery_rate
        statistics_max_age
    ]
    cuts_at_64_kib: CutsAt64KiB => [
        one_megabyte_json larger_messages_are_whole_or_refused
        larger_group_messages_are_whole_or_refused
    ]
    refuses_half_megabyte: RefusesHalfMegabyte => [
        one_megabyte_json larger_messages_are_whole_or_refused
        larger_group_messages_are_whole_or_refused
    ]
    fails_on_large: FailsOnLarge => [
        larger_messages_are_whole_or_refused larger_group_messages_are_whole_or_refused
    ]
    whole_floats_are_integers: WholeFloatsAreIntegers => [floats]
    integers_are_floats: IntegersAreFloats => [integers]
    text_ends_at_nul: TextEndsAtNul => [unicode_text]
    basic_plane_only: BasicPlaneOnly => [value_types unicode_text one_megabyte_json]
    bytes_become_text: BytesBecomeText => [
        value_types strings byte_strings larger_messages_are_whole_or_refused
        larger_group_messages_are_whole_or_refused
    ]
    sorts_keys: SortsKeys => [key_order]
    drops_nulls: DropsNulls => [value_types nested_values]
    shallow_values: ShallowValues => [nested_values]
    few_entries: FewEntries => [many_keys one_megabyte_json]
    drops_empty_messages: DropsEmptyMessages => [empty_message]
    obeys_reserved_key: ObeysReservedKey => [reserved_key]

    // ---- Capacity
    no_capacity: NoCapacity => [
        capacity capacity_process capacity_recovers_after_receive
        capacity_holds_for_concurrent_senders channel_full_names_the_channel
        refused_messages_are_not_delivered expired_messages_do_not_hold_capacity
        old_messages_do_not_hold_capacity capacity_group capacity_group_process
        group_send_drops_only_full_members statistics_of_full_channels
    ]
    capacity_of_full_name: CapacityOfFullName => [
        capacity_process refused_messages_are_not_delivered capacity_group_process
    ]
    capacity_of_layer: CapacityOfLayer => [
        many_channels capacity capacity_is_per_channel capacity_recovers_after_receive
        channel_full_names_the_channel expired_messages_do_not_hold_capacity
        group_of_a_thousand flush_frees_capacity busy_channels_do_not_starve_a_quiet_one
        delivery_rate
    ]
    capacity_used_up: CapacityUsedUp => [
        capacity_recovers_after_receive group_changes_under_load order_under_load
        many_writers_many_readers many_writers_one_single_reader many_writers_one_process
        cancelled_receives_under_load delivery_rate
    ]
    senders_race: SendersRace => [capacity_holds_for_concurrent_senders]
    send_waits_for_room: SendWaitsForRoom => [
        capacity capacity_process capacity_recovers_after_receive
        capacity_holds_for_concurrent_senders channel_full_names_the_channel
        refused_messages_are_not_delivered send_never_blocks
        expired_messages_do_not_hold_capacity old_messages_do_not_hold_capacity
        statistics_of_full_channels
    ]
    full_names_local_part: FullNamesLocalPart => [channel_full_names_the_channel]
    delivers_refused: DeliversRefused => [
        capacity_recovers_after_receive capacity_holds_for_concurrent_senders
        refused_messages_are_not_delivered capacity_group capacity_group_process
        group_send_drops_only_full_members statistics_of_full_channels
    ]
    expired_take_room: ExpiredTakeRoom => [
        expired_messages_do_not_hold_capacity old_messages_do_not_hold_capacity
    ]
    group_send_fails_when_full: GroupSendFailsWhenFull => [
        capacity_group capacity_group_process group_send_drops_only_full_members
        statistics_of_full_channels
    ]
    group_send_stops_when_full: GroupSendStopsWhenFull => [group_send_drops_only_full_members]
    groups_ignore_capacity: GroupsIgnoreCapacity => [
        capacity_group capacity_group_process group_send_drops_only_full_members
        statistics_of_full_channels
    ]

    // ---- Expiry
    no_expiry: NoExpiry => [
        expired_messages_do_not_hold_capacity old_messages_do_not_hold_capacity
        message_expiry message_expiry_of_single_reader_and_process_specific
        message_expiry_in_groups message_expiry_is_per_message local_expiry_drops_membership
        group_message_expiry_drops_membership rejoining_after_expiry_lasts
        expired_messages_are_not_pending
    ]
    no_expiry_in_groups: NoExpiryInGroups => [
        message_expiry_in_groups group_message_expiry_drops_membership
    ]
    no_expiry_of_replies: NoExpiryOfReplies => [
        expired_messages_do_not_hold_capacity
        message_expiry_of_single_reader_and_process_specific message_expiry_is_per_message
        local_expiry_drops_membership rejoining_after_expiry_lasts
        expired_messages_are_not_pending
    ]
    expires_early: ExpiresEarly => [
        receive_empty_list old_messages_do_not_hold_capacity message_expiry_is_per_message
        messages_wait_until_they_expire membership_survives_delivery statistics_max_age
    ]
    newer_keeps_older: NewerKeepsOlder => [
        old_messages_do_not_hold_capacity message_expiry_is_per_message
    ]

    // ---- Groups
    members_twice: MembersTwice => [group_add_twice_one_copy]
    no_discard: NoDiscard => [
        groups groups_process group_channels group_add_twice_one_copy empty_group
        groups_across_clients group_changes_under_load
    ]
    discards_whole_process: DiscardsWholeProcess => [
        groups_process group_channels discard_non_member groups_across_clients
    ]
    discard_needs_member: DiscardNeedsMember => [discard_non_member]
    discards_from_all: DiscardsFromAll => [groups_are_separate]
    send_needs_members: SendNeedsMembers => [
        groups_are_separate empty_group group_expiry group_message_expiry_drops_membership
        flush_removes_membership
    ]
    no_single_reader_members: NoSingleReaderMembers => [
        message_expiry_in_groups group_channels group_members_of_every_kind
        group_of_a_thousand group_send_wakes_receivers group_changes_under_load
        membership_survives_idling order_of_group_and_direct_sends
    ]
    one_copy_for_process: OneCopyForProcess => [
        groups_process group_of_a_thousand groups_across_clients capacity_group_process
    ]
    small_groups: SmallGroups => [group_of_a_thousand]
    groups_are_channels: GroupsAreChannels => [group_and_channel_may_share_a_name statistics_global]
    group_send_wakes_nobody: GroupSendWakesNobody => [group_send_wakes_receivers]
    groups_of_client: GroupsOfClient => [groups_across_clients]
    group_send_races_changes: GroupSendRacesChanges => [group_changes_under_load]

    // ---- Memberships
    no_group_expiry: NoGroupExpiry => [group_expiry group_expiry_is_per_membership]
    group_ends_as_one: GroupEndsAsOne => [group_expiry_is_per_membership]
    no_prolonging: NoProlonging => [readd_extends_group_expiry]
    idle_members_end: IdleMembersEnd => [
        group_expiry_is_per_membership readd_extends_group_expiry membership_survives_idling
    ]
    read_members_end: ReadMembersEnd => [membership_survives_delivery]
    no_eviction_of_process: NoEvictionOfProcess => [local_expiry_drops_membership]
    no_eviction_of_normal: NoEvictionOfNormal => [group_message_expiry_drops_membership]
    evicts_whole_process: EvictsWholeProcess => [local_expiry_drops_membership]
    evicts_rejoined: EvictsRejoined => [rejoining_after_expiry_lasts]

    // ---- Flush
    flush_keeps_messages: FlushKeepsMessages => [
        flush flush_groups flush_is_seen_by_every_client flush_frees_capacity
    ]
    flush_keeps_group_messages: FlushKeepsGroupMessages => [flush_groups]
    flush_keeps_groups: FlushKeepsGroups => [flush_removes_membership flush_is_seen_by_every_client]
    flush_is_late: FlushIsLate => [
        flush flush_groups flush_removes_membership flush_is_seen_by_every_client
        flush_frees_capacity
    ]
    flush_ends_receives: FlushEndsReceives => [flush_keeps_blocked_receivers]
    flush_keeps_capacity: FlushKeepsCapacity => [flush_frees_capacity]

    // ---- Statistics
    pending_never_falls: PendingNeverFalls => [
        statistics_of_a_channel statistics_of_process_specific_channels statistics_global
        expired_messages_are_not_pending
    ]
    pending_with_expired: PendingWithExpired => [expired_messages_are_not_pending]
    figures_of_full_name: FiguresOfFullName => [statistics_of_process_specific_channels]
    age_of_newest: AgeOfNewest => [statistics_max_age]
    full_not_counted: FullNotCounted => [statistics_of_full_channels]
    full_not_counted_in_groups: FullNotCountedInGroups => [statistics_of_full_channels]
    rate_is_total: RateIsTotal => [statistics_per_second]
    rate_is_zero: RateIsZero => [statistics_per_second]
    global_is_busiest: GlobalIsBusiest => [statistics_global]

    // ---- Extensions
    no_statistics: NoStatistics => [
        extensions statistics_of_a_channel statistics_of_process_specific_channels
        statistics_max_age statistics_of_full_channels statistics_per_second
        statistics_global expired_messages_are_not_pending
    ]
}

#[test]
fn a_hang_is_reported_with_its_step() {
    let report = run_case(Broken(Fault::TryReceiveBlocks), "message_expiry").unwrap();
    assert_eq!(
        report.outcome,
        Outcome::Failed(r#"try_receive on ["chan.exp"] did not end within 10s"#.to_owned())
    );
}

#[test]
fn a_blocked_thread_is_reported() {
    struct Hurried;

    impl Harness for Hurried {
        type Layer = Model;
        const CASE_LIMIT: Duration = Duration::from_millis(200);

        async fn layer(&self) -> Model {
            Model::clients(Fault::BlocksThread, 1).remove(0)
        }
    }

    let report = run_case(Hurried, "message_expiry").unwrap();
    let message = "the case did not end within 200ms: the layer blocks a thread";
    assert_eq!(report.outcome, Outcome::Failed(message.to_owned()));
}

#[test]
fn a_layer_may_take_its_liberties() {
    let liberties = [
        Fault::LooksAtOneServer,
        Fault::AnyOrder,
        Fault::LosesHandedMessage,
    ];
    for liberty in liberties {
        let report = run(Lenient(liberty));
        assert!(
            report.cases.iter().all(CaseReport::passed),
            "{liberty:?} is no fault\n{report}"
        );
    }
}

#[test]
fn what_a_layer_does_not_provide_is_skipped_and_nothing_else() {
    let report = run(Plain(Fault::BareBones));
    assert!(report.is_success(), "{report}");
    let optional = |name: &str| {
        let words = [
            "group",
            "flush",
            "statistics",
            "capacity",
            "full",
            "member",
            "refused",
        ];
        words.iter().any(|word| name.contains(word))
    };
    let skipped = report.cases.iter().filter(|case| !case.passed());
    let skipped: Vec<_> = skipped.map(|case| case.name).collect();
    for name in &skipped {
        let about_expiry = name.starts_with("expired_") || name.starts_with("old_");
        let rest =
            *name == "rejoining_after_expiry_lasts" || *name == "local_expiry_drops_membership";
        assert!(
            optional(name) || about_expiry || rest,
            "{name} applies to every layer\n{report}"
        );
    }
    assert!(skipped.len() < case_names().len() / 2, "{report}");
}

#[test]
fn an_extension_the_harness_does_not_list_is_reported() {
    let report = run_case(Plain(Fault::None), "extensions").unwrap();
    assert!(report.failed(), "{report}");
}

#[test]
fn an_unknown_case_is_none() {
    assert!(run_case(Broken(Fault::None), "no_such_case").is_none());
}
