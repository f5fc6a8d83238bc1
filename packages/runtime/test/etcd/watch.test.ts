/** What a watch makes of an etcd that misbehaves in ways that a real one shows only by bad luck, on virtual time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '@tributary/model';
import { type Clock, type WatchRevision, CompactedError, MetadataStoreError } from '@tributary/ports';
import type { IWatchRequest, IWatchResponse } from 'etcd3';
import { MachineClock } from '../../../../tests/simulator/clock.ts';
import { Scheduler } from '../../../../tests/simulator/scheduler.ts';
import { SeededRandom } from '../../../../tests/simulator/seeded-random.ts';
import { watchEtcd, type WatchedMember, type WatchStream } from '../../src/etcd/watch.ts';
import { put, response } from './samples.ts';

const never = new AbortController().signal;

/** One member that does as the story says. */
class StagedMember implements WatchedMember {
  readonly address = 'staged:2379';
  readonly sent: IWatchRequest[] = [];
  storeRevision = 10n;
  /** The keys that are watched are as they were. */
  isUnchanged = true;
  /** Called for each request for progress. */
  asked: () => void = () => undefined;
  distrusted = 0;
  isOpen = false;
  readonly #arrived: IWatchResponse[] = [];
  #wake: (() => void) | undefined;

  async revision(): Promise<bigint> {
    return this.storeRevision;
  }

  async unchangedSince(): Promise<bigint | undefined> {
    return this.isUnchanged ? this.storeRevision : undefined;
  }

  async watch(): Promise<WatchStream> {
    this.isOpen = true;
    return {
      send: (request) => {
        this.sent.push(request);
        if (request.progress_request !== undefined) this.asked();
      },
      responses: { next: () => this.#next() },
      [Symbol.dispose]: () => (this.isOpen = false),
    };
  }

  arrive(...responses: IWatchResponse[]): void {
    this.#arrived.push(...responses);
    this.#wake?.();
  }

  async #next(): Promise<IteratorResult<IWatchResponse>> {
    for (;;) {
      const value = this.#arrived.shift();
      if (value !== undefined) return { value };
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

interface Stage {
  readonly member: StagedMember;
  readonly clock: Clock;
  watch(from: bigint, signal?: AbortSignal): AsyncGenerator<WatchRevision, never>;
}

async function staged(story: (stage: Stage) => Promise<void>): Promise<void> {
  const random = new SeededRandom('a staged etcd');
  const scheduler = new Scheduler(random);
  const clock = new MachineClock(scheduler).forProcess(() => true);
  const member = new StagedMember();
  const members = { forStream: async () => member, distrust: () => void member.distrusted++ };
  await scheduler.run(() =>
    story({ member, clock, watch: (from, signal = never) => watchEtcd(members, clock, '/', from, signal) }),
  );
  assert.ok(!member.isOpen, 'nothing is left open');
}

/** What it tells until it ends, and how it ends. */
async function told(watch: AsyncGenerator<WatchRevision, never>): Promise<{ seen: bigint[]; end: unknown }> {
  const seen: bigint[] = [];
  try {
    for await (const { revision } of watch) seen.push(revision);
  } catch (thrown) {
    return { seen, end: thrown };
  }
  return { seen, end: undefined };
}

const broke = (end: unknown): void => {
  assert.ok(end instanceof MetadataStoreError && end.failure === 'unreachable', String(end));
  assert.match(end.message, /staged:2379 broke/);
};

describe('a watch on etcd', () => {
  test('begins one revision early, and tells nothing of it', () =>
    staged(async ({ member, watch }) => {
      const watching = watch(7n);
      member.arrive(response(10, [], { created: true }), response(10, [put(6, '/a'), put(7, '/a')]));
      assert.equal((await watching.next()).value?.revision, 7n);
      assert.equal(member.sent[0]?.create_request?.start_revision, '6');
      await watching.return(undefined as never);
    }));

  test('tells of progress only what is proven: an answer that overtook an event is a sign of life and no more', () =>
    staged(async ({ member, clock, watch }) => {
      member.storeRevision = 12n;
      member.isUnchanged = false;
      let answers = 0;
      member.asked = () => {
        member.arrive(response(12, [], { watch_id: '-1' }));
        if (++answers === 2) member.arrive(response(12, [put(11, '/a')]));
      };
      const watching = watch(11n);
      const begunMs = clock.monotonicMs();
      assert.equal((await watching.next()).value?.revision, 11n);
      assert.ok(clock.monotonicMs() - begunMs >= 2 * limits.watchProgressMs);
      member.isUnchanged = true;
      assert.deepEqual((await watching.next()).value, { revision: 12n, changes: [] });
      await watching.return(undefined as never);
    }));

  test('that has lost an event ends before its reader gives up, though every question is answered', () =>
    staged(async ({ member, clock, watch }) => {
      member.storeRevision = 12n;
      member.isUnchanged = false;
      member.asked = () => member.arrive(response(12, [], { watch_id: '-1' }));
      const { seen, end } = await told(watch(11n));
      assert.deepEqual(seen, []);
      broke(end);
      assert.ok(clock.monotonicMs() < limits.watchSilenceMs);
      assert.equal(member.distrusted, 1);
    }));

  test('whose stream is dead ends, though its member answers calls', () =>
    staged(async ({ member, clock, watch }) => {
      const { seen, end } = await told(watch(11n));
      assert.deepEqual(seen, []);
      broke(end);
      assert.ok(clock.monotonicMs() < limits.watchSilenceMs);
      assert.equal(member.distrusted, 1);
    }));

  test('at a member that is cut off from the others ends, though its stream answers', () =>
    staged(async ({ member, watch }) => {
      member.asked = () => member.arrive(response(10, [], { watch_id: '-1' }));
      member.revision = () => Promise.reject(new Error('14 UNAVAILABLE: etcdserver: request timed out'));
      const { seen, end } = await told(watch(11n));
      assert.deepEqual(seen, []);
      broke(end);
    }));

  test('that was told to have progressed never tells what came before, and still all that comes after', () =>
    staged(async ({ member, watch }) => {
      member.storeRevision = 15n;
      member.asked = () => member.arrive(response(15, [], { watch_id: '-1' }));
      const watching = watch(11n);
      assert.deepEqual((await watching.next()).value, { revision: 15n, changes: [] });
      // A key that came and went: the keys are as they were.
      member.arrive(response(16, [put(12, '/a'), put(16, '/b')]));
      assert.equal((await watching.next()).value?.revision, 16n);
      await watching.return(undefined as never);
    }));

  test('tells that the store is behind it: it was restored from a backup', () =>
    staged(async ({ member, watch }) => {
      member.storeRevision = 4n;
      member.isUnchanged = false;
      member.asked = () => member.arrive(response(4, [], { watch_id: '-1' }));
      const watching = watch(11n);
      assert.deepEqual((await watching.next()).value, { revision: 4n, changes: [] });
      await watching.return(undefined as never);
    }));

  test('cancelled by etcd: compaction is said to be that, everything else is a break, and what is forbidden is refused', async () => {
    const endings: (readonly [Partial<IWatchResponse>, (end: unknown) => void])[] = [
      [{ canceled: true, compact_revision: '9' }, (end) => assert.ok(end instanceof CompactedError, String(end))],
      [{ canceled: true, cancel_reason: 'etcdserver: no leader' }, broke],
      [
        {
          canceled: true,
          created: true,
          cancel_reason: 'rpc error: code = PermissionDenied desc = etcdserver: permission denied',
        },
        (end) => assert.ok(end instanceof MetadataStoreError && end.failure === 'refused', String(end)),
      ],
    ];
    for (const [ending, check] of endings) {
      await staged(async ({ member, watch }) => {
        member.arrive(response(10, [], ending));
        check((await told(watch(3n))).end);
      });
    }
  });

  test('ends with its signal while it waits for the stream, for an answer or for a member', () =>
    staged(async ({ member, clock, watch }) => {
      const enough = new Error('enough');
      for (const afterMs of [0, 500, limits.watchProgressMs + 500]) {
        if (afterMs > limits.watchProgressMs) member.revision = () => new Promise(() => undefined);
        const stop = new AbortController();
        const ending = told(watch(11n, stop.signal));
        await clock.sleep(afterMs, never);
        stop.abort(enough);
        assert.equal((await ending).end, enough);
      }
      assert.equal(member.distrusted, 0);
    }));
});
