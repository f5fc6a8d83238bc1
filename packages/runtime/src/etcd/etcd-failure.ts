import { MetadataStoreError } from '@tributary/ports';

/** What is known after a call failed at one member. */
export type EtcdFailure =
  /** It never left this process, or was turned away at the door: another member may be asked. */
  | { readonly kind: 'not-sent'; readonly what: string }
  /** It may have been done. */
  | { readonly kind: 'unanswered'; readonly what: string }
  /** The history asked for is gone. */
  | { readonly kind: 'compacted'; readonly what: string }
  /** The answer is no, from whichever member. */
  | { readonly kind: 'final'; readonly error: MetadataStoreError };

const grpcMessage = /^(?:\w+: )?(\d+) ([A-Z_]+): ([^]*)$/;

const mendSpace =
  'Compact its history, defragment every member (etcdctl defrag), then disarm the alarm (etcdctl alarm disarm); or raise --quota-backend-bytes.';

/** Sentences of etcd by which it says that a request was not done, with what the operator can do. The rest leaves the outcome open. */
const finals: readonly {
  readonly says: string;
  readonly error: (member: string, what: string) => MetadataStoreError;
}[] = [
  {
    says: 'database space exceeded',
    error: (member, what) =>
      new MetadataStoreError('no-space', `etcd at ${member} is full and takes no changes (${what}). ${mendSpace}`),
  },
  {
    says: 'requested lease not found',
    error: (member, what) => new MetadataStoreError('lease-lost', `The lease has run out at etcd ${member}: ${what}.`),
  },
  ...['authentication failed', 'invalid auth token', 'user name is empty', 'authentication is not enabled'].map(
    (says) => ({
      says,
      error: (member: string, what: string) =>
        new MetadataStoreError('refused', `etcd at ${member} does not accept the user and password given: ${what}.`),
    }),
  ),
  {
    says: 'permission denied',
    error: (member, what) =>
      new MetadataStoreError(
        'refused',
        `etcd at ${member} does not let this user at the keys of the cluster: ${what}. Grant it reading and writing there.`,
      ),
  },
  {
    says: 'corrupt cluster',
    error: (member, what) =>
      new MetadataStoreError(
        'refused',
        `etcd at ${member} has found its members' data to differ and stopped (${what}). Replace the wrong member, then disarm the alarm.`,
      ),
  },
  ...['duplicate key given', 'too many operations', 'request is too large', 'is a future revision'].map((says) => ({
    says,
    error: (member: string, what: string) =>
      new MetadataStoreError('refused', `etcd at ${member} refuses the request: ${what}.`),
  })),
];

/** Users or roles have changed since the token was given. */
const authChanged = 'revision of auth store is old';

/** Sentences of gRPC and etcd for calls that did nothing. */
const notSent = [
  'No connection established',
  'Name resolution failed',
  'Channel closed before call started',
  'failed to connect to all addresses',
  'etcdserver: too many requests',
  'etcdserver: not capable',
  authChanged,
];

/** Whatever etcd3 threw for a call at `member`. It keeps only gRPC's sentence, so that is what is read. */
export function etcdFailure(member: string, thrown: unknown): EtcdFailure {
  if (thrown instanceof MetadataStoreError) return { kind: 'final', error: thrown };
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const [, , status, details] = grpcMessage.exec(message) ?? [];
  const what = status === undefined || details === undefined ? message : `${details} (${status})`;
  if (message.includes('required revision has been compacted')) return { kind: 'compacted', what };
  const final = finals.find(({ says }) => message.includes(says));
  if (final !== undefined) return { kind: 'final', error: final.error(member, details ?? message) };
  return { kind: notSent.some((says) => message.includes(says)) ? 'not-sent' : 'unanswered', what };
}

/** The token is expired, or older than the last change of users and roles: a new one is had for the same password. */
export function isStaleToken(thrown: unknown): boolean {
  const message = thrown instanceof Error ? thrown.message : '';
  return message.includes('invalid auth token') || message.includes(authChanged);
}
