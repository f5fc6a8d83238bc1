// pure
/** Every named limit with its reason. Bytes unless the name says otherwise. */
export const limits = {
  /** Kafka's default of max.message.bytes: one batch, header included. */
  batchBytesDefault: 1_048_588,
  /** No topic may raise max.message.bytes above this: a batch must fit several times into one connection's window. */
  batchBytesMax: 64 * 1024 * 1024,
  /** gRPC message: one batch of the largest allowed size and its envelope. */
  messageBytesMax: 64 * 1024 * 1024 + 64 * 1024,
  /** HTTP/2 stream and session window on both ends: below 4 MiB a stream waits for window updates (DESIGN §5). */
  transportWindow: 8 * 1024 * 1024,
  /** Records bytes in one Fetch answer: large enough to amortise a message, small enough that partitions interleave. */
  fetchChunk: 256 * 1024,
  /** Bytes queued in a server stream before its pump waits for the reader: two chunks keep the socket busy. */
  streamQueue: 1024 * 1024,
  /** Tail of all logs of a broker kept in memory for hot reads. */
  tailCache: 32 * 1024 * 1024,
  /** Log files synced at once: each holds a thread of libuv's pool (16 asked for at start). */
  syncsInFlight: 12,
  /** Batches of one producer and partition in flight (P1), and remembered per producer for duplicates (P2). */
  batchesInFlight: 5,
  /** A producer is forgotten this long after its last batch, in committed log time (P3). */
  producerExpiryMs: 24 * 60 * 60 * 1000,
  /** Unanswered bytes of one produce stream before the broker stops reading it: HTTP/2 then holds the client back. */
  unansweredBytesPerStream: 32 * 1024 * 1024,
  /** How long acks=all waits for replicas where the request does not say. */
  produceTimeoutMs: 30_000,
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
  /** One file operation done on the event loop: writing so much to the page cache takes 50 µs, about what handing it to a thread costs. */
  synchronousIo: 256 * 1024,
  /** A synchronous append that takes longer met a kernel that makes writers wait for the disk: appends then go to a thread. */
  synchronousIoMs: 2,
  /** End of a file that is read on the event loop after this process wrote it: the page cache still has it. */
  readCached: 32 * 1024 * 1024,
  /** Buffers in one write: Linux's IOV_MAX. */
  buffersPerWrite: 1024,
} as const;
