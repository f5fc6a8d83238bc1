// `tributary consume --group` and `tributary group …`, with the coordinator of `tributary dev`.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { requires } from '../requirements.ts';
import { DevProcess, main, type Running, start, tributary } from './dev-process.ts';
import { onTerminal } from './terminal.ts';

interface ShownGroup {
  readonly state: string;
  readonly members: readonly { readonly id: string; readonly assigned: readonly { readonly partition: number }[] }[];
  readonly partitions: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly currentOffset: number | null;
    readonly lag: number;
    readonly state: string;
    readonly consumerId: string | null;
  }[];
}

const waitMsMax = 20_000;

describe('groups from the shell', { timeout: 150_000 }, () => {
  let dev: DevProcess;
  before(async () => {
    dev = await DevProcess.begin();
    await dev.ok(['topic', 'create', 'orders', '--partitions', '4']);
    await dev.ok(['topic', 'create', 'payments']);
  });
  after(async () => await dev[Symbol.asyncDispose]());

  const text = async (...args: readonly string[]): Promise<string> => (await dev.ok(args)).toString();
  const shown = async (group: string): Promise<ShownGroup> =>
    JSON.parse(await text('group', 'describe', group, '--output', 'json'));
  const refused = async (args: readonly string[], code: number): Promise<string> => {
    const ended = await tributary([...args, '--bootstrap', dev.bootstrap]);
    assert.equal(ended.code, code, `${args.join(' ')}: ${ended.stdout.toString()}${ended.stderr}`);
    assert.match(ended.stderr, /^tributary: [^\n]+\n$/);
    return ended.stderr;
  };
  const produce = async (topic: string, lines: readonly string[]): Promise<void> =>
    void (await dev.ok(['produce', topic, '--key-separator', ':'], {
      input: lines.map((l) => `${l}:${l}\n`).join(''),
    }));
  const read = async (...args: readonly string[]): Promise<readonly string[]> =>
    (await text('consume', ...args, '--exit-at-end')).split('\n').filter((line) => line !== '');
  const member = (...args: readonly string[]): Running => start(['consume', ...args, '--bootstrap', dev.bootstrap]);
  const until = async (condition: () => Promise<boolean>, what: string): Promise<void> => {
    for (const deadline = performance.now() + waitMsMax; !(await condition()); await sleep(100))
      assert.ok(performance.now() < deadline, `not within ${waitMsMax} ms: ${what}`);
  };

  test('a group that nobody has used is no group; before the first one the list is empty, and topics are only one’s own', async () => {
    assert.match(await refused(['group', 'describe', 'nobody'], 1), /There is no group "nobody"/);
    assert.match(await text('group', 'list'), /^GROUP +STATE +#MEMBERS +ASSIGNOR +COORDINATOR\n$/);
    assert.match(await refused(['group', 'describe', ''], 1), /group id/i);
  });

  test('a member prints what the group has not read, commits it and leaves: the next one goes on there', async () => {
    const first = Array.from({ length: 20 }, (_, at) => `a${at}`);
    await produce('orders', first);
    assert.deepEqual((await read('orders', '--group', 'billing', '--from-beginning')).toSorted(), first.toSorted());
    const { state, members, partitions } = await shown('billing');
    assert.deepEqual([state, members], ['empty', []]);
    assert.equal(
      partitions.reduce((sum, { currentOffset }) => sum + (currentOffset ?? 0), 0),
      20,
    );
    assert.ok(partitions.every(({ lag }) => lag === 0));
    await produce('orders', ['b0', 'b1']);
    assert.deepEqual((await read('orders', '--group', 'billing')).toSorted(), ['b0', 'b1']);
    assert.match(await text('group', 'list'), /^billing +empty +0 +sticky-uniform +1$/m);
    assert.doesNotMatch(await text('topic', 'list'), /__consumer_offsets/);
    assert.match(await text('topic', 'list', '--include-internal'), /^__consumer_offsets +50 /m);
    assert.match(await text('topic', 'describe', '__consumer_offsets'), /of the cluster itself/);
  });

  test('--max-messages commits exactly what was printed', async () => {
    const lines = (await text('consume', 'orders', '--group', 'some', '--from-beginning', '--max-messages', '5')).split(
      '\n',
    );
    assert.equal(lines.length, 6);
    const rest = await read('orders', '--group', 'some');
    assert.equal(new Set([...lines.filter((line) => line !== ''), ...rest]).size, 22);
    assert.equal(rest.length, 17);
  });

  test('--exit-at-end ends for a member for whom no partition is left, too', async () => {
    await text('topic', 'create', 'narrow', '--partitions', '1');
    const holder = member('narrow', '--group', 'crowded', '--from-beginning');
    await until(async () => (await shown('crowded').catch(() => undefined))?.state === 'stable', 'one has it');
    assert.deepEqual(await read('narrow', '--group', 'crowded'), []);
    holder.child.kill('SIGTERM');
    assert.equal((await holder.ended).code, 130);
  });

  test('two members share; their offsets cannot be reset nor the group deleted, which names them; SIGTERM leaves at once', async () => {
    const members = [member('orders', '--group', 'shared'), member('orders', '--group', 'shared')];
    await until(async () => {
      const group = await shown('shared').catch(() => undefined);
      return group?.state === 'stable' && group.members.every(({ assigned }) => assigned.length === 2);
    }, 'both have two partitions');
    const { partitions } = await shown('shared');
    assert.equal(new Set(partitions.map(({ consumerId }) => consumerId)).size, 2);
    const table = await text('group', 'describe', 'shared', '--members');
    assert.match(table, /^shared +\S+ +- +127\.0\.0\.1 +tributary-cli +2 +\d+ +ok +orders\[/m);
    const who = /has 2 members: \S+ \(client tributary-cli at 127\.0\.0\.1\), \S+ \(client/;
    const reset = ['group', 'reset-offsets', 'shared', '--to-earliest', '--all-topics'];
    assert.match(await refused(reset, 1), who);
    const deletion = await tributary(['group', 'delete', 'shared', '--bootstrap', dev.bootstrap]);
    assert.deepEqual([deletion.code, who.test(deletion.stdout.toString())], [1, true], deletion.stdout.toString());
    const offsets = ['group', 'delete-offsets', 'shared', '--topic', 'orders', '--bootstrap', dev.bootstrap];
    assert.equal((await tributary(offsets)).code, 1);

    const [gone, stays] = members;
    gone?.child.kill('SIGTERM');
    const ended = await gone?.ended;
    assert.equal(ended?.code, 130);
    assert.match(ended?.stderr ?? '', /^tributary: Interrupted after 0 records, .* group shared has been left\.\n$/);
    await until(async () => (await shown('shared')).members[0]?.assigned.length === 4, 'the other has all four');
    await produce('orders', ['c0', 'c1', 'c2']);
    await until(
      async () => (await shown('shared')).partitions.every(({ lag }) => lag === 0),
      'it has read and committed all',
    );
    stays?.child.kill('SIGINT');
    assert.deepEqual((await stays?.ended)?.stdout.toString().trim().split('\n').toSorted(), ['c0', 'c1', 'c2']);
  });

  test('several topics, and those that match a pattern, also ones that come later', async () => {
    await produce('payments', ['p0']);
    const both = await read('orders', 'payments', '--group', 'both', '--from-beginning');
    assert.equal(both.length, 26);
    assert.ok(both.includes('p0'));
    const { child, ended } = member(
      '--group',
      'audit',
      '--pattern',
      'pay.*',
      '--from-beginning',
      '--max-messages',
      '2',
    );
    await until(
      async () => ((await shown('audit').catch(() => undefined))?.members.length ?? 0) === 1,
      'it has joined',
    );
    await dev.ok(['topic', 'create', 'payslips']);
    await produce('payslips', ['s0']);
    const [code] = await once(child, 'exit');
    assert.equal(code, 0);
    assert.deepEqual((await ended).stdout.toString().trim().split('\n').toSorted(), ['p0', 's0']);
  });

  test('offsets are reset where nobody reads, and only where it is no dry run; what is committed can be deleted', async () => {
    const reset = ['group', 'reset-offsets', 'both', '--topic', 'payments', '--to-earliest'];
    assert.match(await text(...reset, '--dry-run'), /^Dry run: [\s\S]*^both +payments +0 +1 +0$/m);
    const offset = async () =>
      (await shown('both')).partitions.find(({ topic }) => topic === 'payments')?.currentOffset;
    assert.equal(await offset(), 1);
    await text(...reset);
    assert.equal(await offset(), 0);
    assert.deepEqual(await read('payments', '--group', 'both'), ['p0']);
    const shifted = await text(
      'group',
      'reset-offsets',
      'both',
      '--topic',
      'payments:0',
      '--shift-by',
      '-1',
      '--output',
      'json',
    );
    assert.deepEqual(JSON.parse(shifted).partitions, [
      { topic: 'payments', partition: 0, before: 1, after: 0, error: null },
    ]);
    assert.match(await text('group', 'delete-offsets', 'both', '--topic', 'payments', '--dry-run'), /^Dry run: /);
    assert.match(
      await text('group', 'delete-offsets', 'both', '--topic', 'payments'),
      /^Deleted what .* payments\/0\.\n$/,
    );
    assert.equal(await offset(), undefined);
    assert.match(
      await refused(['group', 'delete-offsets', 'both', '--topic', 'payments'], 1),
      /has committed nothing for topic/,
    );
    assert.match(await text('group', 'delete', 'both', '--dry-run'), /^Dry run: would delete group both\.\n$/);
    assert.match(await text('group', 'delete', 'both'), /^Deleted group both\.\n$/);
    assert.match(await refused(['group', 'describe', 'both'], 1), /no group "both"/);
  });

  test('a watch in a pipe prints the group once, and then a line for each change', async () => {
    const { child, ended } = start(['group', 'describe', 'billing', '--watch', '--bootstrap', dev.bootstrap]);
    await once(child.stdout ?? child, 'data');
    await produce('payments', ['w0']);
    const watched = await shown('billing');
    assert.deepEqual(new Set(watched.partitions.map(({ topic }) => topic)), new Set(['orders']));
    const before = watched.partitions.reduce((sum, { lag }) => sum + lag, 0);
    assert.equal((await read('orders', '--group', 'billing')).length, before);
    await sleep(2_500);
    child.kill('SIGINT');
    const said = (await ended).stdout.toString();
    assert.equal(said.match(/^GROUP /gm)?.length, 1);
    assert.match(said, /^\S+Z orders\/\d: current-offset \d+ → \d+, lag \d+ → 0/m);
  });

  test('a watch on a terminal draws over itself', { skip: requires('python3') }, async () => {
    const argv = [process.execPath, main, 'group', 'describe', 'billing', '--watch', '--bootstrap', dev.bootstrap];
    const { shown: drawn } = await onTerminal(argv, { columns: 160, seconds: 4 });
    const [first = '', ...again] = drawn.split(new RegExp(`${String.fromCodePoint(27)}\\[(\\d+)F`));
    const lines = first.split('\n').length - 1;
    assert.ok(again.length >= 2, `it draws again: ${JSON.stringify(drawn)}`);
    assert.equal(Number(again[0]), lines, 'from its first line on');
    assert.match(again[1] ?? '', /CURRENT-OFFSET/);
  });

  test('what makes no sense is refused before anything is asked', async () => {
    const bad: readonly (readonly [string, RegExp])[] = [
      ['consume', /Of which topic\?/],
      ['consume orders --pattern a.*', /--pattern needs --group/],
      ['consume orders --group=', /--group is empty/],
      ['consume orders --group g --partition 0', /--partition and --group exclude each other/],
      ['group reset-offsets g --all-topics', /From where\?/],
      ['group reset-offsets g --to-latest', /Of which topics\?/],
      ['group reset-offsets g --to-latest --to-earliest --all-topics', /cannot be used with/],
      ['group reset-offsets g --to-latest --topic a:b', /some of its partitions: events:0,2/],
      ['group reset-offsets g --shift-by x --all-topics', /whole number, for example -100/],
      ['group delete-offsets g', /Of which topics\?/],
    ];
    for (const [line, said] of bad) assert.match(await refused(line.split(' '), 2), said, line);
  });
});
