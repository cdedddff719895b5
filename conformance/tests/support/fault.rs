/// One way to break a layer. The comments say what the layer does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,

    // ---- Liberties a layer has
    /// `try_receive` looks for normal channels at one of three servers, in turn.
    LooksAtOneServer,
    /// Messages on normal channels come in any order.
    AnyOrder,
    /// There are no extensions, and channels take any number of messages.
    BareBones,

    // ---- Sending and receiving
    /// Every message comes twice.
    DeliversTwice,
    /// Two readers at the same time may be given the same message.
    ReadersRace,
    /// One message in a thousand is lost.
    DropsOneInAThousand,
    /// What one client sends, no other receives.
    ClientsApart,
    /// A blocking receive fails when nothing came for a second.
    ReceiveGivesUp,
    /// A blocking receive is not told of messages.
    ReceiveSleepsOn,
    /// A blocking receive on several channels is told of messages on the first one only.
    WaitsOnFirstChannel,
    /// A message on a channel that has others wakes nobody.
    WakesForFirstMessage,
    /// `try_receive` waits for a second if there is nothing.
    TryReceiveWaits,
    /// `try_receive` waits until there is something.
    TryReceiveBlocks,
    /// A send blocks its thread.
    BlocksThread,
    /// A receive on no channels fails.
    EmptyListFails,
    /// A receive on no channels takes from any.
    EmptyListTakesAll,
    /// The first channel that has a message is served, always.
    ServesInOrder,
    /// A receive that was dropped stays in line and is handed messages.
    DroppedReceiveStays,
    /// A message handed to a receive that is then dropped is lost.
    LosesHandedMessage,
    /// A receive takes a message and waits for something else before it returns.
    LosesTakenMessage,

    // ---- Order
    /// The newest message comes first.
    NewestFirst,
    /// Once in a while a message overtakes those before it.
    SometimesOvertakes,
    /// What comes through a group overtakes what was sent directly.
    GroupsOvertake,

    // ---- Names
    /// A receive takes a name with its local part.
    TakesLocalPart,
    /// Messages come without the local part of their channel.
    LosesLocalPart,
    /// A process-specific channel cannot be sent to without a local part.
    NeedsLocalPart,
    /// Channels are told apart by what stands before `?` or `!` only.
    MixesKinds,
    /// Channels and groups are told apart without regard to upper and lower case.
    IgnoresCase,
    /// Names may have 99 bytes.
    ShortNames,
    /// Names may have 150 bytes.
    QuiteLongNames,
    /// Some names are taken by the software behind the layer.
    ReservesNames,
    /// There is room for 500 channels.
    FewChannels,

    // ---- new_channel
    /// The same name is made over and over.
    RepeatsNewChannel,
    /// Each client makes the same names.
    CountsNewChannels,
    /// Patterns ending in `!` are refused, as in the Python layers.
    NoProcessPatterns,

    // ---- Messages
    /// All messages that wait share the contents of the latest one.
    SharesOneBuffer,
    /// Long byte strings and texts are cut at 64 KiB.
    CutsAt64KiB,
    /// Messages above half a megabyte are refused.
    RefusesHalfMegabyte,
    /// Messages above 1.5 MB fail with an error nobody can act on.
    FailsOnLarge,
    /// Floats without a fraction turn into integers.
    WholeFloatsAreIntegers,
    /// Integers go through a float.
    IntegersAreFloats,
    /// Text ends at a NUL.
    TextEndsAtNul,
    /// Text is of the basic plane.
    BasicPlaneOnly,
    /// Byte strings that could be text turn into text.
    BytesBecomeText,
    /// Keys are sorted.
    SortsKeys,
    /// Keys without a value are left out.
    DropsNulls,
    /// Values nest 16 levels deep at most.
    ShallowValues,
    /// Maps and lists have 255 entries at most.
    FewEntries,
    /// A message without keys is not delivered.
    DropsEmptyMessages,
    /// The key the Python layers use inside is obeyed when a sender sets it.
    ObeysReservedKey,

    // ---- Capacity
    /// Channels take any number of messages.
    NoCapacity,
    /// The capacity of a process-specific channel is counted on its full name.
    CapacityOfFullName,
    /// All channels share one capacity.
    CapacityOfLayer,
    /// Capacity once used is not given back by receiving.
    CapacityUsedUp,
    /// Concurrent senders see the same room.
    SendersRace,
    /// A send to a full channel waits for room.
    SendWaitsForRoom,
    /// A full channel is named in full.
    FullNamesLocalPart,
    /// A refused message is delivered nevertheless.
    DeliversRefused,
    /// Expired messages take up room until somebody receives.
    ExpiredTakeRoom,
    /// A group send fails if a member is full.
    GroupSendFailsWhenFull,
    /// A group send ends at the first member that is full.
    GroupSendStopsWhenFull,
    /// Group sends do not regard capacity.
    GroupsIgnoreCapacity,

    // ---- Expiry
    /// Messages do not expire.
    NoExpiry,
    /// Messages that came through a group do not expire.
    NoExpiryInGroups,
    /// Messages on single-reader and process-specific channels do not expire.
    NoExpiryOfReplies,
    /// Messages expire after a quarter of their time.
    ExpiresEarly,
    /// A new message makes the time of all others on its channel start anew.
    NewerKeepsOlder,

    // ---- Groups
    /// A member added twice gets two copies.
    MembersTwice,
    /// Discarding does nothing.
    NoDiscard,
    /// Discarding one channel of a process discards all of them.
    DiscardsWholeProcess,
    /// Discarding a channel that is no member fails.
    DiscardNeedsMember,
    /// Discarding a channel from one group discards it from all.
    DiscardsFromAll,
    /// Sending to a group nobody is in fails.
    SendNeedsMembers,
    /// Single-reader channels cannot be members.
    NoSingleReaderMembers,
    /// Of the members at one process, one gets the message.
    OneCopyForProcess,
    /// A group send reaches 500 members.
    SmallGroups,
    /// A group send puts the message on the channel of the group's name too.
    GroupsAreChannels,
    /// A group send does not wake readers.
    GroupSendWakesNobody,
    /// A group is what one client knows of it.
    GroupsOfClient,
    /// A group send fails if members come or go meanwhile.
    GroupSendRacesChanges,

    // ---- Memberships
    /// Memberships do not end.
    NoGroupExpiry,
    /// All memberships of a group end together, after the latest addition.
    GroupEndsAsOne,
    /// Adding a member again does not prolong the membership.
    NoProlonging,
    /// A membership ends when its channel was idle for twice the message expiry.
    IdleMembersEnd,
    /// A membership ends an expiry after a message was sent to it, received or not.
    ReadMembersEnd,
    /// An expired message does not end memberships of process-specific channels.
    NoEvictionOfProcess,
    /// An expired message does not end memberships of other channels.
    NoEvictionOfNormal,
    /// An expired message ends the memberships of all channels of its process.
    EvictsWholeProcess,
    /// An expired message ends memberships that began after it expired.
    EvictsRejoined,

    // ---- Flush
    /// Flushing keeps messages.
    FlushKeepsMessages,
    /// Flushing keeps messages that came through groups.
    FlushKeepsGroupMessages,
    /// Flushing keeps groups.
    FlushKeepsGroups,
    /// Flushing is seen by other clients a second later.
    FlushIsLate,
    /// Flushing ends blocking receives with an error.
    FlushEndsReceives,
    /// Flushing does not give back capacity.
    FlushKeepsCapacity,

    // ---- Statistics
    /// Messages received are still told as pending.
    PendingNeverFalls,
    /// Messages expired are still told as pending.
    PendingWithExpired,
    /// Process-specific channels are counted by their full names.
    FiguresOfFullName,
    /// The age told is that of the newest message.
    AgeOfNewest,
    /// Refused messages are not counted.
    FullNotCounted,
    /// Messages full members of groups missed are not counted.
    FullNotCountedInGroups,
    /// The rate is the total.
    RateIsTotal,
    /// The rate is zero.
    RateIsZero,
    /// The figures of the layer are those of its busiest channel.
    GlobalIsBusiest,

    // ---- Extensions
    /// The statistics extension is missing.
    NoStatistics,
}
