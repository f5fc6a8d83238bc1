import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkTopicConfigs, topicConfig } from '../src/index.ts';

test('whole numbers of 64 bits are taken, as Kafka’s users write them for never, and count as the largest exact one', () => {
  const never = '9223372036854775807';
  const configs = { 'retention.ms': never, 'max.compaction.lag.ms': never, 'retention.bytes': '-1' };
  checkTopicConfigs(configs);
  const { retentionMs, maxCompactionLagMs, retentionBytes } = topicConfig(configs);
  assert.deepEqual([retentionMs, maxCompactionLagMs, retentionBytes], [Number.MAX_SAFE_INTEGER, undefined, undefined]);
  for (const bad of ['9223372036854775808', '-2', '1e3', '', '+5', ' 5', '0x10', '99999999999999999999'])
    assert.throws(() => checkTopicConfigs({ 'retention.ms': bad }), /allowed is a whole number ≥ -1/, bad);
  for (const bad of ['1023', '2147483648', never])
    assert.throws(() => checkTopicConfigs({ 'segment.bytes': bad }), /from 1024 to 2147483647/, bad);
});
