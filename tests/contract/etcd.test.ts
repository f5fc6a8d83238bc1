import { after, before, describe } from 'node:test';
import { nodeClock } from '@tributary/runtime';
import { requires } from '../requirements.ts';
import { EtcdProcess } from './etcd-process.ts';
import { metadataStoreContract } from './metadata-store.contract.ts';

const skip = requires('etcd');

describe('a real etcd', { skip }, () => {
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
});
