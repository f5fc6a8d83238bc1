// `cluster health`, `cluster describe`, `topic describe` and `partition elect` on a cluster of processes, parts of which go.

import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '@tributary/client';
import { requires } from '../requirements.ts';
import { type Ended, tributary } from './dev-process.ts';
import { firstPort, LocalProcesses } from './local-processes.ts';

const skip = process.platform === 'linux' ? requires('etcd') : 'looks for processes in /proc';
const waitMsMax = 20_000;

interface Health {
  readonly healthy: boolean;
  readonly problems: readonly { readonly kind: string; readonly sentence: string }[];
}

describe('a cluster that parts of go', { skip, timeout: 180_000 }, () => {
  let local: LocalProcesses;
  let env: Readonly<Record<string, string>> = {};

  const run = async (...args: readonly string[]): Promise<Ended> => await tributary(args, { env });
  const ok = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 0, `tributary ${args.join(' ')}: ${stdout.toString()}${stderr}`);
    return stdout.toString();
  };
  const health = async (): Promise<Health> => {
    const { code, stdout } = await run('cluster', 'health', '--timeout', '3', '--output', 'json');
    const found: Health = JSON.parse(stdout.toString());
    assert.equal(code, found.healthy ? 0 : 1, 'the exit code says the same');
    assert.equal(found.healthy, found.problems.length === 0);
    return found;
  };
  const kinds = ({ problems }: Health): string => problems.map(({ kind }) => kind).join(' ');
  /** Asks until it is so. */
  const until = async (wanted: string): Promise<Health> => {
    const deadline = Date.now() + waitMsMax;
    for (;;) {
      const found = await health();
      if (kinds(found) === wanted) return found;
      assert.ok(Date.now() < deadline, `"${wanted}" is wrong, and no more; found: ${JSON.stringify(found)}`);
      await sleep(100);
    }
  };

  before(async () => {
    local = new LocalProcesses();
    const { bootstrap } = JSON.parse(await local.ok('up', '--port', await firstPort(), '--output', 'json'));
    env = { TRIBUTARY_BOOTSTRAP: bootstrap };
    await ok('topic', 'create', 'whole', '--partitions', '3');
    await ok('topic', 'create', 'single', '--partitions', '3', '--replication-factor', '1');
  });
  after(async () => await local[Symbol.asyncDispose]());

  test('with all of them there it is healthy, and every broker is shown with what it leads and holds', async () => {
    assert.match(await ok('cluster', 'health'), /^Healthy: 3 brokers, controller 10[12], 6 partitions\.\n$/);
    const described = JSON.parse(await ok('cluster', 'describe', '--output', 'json'));
    assert.deepEqual(
      described.brokers.map(({ id, host, standing, leading, replicas, inSync }: Record<string, unknown>) => {
        return { id, host, standing, leading, replicas, inSync };
      }),
      [1, 2, 3].map((id) => {
        return { id, host: `broker-${id}`, standing: 'active', leading: 2, replicas: 4, inSync: 4 };
      }),
    );
    assert.deepEqual([described.partitions, described.offline, described.underReplicated], [6, 0, 0]);
    assert.match(
      await ok('cluster', 'describe'),
      /^Cluster \S+, version 1\. Controller 10[12] at 127\.0\.0\.1:\d+\.\n/,
    );
  });

  test('a broker that is killed is named by health, by what is missing of it, and by the partitions that wait for it', async () => {
    await local.ok('kill', 'broker-2');
    const { problems } = await until('offline broker under_replicated');
    const said = problems.map(({ sentence }) => sentence).join('\n');
    assert.match(said, /^1 partition is without a leader, .*single\/1 \(.*broker 2/m);
    assert.match(said, /^Broker 2 is not there, and 4 replicas are on its disk: start it/m);
    assert.match(said, /^3 partitions are in sync with fewer replicas than there are to be: whole\/0 /m);
    assert.match(
      (await run('cluster', 'health')).stdout.toString(),
      /^Not healthy:\n- 1 partition is without a leader/,
    );
    assert.match(await ok('cluster', 'describe'), /^2 .* absent +0 +4 /m);
    assert.match(await ok('topic', 'describe', 'single'), /^1 +none .*\n[\s\S]*^Partition 1: .*broker 2/m);
  });

  test('an election that cannot be is refused by partition, with the reason; so are topics and partitions that are not there', async () => {
    const elected = async (...args: readonly string[]): Promise<string> => {
      const { code, stdout } = await run('partition', 'elect', ...args);
      assert.equal(code, 1);
      return stdout.toString();
    };
    assert.match(await elected('whole', '1'), /^whole\/1: Broker 2, its first replica, is not /);
    assert.match(await elected('single', '1', '--unclean'), /^single\/1: .*broker 2/);
    assert.match(await elected('whole', '9'), /^whole\/9: There is no partition 9 /);
    assert.equal(await elected('nothing'), 'There is no topic "nothing".\n');
    for (const args of [[], ['whole', '--all'], ['--all', '--unclean'], ['whole', '--unclean'], ['whole', 'one']])
      assert.equal((await run('partition', 'elect', ...args)).code, 2, args.join(' '));
  });

  test('once it is back all is well, and its preferred leaderships come back to it when they are asked for', async () => {
    await local.ok('start', 'broker-2');
    await until('');
    // They come back by themselves, too, some time.
    const { code, stdout } = await run('partition', 'elect', 'whole', '1', '--dry-run', '--output', 'json');
    assert.equal(code, 0);
    const [dry] = JSON.parse(stdout.toString());
    assert.equal(dry.error === null ? dry.leader : dry.leaderBefore, 2);
    assert.match(await ok('partition', 'elect', 'whole'), /^whole\/1: broker 2 leads /m);
    assert.match(await ok('partition', 'elect', 'whole', '1'), /^whole\/1: broker 2 leads already\.\n$/);
    assert.match(await ok('partition', 'elect', '--all'), /^Nothing to elect/);
  });

  test('up waits for the replicas that were away', async () => {
    await local.ok('kill', 'broker-1', 'broker-3');
    const up = JSON.parse(await local.ok('up', '--output', 'json'));
    assert.deepEqual([up.started, up.problems], [['broker-1', 'broker-3'], []]);
    assert.equal(kinds(await health()), '');
  });

  test('a broker that stands still keeps nobody from being shown, whether brokers are asked for or topics', async () => {
    await local.ok('pause', 'broker-3');
    const { code, stdout } = await run('broker', 'describe', '--output', 'json');
    assert.equal(code, 1);
    const shown: { id: number; error?: string }[] = JSON.parse(stdout.toString());
    assert.deepEqual(
      shown.map(({ id, error }) => `${id} ${error === undefined ? 'told' : 'silent'}`),
      ['1 told', '2 told', '3 silent'],
    );
    assert.match(await ok('topic', 'describe', 'single'), /^2 +(3|none) .*\?\n/m);
    await local.ok('resume', 'broker-3');
    await until('');
  });

  test('several that are restarted are so one after the other: records are acknowledged all the time, and none is refused', async (t: TestContext) => {
    await using cluster = await connect({ bootstrap: env['TRIBUTARY_BOOTSTRAP'] ?? '' });
    const producer = cluster.producer();
    const over = new AbortController();
    let sent = 0;
    let longestMs = 0;
    const sending = (async () => {
      for (; !over.signal.aborted; sent++) {
        const begun = performance.now();
        await producer.send({ topic: 'whole', partition: sent % 3, value: String(sent) });
        longestMs = Math.max(longestMs, performance.now() - begun);
      }
    })();
    const said = await local.ok('restart', 'broker-1', 'broker-2', 'broker-3');
    over.abort();
    await sending;
    assert.match(said, /^(broker-[123] is started again, and ready after [\d.]+ s\.\n){3}$/);
    t.diagnostic(`${sent} records, the slowest took ${Math.round(longestMs)} ms`);
    assert.ok(sent > 100);
    await until('');
  });

  test('without a controller that is what is wrong, as is a cluster that does not answer', async () => {
    await local.ok('kill', 'controller-1', 'controller-2');
    const { problems } = await health();
    assert.match(problems[0]?.sentence ?? '', /^No controller answered within 3 s: .*Start a controller/);
    assert.equal(kinds({ healthy: false, problems }), 'no_controller');
    const described = await run('cluster', 'describe');
    assert.equal(described.code, 1);
    assert.match(
      described.stdout.toString(),
      /^Cluster \S+\. No controller answers: [\s\S]*^3 +127\.0\.0\.1:\d+ +broker-3/m,
    );
    const nowhere = await run('cluster', 'health', '--bootstrap', '127.0.0.1:1', '--output', 'json');
    assert.equal(nowhere.code, 1);
    assert.equal(JSON.parse(nowhere.stdout.toString()).problems[0].kind, 'no_cluster');
    await local.ok('up');
    assert.equal(kinds(await health()), '');
  });
});
