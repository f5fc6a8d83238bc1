import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DiskMark } from '../../src/log/disk-mark.ts';

const total = 1_000_000;
const share = (diskHighWatermarkRatio: number) => ({ diskHighWatermarkRatio, diskFreeEnough: 1_000_000_000 });

test('records are refused from the mark on, also between measurements, and taken again only with room to spare', () => {
  const mark = new DiskMark(share(0.95));
  mark.measured({ free: 60_000, total }, share(0.95), 0);
  assert.equal(mark.refusal, undefined);
  mark.wrote(9_999);
  assert.equal(mark.refusal, undefined);
  mark.wrote(1);
  assert.match(
    mark.refusal ?? '',
    /50000 bytes are free, 60000 are needed.*disk\.high\.watermark\.ratio \(now 0\.95\)/,
  );
  mark.measured({ free: 59_999, total }, share(0.95), 0);
  assert.notEqual(mark.refusal, undefined);
  mark.measured({ free: 60_000, total }, share(0.95), 0);
  assert.equal(mark.refusal, undefined);
});

test('a write that found no room ends it at once; it does not come back before the headroom is there again', () => {
  const mark = new DiskMark(share(1));
  mark.measured({ free: 10_000, total }, share(1), 0);
  mark.ranOut();
  assert.notEqual(mark.refusal, undefined);
  mark.measured({ free: 20_000, total }, share(1), 15_000);
  assert.match(mark.refusal ?? '', /20000 bytes are free, 25000 are needed/);
  mark.measured({ free: 25_000, total }, share(1), 15_000);
  assert.equal(mark.refusal, undefined);
});

test('a raised mark takes effect with the next look; a disk without bounds has none', () => {
  const mark = new DiskMark(share(0.5));
  mark.measured({ free: 100_000, total }, share(0.5), 0);
  assert.notEqual(mark.refusal, undefined);
  mark.measured({ free: 100_000, total }, share(0.8), 0);
  assert.notEqual(mark.refusal, undefined);
  mark.measured({ free: 100_000, total }, share(0.95), 0);
  assert.equal(mark.refusal, undefined);
  const endless = { free: Number.POSITIVE_INFINITY, total: Number.POSITIVE_INFINITY };
  mark.measured(endless, share(0.5), 0);
  mark.wrote(1e15);
  assert.equal(mark.refusal, undefined);
});

test('of a large disk no share needs to be free when there is enough', () => {
  const rule = { diskHighWatermarkRatio: 0.95, diskFreeEnough: 20_000 };
  const mark = new DiskMark(rule);
  mark.measured({ free: 20_001, total }, rule, 0);
  assert.equal(mark.refusal, undefined);
  mark.wrote(1);
  assert.match(mark.refusal ?? '', /20000 bytes are free, 30000 are needed/);
});
