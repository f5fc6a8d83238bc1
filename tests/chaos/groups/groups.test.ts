// The short form: a group of three processes, coordinators that are killed, stopped or cut off, members too. `npm run chaos` is the long one.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { requires } from '../../requirements.ts';
import { ChaosCluster } from '../cluster.ts';
import { sessionMs, usualShape } from '../shape.ts';
import { groupEpisode, toldOf } from './episode.ts';
import type { GroupFault } from './faults.ts';
import { GroupRun, memberSessionMs } from './run.ts';

interface Planned {
  readonly fault: GroupFault;
  readonly lastsMs: number;
}

const runs: readonly { readonly isStrict: boolean; readonly faults: readonly Planned[] }[] = [
  {
    isStrict: false,
    faults: [
      { fault: 'kill-owner', lastsMs: 1_000 },
      { fault: 'kill-member', lastsMs: 1_000 },
      { fault: 'kill-offsets-leader', lastsMs: 500 },
    ],
  },
  {
    isStrict: true,
    faults: [
      { fault: 'stop-member', lastsMs: memberSessionMs + 500 },
      { fault: 'cut-owner-from-cluster', lastsMs: sessionMs + 500 },
    ],
  },
];

describe('a group of processes under faults', {
  skip: requires('etcd', 'network namespaces (root, iproute2)'),
}, () => {
  let cluster: ChaosCluster;

  before(async () => {
    cluster = await ChaosCluster.begin({ ...usualShape, coordinators: 2 });
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  for (const { isStrict, faults } of runs) {
    const promise = isStrict ? 'and no two are at work on one partition' : 'and nobody begins below what was committed';
    test(`no acknowledged record is skipped, each partition has one owner again, ${promise}: ${faults.map(({ fault }) => fault).join(', ')}`, async (t) => {
      await using run = await GroupRun.begin(cluster, { groupId: `strict-${isStrict}`, isStrict, members: 3 });
      for (const { fault, lastsMs } of faults) {
        const seen = await groupEpisode(run, fault, { lastsMs, goesOnWithinMs: 20_000 });
        t.diagnostic(toldOf(seen));
        assert.ok(seen.inFlight > 0, `${fault}: a request was on its way when it struck`);
        assert.ok(seen.heldUp > 0, `${fault}: a request was held up by it`);
      }
      const { broken, told } = await run.finish(20_000);
      t.diagnostic(told);
      assert.deepEqual(broken.slice(0, 20), []);
    });
  }

  test('negative control: who commits before it has handled skips records when it is killed, and the judge says so', async (t) => {
    const shape = { groupId: 'careless', isStrict: false, members: 1, commitsFirst: true };
    await using run = await GroupRun.begin(cluster, shape);
    const [seat] = run.seats;
    assert.ok(seat !== undefined && (await run.commitAnswered(5_000)));
    seat.kill();
    await seat.gone();
    seat.start();
    const { broken } = await run.finish(20_000);
    t.diagnostic(broken[0] ?? '');
    assert.match(broken.join('\n'), /^G3: .*nobody was handed/m);
  });
});
