import { connect } from '@tributary/client';
const size = Number(process.argv[2]), n = Number(process.argv[3]), policy = process.argv[4] ?? 'async';
await using cluster = await connect({ bootstrap: '127.0.0.1:19596' });
const topic = `p${size}-${policy}-${Date.now()}`;
await cluster.admin.createTopic({ name: topic, partitions: 6, configs: { 'flush.policy': policy } });
const value = new Uint8Array(size).fill(97);
for (let round = 0; round < 3; round++) {
  const producer = cluster.producer({ batchSize: 131072, lingerMs: 10, maxBufferedBytes: 64 * 1024 * 1024 });
  const t = performance.now();
  for (let i = 0; i < n; i++) { const w = producer.ready(); if (w) await w; producer.send({ topic, value }); }
  await producer.flush();
  const s = (performance.now() - t) / 1000;
  console.log('produce', size, policy, Math.round(n * size / 2 ** 20 / s), 'MiB/s');
  await producer.close();
}
for (let round = 0; round < 2; round++) {
  const consumer = cluster.consumer({});
  await consumer.assign(Array.from({ length: 6 }, (_, partition) => ({ topic, partition, offset: 'beginning' as const })));
  const t = performance.now();
  let got = 0, bytes = 0;
  while (got < 3 * n) { const rs = await consumer.poll({ maxRecords: 10000 }); got += rs.length; for (const r of rs) bytes += r.value?.length ?? 0; }
  const s = (performance.now() - t) / 1000;
  console.log('consume', size, Math.round(bytes / 2 ** 20 / s), 'MiB/s');
  await consumer.close();
}
