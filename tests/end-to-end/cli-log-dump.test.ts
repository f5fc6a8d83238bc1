// `tributary log dump` as scripts and people call it: on a broker that is writing, after kill -9, and on what is not there.

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { DevProcess, start, tributary } from './dev-process.ts';

describe('tributary log dump', () => {
  let dev: DevProcess;
  before(async () => {
    dev = await DevProcess.begin();
    await dev.ok(['topic', 'create', 'events', '--config', 'segment.bytes=1048576', '--config', 'flush.policy=async']);
  });
  after(async () => await dev[Symbol.asyncDispose]());

  const dump = async (...args: readonly string[]) => {
    const ended = await tributary(['log', 'dump', ...args]);
    assert.doesNotMatch(ended.stderr, /^\s+at /m, 'no stack trace');
    return { ...ended, text: ended.stdout.toString() };
  };

  test('on a broker that is writing nothing is called corrupt, and the broker goes on', async () => {
    const { child, ended } = start(['produce', 'events', '--bootstrap', dev.bootstrap]);
    const feeding = setInterval(() => child.stdin?.write(`${'x'.repeat(200)}\n`.repeat(500)), 2);
    try {
      for (let round = 0; round < 5; round++) {
        const { code, text, stderr } = await dump(path.join(dev.dataDirectory, 'broker-1'));
        assert.equal(code, 0, `${text}${stderr}`);
      }
    } finally {
      clearInterval(feeding);
      child.stdin?.end();
    }
    const { code, stderr, stdout } = await ended;
    assert.equal(code, 0, stderr);
    assert.match(stdout.toString(), /acknowledged by all in-sync replicas/);
  });

  test('after kill -9 each batch is a line of JSON, and a torn tail is corrupt until the next start has cut it', async () => {
    await dev.kill();
    const folder = path.join(dev.dataDirectory, 'broker-1');
    const partition = readdirSync(folder).find((name) => name.endsWith('-0')) ?? '';
    const last = readdirSync(path.join(folder, partition)).findLast((name) => name.endsWith('.log')) ?? '';
    const segment = path.join(folder, partition, last);
    const { text } = await dump(segment, '--output', 'json');
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { what: string });
    assert.ok(lines.filter(({ what }) => what === 'batch').length > 0);
    const bytes = readFileSync(segment);
    writeFileSync(segment, Buffer.concat([bytes, bytes.subarray(0, 1_000)]));
    const torn = await dump(segment);
    assert.equal(torn.code, 1);
    assert.match(torn.text, new RegExp(`^CORRUPT ${last} at byte ${bytes.length}: `, 'm'));
    assert.match(torn.stderr, /^tributary: 1 problem found; see the lines marked CORRUPT\.\n$/);
    await dev.start();
    assert.equal((await dump(segment)).code, 0);
  });

  test('what is absent, not ours, or not to be read is named in one line', async () => {
    writeFileSync(dev.file('notes.txt'), 'x');
    mkdirSync(dev.file('empty'));
    const refused: readonly (readonly [readonly string[], RegExp, number])[] = [
      [[], /missing required argument/i, 2],
      [[dev.file('absent.log')], /There is no file or folder ".*absent\.log"/, 1],
      [[dev.file('notes.txt')], /is no file of a data directory by its name/, 1],
      [[dev.file('empty')], /holds no file of a data directory/, 1],
      [['/dev/null'], /is neither a file nor a folder/, 1],
    ];
    for (const [args, sentence, expected] of refused) {
      const { code, stderr } = await dump(...args);
      assert.match(stderr, sentence);
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
      assert.equal(code, expected);
    }
    writeFileSync(dev.file('00000000000000000000.log'), '');
    chmodSync(dev.file('00000000000000000000.log'), 0);
    if (process.getuid?.() !== 0)
      assert.match((await dump(dev.file('00000000000000000000.log'))).stderr, /permission denied/i);
  });
});
