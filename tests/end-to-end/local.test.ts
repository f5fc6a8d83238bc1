// `tributary local`: a cluster of real processes, and what may be done to it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '@tributary/client';
import { requires } from '../requirements.ts';
import { type Running, tributary } from './dev-process.ts';
import { firstPort, LocalProcesses } from './local-processes.ts';

const skip = process.platform === 'linux' ? requires('etcd') : 'looks for processes in /proc';
const partNames = [
  'etcd',
  'controller-1',
  'controller-2',
  'broker-1',
  'broker-2',
  'broker-3',
  'coordinator-1',
  'coordinator-2',
];
const all = (state: string): string => partNames.map((name) => `${name} ${state}`).join(', ');

describe('tributary local', { skip, timeout: 180_000 }, () => {
  let local: LocalProcesses;
  let bootstrap = '';

  before(async () => {
    local = new LocalProcesses();
    const begun = performance.now();
    const up = JSON.parse(await local.ok('up', '--port', await firstPort(), '--output', 'json'));
    console.log(`# local up: ${Math.round(performance.now() - begun)} ms, of which it says ${up.tookMs} ms`);
    bootstrap = up.bootstrap;
    assert.deepEqual(up.started, partNames);
  });
  after(async () => await local[Symbol.asyncDispose]());

  test('ps lists each part with its role, node id, process, ports, folder and state', async () => {
    const parts = await local.ps();
    assert.deepEqual(
      parts.map(({ name, role, id, state }) => `${name} ${role} ${id} ${state}`),
      [
        'etcd etcd null running',
        'controller-1 controller 101 running',
        'controller-2 controller 102 running',
        'broker-1 broker 1 running',
        'broker-2 broker 2 running',
        'broker-3 broker 3 running',
        'coordinator-1 coordinator 201 running',
        'coordinator-2 coordinator 202 running',
      ],
    );
    assert.deepEqual(
      ascending(parts.map(({ pid }) => pid ?? 0)),
      ascending(local.pids()),
      'these processes, and no others',
    );
    for (const { ports, dataDir, log, role } of parts) {
      assert.deepEqual(Object.keys(ports), role === 'etcd' ? ['client', 'peer'] : ['grpc', 'http']);
      assert.ok(dataDir.startsWith(local.folder) && existsSync(dataDir) && existsSync(log));
    }
    assert.equal(bootstrap, [3, 4, 5].map((at) => `127.0.0.1:${parts[at]?.ports['grpc']}`).join(','));
    const metrics = await fetch(`http://127.0.0.1:${parts[3]?.ports['http']}/metrics`);
    assert.match(await metrics.text(), /^tributary_/m);
  });

  test('a killed broker is shown as killed, and found again at its old ports with its records once it is started', async () => {
    await using cluster = await connect({ bootstrap });
    await cluster.admin.createTopic({ name: 'kept', partitions: 6, replicationFactor: 1 });
    const producer = cluster.producer();
    for (let partition = 0; partition < 6; partition++)
      await producer.send({ topic: 'kept', partition, value: `record ${partition}` });
    const before = await local.part('broker-2');
    assert.equal(await local.ok('kill', 'broker-2'), 'Killed broker-2.\n');
    const killed = await local.part('broker-2');
    assert.deepEqual([killed.state, killed.pid], ['killed', null]);
    assert.match(await local.refused('kill', 'broker-2'), /broker-2 does not run \(killed\): .*local start broker-2/);
    assert.match(await local.ok('start', 'broker-2'), /^broker-2 is started, and ready after [\d.]+ s\.\n$/);
    const started = await local.part('broker-2');
    assert.deepEqual([started.state, started.ports], ['running', before.ports]);
    assert.notEqual(started.pid, before.pid);
    const read = await tributary(['consume', 'kept', '--from-beginning', '--exit-at-end', '--bootstrap', bootstrap]);
    assert.deepEqual(
      read.stdout.toString().trim().split('\n').toSorted(),
      Array.from({ length: 6 }, (_, at) => `record ${at}`),
    );
  });

  test('what is paused stands still until it is resumed; several names are several parts', async () => {
    await local.ok('pause', 'broker-1', 'controller-2', 'broker-1');
    const { ports, pid } = await local.part('broker-1');
    const page = `http://127.0.0.1:${ports['http']}/healthz`;
    await assert.rejects(fetch(page, { signal: AbortSignal.timeout(300) }), { name: 'TimeoutError' });
    assert.equal(
      await local.states(),
      all('running')
        .replace('controller-2 running', 'controller-2 paused')
        .replace('broker-1 running', 'broker-1 paused'),
    );
    assert.match(await local.refused('start', 'broker-1'), /broker-1 is paused: .*local resume broker-1/);
    assert.equal(await local.ok('resume', 'broker-1', 'controller-2'), 'broker-1 goes on.\ncontroller-2 goes on.\n');
    assert.ok((await fetch(page)).ok);
    assert.equal((await local.part('broker-1')).pid, pid);
  });

  test('stop is an orderly end, also of what is paused; restart is one with a start behind it', async () => {
    await local.ok('pause', 'broker-3');
    assert.equal(await local.ok('stop', 'broker-3'), 'Stopped broker-3.\n');
    const { state, log } = await local.part('broker-3');
    assert.equal(state, 'stopped');
    assert.match(readFileSync(log, 'utf8'), /"event":"stopping"/);
    assert.equal(await local.ok('stop', 'broker-3'), 'broker-3 did not run (stopped).\n');
    const { pid } = await local.part('controller-1');
    assert.match(await local.ok('restart', 'controller-1', 'broker-3'), /^controller-1 is started again, and ready/);
    assert.notEqual((await local.part('controller-1')).pid, pid);
    assert.equal(await local.states(), all('running'));
  });

  test('up starts what does not run, lets go on what is paused, and says when there was nothing to do', async () => {
    await local.ok('kill', 'etcd', 'broker-1');
    await local.ok('pause', 'controller-1');
    const { started } = JSON.parse(await local.ok('up', '--output', 'json'));
    assert.deepEqual(started, ['etcd', 'controller-1', 'broker-1']);
    assert.match(
      await local.ok('up'),
      /^The cluster was up already: etcd, 2 controllers, 3 brokers and 2 coordinators\.\n/,
    );
    assert.equal(await local.states(), all('running'));
  });

  test('a process that was given the number of one of ours gets no signal', async () => {
    await local.ok('kill', 'broker-1');
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
    const file = path.join(local.folder, 'local.json');
    const text = readFileSync(file, 'utf8');
    const state: { parts: { name: string; process: { pid: number } }[] } = JSON.parse(text);
    for (const part of state.parts) if (part.name === 'broker-1') part.process.pid = stranger.pid ?? 0;
    writeFileSync(file, JSON.stringify(state));
    assert.equal((await local.part('broker-1')).state, 'killed');
    for (const how of ['kill', 'pause', 'resume']) assert.match(await local.refused(how, 'broker-1'), /does not run/);
    await local.ok('stop', 'broker-1');
    assert.deepEqual([stranger.exitCode, stranger.signalCode], [null, null]);
    stranger.kill('SIGKILL');
    await local.ok('start', 'broker-1');
  });

  test('settings reach the parts at their next start; bad ones are refused before they reach any', async () => {
    for (const [setting, said] of [
      ['broker.session.timeout.ms=soon', /--set for broker-1: .*"soon".*session\.timeout\.ms/],
      ['broker.flush=x', /Unknown setting "flush"/],
      ['brokers.rack=a', /allowed are settings of a role or of one part/],
      ['broker-1.listen=0.0.0.0:1', /chooses this itself/],
    ] as const)
      assert.match(await local.refused('up', '--set', setting), said);
    await local.ok('up', '--set', 'broker.session.timeout.ms=4000', '--set', 'broker-2.rack=east');
    await local.ok('restart', 'broker-2');
    const { pid } = await local.part('broker-2');
    const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    assert.ok(line.includes('--session.timeout.ms=4000') && line.includes('--rack=east'), line.join(' '));
    await local.ok('up', '--delete', 'broker-2.rack');
    assert.match(await local.refused('up', '--delete', 'broker-2.rack'), /it is not set; set are broker\.session/);
  });

  test('unknown names, fewer brokers than there are, and a port that somebody else has taken are refused', async () => {
    assert.match(
      await local.refused('kill', 'broker-1', 'broker-9'),
      /There is no part "broker-9" here; there are etcd, controller-1, controller-2, broker-1, broker-2, broker-3, coordinator-1, coordinator-2\./,
    );
    assert.equal((await local.part('broker-1')).state, 'running', 'none of them was killed');
    assert.match(await local.refused('up', '--brokers', '2'), /has 3 brokers, and 2 were asked for/);
    await local.ok('stop', 'broker-3');
    const { ports } = await local.part('broker-3');
    const other = createServer().listen(ports['grpc'], '127.0.0.1');
    await once(other, 'listening');
    assert.match(await local.refused('start', 'broker-3'), /another process listens at its grpc port \d+/);
    other.close();
    await once(other, 'close');
    await local.ok('start', 'broker-3');
  });

  test('it grows; down stops everything, up brings it all back, and down --remove-data leaves nothing', async (t: TestContext) => {
    await local.ok('up', '--brokers', '4');
    assert.equal((await local.part('broker-4')).id, 4);
    assert.match(await local.ok('down'), /^The cluster is down\. Its data stays in /);
    assert.deepEqual(local.pids(), []);
    assert.ok((await local.ps()).every(({ state, pid }) => state === 'stopped' && pid === null));
    assert.match(await local.ok('down'), /^Nothing ran\./);
    const begun = performance.now();
    await local.ok('up');
    t.diagnostic(`up again: ${Math.round(performance.now() - begun)} ms`);
    await using cluster = await connect({ bootstrap });
    assert.equal((await cluster.admin.describeTopic('kept')).partitions, 6);
    await local.ok('down', '--remove-data');
    assert.deepEqual(local.pids(), []);
    assert.equal(existsSync(local.folder), false);
    assert.match(await local.refused('ps'), /There is no local cluster in .*local up/);
  });
});

describe('tributary local, begun in other ways', { skip, timeout: 120_000 }, () => {
  const small = ['--brokers', '1', '--controllers', '1', '--coordinators', '1'];

  test('two commands that start it at once start one cluster', async () => {
    await using local = new LocalProcesses();
    const port = await firstPort();
    const ups = await Promise.all([1, 2].map(() => local.run(['up', ...small, '--port', port, '--output', 'json'])));
    for (const { code, stderr } of ups) assert.equal(code, 0, stderr);
    const started = ups.flatMap(({ stdout }) => JSON.parse(stdout.toString()).started);
    assert.deepEqual([started.length, new Set(started).size], [4, 4], started.join(', '));
    assert.equal(local.pids().length, 4);
  });

  test('one that was cut off half-way is completed, and no process is lost or started twice', async () => {
    await using local = new LocalProcesses();
    const { child, ended } = local.begin(['up', ...small, '--port', await firstPort()]);
    while (local.pids().length === 0) await sleep(1);
    child.kill('SIGKILL');
    await ended;
    const before = local.pids();
    await local.ok('up');
    assert.equal(local.pids().length, 4);
    for (const pid of before) assert.ok(local.pids().includes(pid));
    assert.deepEqual(ascending((await local.ps()).map(({ pid }) => pid ?? 0)), ascending(local.pids()));
  });

  test('what was started by a command that was ended before it could write that down is taken over', async () => {
    await using local = new LocalProcesses();
    await local.ok('up', ...small, '--port', await firstPort());
    const before = ascending(local.pids());
    const file = path.join(local.folder, 'local.json');
    const state: { parts: { process: unknown }[] } = JSON.parse(readFileSync(file, 'utf8'));
    for (const part of state.parts) part.process = null;
    writeFileSync(file, JSON.stringify(state));
    assert.equal(await local.states(), 'etcd stopped, controller-1 stopped, broker-1 stopped, coordinator-1 stopped');
    await local.ok('up');
    assert.deepEqual(ascending((await local.ps()).map(({ pid }) => pid ?? 0)), before);
    assert.deepEqual(ascending(local.pids()), before);
  });

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    test(`in the foreground ${signal} stops all of it in an orderly way`, async () => {
      await using local = new LocalProcesses();
      const { child, ended } = local.begin(['up', ...small, '--foreground', '--port', await firstPort()]);
      assert.match(await firstWords({ child, ended }), /^The cluster is up after [\s\S]*Ctrl-C stops it all\.\n$/);
      child.kill(signal);
      const { code, stderr } = await ended;
      assert.deepEqual([code, stderr], [0, '']);
      assert.equal(await local.states(), 'etcd stopped, controller-1 stopped, broker-1 stopped, coordinator-1 stopped');
      assert.deepEqual(local.pids(), []);
    });
  }

  test('in the foreground it ends when another command takes the cluster down', async () => {
    await using local = new LocalProcesses();
    const { child, ended } = local.begin(['up', ...small, '--foreground', '--port', await firstPort()]);
    await firstWords({ child, ended });
    await local.ok('down', '--remove-data');
    const { code, stdout } = await ended;
    assert.equal(code, 0);
    assert.match(stdout.toString(), /Nothing of the cluster runs any more\.\n$/);
  });

  test('what does not end in time is said: stop leaves it, down kills it', async () => {
    await using local = new LocalProcesses();
    const deaf = program(local, 'deaf', "trap '' TERM; while :; do sleep 0.1; done");
    await local.ok('up', ...small, '--port', await firstPort(), '--etcd', deaf, '--no-wait');
    assert.match(
      await local.refused('stop', 'etcd', '--timeout', '1'),
      /etcd \(process \d+\) has not ended within 1 s of SIGTERM, .*local kill etcd/,
    );
    assert.equal((await local.part('etcd')).state, 'running');
    const { code, stderr } = await local.run(['down', '--timeout', '1']);
    assert.deepEqual([code, stderr], [0, 'tributary: etcd did not end within 1 s of SIGTERM: killed.\n']);
    assert.equal((await local.part('etcd')).state, 'killed');
  });

  test('an etcd that is missing or gives up, a part that cannot get ready, and folders of others are said to be so', async () => {
    await using local = new LocalProcesses();
    const none = await local.run(['up'], { env: { PATH: local.parent } });
    assert.equal(none.code, 1);
    assert.match(none.stderr, /^tributary: etcd, .* is not on the PATH: install it .*apt.*brew.*https:.*--etcd/);
    assert.equal(existsSync(local.folder), false, 'nothing came of it, and nothing stays');
    assert.match(await local.refused('up', '--etcd', local.parent), /is no program/);

    const broken = program(local, 'broken', 'echo "etcd: no space left here" >&2; exit 1');
    assert.match(
      await local.refused('up', ...small, '--port', await firstPort(), '--etcd', broken),
      /etcd \(127\.0\.0\.1:\d+\) has ended: etcd: no space left here\. Its log: /,
    );
    const mute = program(local, 'mute', 'exec sleep 60');
    assert.match(
      await local.refused('up', '--etcd', mute, '--timeout', '2'),
      /Not ready within 2 s, and still starting: etcd: .*broker-1: it waits for the metadata store/,
    );
    await local.ok('kill', 'etcd');
    await local.ok('down', '--remove-data');

    mkdirSync(local.folder);
    writeFileSync(path.join(local.folder, 'thesis.txt'), '');
    assert.match(await local.refused('up'), /holds other things than a local cluster \(thesis\.txt\)/);
    assert.match(await local.refused('down', '--remove-data'), /There is no local cluster/);
    writeFileSync(path.join(local.folder, 'local.json'), '{"format": "something"}');
    assert.match(await local.refused('up'), /local\.json is not a file of `tributary local`/);
    writeFileSync(path.join(local.folder, 'local.json'), '{"format');
    assert.match(await local.refused('ps'), /local\.json is damaged/);
    const file = path.join(local.folder, 'thesis.txt');
    const { code, stderr } = await tributary(['local', 'up', '--data-dir', file]);
    assert.equal(code, 1);
    assert.match(stderr, /thesis\.txt cannot be made \(/);
  });
});

const ascending = (numbers: readonly number[]): readonly number[] => numbers.toSorted((a, b) => a - b);

async function firstWords({ child, ended }: Running): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    child.stdout?.once('data', (text: Buffer) => resolve(text.toString()));
    void ended.then(({ stderr }) => reject(new Error(`it ended: ${stderr}`)));
  });
}

/** A program in the folder of the test. */
function program({ parent }: LocalProcesses, name: string, body: string): string {
  const file = path.join(parent, name);
  writeFileSync(file, `#!/bin/sh\n${body}\n`);
  chmodSync(file, 0o755);
  return file;
}
