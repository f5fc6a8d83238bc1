import type { WatchRevision } from '@tributary/ports';
import type { IEvent, IWatchResponse } from 'etcd3';
import { entryOf } from './requests.ts';

type Change = WatchRevision['changes'][number];

/**
 * Puts whole revisions together from the answers of a watch (M2). etcd keeps the events of a revision in one answer, and their order; only
 * an answer that is too large comes in fragments, cut anywhere. What is no later than `reached` has been seen.
 */
export class RevisionAssembly {
  #reached: bigint;
  /** The last revision of a fragment: the next one may go on with it. */
  #open: { readonly revision: bigint; readonly changes: Change[] } | undefined;

  constructor(reached: bigint) {
    this.#reached = reached;
  }

  get reached(): bigint {
    return this.#reached;
  }

  /** All up to this revision is known by other means; events that are late are dropped. */
  reach(revision: bigint): void {
    this.#reached = revision;
  }

  /** The revisions that are whole now, in order. */
  add({ events, fragment }: Pick<IWatchResponse, 'events' | 'fragment'>): WatchRevision[] {
    const whole: WatchRevision[] = [];
    for (const event of events) {
      const revision = BigInt(event.kv.mod_revision);
      if (revision <= this.#reached) continue;
      if (this.#open?.revision !== revision) {
        this.#close(whole);
        this.#open = { revision, changes: [] };
      }
      this.#open.changes.push(changeOf(event));
    }
    if (!fragment) this.#close(whole);
    return whole;
  }

  #close(into: WatchRevision[]): void {
    if (this.#open === undefined) return;
    into.push(this.#open);
    this.#reached = this.#open.revision;
    this.#open = undefined;
  }

  /** Whether a revision waits for its other fragments. */
  get isHalfDone(): boolean {
    return this.#open !== undefined;
  }
}

function changeOf({ type, kv }: IEvent): Change {
  return type === 'Put' ? { kind: 'put', ...entryOf(kv) } : { kind: 'delete', key: kv.key.toString() };
}
