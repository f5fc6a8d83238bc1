// pure
/**
 * The one error table. Numbers are Kafka's; 0 means no error. A partition's failure travels in the answer as its number; a gRPC status
 * means that the whole call failed.
 */

/** Name of a gRPC status, as in its specification. */
export type GrpcStatus =
  | 'UNKNOWN'
  | 'INVALID_ARGUMENT'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'
  | 'DEADLINE_EXCEEDED'
  | 'CANCELLED';

interface ErrorKind {
  readonly code: number;
  readonly status: GrpcStatus;
  /** The same request may succeed later. */
  readonly retriable: boolean;
  /** The client's picture of leaders is old. */
  readonly refreshMetadata: boolean;
}

const final = (code: number, status: GrpcStatus): ErrorKind => ({
  code,
  status,
  retriable: false,
  refreshMetadata: false,
});
const retriable = (code: number, status: GrpcStatus): ErrorKind => ({
  code,
  status,
  retriable: true,
  refreshMetadata: false,
});
const stale = (code: number, status: GrpcStatus): ErrorKind => ({
  code,
  status,
  retriable: true,
  refreshMetadata: true,
});

export const errorTable = {
  UNKNOWN_SERVER_ERROR: final(-1, 'INTERNAL'),
  OFFSET_OUT_OF_RANGE: final(1, 'OUT_OF_RANGE'),
  CORRUPT_MESSAGE: final(2, 'DATA_LOSS'),
  UNKNOWN_TOPIC_OR_PARTITION: stale(3, 'NOT_FOUND'),
  INVALID_FETCH_SIZE: final(4, 'INVALID_ARGUMENT'),
  LEADER_NOT_AVAILABLE: stale(5, 'UNAVAILABLE'),
  NOT_LEADER_OR_FOLLOWER: stale(6, 'UNAVAILABLE'),
  REQUEST_TIMED_OUT: retriable(7, 'DEADLINE_EXCEEDED'),
  BROKER_NOT_AVAILABLE: stale(8, 'UNAVAILABLE'),
  MESSAGE_TOO_LARGE: final(10, 'INVALID_ARGUMENT'),
  OFFSET_METADATA_TOO_LARGE: final(12, 'INVALID_ARGUMENT'),
  NETWORK_EXCEPTION: stale(13, 'UNAVAILABLE'),
  COORDINATOR_LOAD_IN_PROGRESS: retriable(14, 'UNAVAILABLE'),
  COORDINATOR_NOT_AVAILABLE: stale(15, 'UNAVAILABLE'),
  NOT_COORDINATOR: stale(16, 'UNAVAILABLE'),
  INVALID_TOPIC_EXCEPTION: final(17, 'INVALID_ARGUMENT'),
  RECORD_LIST_TOO_LARGE: final(18, 'INVALID_ARGUMENT'),
  NOT_ENOUGH_REPLICAS: retriable(19, 'UNAVAILABLE'),
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: retriable(20, 'UNAVAILABLE'),
  INVALID_REQUIRED_ACKS: final(21, 'INVALID_ARGUMENT'),
  ILLEGAL_GENERATION: final(22, 'FAILED_PRECONDITION'),
  INVALID_GROUP_ID: final(24, 'INVALID_ARGUMENT'),
  UNKNOWN_MEMBER_ID: final(25, 'NOT_FOUND'),
  INVALID_SESSION_TIMEOUT: final(26, 'INVALID_ARGUMENT'),
  REBALANCE_IN_PROGRESS: final(27, 'FAILED_PRECONDITION'),
  INVALID_TIMESTAMP: final(32, 'INVALID_ARGUMENT'),
  UNSUPPORTED_VERSION: final(35, 'UNIMPLEMENTED'),
  TOPIC_ALREADY_EXISTS: final(36, 'ALREADY_EXISTS'),
  INVALID_PARTITIONS: final(37, 'INVALID_ARGUMENT'),
  INVALID_REPLICATION_FACTOR: final(38, 'INVALID_ARGUMENT'),
  INVALID_CONFIG: final(40, 'INVALID_ARGUMENT'),
  NOT_CONTROLLER: stale(41, 'UNAVAILABLE'),
  INVALID_REQUEST: final(42, 'INVALID_ARGUMENT'),
  UNSUPPORTED_FOR_MESSAGE_FORMAT: final(43, 'INVALID_ARGUMENT'),
  POLICY_VIOLATION: final(44, 'FAILED_PRECONDITION'),
  OUT_OF_ORDER_SEQUENCE_NUMBER: final(45, 'FAILED_PRECONDITION'),
  DUPLICATE_SEQUENCE_NUMBER: final(46, 'ALREADY_EXISTS'),
  INVALID_PRODUCER_EPOCH: final(47, 'FAILED_PRECONDITION'),
  KAFKA_STORAGE_ERROR: stale(56, 'UNAVAILABLE'),
  UNKNOWN_PRODUCER_ID: final(59, 'FAILED_PRECONDITION'),
  NON_EMPTY_GROUP: final(68, 'FAILED_PRECONDITION'),
  GROUP_ID_NOT_FOUND: final(69, 'NOT_FOUND'),
  FENCED_LEADER_EPOCH: stale(74, 'FAILED_PRECONDITION'),
  UNKNOWN_LEADER_EPOCH: retriable(75, 'UNAVAILABLE'),
  UNSUPPORTED_COMPRESSION_TYPE: final(76, 'INVALID_ARGUMENT'),
  STALE_BROKER_EPOCH: final(77, 'FAILED_PRECONDITION'),
  OFFSET_NOT_AVAILABLE: retriable(78, 'UNAVAILABLE'),
  PREFERRED_LEADER_NOT_AVAILABLE: retriable(80, 'UNAVAILABLE'),
  GROUP_MAX_SIZE_REACHED: final(81, 'RESOURCE_EXHAUSTED'),
  FENCED_INSTANCE_ID: final(82, 'FAILED_PRECONDITION'),
  ELIGIBLE_LEADERS_NOT_AVAILABLE: retriable(83, 'UNAVAILABLE'),
  ELECTION_NOT_NEEDED: final(84, 'FAILED_PRECONDITION'),
  GROUP_SUBSCRIBED_TO_TOPIC: final(86, 'FAILED_PRECONDITION'),
  INVALID_RECORD: final(87, 'INVALID_ARGUMENT'),
  THROTTLING_QUOTA_EXCEEDED: retriable(89, 'RESOURCE_EXHAUSTED'),
  PRODUCER_FENCED: final(90, 'FAILED_PRECONDITION'),
  RESOURCE_NOT_FOUND: final(91, 'NOT_FOUND'),
  INVALID_UPDATE_VERSION: final(95, 'FAILED_PRECONDITION'),
  UNKNOWN_TOPIC_ID: stale(100, 'NOT_FOUND'),
  DUPLICATE_BROKER_REGISTRATION: final(101, 'ALREADY_EXISTS'),
  BROKER_ID_NOT_REGISTERED: final(102, 'NOT_FOUND'),
  INCONSISTENT_TOPIC_ID: stale(103, 'FAILED_PRECONDITION'),
  INCONSISTENT_CLUSTER_ID: final(104, 'FAILED_PRECONDITION'),
  INELIGIBLE_REPLICA: final(107, 'FAILED_PRECONDITION'),
  FENCED_MEMBER_EPOCH: final(110, 'FAILED_PRECONDITION'),
  UNRELEASED_INSTANCE_ID: final(111, 'ALREADY_EXISTS'),
  UNSUPPORTED_ASSIGNOR: final(112, 'INVALID_ARGUMENT'),
  STALE_MEMBER_EPOCH: final(113, 'FAILED_PRECONDITION'),
  INVALID_REGULAR_EXPRESSION: final(128, 'INVALID_ARGUMENT'),
} as const satisfies Record<string, ErrorKind>;

export type ErrorName = keyof typeof errorTable;

const byCode = new Map<number, ErrorName>(
  Object.entries(errorTable).map(([name, kind]) => [kind.code, name as ErrorName]),
);

/** The name of an error number; an unknown one is UNKNOWN_SERVER_ERROR. */
export function errorName(code: number): ErrorName {
  return byCode.get(code) ?? 'UNKNOWN_SERVER_ERROR';
}

/** What is known of why nobody could be reached. `refused`: the machine answered, and nothing listens there. */
export type Unreachable = 'refused';

/** Every failure that a user or a peer may see: what, which, why, what to do. */
export class TributaryError extends Error {
  override readonly name = 'TributaryError';
  readonly error: ErrorName;
  /** Of NETWORK_EXCEPTION, where it is known. It does not travel. */
  declare readonly unreachable?: Unreachable;

  constructor(error: ErrorName, message: string, options?: { cause?: unknown; unreachable?: Unreachable }) {
    super(message, options);
    this.error = error;
    if (options?.unreachable !== undefined) this.unreachable = options.unreachable;
  }

  /** Kafka's number. */
  get code(): number {
    return errorTable[this.error].code;
  }

  get retriable(): boolean {
    return errorTable[this.error].retriable;
  }

  get refreshMetadata(): boolean {
    return errorTable[this.error].refreshMetadata;
  }

  /** For edges only: whatever was thrown, as a TributaryError. */
  static from(thrown: unknown): TributaryError {
    if (thrown instanceof TributaryError) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new TributaryError('UNKNOWN_SERVER_ERROR', message, { cause: thrown });
  }

  /** The error that an answer carries as number and sentence. */
  static fromAnswer(code: number, message: string): TributaryError {
    const error = errorName(code);
    return new TributaryError(error, message === '' ? error : message);
  }
}

/** An invariant that the code itself promises; its breach is a bug and ends the process. Stays on in production. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new AssertionFailure(what);
}

export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure';
}
