// Every line of a large real file through the command and back: same multiset, per-key order kept, offsets dense. Then the same while the
// process that keeps them is killed, again and again.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DevProcess, start } from './dev-process.ts';
import { keyedLines, separator } from './real-text.ts';

const partitions = 6;
const inputBytesMin = 20 * 1024 * 1024;
const kills = 4;

describe('every line of a large real file, through the command and back', () => {
  let dev: DevProcess;
  let input: Buffer;
  before(async () => {
    dev = await DevProcess.begin();
    input = keyedLines(inputBytesMin);
    writeFileSync(dev.file('input'), input);
  });
  after(async () => await dev[Symbol.asyncDispose]());

  test('comes back as it went in: same multiset, per-key order kept, offsets dense', async () => {
    await dev.ok(['topic', 'create', 'whole', '--partitions', String(partitions)]);
    const said = await dev.ok(['produce', 'whole', '--file', dev.file('input'), '--key-separator', separator]);
    assert.match(said.toString(), /^[\d,]+ records, \d+\.\d MiB in .* acknowledged by all in-sync replicas\.\n$/);
    await sameAsInput(dev, 'whole', input);
  });

  test(`comes back as it went in though the process is killed ${kills} times in the middle, and nothing is there twice`, async () => {
    await dev.ok(['topic', 'create', 'killed', '--partitions', String(partitions)]);
    const args = ['produce', 'killed', '--key-separator', separator, '--output', 'json'];
    const producing = start(args, { TRIBUTARY_BOOTSTRAP: dev.bootstrap });
    const { stdin } = producing.child;
    assert.ok(stdin !== null);
    const piece = Math.ceil(input.length / (kills + 1));
    for (let begin = 0; begin < input.length; begin += piece) {
      const acknowledged = new Promise((resolve) => producing.child.stdout?.once('data', resolve));
      stdin.write(input.subarray(begin, begin + piece));
      if (begin + piece >= input.length) break;
      // Different each time: while the rest of the piece is read, written, synced, or has just been acknowledged.
      await Promise.race([acknowledged, producing.ended]);
      await sleep(Math.random() * 100);
      await dev.kill();
      await dev.start();
    }
    stdin.end();
    const { code, stdout, stderr } = await producing.ended;
    assert.equal(code, 0, stderr);
    acknowledgedOnce(stdout, await sameAsInput(dev, 'killed', input));
  });

  test('what was acknowledged when producer and process are both killed is there, at the offset it was told', async () => {
    await dev.ok(['topic', 'create', 'both', '--partitions', '1']);
    const producing = start(['produce', 'both', '--output', 'json', '--file', dev.file('input')], {
      TRIBUTARY_BOOTSTRAP: dev.bootstrap,
    });
    await new Promise((resolve) => producing.child.stdout?.once('data', resolve));
    await sleep(30);
    await dev.kill();
    producing.child.kill('SIGKILL');
    const { stdout } = await producing.ended;
    // The last line may have been cut off by the kill.
    const acknowledged = stdout
      .toString()
      .split('\n')
      .slice(0, -1)
      .map((line) => Number(JSON.parse(line).offset));
    assert.ok(acknowledged.length > 0, 'something was acknowledged before the kill');
    await dev.start();
    const there = await dev.ok(['consume', 'both', '--from-beginning', '--exit-at-end']);
    assert.ok(there.equals(input.subarray(0, there.length)), 'what is there is the beginning of the input');
    const records = there.toString('latin1').split('\n').length - 1;
    assert.ok(
      records > Math.max(...acknowledged),
      `${records} records are there, offset ${Math.max(...acknowledged)} was acknowledged`,
    );
  });
});

/** Reads the topic back and compares. @returns how many records each partition has. */
async function sameAsInput(dev: DevProcess, topic: string, input: Buffer): Promise<readonly number[]> {
  const format = `%p\\t%o\\t%k${separator}%v\\n`;
  const output = await dev.ok(['consume', topic, '--from-beginning', '--exit-at-end', '--format', format]);
  const next = Array.from({ length: partitions }, () => 0);
  const partitionOf = new Map<string, number>();
  const read = new Map<string, string[]>();
  for (const line of linesOf(output)) {
    const [partition, offset] = line.split('\t', 2).map(Number);
    assert.ok(partition !== undefined && offset !== undefined);
    assert.equal(offset, next[partition], `offsets of partition ${partition} are dense`);
    next[partition] = offset + 1;
    const keyed = line.slice(line.indexOf('\t', line.indexOf('\t') + 1) + 1);
    const key = keyOf(keyed);
    assert.equal(partitionOf.get(key) ?? partition, partition, `key "${key}" has one partition`);
    partitionOf.set(key, partition);
    append(read, key, keyed);
  }
  const written = new Map<string, string[]>();
  for (const line of linesOf(input)) append(written, keyOf(line), line);
  assert.equal(read.size, written.size, 'every key came back');
  for (const [key, lines] of written)
    assert.ok(equal(read.get(key) ?? [], lines), `the records of key "${key}" came back, all and in order`);
  return next;
}

/** Every record was acknowledged with an offset of its own. */
function acknowledgedOnce(stdout: Buffer, counts: readonly number[]): void {
  const seen = counts.map(() => new Set<number>());
  for (const line of linesOf(stdout)) {
    const { partition, offset } = JSON.parse(line) as { partition: number; offset: number | null };
    // Acknowledged as one that the broker has already: it no longer knows where (P2).
    if (offset === null) continue;
    assert.ok(!seen[partition]?.has(offset), `offset ${offset} of partition ${partition} was given out once`);
    seen[partition]?.add(offset);
  }
  assert.equal(
    linesOf(stdout).length,
    counts.reduce((sum, count) => sum + count, 0),
    'every record was acknowledged',
  );
  for (const [partition, offsets] of seen.entries())
    assert.ok(Math.max(-1, ...sample(offsets)) < (counts[partition] ?? 0));
}

/** The largest, without spreading a hundred thousand arguments. */
function sample(offsets: ReadonlySet<number>): readonly number[] {
  let largest = -1;
  for (const offset of offsets) if (offset > largest) largest = offset;
  return [largest];
}

function linesOf(bytes: Buffer): readonly string[] {
  const lines = bytes.toString('latin1').split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

function keyOf(line: string): string {
  return line.slice(0, line.indexOf(separator));
}

function append(map: Map<string, string[]>, key: string, line: string): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [line]);
  else list.push(line);
}

function equal(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}
