/** R2 on a model: logs that grow, fail and are elected at random, and what the exchange between a follower and its leader makes of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type LeaderEpoch, leaderEpoch, type Offset, offset } from '@tributary/model';
import { EpochHistory } from '../../src/log/epochs.ts';
import { compareHistories, cutAt, type FollowersLog, type LeadersLog } from '../../src/replication/histories.ts';

interface Held {
  readonly base: bigint;
  readonly next: bigint;
  readonly epoch: number;
  /** No two batches of a run are the same one. */
  readonly id: number;
}

/** One log: its batches, and what it knows of epochs. */
class ModelLog implements LeadersLog {
  batches: Held[] = [];
  epochs = new EpochHistory();
  startOffset = offset(0n);
  readonly tombstonesGone = offset(0n);

  get endOffset(): Offset {
    return offset(this.batches.at(-1)?.next ?? this.startOffset);
  }

  endOffsetFor(epoch: LeaderEpoch) {
    return this.epochs.endOffsetFor(epoch, this.endOffset);
  }

  add(batch: Held): void {
    this.batches.push(batch);
    this.epochs.begin(leaderEpoch(batch.epoch), offset(batch.base));
  }

  cut(end: bigint): void {
    this.batches = this.batches.filter(({ next }) => next <= end);
    this.epochs.cutEnd(this.endOffset);
  }

  /** An epoch that has no batch yet was in memory only. */
  crash(): void {
    this.epochs.cutEnd(this.endOffset);
  }

  get asFollower(): FollowersLog {
    const { startOffset, endOffset, tombstonesGone } = this;
    return { lastEpoch: this.epochs.latest, startOffset, endOffset, tombstonesGone, needsRestart: false };
  }
}

const roundsMax = 50;

/** As both sides do it. @returns whether the follower began anew. */
function reconcile(leader: ModelLog, follower: ModelLog): boolean {
  for (let round = 0; round < roundsMax; round++) {
    const verdict = compareHistories(leader, follower.asFollower);
    if (verdict.kind === 'agreed') return false;
    if (verdict.kind === 'restart') {
      follower.batches = [];
      follower.epochs = new EpochHistory();
      follower.startOffset = leader.startOffset;
      return true;
    }
    const before = [follower.epochs.latest ?? -1, follower.endOffset] as const;
    const to = cutAt(verdict, follower);
    follower.cut(to > follower.startOffset ? to : follower.startOffset);
    const after = [follower.epochs.latest ?? -1, follower.endOffset] as const;
    assert.ok(
      after[0] < before[0] || (after[0] === before[0] && after[1] < before[1]),
      'each round takes something away',
    );
  }
  throw new Error('the exchange does not end');
}

/** Where the two part: the end of their last common batch, as if neither had ever let go of its beginning. */
function forkOf(one: readonly Held[], other: readonly Held[]): bigint {
  let end = 0n;
  for (const [i, batch] of one.entries()) {
    if (batch.id !== other[i]?.id) return end;
    end = batch.next;
  }
  return end;
}

const nodes = 3;
const node = fc.nat({ max: nodes - 1 });
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('elect' as const), node }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('append' as const), records: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('follow' as const), node, batches: fc.nat({ max: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), node }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('expire' as const), node, to: fc.nat({ max: 30 }) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Leaders are elected from anywhere, also unclean ones: histories must come out right whatever they are. */
class Story {
  readonly logs = Array.from({ length: nodes }, () => new ModelLog());
  /** What each would hold had nothing ever expired. */
  readonly whole: Held[][] = Array.from({ length: nodes }, () => []);
  readonly expires: boolean;
  leader: number | undefined;
  epoch = 0;
  #ids = 0;

  constructor(expires: boolean) {
    this.expires = expires;
  }

  log(node: number): ModelLog {
    const log = this.logs[node];
    if (log === undefined) throw new Error(`no node ${node}`);
    return log;
  }

  take(action: Step): void {
    switch (action.kind) {
      case 'elect':
        this.leader = action.node;
        this.log(action.node).epochs.begin(leaderEpoch(++this.epoch), this.log(action.node).endOffset);
        return;
      case 'append': {
        if (this.leader === undefined) return;
        const base = this.log(this.leader).endOffset;
        const batch = { base, next: base + BigInt(action.records), epoch: this.epoch, id: ++this.#ids };
        this.log(this.leader).add(batch);
        this.whole[this.leader]?.push(batch);
        return;
      }
      case 'follow':
        if (this.leader !== undefined && this.leader !== action.node)
          this.#follow(this.leader, action.node, action.batches);
        return;
      case 'crash':
        this.log(action.node).crash();
        // Whoever leads after that leads in a new epoch (R6).
        if (this.leader === action.node) this.leader = undefined;
        return;
      case 'expire': {
        if (!this.expires) return;
        const log = this.log(action.node);
        const to = log.batches.find(({ next }) => next >= BigInt(action.to))?.next;
        if (to === undefined || to <= log.startOffset) return;
        log.batches = log.batches.filter(({ base }) => base >= to);
        log.startOffset = offset(to);
        log.epochs.cutStart(log.startOffset);
      }
    }
  }

  #follow(leading: number, following: number, batches: number): void {
    const leader = this.log(leading);
    const follower = this.log(following);
    const whole = this.whole[leading] ?? [];
    const mine = this.whole[following] ?? [];
    const fork = forkOf(mine, whole);
    const { startOffset: began, endOffset: beyond } = follower;
    const restarted = reconcile(leader, follower);
    const end = follower.endOffset;
    this.#check(leader, follower, restarted, fork, began, beyond);
    this.whole[following] = whole.filter(({ next }) => next <= end);
    let left = batches;
    for (const batch of leader.batches) {
      if (batch.base < end || left-- <= 0) continue;
      follower.add(batch);
      this.whole[following]?.push(batch);
    }
  }

  #check(leader: ModelLog, follower: ModelLog, restarted: boolean, fork: bigint, began: bigint, beyond: bigint): void {
    const end = follower.endOffset;
    const start = leader.startOffset > follower.startOffset ? leader.startOffset : follower.startOffset;
    const here = (log: ModelLog): number[] =>
      log.batches.filter(({ base, next }) => base >= start && next <= end).map(({ id }) => id);
    assert.deepEqual(here(follower), here(leader), 'R2: from the log start on, the follower has what its leader has');
    assert.ok(end <= leader.endOffset, 'R2: and no more');
    assert.ok(
      leader.batches.every(({ base, next }) => next <= end || base >= end),
      'R2: up to the end of a batch',
    );
    if (restarted) {
      assert.ok(
        beyond < leader.startOffset || fork <= began,
        'L4: a follower begins anew only where nothing that it holds is of use',
      );
      return;
    }
    const kept = fork > leader.startOffset ? fork : leader.startOffset < beyond ? leader.startOffset : beyond;
    assert.equal(end, kept, 'R2: what both have in common stays, all of it and no more');
  }
}

for (const expires of [false, true]) {
  test(`R2: the exchange of epochs ends, each round with less, and leaves exactly what both logs have in common${expires ? ', whatever retention has taken from either' : ''}`, () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
        const story = new Story(expires);
        for (const action of steps) story.take(action);
      }),
      { numRuns: 2_000, seed: 20_261_123 },
    );
  });
}

const at = (epochs: readonly (readonly [number, bigint])[], end: bigint, start = 0n, gone = 0n): LeadersLog => {
  const history = new EpochHistory(epochs.map(([epoch, from]) => ({ epoch: leaderEpoch(epoch), start: offset(from) })));
  return {
    startOffset: offset(start),
    endOffset: offset(end),
    tombstonesGone: offset(gone),
    endOffsetFor: (epoch) => history.endOffsetFor(epoch, offset(end)),
  };
};

const holding = (
  lastEpoch: number | undefined,
  end: bigint,
  rest: Partial<Record<'start' | 'gone', bigint>> = {},
): FollowersLog => ({
  lastEpoch: lastEpoch === undefined ? undefined : leaderEpoch(lastEpoch),
  startOffset: offset(rest.start ?? 0n),
  endOffset: offset(end),
  tombstonesGone: offset(rest.gone ?? 0n),
  needsRestart: false,
});

test('R2: two leaders of whom nobody heard: the same end, another epoch, is another history', () => {
  const leader = at(
    [
      [1, 0n],
      [3, 10n],
    ],
    20n,
  );
  const verdict = compareHistories(leader, holding(2, 20n));
  assert.deepEqual(verdict, { kind: 'diverges', epoch: 1, end: 10n });
  const own = at(
    [
      [1, 0n],
      [2, 8n],
    ],
    20n,
  );
  assert.equal(verdict.kind === 'diverges' ? cutAt(verdict, own) : undefined, 8n);
});

test('R2: a follower that was leader in an epoch without a batch forgets that epoch, and loses nothing', () => {
  assert.deepEqual(
    compareHistories(
      at(
        [
          [1, 0n],
          [3, 10n],
        ],
        12n,
      ),
      holding(2, 10n),
    ),
    { kind: 'diverges', epoch: 1, end: 10n },
  );
});

test('L4: a log that ends before the leader’s begins is begun anew; one that ends where it begins is not', () => {
  const leader = at([[4, 10n]], 20n, 10n);
  assert.equal(compareHistories(leader, holding(4, 9n)).kind, 'restart');
  assert.equal(compareHistories(leader, holding(4, 10n)).kind, 'agreed');
});

test('P3: a log that lacks the producers below its start is begun anew', () => {
  assert.equal(compareHistories(at([[4, 0n]], 20n), { ...holding(4, 20n), needsRestart: true }).kind, 'restart');
});

test('L5: a log behind the tombstone horizon is begun anew, unless it is empty or was copied from one with that horizon', () => {
  const leader = at([[4, 0n]], 20n, 0n, 15n);
  assert.equal(compareHistories(leader, holding(4, 14n)).kind, 'restart');
  assert.equal(compareHistories(leader, holding(4, 15n)).kind, 'agreed');
  assert.equal(compareHistories(leader, holding(4, 14n, { gone: 15n })).kind, 'agreed');
  assert.equal(compareHistories(leader, holding(undefined, 0n)).kind, 'agreed');
});

test('R2: an empty log that begins beyond the end of the leader’s, which an unclean election has cut short, is begun anew', () => {
  assert.equal(compareHistories(at([[7, 30n]], 40n), holding(undefined, 50n, { start: 50n })).kind, 'restart');
});
