// What a part of a cluster says and does where it cannot take part: one sentence and a failure where waiting would not help, else it waits and says why.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { EtcdProcess } from '../contract/etcd-process.ts';
import { requires } from '../requirements.ts';
import { ClusterProcesses, type PartProcess, type Settings } from './cluster-processes.ts';

const endMsMax = 15_000;

describe('a part of a cluster', { skip: requires('etcd') }, () => {
  let cluster: ClusterProcesses;
  before(async () => {
    cluster = await ClusterProcesses.begin({ controllers: 1, brokers: 1, settings: { 'session.timeout.ms': 3_000 } });
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  /** It ends by itself, soon, with one line that is no event of its log. */
  async function refuses(part: PartProcess, sentence: RegExp): Promise<void> {
    part.spawn();
    assert.equal(await part.ended(endMsMax), 1, part.said);
    const lines = part.said.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
    assert.equal(lines.length, 1, part.said);
    assert.match(lines[0] ?? '', sentence);
  }

  const apart = (name: string): Settings => ({ 'data.dir': path.join(cluster.folder, name) });
  const readiness = async ({ http }: PartProcess): Promise<string> => (await fetch(`${http}/readyz`)).text();

  test('is told of an unknown setting, a bad value and a missing one by their names, with what is allowed', async () => {
    const broker = (settings: Settings) => cluster.part('broker', 9, { ...apart('never'), ...settings });
    await refuses(await broker({ 'sesion.timeout.ms': 1 }), /sesion\.timeout\.ms.*nearest.*session\.timeout\.ms/);
    await refuses(await broker({ 'session.timeout.ms': 10 }), /"10" for setting session\.timeout\.ms.*3000/);
    await refuses(await broker({ 'max.connections': 'many' }), /"many" for setting max\.connections/);
    await refuses(await broker({ listen: 'nowhere' }), /"nowhere" for setting listen.*host:port/);
  });

  test('ends where etcd will never do: one that refuses its user, one that is none, a file that is not there', async () => {
    const controller = (settings: Settings) => cluster.part('controller', 109, settings);
    const user = { 'etcd.user': 'somebody', 'etcd.password': 'secret' };
    await refuses(await controller(user), /etcd at http:\/\/127\.0\.0\.1:\d+ does not accept the user and password/);
    await refuses(await controller({ 'etcd.ca.file': '/nonexistent/ca.pem' }), /\/nonexistent\/ca\.pem/);
  });

  test('waits for an etcd that does not answer and says which, is alive but not ready, and begins when etcd does', async () => {
    await using etcd = await EtcdProcess.start();
    await etcd.end('SIGKILL');
    const endpoints = { 'etcd.endpoints': etcd.endpoint };
    const controller = await cluster.part('controller', 120, endpoints);
    const broker = await cluster.part('broker', 20, { ...endpoints, ...apart('early') });
    for (const part of [controller, broker]) part.spawn();
    for (const part of [controller, broker])
      await part.until(() => part.said.includes('waiting-for-the-metadata-store'), 'says that it waits');
    assert.ok(broker.said.includes(etcd.endpoint));
    assert.match(await readiness(broker), /unavailable.*waits for the metadata store/);
    assert.equal((await fetch(`${broker.http}/healthz`)).status, 200);
    await etcd.restart();
    for (const part of [controller, broker])
      await part.until(() => part.events.some(({ event }) => event === 'ready'), 'is ready');
    assert.match(await readiness(broker), /"ok"/);
    await etcd.end('SIGKILL');
    const codes = await Promise.all([controller, broker].map((part) => part.end('SIGTERM')));
    assert.deepEqual(codes, [0, 0], 'and stops cleanly without it');
  });

  test('reaches an etcd over TLS by the authority in a file, and no other', async () => {
    await using etcd = await EtcdProcess.start({ tls: true });
    const ca = path.join(cluster.folder, 'ca.pem');
    await writeFile(ca, await etcd.ca());
    const settings = { 'etcd.endpoints': etcd.endpoint };
    const trusting = await cluster.part('controller', 140, { ...settings, 'etcd.ca.file': ca });
    await trusting.start();
    const doubting = await cluster.part('controller', 141, settings);
    doubting.spawn();
    await doubting.until(() => doubting.said.includes('waiting-for-the-metadata-store'), 'says that it waits');
    assert.match(doubting.said, /certificate/);
    const ended = [await doubting.end('SIGTERM'), await trusting.end('SIGTERM')];
    assert.deepEqual(ended, [0, 0]);
  });

  test('is stopped cleanly while it waits', async () => {
    const waiting = await cluster.part('broker', 21, { 'etcd.endpoints': '127.0.0.1:1', ...apart('waiting') });
    waiting.spawn();
    await waiting.until(() => waiting.said.includes('waiting-for-the-metadata-store'), 'says that it waits');
    assert.equal(await waiting.end('SIGTERM'), 0);
  });

  test('of two brokers with one id or one data directory the second is refused, and the first goes on (R6)', async () => {
    await refuses(
      await cluster.part('broker', 1, apart('second')),
      /Node id 1 belongs to the running broker at 127\.0\.0\.1/,
    );
    await refuses(await cluster.part('broker', 1), /broker-1.*another process/);
    await refuses(await cluster.part('broker', 2, { 'data.dir': cluster.dataOf(1) }), /broker-1.*another process/);
    assert.match(await readiness(cluster.broker(1)), /"ok"/);
  });

  test('a broker with the data directory of another cluster, or of another id, is refused, naming both', async () => {
    const other = { cluster: 'other' };
    const [controller, broker] = [
      await cluster.part('controller', 130, other),
      await cluster.part('broker', 30, other),
    ];
    await Promise.all([controller.start(), broker.start()]);
    await broker.end('SIGTERM');
    const directory = { 'data.dir': cluster.dataOf(30) };
    await refuses(await cluster.part('broker', 30, directory), /broker-30.*belongs to.*cluster/);
    await refuses(await cluster.part('broker', 31, { ...other, ...directory }), /broker-30.*30.*31/);
  });

  test('a broker whose id was taken by another while it was paused stops when it wakes, and says so (R6)', async () => {
    const first = await cluster.part('broker', 5, apart('paused'));
    await first.start();
    first.pause();
    const [controller] = cluster.controllers;
    await controller?.until(() => controller.events.some(({ why }) => why === 'broker 5 fenced'), 'counts it as dead');
    const second = await cluster.part('broker', 5, apart('usurper'));
    await second.start();
    first.resume();
    assert.equal(await first.ended(endMsMax), 70);
    assert.match(first.said, /Node id 5 belongs to the running broker/);
    assert.match(await readiness(second), /"ok"/);
  });
});
