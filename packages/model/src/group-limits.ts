// pure
/** Limits of consumer groups and their coordinator, each with its reason. Bytes unless the name says otherwise. */
export const groupLimits = {
  /** Characters of a group id, a member id and an instance id: Kafka's clients and tools print them in one column, and each commit names them. */
  groupIdLength: 249,
  memberIdLength: 249,
  /** Members of a group: an assignment for so many is computed in a tenth of a second, on the coordinator's event loop. */
  groupMembers: 1_000,
  /** Names in a subscription: each is looked up whenever the group is assigned anew. */
  groupSubscriptionTopics: 10_000,
  /** Characters of a topic pattern: a matcher takes memory by its length. */
  groupPatternLength: 1_000,
  /** Compiled topic patterns that a shard keeps; the oldest goes and is compiled again when it is needed. */
  groupPatterns: 1_000,
  /** Bytes that a member hands to whoever assigns, and assignors that it can compute: both are written with each change of its assignment. */
  groupUserData: 16 * 1024,
  /** Characters of all names in a subscription: a member is one record of its coordinator's journal, which must fit into a batch. */
  groupSubscription: 256 * 1024,
  groupClientAssignors: 16,
  /** Of a member whose stream broke: a client that lives is back well before, ms. */
  groupStreamGraceMs: 500,
  /** A coordinator that looks so late, ms, for who is silent has not listened either: longer than computing the largest assignment takes. */
  groupLateMs: 200,
  /** What a new owner gives every member before its session can be over, in session timeouts (G2). */
  groupGrantSessions: 1.5,
  /** Signs of life of a member in a session timeout: some may be late or lost. */
  groupHeartbeatsPerSession: 3,
  /** However short a `max.poll.interval.ms` is, ms between signs of life: more of them would be a load, and tell little. */
  groupHeartbeatMsMin: 50,
  /** Static members whose place was taken, kept so that they hear why (FENCED_INSTANCE_ID); beyond, UNKNOWN_MEMBER_ID. */
  groupReplacedMembers: 10_000,
  /** Rounds in which an assignor evens out subscriptions that differ: each makes the loads strictly more even, and few are ever needed. */
  groupBalanceRounds: 64,
  /** Coordinator: bytes of records in one write of a journal, where one record is not larger: well below max.message.bytes, and a few ms of a disk. */
  journalBatch: 512 * 1024,
  /** Coordinator: more writes of journals than this in so many ms wait for the end of that time, and go out together: a message costs more than a record. */
  journalBeatWrites: 4,
  journalBeatMs: 4,
  /** A larger batch of a journal is compressed: assignments repeat topic ids. */
  journalCompressed: 16 * 1024,
  /** How long a leader may take to acknowledge a write of a journal, ms: then it is sent again, identical, and again. */
  journalAcknowledgedMs: 10_000,
  /** A leader that has not answered for so long, ms, is reached for anew: its election would have shown by then (R10). */
  journalSilenceMs: 11_000,
  /** Wait before a write of a journal is repeated, or its reading goes on, ms: doubled from the first to the second while it fails. */
  journalRetryMsMin: 10,
  journalRetryMsMax: 1_000,
  /** Before a journal in which something could not be read is read again, ms: its disk may be mended, or another broker lead it. */
  journalUnreadableMs: 10_000,
  /** Bytes of a journal on their way while it is loaded. */
  journalWindow: 4 * 1024 * 1024,
  /** Answers that wait for one shard's writes, and requests that wait for its loading: members of a thousand groups, each with what it may ask at once. */
  shardParked: 20_000,
  /** Bytes of decisions that wait for one shard's writes: some seconds of a slow disk. */
  shardStaged: 16 * 1024 * 1024,
  /** How long a request waits for a shard that is being loaded, ms: most are in a fraction of it, and asking again costs a pause. */
  shardReadyWaitMs: 1_500,
  /** Groups that a shard looks at, because topics changed or offsets may expire, before others have their turn. */
  groupsPerTurn: 50,
  /** How often committed offsets are looked through for those that have expired (G6), ms: Kafka's offsets.retention.check.interval.ms is ten minutes. */
  offsetsSweepMs: 60_000,
  /** Partitions and offsets in one of the coordinator's questions about lag: below what a leader takes, and a fraction of a second of its work. */
  lagPartitionsAsked: 2_000,
  lagOffsetsAsked: 20_000,
  /** Ends of logs that a coordinator remembers: 100 bytes each. */
  logEndsKnown: 100_000,
  /** How long a commit beyond the known end of a log waits for its leader to say where it is now, ms: then it is taken, unchecked. */
  logEndMs: 1_000,
  /** How often a coordinator looks at the lag of all its groups, ms: as often as metrics are usually scraped. */
  lagPollMs: 10_000,
  /** Commits that stand still for so long, ms, although there is something to read, show `stalled`: a dozen auto-commits. */
  lagStillMs: 60_000,
  /** Age of the first record that is not committed, s, up to which a group is not behind: two auto-commits. */
  catchingUpSeconds: 10,
  /** Share of offsets.retention.minutes before the end of which an empty group with lag shows `expiring` (G6): most of a day of the default week. */
  expiringRatio: 0.1,
  /** Groups' partitions whose commits are watched for standing still: some 200 bytes each. */
  lagSamples: 200_000,
  /** How long a commit for a topic that the coordinator does not know waits until it does, ms: pictures of the cluster differ by less. */
  newTopicWaitMs: 250,
} as const;
