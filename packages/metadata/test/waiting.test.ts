import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Bell } from '../src/waiting.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

test('a bell wakes all who wait at the moment it rings, and nobody else', async () => {
  const bell = new Bell();
  const { signal } = new AbortController();
  const woken: string[] = [];
  bell.ring();
  const first = bell.heard(signal).then(() => woken.push('first'));
  const second = bell.heard(signal).then(() => woken.push('second'));
  bell.ring();
  const late = bell.heard(signal).then(() => woken.push('late'));
  await Promise.all([first, second]);
  await setImmediate();
  assert.deepEqual(woken, ['first', 'second']);
  bell.ring();
  await late;
});

test('whoever waits for a bell is told why it is not to wait any longer', async () => {
  const bell = new Bell();
  await assert.rejects(bell.heard(AbortSignal.abort(new Error('over'))), /over/);
  const stop = new AbortController();
  const waiting = bell.heard(stop.signal);
  stop.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
});

test('a bell that never rings keeps nobody who has given up waiting for it', async () => {
  const bell = new Bell();
  const gone: WeakRef<AbortSignal>[] = [];
  for (let i = 0; i < 1_000; i++) {
    const stop = new AbortController();
    gone.push(new WeakRef(stop.signal));
    const waiting = bell.heard(stop.signal).catch(() => undefined);
    stop.abort();
    await waiting;
  }
  await setImmediate();
  collect();
  const kept = gone.filter((each) => each.deref() !== undefined).length;
  assert.ok(kept < 10, `${kept} of 1000 are kept`);
});
