/** Writes batches of every kind for `ReadBatches.java`, and prints the lines that it should print. */
import { writeFileSync } from 'node:fs';
import { offset, producerEpoch, producerId } from '@tributary/model';
import { compressions, decodeBatch, encodeBatch, encodeControlBatch, type NewRecord } from '@tributary/record';

const small: NewRecord[] = [
  { timestamp: 1_700_000_000_000, key: 'ключ', value: 'grüße-🌊', headers: [{ key: 'naïve', value: null }, { key: '', value: new Uint8Array(3) }] },
  { timestamp: 1_600_000_000_000, value: null },
];
const large: NewRecord[] = Array.from({ length: 20_000 }, (_, index) => ({
  timestamp: 1_700_000_000_000 + index,
  key: `user-${index % 100}`,
  value: `line ${index} ${'of something that repeats '.repeat(index % 20)}${Math.sin(index)}`,
}));

const batches: Uint8Array[] = [];
let next = 0n;
for (const compression of compressions) {
  for (const records of [small, large]) {
    batches.push(encodeBatch(records, { compression, baseOffset: offset(next), producer: { id: producerId(7n), epoch: producerEpoch(1), baseSequence: Number(next) } }));
    next += BigInt(records.length);
  }
}
for (const end of ['commit', 'abort'] as const) {
  batches.push(encodeControlBatch({ end, producerId: producerId(7n), producerEpoch: producerEpoch(1), coordinatorEpoch: 3, timestamp: 1, baseOffset: offset(next++) }));
}
const file = process.argv[2];
if (file === undefined) throw new Error('usage: node write-batches.ts FILE');
writeFileSync(file, Buffer.concat(batches));

const hashOf = (bytes: Uint8Array): number => bytes.reduce((hash, byte) => (Math.imul(31, hash) + ((byte << 24) >> 24)) | 0, 1);
for (const bytes of batches) {
  const { header, records } = decodeBatch(bytes);
  let hash = 0;
  for (const record of records) {
    hash = (Math.imul(31, hash) + hashOf(record.value ?? new Uint8Array(0))) | 0;
    for (const { key } of record.headers) hash = (Math.imul(31, hash) + hashOf(Buffer.from(key))) | 0;
  }
  const control = header.isControl ? (header.baseOffset === next - 2n ? ' COMMIT' : ' ABORT') : '';
  console.log(
    `offset ${header.baseOffset}..${header.lastOffset} ${header.compression} producer ${header.producerId}/${header.producerEpoch}/${header.baseSequence} ` +
      `transactional=${header.isTransactional} records=${records.length} hash=${hash}${control}`,
  );
}
