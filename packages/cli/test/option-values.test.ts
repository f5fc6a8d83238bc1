import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  acks,
  escapedText,
  keyValue,
  offsetNumber,
  offsetOrEnd,
  unescaped,
  wholeNumber,
} from '../src/option-values.ts';

test('numbers outside what is allowed, and what is no number, are refused with what is allowed', () => {
  assert.equal(wholeNumber(0, 10)('10'), 10);
  assert.equal(wholeNumber(-1)('-1'), -1);
  for (const bad of ['', ' 1', '1.5', '0x1', '11', '-1', '1e1', '99999999999999999']) {
    assert.throws(() => wholeNumber(0, 10)(bad), /Allowed is a whole number from 0 to 10/, bad);
  }
});

test('offsets beyond the exact numbers of JavaScript stay exact', () => {
  assert.equal(offsetNumber('9007199254740993'), 9_007_199_254_740_993n);
  assert.equal(offsetNumber('9223372036854775807'), 2n ** 63n - 1n);
  for (const bad of ['-1', '9223372036854775808', '1e3', '']) {
    assert.throws(() => offsetNumber(bad), /Allowed is a whole number from 0 to 9223372036854775807\./, bad);
    assert.throws(() => offsetOrEnd(bad), /from 0 to 9223372036854775807, or end/, bad);
  }
});

test('settings are split at the first equals sign, and none is given twice', () => {
  assert.deepEqual(keyValue('b=1=2', keyValue('a=')), { a: '', b: '1=2' });
  for (const bad of ['a', '=1', '']) assert.throws(() => keyValue(bad), /key=value/);
  assert.throws(() => keyValue('a=2', { a: '1' }), /twice/);
});

test('escapes mean what they do elsewhere, a backslash before anything else is a backslash', () => {
  assert.equal(unescaped('a\\tb\\nc\\\\td\\x1f\\q\\'), 'a\tb\nc\\td\x1f\\q\\');
  assert.equal(escapedText('\\t'), '\t');
  assert.throws(() => escapedText(''), /empty/);
});

test('acks are 0, 1 or all, and Kafka’s −1 for all', () => {
  assert.deepEqual(['0', '1', 'all', '-1'].map(acks), [0, 1, 'all', 'all']);
  assert.throws(() => acks('2'), /0, 1 or all/);
});
