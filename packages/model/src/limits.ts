// pure
import { groupLimits } from './group-limits.ts';

/** Every named limit with its reason. Bytes unless the name says otherwise. */
export const limits = {
  ...groupLimits,
  /** Kafka's default of max.message.bytes: one batch, header included. */
  batchBytesDefault: 1_048_588,
  /** No topic may raise max.message.bytes above this: a batch must fit several times into one connection's window. */
  batchBytesMax: 64 * 1024 * 1024,
  /** gRPC message: one batch of the largest allowed size and its envelope. */
  messageBytesMax: 64 * 1024 * 1024 + 64 * 1024,
  /** HTTP/2 stream and session window on both ends: below 4 MiB a stream waits for window updates (DESIGN §5). */
  transportWindow: 8 * 1024 * 1024,
  /**
   * The same of a connection that has not yet been of use, of a stream and in all: whoever only sends holds up no more than this at a time. A
   * server widens a connection once it has taken so many bytes of whole messages from it.
   */
  narrowWindow: 128 * 1024,
  narrowConnectionWindow: 256 * 1024,
  widenedAfter: 512 * 1024,
  /**
   * Bytes a second, over all connections of a server that are not wide, of messages that are longer than what came at once: copying them into
   * place would otherwise be all that a server does while somebody sends without end.
   */
  narrowIntake: 64 * 1024 * 1024,
  /** Of one such message, what is taken without waiting for a turn. */
  narrowMessage: 64 * 1024,
  /** Partitions of `__consumer_offsets`, Kafka's number: groups spread over as many coordinators, and a lost one is taken over in parts. */
  offsetsTopicPartitions: 50,
  /** Its segments, Kafka's size: compaction works on closed ones, and a coordinator that takes over reads what it has not reached. */
  offsetsTopicSegment: 100 * 1024 * 1024,
  /** Records bytes in one Fetch answer: large enough to amortise a message, small enough that partitions interleave. */
  fetchChunk: 256 * 1024,
  /** Bytes queued in a server stream before its pump waits for the reader: two chunks keep the socket busy. */
  streamQueue: 1024 * 1024,
  /** Tail of all logs of a broker kept in memory for hot reads. */
  tailCache: 32 * 1024 * 1024,
  /** Buffers of reads from a broker's files kept for the next ones: as many chunks as eight consumers have on their way. */
  readBuffers: 8 * 1024 * 1024,
  /** How often recovery points, high watermarks and log starts are written, ms: bounds what a start after a crash reads again. */
  checkpointMs: 5_000,
  /** Index files of all logs of a broker kept in memory; the least recently searched go first. */
  indexCache: 32 * 1024 * 1024,
  /** One index file, as Kafka's segment.index.bytes: a segment of tiny batches is closed before its index outgrows it. */
  indexFile: 10 * 1024 * 1024,
  /** One read while a log is scanned; a larger batch gets a larger buffer. */
  scanChunk: 1024 * 1024,
  /** Log between two producer snapshots: a start after a crash reads at most so much of it twice. */
  snapshotInterval: 64 * 1024 * 1024,
  /** Longest stretch of compaction without a turn for others, ms: what a produce request may wait for it. */
  compactionSliceMs: 1,
  /** Bytes that compaction writes at once and syncs: whoever syncs what they produce waits for all that the file system has not yet written. */
  compactionSync: 256 * 1024,
  /** How often a read looks for a segment again because compaction replaced the one that it had found: each time takes a whole round of compaction. */
  readRestarts: 16,
  /** Look-ups in files that one question about lag may make: each is some 50 µs from the page cache and some milliseconds from a disk; what is beyond is estimated. */
  lagReads: 1_000,
  /** Offsets in one question about lag: those of 1,000 groups that read 100 partitions, some milliseconds of work. */
  lagOffsets: 100_000,
  /** Offsets between two looks at what else waits for the event loop: about a millisecond. */
  lagOffsetsAtOnce: 500,
  /** Producer snapshots kept per partition beyond the one that recovery may need. */
  snapshotsKept: 2,
  /** Copies of cut bytes kept per partition (L3); the oldest goes. */
  cutCopies: 8,
  /** Places where readers of one log stopped, remembered so that they go on without a search. */
  readPositions: 32,
  /** Rounds of repair and renewed scan of one log, before it is given up as failing faster than it is mended. */
  recoveryRounds: 8,
  /**
   * Set aside on a broker's disk, and given up when it is full, so that what frees room can be written: twice the checkpoints of 5,000 partitions
   * (2 MiB each time, beside the old ones), a producer snapshot and an index of what goes, `meta.json`. At most a sixteenth of the disk.
   */
  diskHeadroom: 16 * 1024 * 1024,
  /** The same of the embedded metadata store: its journal once more beside the old one, which opening and outgrowing write. */
  metadataHeadroom: 8 * 1024 * 1024,
  /** Open files of which one may be closed, looked at before one more than allowed is opened: a look must not cost more than opening. */
  openFilesLookedAt: 1_000,
  /** Files that a broker's process must be allowed to open. */
  openFilesLeast: 256,
  /** Of them, those that are neither of a segment nor a connection: indexes and checkpoints being written, locks, libraries, listeners. */
  otherFiles: 128,
  /** How often the free space is looked at, ms: between, a broker counts what it writes itself. */
  diskCheckMs: 1_000,
  /** Share of the disk that must be free beyond the high-water mark before produce is accepted again. */
  diskHysteresisRatio: 0.01,
  /** The same in bytes, for large disks: a second of writing. */
  diskHysteresis: 256 * 1024 * 1024,
  /** Log files synced at once, each on a thread of libuv's pool: what ADR 1 measured as enough. */
  syncsInFlight: 64,
  /** Batches of one producer and partition in flight (P1), and remembered per producer for duplicates (P2). */
  batchesInFlight: 5,
  /** A producer is forgotten this long after its last batch, in committed log time (P3). */
  producerExpiryMs: 24 * 60 * 60 * 1000,
  /** Records of one Publish: reading and answering so many holds the event loop for 10 ms, and each costs a hundred bytes, whatever it holds. */
  publishRecords: 10_000,
  /** Headers of all its records together, for the same reason. */
  publishHeaders: 40_000,
  /** Bytes of one Publish: received and decoded it is held twice, and a connection may hold 64 MiB. Larger records go by Produce. */
  publishRequest: 24 * 1024 * 1024,
  /** A batch that Publish makes, where the topic allows so much: what readers take at once. */
  publishBatch: 1024 * 1024,
  /** How long a call waits for a partition that this broker is about to lead, ms: it has just been created or started. */
  leadershipWaitMs: 2_000,
  /** How often it looks, ms. */
  leadershipPollMs: 10,
  /** How long a request waits at a broker for the election of a controller, ms: about half of one; it can be asked for again. */
  controllerWaitMs: 1_000,
  /** Bytes of records in one Subscribe answer, and what is decoded at a time before the event loop goes on: about 2 ms. */
  subscribeChunk: 256 * 1024,
  /** What reading a chunk of a file for a Fetch counts of that: it takes about a quarter of the time of decoding one. */
  fetchTurn: 64 * 1024,
  /** What a record costs beside its bytes when those are counted: 100 B records are made at about this rate. */
  subscribeRecord: 64,
  /** Records of one batch after decompression that Subscribe gives out: they are all in memory at once. Fetch gives out larger ones. */
  subscribeBatch: 16 * 1024 * 1024,
  /** Decoded records kept while a subscription waits for its reader; more are read again. */
  subscribeHeld: 1024 * 1024,
  /** Partitions of which the newest chunk is kept, encoded, for the other subscriptions at the end of the log: 16 MiB at most. */
  sharedChunks: 64,
  /** Partitions of one subscription. */
  subscribePartitions: 10_000,
  /** Unanswered bytes of one produce stream before the broker stops reading it: HTTP/2 then holds the client back. */
  unansweredBytesPerStream: 32 * 1024 * 1024,
  /** How long acks=all waits for replicas where the request does not say. */
  produceTimeoutMs: 30_000,
  /** Wait before a log that could not be opened is tried again, ms, doubled from the first to the second: it may take long to read in vain. */
  failedLogMsMin: 5_000,
  failedLogMsMax: 300_000,
  /** Partitions opened or closed at once: their file operations share libuv's pool. */
  partitionsOpenedAtOnce: 32,
  /** Metadata changes that a broker acts on at the same time: each waits for its own partitions, of which one may be slow. */
  imagesFollowedAtOnce: 256,
  /** How long a request may wait for a metadata revision, ms (M4). */
  minRevisionWaitMs: 5_000,
  /** Sent to one follower's replica and not yet acknowledged as durable: several syncs' worth at full speed. */
  replicaWindow: 4 * 1024 * 1024,
  /** The same on one stream between two brokers: beyond it, only replicas that wait for nothing get another chunk. */
  replicaStreamWindow: 64 * 1024 * 1024,
  /** How often a leader's broker says something to each follower's, ms, be it nothing: what has news goes at once. */
  replicaBeatMs: 1_000,
  /** A replication stream without a word for so long, ms, is broken off and begun anew; what such a follower has is too old to be read. */
  replicaSilenceMs: 5_000,
  /** A high watermark that no batch carries is told to followers after so long, ms: the next batch mostly comes first. */
  replicaNumbersMs: 10,
  /** First wait before a follower attaches again, ms, doubled up to the second: leaders begin, and images arrive, within milliseconds. */
  replicaRetryMsMin: 20,
  replicaRetryMsMax: 1_000,
  /** How often a leader looks for members of the ISR that fall behind, ms. */
  isrCheckMs: 500,
  /** Deadline of calls between the parts, ms. */
  internalCallMs: 5_000,
  /** A connection to another broker that nobody has used for so long, ms, is closed: forwarding comes and goes with clients (F1). */
  neighbourIdleMs: 60_000,
  /** Calls on one connection to another part, beyond which a further one is made: below what it accepts, as each member of a group keeps a stream. */
  callsPerNeighbour: 512,
  /** Groups named by one request to describe or delete them: a description names every member and partition. */
  groupsPerRequest: 1_000,
  /** How long a request waits at a broker until somebody owns its group, ms: a new owner is told within milliseconds, and asking again is free. */
  coordinatorWaitMs: 1_000,
  /** What a member says before the first answer is kept, so many messages, in case that somebody else is to be told. */
  joinUnanswered: 64,
  /** Record level: how long a subscription tries to join its group before it says why not, ms: a person may wait for it. */
  memberJoinMs: 5_000,
  /** Record level: how long the end of a subscription waits for the coordinator's word that its member has left, ms: else its stream just breaks. */
  memberLeaveMs: 1_000,
  /** Record level: signs of life of a member without an answer, after which its stream is made anew. */
  memberUnanswered: 3,
  /** Record level: places up to which a subscription has sent, kept until they may be committed; with more, fewer are remembered. */
  autoCommitMarks: 4_096,
  /** Record level: the longest interval between two commits that a subscription makes for its client, ms: a day; timers know little more. */
  autoCommitMsMax: 24 * 60 * 60 * 1000,
  /** How long an answer that stands at a forwarding broker may wait for its client to take the one before, ms, once its stream has ended. */
  forwardEndMs: 5_000,
  /** Bytes that a subscription has waiting of partitions that other brokers lead: a few chunks for each of the usual number of them. */
  subscribeElsewhere: 8 * 1024 * 1024,
  /** A partition's share of that shrinks to no less: 10,000 of them may then have 40 MiB. A larger batch comes by itself. */
  subscribeWindowMin: 4 * 1024,
  /** How long a subscription waits for a partition to have a leader that can be reached, ms: longer than a session timeout and an election. */
  subscribeLeaderMs: 30_000,
  /** Replicas whose word that all is flushed goes into one request (R6). */
  flushReports: 1_000,
  /** How often that word is given again, ms: a controller that has taken over knows of none. */
  flushReportMs: 5_000,
  /** How often DeleteRecords tries to move the log start, ms, and for how long: under load a snapshot of producers comes with the next write. */
  deleteRecordsRetryMs: 20,
  deleteRecordsMs: 10_000,
  /** How often deadlines of parked answers are looked at, ms. */
  parkedTickMs: 250,
  /** Avro: fields, items and entries within one another; a hostile value of a recursive schema would exhaust the stack. */
  avroDepth: 200,
  /** Avro: array items that take no byte (null, empty records) in one value: a few bytes may claim 2^63 of them. */
  avroEmptyItems: 65_536,
  /** Length of a topic's name, Kafka's. */
  topicNameLength: 249,
  /** Partitions of one topic: metadata transactions have at most 100 operations (M3), so creation takes several. */
  partitionsPerTopic: 10_000,
  /** Operations in one metadata transaction, etcd's default is 128 (M3). */
  transactionOperations: 100,
  /** Producer ids handed to a broker at once. */
  producerIdBlock: 1_000,
  /** Batches and bytes staged for one partition before produce is answered with a retriable error: the disk is slower than the network. */
  stagedBytesPerPartition: 64 * 1024 * 1024,
  /** Default session timeout of registrations, ms (R10). */
  sessionTimeoutMs: 6_000,
  /**
   * Lease of the elected controller, ms: the least that etcd grants. Deciding goes on so soon after it was killed, and a needless loss costs an
   * election. Where etcd pauses, it runs out before any broker's (see the next line), so that a controller whose etcd was away has resigned before
   * it could see them absent (M5).
   */
  controllerLeaseMs: 2_000,
  /** Two thirds of it, what is left when the last sign of life before a pause was just due, is no less than the controller's lease. */
  sessionTimeoutMsMin: 3_000,
  /** Signs of life of a broker in a session timeout: some may be late or lost without a death. */
  heartbeatsPerSession: 5,
  /** So many of them unanswered, and the broker tries a new connection: it has the rest of the session to be heard on that. */
  heartbeatsUnanswered: 3,
  /** Wait before a broker attends again, ms, doubled from the first to the second while no controller answers: well below a session timeout. */
  attendRetryMsMin: 20,
  attendRetryMsMax: 1_000,
  /** ISR proposals in one message: 100 KiB; all partitions of a broker that shrink at once take a few. */
  proposalsPerMessage: 1_000,
  /** Partitions with the reason of what is wrong with them in one description of the cluster: a person reads it. */
  troublesShown: 100,
  /** Partitions named by one request for elections: those of the largest topic. */
  electionsPerRequest: 10_000,
  /** Partitions that go back to their preferred leader at a time, unasked, and the pause between, ms: each change makes its clients look anew. */
  preferredElections: 50,
  preferredElectionsMs: 1_000,
  /** Proposals of one broker that wait for the controller: all partitions that it may lead, several times; beyond, its stream is ended. */
  isrProposals: 50_000,
  /** Of them, those that are judged together: 2,000 partitions that shrink at once are some twenty transactions. */
  isrProposalsPerOrder: 2_000,
  /** How often, in a session timeout, a registered broker that does not attend is asked at its address: it may have just been killed. */
  probesPerSession: 6,
  /** How often a controller that stands by asks whether the elected one is there, ms: a takeover begins so long after its process has gone. */
  successionAskMs: 100,
  /** How soon one at whose address the connection broke is asked again, ms, doubled up to the interval above: a process that is being killed takes some milliseconds. */
  probeRetryMsMin: 10,
  /** How often a leaving broker asks whether it may go, ms: each partition that moves is a few milliseconds of the controller's time. */
  leaveRepeatMs: 100,
  /** How long a leaving broker waits for its leaderships to move, ms: orchestrators kill after 30 s, and its logs are still to be closed. */
  leaveMsMax: 20_000,
  /** The same without any answer of a controller, ms: one that was lost meanwhile is replaced within its lease and an election. */
  leaveUnansweredMs: 5_000,
  /** The same while none is elected, ms: one that stands by is elected as soon as it sees that; where all stop, nobody does. */
  leaveUnledMs: 1_500,
  /** A metadata watch with nothing to say still reports its revision this often, ms (M2). */
  watchProgressMs: 2_000,
  /** Session timeouts for which a starting coordinator waits for its node id while another address has it: after a crash one is enough. */
  idTakenSessions: 1.5,
  /** A metadata watch silent for so long, ms, is dead: three missed reports (M2). */
  watchSilenceMs: 6_000,
  /** Wait before the metadata store is asked again, ms: doubled from the first to the second while it fails. */
  storeRetryMsMin: 50,
  storeRetryMsMax: 2_000,
  /** How often a part says that it still waits for the metadata store, ms. */
  storeWaitSaidMs: 10_000,
  /** One attempt at a call at one member of the metadata store, ms: three of etcd's elections (1 s), half of a silent watch. */
  storeCallMs: 3_000,
  /** Keys in one page of a read of the metadata store: a page stays below 1 MiB, as values are a few hundred bytes. */
  storePage: 1_000,
  /** A read of several pages begins again when the history that it reads from is compacted, so often. */
  storeReadAttempts: 5,
  /** Share of a lease's time to live that its holder gives up: the two clocks need not run alike, and its timers fire late. */
  leaseMarginRatio: 0.1,
  /** Signs of life in a lease's time to live: two may be lost. */
  leaseSignsOfLife: 3,
  /** Silence on a connection to etcd before it is probed, ms. More often than every 5 s, etcd takes for abuse. */
  etcdKeepaliveMs: 10_000,
  /** Revisions that a metadata watch can go back: a watcher that was away for longer lists again. */
  metadataHistoryRevisions: 10_000,
  /** Changes kept for the same purpose: bounds the memory when each revision changes many keys. */
  metadataHistoryChanges: 50_000,
  /** Journal of the embedded metadata store, above which it is rewritten as a snapshot: bounds its size and the time of opening it. */
  metadataJournal: 4 * 1024 * 1024,
  /** Transactions of the embedded metadata store that share one sync. */
  metadataGroup: 256,
  /** Transactions waiting for the embedded metadata store; further ones are told to come back. */
  metadataWaiting: 10_000,
  /** Admin requests waiting for the controller; further ones are told to come back. */
  controllerRequests: 1_000,
  /** Characters of an unknown name that are compared with the known ones: none is longer, and all of a hostile one would hold up the process. */
  comparedNameLength: 64,
  /** Settings changed by one request: more than there are. */
  configChanges: 100,
  /** How long an admin request waits for its outcome, ms; then it is told that the outcome is unknown. */
  controllerRequestMs: 30_000,
  /** How often the active controller asks whether the metadata store takes writes, ms: an operator is to hear of it before users do. */
  storeAlarmMs: 10_000,
  /** How often the active controller compacts the metadata store's history (M5), ms. */
  compactionIntervalMs: 300_000,
  /** One file operation done on the event loop: writing so much to the page cache takes 50 µs, about what handing it to a thread costs. */
  synchronousIo: 256 * 1024,
  /** A synchronous append that takes longer met a kernel that makes writers wait for the disk: appends then go to a thread. */
  synchronousIoMs: 2,
  /** End of a file that is read on the event loop after this process wrote it: the page cache still has it. */
  readCached: 32 * 1024 * 1024,
  /** Buffers in one write: Linux's IOV_MAX. */
  buffersPerWrite: 1024,
  /** Client: a broker that has not answered a unary call for so long, ms, is asked no further. Kafka's request.timeout.ms. */
  requestTimeoutMs: 30_000,
  /** Client: how long `connect` tries the bootstrap addresses, ms: a person waits for it. */
  connectTimeoutMs: 5_000,
  /** Client: one attempt at a call that others may follow, ms: another broker may know better long before the deadline. */
  attemptTimeoutMs: 5_000,
  /**
   * Client: longest wait before a retry, ms, while something fails for less than `quickRetriesMs`; then waits grow up to the second. A leader changes in
   * well under a second (DESIGN §1), and whoever asks so often adds little to that.
   */
  retryBackoffMs: 50,
  quickRetriesMs: 1_000,
  retryBackoffMsMax: 1_000,
  /** Client: a topic that brokers do not know may be in creation; after this, ms, its records fail. */
  topicWaitMs: 5_000,
  /** Client: age of its picture of the cluster, ms, after which it asks again unprompted: finds added partitions. Kafka's metadata.max.age.ms. */
  metadataAgeMs: 300_000,
  /**
   * Client: a batch or call without an answer for so long, ms, makes it ask other brokers who leads: one that is stopped or cut off breaks no connection.
   * Well above a commit under load, and within the second that may pass beyond the session timeout.
   */
  answerDoubtMs: 1_000,
  /** Client: how often it asks while that lasts, ms: half the second, so that an election is noticed within it. */
  doubtRefreshMs: 500,
  /** Client: a picture that was found wanting is asked for again for so long, ms, after the last report that it is: two of the longest waits. */
  doubtMs: 2_500,
  /** Client: a broker that does not answer for so long, ms, when asked for metadata, is joined by another one: ten round trips of a far network. */
  hedgeMs: 100,
  /** Client: how long an advertised address that could not be reached is not tried, ms: a detour by another broker costs one hop. */
  detourMs: 30_000,
  /** Client: how long closing waits for connections to end, ms. */
  closeTimeoutMs: 5_000,
  /** Producer: records are reported as failed after this, ms. Kafka's delivery.timeout.ms. */
  deliveryTimeoutMs: 120_000,
  /** Producer: encoded bytes not yet acknowledged, above which `send` refuses. Kafka's buffer.memory. */
  producerBuffer: 32 * 1024 * 1024,
  /** Producer: largest record, encoded. Kafka's max.request.size. */
  recordBytes: 1024 * 1024,
  /** Producer: sealed batches not yet on a connection, above which `ready` asks the caller to wait: enough to fill five more in flight. */
  producerUnsent: 2 * 1024 * 1024,
  /** Producer: bytes of batches in one Produce message: larger ones only delay the first batch in them. */
  produceMessage: 512 * 1024,
  /** Consumer: bytes of one partition granted or buffered: four chunks keep the leader busy for a round trip. */
  fetchWindow: 1024 * 1024,
  /** Consumer: bytes granted or buffered over all its partitions; with many, each one's window shrinks. */
  consumerBuffer: 32 * 1024 * 1024,
  /** Consumer: a window shrinks to no less: the smallest that still amortises a message. */
  fetchWindowMin: 64 * 1024,
  /** Consumer: records handed out by one `poll`. Kafka's max.poll.records. */
  pollRecords: 500,
  /** Consumer: how long `poll` waits for the first record, ms, where the caller does not say. */
  pollTimeoutMs: 1_000,
  /** Consumer: longest time from poll to poll of a member of a group, ms. Kafka's max.poll.interval.ms. */
  maxPollIntervalMs: 300_000,
  /** Consumer: how often a member of a group commits by itself, ms. Kafka's auto.commit.interval.ms. */
  autoCommitMs: 5_000,
  /** Consumer: how often a member gives a sign of life until its coordinator has said how often it wants one, ms. */
  memberHeartbeatMs: 1_000,
  /** Consumer: how long a member waits at least for the answer to one before it tries another connection, ms: several writes of the coordinator's journal. */
  memberPatienceMs: 1_000,
  /** Consumer: how long closing tries to tell the coordinator that a member leaves, and to commit before it, ms: else its session runs out. */
  memberFarewellMs: 5_000,
  /** Consumer: offsets in one commit: some 64 KiB; a member with more partitions sends several. */
  offsetsPerCommit: 1_000,
  /** Consumer: errors of its group that wait to be told by `poll`; the first ones say most. */
  memberErrors: 10,
  /** Consumer: a Fetch stream silent for so long, ms, makes it ask other brokers who leads: an idle partition costs one question in that time. */
  fetchSilenceMs: 2_000,
  /** Consumer: a Fetch stream silent for so long, ms, is probed: a peer that vanished sends no farewell. */
  fetchProbeMs: 4_000,
  /** Consumer: how long a follower of its rack is left alone after it failed, ms: reading from the leader costs traffic between racks, no more. */
  rackRetryMs: 30_000,
  /** Received and unread on one stream before its reader holds the sender back: two chunks keep the reader busy. */
  receiveQueue: 1024 * 1024,
  /** The same, counted in messages: small ones cost more than their bytes. */
  receiveQueueMessages: 4096,
  /** Below this a message is copied behind its frame header, which is cheaper than a second write. */
  frameCopied: 4096,
  /** Calls open at once on one connection: far above what a client needs, far below what would exhaust a process. */
  callsPerConnection: 1024,
  /**
   * Of the memory that a server may use for its clients, what it leaves to what it has let go: that is not free before it is collected, and Node
   * begins to collect when about so much lies about (measured, under floods).
   */
  collectedLate: 256 * 1024 * 1024,
  /** A call that holds so much is the first to lose it when there is no room; what less holds is a client's that is being served. */
  largeShare: 64 * 1024,
  /** How long a client that lost a call for want of room waits for the next of the same kind, ms; doubled each time, up to `stalledMs`. */
  evictedMs: 3_000,
  /** Calls open at once over all connections of a server: each costs it about 10 KiB before its first byte. */
  calls: 20_000,
  /** What a record of a Publish costs beside its bytes, once it is decoded. */
  decodedRecord: 200,
  /** What a received chunk costs beside its bytes: one of a single byte is an object too. */
  chunkOverhead: 256,
  /** One request of a unary call that carries no records: a list of every partition of a large topic fits several times. */
  unaryRequest: 4 * 1024 * 1024,
  /** How long a client may leave an answer unread, or a request unfinished, while the server has nothing to do for it, ms; its call is then ended. */
  stalledMs: 30_000,
  /** How long a connection may take until it has said that it speaks HTTP/2, ms. */
  handshakeMs: 10_000,
  /** How often a server looks for stalled calls and idle connections, ms. */
  serverSweepMs: 1_000,
  /** Streams that a client may reset in a row before it has let one end, within a sweep: beyond, it does nothing else (CVE-2023-44487). */
  resetsPerSweep: 1_000,
  /** What an answer tells a client to wait before its next request where the server has no room, ms. */
  throttleMs: 200,
  /** Client: the longest wait that a broker may ask for, ms: beyond, it is asked again. */
  throttleMsMax: 30_000,
  /** Defaults of a server that nobody gave bounds, such as the controller's: a broker's without its settings. */
  serverMemory: 256 * 1024 * 1024,
  /** Silence on a connection with open calls before it is probed, ms: notices a peer that vanished without a word. */
  keepaliveMs: 10_000,
  /** How long a probe may go unanswered, ms: longer than a peer's longest pause. */
  keepaliveTimeoutMs: 10_000,
  /** How often a watched health status is looked at, ms: a change may be noticed so late. */
  healthWatchMs: 500,
  /** Calls in flight have this long to finish when a server closes, ms. */
  closeGraceMs: 2_000,
  /** Characters of an error sentence on the wire: it travels in a header. */
  errorMessageLength: 2_000,
  /** The same sentence as it is escaped there: with its typed details below the 8 KiB of headers that gRPC's clients take. */
  errorMessageEncoded: 3_000,
  /** Allocated for a message on the word of its header alone; the pieces of a longer one are kept until it is whole. */
  messageAllocated: 1024 * 1024,
} as const;
