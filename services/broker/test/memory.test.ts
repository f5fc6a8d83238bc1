import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { leaderEpoch, millis, offset } from '@tributary/model';
import { TailCache } from '../src/log/tail-cache.ts';
import { ParkedAnswers } from '../src/partition/parked.ts';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');
const batchBytes = 1024 * 1024;
const count = 300;
const collections = 10;

/** MiB of buffers that `work` leaves behind while what it returns lives. */
async function leftBehind(work: () => object): Promise<number> {
  collect();
  const before = process.memoryUsage().arrayBuffers;
  const kept = work();
  let after = Number.POSITIVE_INFINITY;
  // Buffers are freed beside the collection, on another thread: a busy machine takes its time over it.
  for (let round = 0; round < collections; round++) {
    await pause(20);
    collect();
    after = Math.min(after, process.memoryUsage().arrayBuffers);
  }
  assert.ok(typeof kept === 'object');
  return (after - before) / batchBytes;
}

it('an answered batch is not held by the answers that still wait', async () => {
  const left = await leftBehind(() => {
    const parked = new ParkedAnswers<Uint8Array>();
    for (let i = 0; i < count; i++) {
      parked.park({ lastOffset: offset(BigInt(i)), deadline: millis(0), answer: new Uint8Array(batchBytes) });
      // One always waits, so that the queue never runs empty.
      if (i > 0) assert.ok(parked.takeBelow(offset(BigInt(i))) !== undefined);
    }
    return parked;
  });
  assert.ok(left < 10, `${left} MiB`);
});

it('what the tail cache has let go is not held by it', async () => {
  const left = await leftBehind(() => {
    const cache = new TailCache(10 * batchBytes);
    const tail = cache.tail();
    for (let i = 0; i < count; i++) {
      const at = offset(BigInt(i));
      tail.add({
        bytes: new Uint8Array(batchBytes),
        baseOffset: at,
        lastOffset: at,
        maxTimestamp: 0,
        leaderEpoch: leaderEpoch(1),
      });
    }
    return { cache, tail };
  });
  assert.ok(left >= 9 && left < 25, `${left} MiB`);
});
