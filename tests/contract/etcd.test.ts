import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Transaction } from '@tributary/ports';
import { nodeClock } from '@tributary/runtime';
import { EtcdMember } from '../../packages/runtime/src/etcd/member.ts';
import { keyRange } from '../../packages/runtime/src/etcd/requests.ts';
import { requires } from '../requirements.ts';
import { EtcdProcess } from './etcd-process.ts';
import { metadataStoreContract } from './metadata-store.contract.ts';

describe('a real etcd', { skip: requires('etcd') }, () => {
  let etcd: EtcdProcess;
  before(async () => {
    etcd = await EtcdProcess.start();
  });
  after(() => etcd[Symbol.asyncDispose]());

  metadataStoreContract('the store on a real etcd', async (story) => {
    await using store = etcd.store();
    const { entries } = await store.read('');
    for (let i = 0; i < entries.length; i += 100) {
      await store.commit({ compare: [], put: [], delete: entries.slice(i, i + 100).map(({ key }) => key) });
    }
    await story({ store, clock: nodeClock });
  });

  test('that keys are as they were is proven only if none was put, none is gone, and nothing was done elsewhere instead', async () => {
    await using store = etcd.store();
    using member = new EtcdMember(etcd.endpoint, {}, nodeClock);
    const range = keyRange('/proof/');
    const commit = async (put: string[], deletes: string[] = []): Promise<bigint> => {
      const change = { compare: [], put: put.map((key) => ({ key, value: 'same' })), delete: deletes };
      return (await store.commit(change satisfies Transaction)).revision;
    };
    assert.ok(((await member.unchangedSince(range, 0n)) ?? 0n) > 0n, 'there was nothing, and is nothing');
    let at = await commit(['/proof/a', '/proof/b']);
    assert.equal(await member.unchangedSince(range, 0n), undefined);
    assert.equal(await member.unchangedSince(range, at), at);
    const elsewhere = await commit(['/proof', '/proof0', '/other'], []);
    assert.equal(await member.unchangedSince(range, at), elsewhere);
    const changes: (readonly [put: string[], deletes: string[]])[] = [
      [['/proof/a'], []],
      [[], ['/proof/a']],
      [['/proof/c'], []],
      [['/proof/d'], ['/proof/c']],
    ];
    for (const [put, deletes] of changes) {
      const changed = await commit(put, deletes);
      assert.equal(await member.unchangedSince(range, at), undefined, `${put.join()} put, ${deletes.join()} deleted`);
      assert.equal(await member.unchangedSince(range, changed), changed);
      at = changed;
    }
  });
});
