import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits, nodeId, TributaryError } from '@tributary/model';
import type { Peer } from '@tributary/ports';
import { LifeSigns } from '../src/life-signs.ts';
import { Probe } from '../src/probe.ts';
import { PureCluster } from './pure-cluster.ts';

const sessionMs = 6_000;
const never = new AbortController().signal;
const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const broken = new TributaryError('NETWORK_EXCEPTION', 'it closed the connection');
const refused = new TributaryError('NETWORK_EXCEPTION', 'nothing listens', { unreachable: 'refused' });
const silent = new TributaryError('REQUEST_TIMED_OUT', 'no answer');

/** What becomes of one question at the address of broker 1, whose stream has just broken. @param met by each connection; the last one by all that follow. */
async function asked(...met: readonly TributaryError[]) {
  const cluster = new PureCluster();
  for (const node of [1, 2, 3]) cluster.join(node);
  const signs = new LifeSigns(sessionMs);
  signs.begin(0, cluster.image.revision);
  const epoch = cluster.epoch(1);
  signs.heard(nodeId(1), epoch, 0);
  let [nowMs, connections] = [0, 0];
  const clock = {
    monotonicMs: () => nowMs,
    wallMs: () => nowMs,
    sleep: (ms: number) => {
      nowMs += ms;
      return Promise.resolve();
    },
  };
  const connect = (address: string): Peer => {
    const failure = met[Math.min(connections++, met.length - 1)];
    return {
      address,
      unary: () => Promise.reject(failure),
      stream: () => assert.fail('it asks one question'),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  };
  let deaths = 0;
  const ports = { transport: { connect }, images: { current: cluster.image }, clock, logger };
  await new Probe(ports, 'broker', signs, sessionMs, () => deaths++).ask(nodeId(1), epoch, never);
  return { deaths, dead: [...signs.judge(cluster.image, nowMs).dead.keys()], nowMs, connections };
}

describe('a broker whose stream has broken is asked at its address (R10)', () => {
  test('and is dead at once where nothing listens', async () => {
    assert.deepEqual(await asked(refused), { deaths: 1, dead: [1], nowMs: 0, connections: 1 });
  });

  test('and again within milliseconds where the connection breaks: a process that is being killed still listens for a moment', async () => {
    const { deaths, dead, nowMs } = await asked(broken, broken, refused);
    assert.deepEqual([deaths, dead], [1, [1]]);
    assert.ok(nowMs <= 50, `${nowMs} ms`);
  });

  test('and is not dead where connections keep breaking; the questions come to an end', async () => {
    const { deaths, dead, nowMs, connections } = await asked(broken);
    assert.deepEqual([deaths, dead], [0, []]);
    assert.ok(nowMs < sessionMs / limits.probesPerSession && connections < 10, `${connections} in ${nowMs} ms`);
  });

  test('and is silent where no answer comes', async () => {
    assert.deepEqual(await asked(silent), { deaths: 0, dead: [], nowMs: 0, connections: 1 });
  });
});
