import { limits } from '@tributary/model';
import { type Clock, MetadataStoreError } from '@tributary/ports';
import { noop } from 'cockatiel';
import { Etcd3 } from 'etcd3';
import { Readable } from 'node:stream';
import { connectionOptions, type EtcdCredentials } from './channel.ts';
import { etcdFailure, isStaleToken } from './etcd-failure.ts';
import { type KeyRange, unchangedSince } from './requests.ts';
import type { WatchedMember, WatchStream } from './watch.ts';

/** What a member says of itself before it is used. */
export interface MemberIdentity {
  readonly clusterId: string;
  readonly version: string;
}

/** What a member says of itself at any time, without asking the others. */
export interface MemberStatus extends MemberIdentity {
  readonly hasLeader: boolean;
  readonly alarms: readonly string[];
}

/**
 * One etcd server. Of etcd3 only the calls themselves are used: its retries, circuit breakers, watchers and leases are off, and each member has a
 * client of its own, so that nothing is sent twice or elsewhere behind our back.
 */
export class EtcdMember implements WatchedMember, Disposable {
  readonly address: string;
  readonly #connect: () => Etcd3;
  #client: Etcd3;
  readonly #clock: Clock;
  #introduction: Promise<MemberIdentity> | undefined;

  constructor(address: string, credentials: EtcdCredentials, clock: Clock) {
    this.address = address;
    this.#clock = clock;
    const { user, password } = credentials;
    const auth =
      user === undefined
        ? {}
        : { auth: { username: user, password: password ?? '', callOptions: () => this.deadline(limits.storeCallMs) } };
    this.#connect = () =>
      new Etcd3({
        hosts: address,
        faultHandling: { host: () => noop, global: noop },
        ...connectionOptions(address, credentials),
        ...auth,
      });
    this.#client = this.#connect();
  }

  get kv(): Etcd3['kv'] {
    return this.#client.kv;
  }

  get leases(): Etcd3['leaseClient'] {
    return this.#client.leaseClient;
  }

  /** gRPC's deadlines are of the wall clock: it turns them into what is left at once. */
  deadline(ms: number): { deadline: number } {
    return { deadline: this.#clock.wallMs() + ms };
  }

  /** Asked before its first use and again after a failure: another server may answer at the address by then. */
  introduce(): Promise<MemberIdentity> {
    this.#introduction ??= this.status();
    this.#introduction.catch(() => this.forget());
    return this.#introduction;
  }

  /** Logs in again and repeats the call when etcd turned it away for the token it came with; it has then done nothing. */
  async loggedIn<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (thrown) {
      if (!isStaleToken(thrown)) throw thrown;
      // etcd3 keeps a token for as long as the client lives, but for one case in single calls. What the old client has under way goes on.
      this.#client.close();
      this.#client = this.#connect();
      return await call();
    }
  }

  forget(): void {
    this.#introduction = undefined;
  }

  async status(): Promise<MemberStatus> {
    const answer = await this.#client.maintenance.status(this.deadline(limits.storeCallMs));
    const { version, leader, errors } = answer;
    refuseOld(this.address, version);
    return { clusterId: answer.header.cluster_id, version, hasLeader: leader !== '0', alarms: errors };
  }

  /** Revision of the store; linearizable, so a member that is cut off from the others does not answer. */
  async revision(key: Buffer): Promise<bigint> {
    const { header } = await this.kv.range({ key, count_only: true }, this.deadline(limits.storeCallMs));
    return BigInt(header.revision);
  }

  /** As {@link WatchedMember} says. A key that came and went in between does not show. */
  async unchangedSince(range: KeyRange, revision: bigint): Promise<bigint | undefined> {
    const { succeeded, header, responses } = await this.kv.txn(
      unchangedSince(range, revision),
      this.deadline(limits.storeCallMs),
    );
    const [now, then] = responses.map(({ response_range }) => response_range.count);
    return succeeded && now === (then ?? '0') ? BigInt(header.revision) : undefined;
  }

  async watch(): Promise<WatchStream> {
    const stream = await this.#client.watchClient.watch();
    if (!(stream instanceof Readable)) throw new Error('etcd3 no longer gives a stream for a watch.');
    stream.on('error', () => undefined);
    return {
      send: (request) => stream.write(request),
      responses: stream[Symbol.asyncIterator](),
      [Symbol.dispose]: () => {
        // Ended first: a cancelled stream that can be written makes etcd3 close every connection to the member.
        stream.end();
        stream.cancel();
      },
    };
  }

  /** One sign of life. @returns the time to live that it gave, s; 0 or less: there is no such lease. */
  async keepAlive(id: string, timeoutMs: number): Promise<number> {
    const stream = await this.#client.leaseClient.leaseKeepAlive(this.deadline(timeoutMs));
    try {
      return await new Promise<number>((resolve, reject) => {
        stream.on('data', ({ TTL }) => resolve(Number(TTL)));
        stream.on('error', reject);
        stream.on('end', () => reject(new Error('etcd ended the stream of a lease.')));
        stream.write({ ID: id });
      });
    } finally {
      stream.end();
      stream.cancel();
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** @throws MetadataStoreError `refused` below 3.4: it lacks requests for progress. */
function refuseOld(address: string, version: string): void {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  const known = Number(major) * 1_000 + Number(minor);
  if (known >= 3_004) return;
  throw new MetadataStoreError(
    'refused',
    `etcd at ${address} is version ${version === '' ? 'unknown' : version}; 3.4 or newer is needed: upgrade it.`,
  );
}

/** One sentence on why a member did not answer. */
export function whyOf(address: string, thrown: unknown): string {
  const failure = etcdFailure(address, thrown);
  return failure.kind === 'final' ? failure.error.message : failure.what;
}
