// What operators do with the `tributary` command: settings, partitions, offsets, deletion; and that --dry-run says what then happens.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DevProcess } from './dev-process.ts';

interface Gone {
  readonly records: number;
  readonly bytes: number;
  readonly logStartOffset: number;
}

interface Described {
  readonly partitions: number;
  readonly configs: readonly { name: string; value: string; defaultValue: string; source: string }[];
  readonly partitionDescriptions: readonly {
    sizeBytes: number;
    logStartOffset: number;
    highWatermark: number;
    partitionEpoch: number;
  }[];
}

describe('the tributary command, for operators', () => {
  let dev: DevProcess;
  before(async () => {
    dev = await DevProcess.begin();
  });
  after(async () => await dev[Symbol.asyncDispose]());

  const json = async <T>(...args: readonly string[]): Promise<T> =>
    JSON.parse((await dev.ok([...args, '--output', 'json'])).toString()) as T;
  const text = async (...args: readonly string[]): Promise<string> => (await dev.ok(args)).toString();
  const refusal = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await dev.run(args);
    assert.ok(code === 1 || code === 2, `${args.join(' ')} ended with ${code}`);
    assert.equal(stdout.toString(), '');
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
    return stderr;
  };
  const lines = (count: number): string => Array.from({ length: count }, (_, i) => `line ${i}\n`).join('');
  const withRecords = async (name: string, count: number, ...configs: readonly string[]): Promise<void> => {
    const settings = ['segment.bytes=1024', 'file.delete.delay.ms=0', ...configs].flatMap((each) => ['--config', each]);
    await dev.ok(['topic', 'create', name, ...settings]);
    await dev.ok(['produce', name, '--batch-size', '1'], { input: lines(count) });
  };

  test('a topic is changed as the dry run said, and the dry run changes nothing', async () => {
    await withRecords('altered', 100);
    const change = ['topic', 'alter', 'altered', '--set', 'retention.bytes=2048', '--append', 'cleanup.policy=compact'];
    const before = await json<Described>('topic', 'describe', 'altered');
    interface Altered {
      readonly dryRun: boolean;
      readonly configs: readonly { name: string; before: string; after: string; source: string }[];
      readonly removed?: Gone;
    }
    const wouldBe = await json<Altered>(...change, '--dry-run');
    assert.deepEqual(
      wouldBe.configs.map((each) => [each.name, each.before, each.after, each.source]),
      [
        ['retention.bytes', '-1', '2048', 'topic'],
        ['cleanup.policy', 'delete', 'delete,compact', 'topic'],
      ],
    );
    assert.ok((wouldBe.removed?.records ?? 0) > 50 && (wouldBe.removed?.bytes ?? 0) > 2048);
    assert.match(await text(...change, '--dry-run'), /^Dry run.*stays.*would remove \d+ records and [\d.]+ KiB/s);
    assert.deepEqual(await json('topic', 'describe', 'altered'), before);
    const done = await json<Altered>(...change);
    assert.deepEqual([done.dryRun, done.configs], [false, wouldBe.configs]);
    const after = await json<Described>('topic', 'describe', 'altered');
    assert.deepEqual(
      after.configs.filter(({ source }) => source === 'topic').map(({ name, value }) => `${name}=${value}`),
      ['cleanup.policy=delete,compact', 'retention.bytes=2048', 'segment.bytes=1024', 'file.delete.delay.ms=0'],
    );
    await dev.ok(['topic', 'alter', 'altered', '--subtract', 'cleanup.policy=compact', '--delete', 'retention.bytes']);
    const back = await json<Described>('topic', 'describe', 'altered');
    assert.equal(back.configs.find(({ name }) => name === 'retention.bytes')?.source, 'default');
  });

  test('settings of all brokers lie beneath those of topics, and broker settings count at once', async () => {
    await withRecords('beneath', 60);
    const change = ['broker', 'alter', '--set', 'log.retention.bytes=1024'];
    const wouldBe = await json<{ removed: Gone }>(...change, '--dry-run');
    assert.ok(wouldBe.removed.records > 30);
    await dev.ok([...change, '--set', 'num.partitions=3']);
    const { configs } = await json<Described>('topic', 'describe', 'beneath');
    const retention = configs.find(({ name }) => name === 'retention.bytes');
    assert.deepEqual([retention?.value, retention?.source, retention?.defaultValue], ['1024', 'cluster', '1024']);
    assert.equal((await json<Described>('topic', 'create', 'three')).partitions, 3);
    // Retention looks at once when it is to look more often.
    await dev.ok(['broker', 'alter', '1', '--set', 'log.retention.check.interval.ms=100']);
    const until = Date.now() + 10_000;
    let start = 0;
    while (start === 0 && Date.now() < until)
      start = (await json<Described>('topic', 'describe', 'beneath')).partitionDescriptions[0]?.logStartOffset ?? 0;
    assert.ok(start > 0);
    assert.match(await text('broker', 'describe', '1'), /^log\.retention\.check\.interval\.ms +100 +broker +300000 /m);
    for (const alter of [
      ['broker', 'alter', '--set', 'log.cleanup.policy=compact'],
      ['topic', 'alter', 'beneath', '--set', 'cleanup.policy=compact'],
    ])
      assert.match(await text(...alter, '--dry-run'), /Note: Compaction .*so do records without a key/);
    await dev.ok(['broker', 'alter', '--delete', 'log.retention.bytes', '--delete', 'num.partitions']);
    await dev.ok(['broker', 'alter', '1', '--delete', 'log.retention.check.interval.ms']);
  });

  test('records are deleted as the dry run said, and readers are told what there is', async () => {
    await withRecords('deleted', 100);
    const remove = (to: string, ...more: readonly string[]) =>
      json<Gone>('partition', 'delete-records', 'deleted', '--partition', '0', '--before-offset', to, ...more);
    const wouldBe = await remove('70', '--dry-run');
    assert.deepEqual([wouldBe.records, wouldBe.logStartOffset], [70, 70]);
    assert.ok(wouldBe.bytes > 1024);
    const size = async (): Promise<number> =>
      (await json<Described>('topic', 'describe', 'deleted')).partitionDescriptions[0]?.sizeBytes ?? 0;
    const before = await size();
    const done = await remove('70');
    assert.deepEqual([done.records, done.bytes, done.logStartOffset], [70, wouldBe.bytes, 70]);
    assert.equal(await size(), before - wouldBe.bytes);
    assert.match(await refusal('consume', 'deleted', '--partition', '0', '--offset', '10', '--exit-at-end'), /70/);
    const rest = await text('consume', 'deleted', '--from-beginning', '--exit-at-end');
    assert.deepEqual(
      rest
        .trimEnd()
        .split('\n')
        .map((line) => line.slice(5)),
      Array.from({ length: 30 }, (_, i) => String(70 + i)),
    );
    assert.match(
      await refusal('partition', 'delete-records', 'deleted', '--partition', '0', '--before-offset', '101'),
      /deleted-0 has offsets 70 to 100; records before 101 cannot be deleted, those before 100 at most/,
    );
    assert.deepEqual((await remove('10')).records, 0);
    assert.deepEqual((await remove('end')).records, 30);
    assert.equal(await size(), 0);
    assert.equal(await text('consume', 'deleted', '--from-beginning', '--exit-at-end'), '');
    await dev.kill();
    await dev.start();
    assert.deepEqual(await json('partition', 'offsets', 'deleted'), [{ partition: 0, earliest: 100, latest: 100 }]);
    await dev.ok(['produce', 'deleted'], { input: 'next\n' });
    assert.match(await text('partition', 'offsets', 'deleted'), /^0 +100 +101 +1$/m);
  });

  test('offsets are found by end, by time and by newest timestamp', async () => {
    await dev.ok(['topic', 'create', 'timed']);
    const nothing = [{ partition: 0, offset: null, timestamp: null }];
    assert.deepEqual(await json('partition', 'offsets', 'timed', '--spec', 'max-timestamp'), nothing);
    assert.deepEqual(await json('partition', 'offsets', 'timed', '--timestamp', '0'), nothing);
    const started = Date.now();
    await dev.ok(['produce', 'timed'], { input: lines(5) });
    const at = (spec: readonly string[]) =>
      json<{ offset: number; timestamp: number | null }[]>('partition', 'offsets', 'timed', ...spec);
    assert.deepEqual(await at(['--spec', 'earliest']), [{ partition: 0, offset: 0, timestamp: null }]);
    assert.deepEqual(await at(['--spec', 'latest']), [{ partition: 0, offset: 5, timestamp: null }]);
    const [first] = await at(['--timestamp', new Date(started).toISOString()]);
    assert.equal(first?.offset, 0);
    assert.ok((first?.timestamp ?? 0) >= started);
    assert.deepEqual((await at(['--timestamp', String(Date.now() + 60_000)]))[0]?.offset, null);
    assert.match(await refusal('partition', 'offsets', 'timed', '--timestamp', '-1'), /2026-01-31T12:00:00Z/);
    assert.match(await refusal('partition', 'offsets', 'timed', '--partition', '7'), /Partition 7 .*one partition, 0/);
  });

  test('partitions are added as the dry run said, and used', async () => {
    await dev.ok(['topic', 'create', 'growing']);
    const grow = ['topic', 'alter', 'growing', '--partitions', '4'];
    assert.match(await text(...grow, '--dry-run'), /Partitions: 1 before, 4 after\..*may come to another partition/s);
    assert.equal((await json<Described>('topic', 'describe', 'growing')).partitions, 1);
    assert.match(await text(...grow), /Partitions: 1 before, 4 after/);
    await dev.ok(['produce', 'growing', '--partition', '3'], { input: 'x\n' });
    const { partitions, partitionDescriptions } = await json<Described>('topic', 'describe', 'growing');
    assert.deepEqual([partitions, partitionDescriptions[3]?.highWatermark], [4, 1]);
    assert.match(await refusal(...grow), /has 4 partitions already; 4 adds none/);
    assert.match(await refusal('topic', 'alter', 'growing', '--partitions', '10001'), /1 to 10000/);
  });

  test('flush.policy goes to async and back, and the partitions come to say so', async () => {
    await withRecords('flushing', 3);
    const epoch = async (): Promise<number> =>
      (await json<Described>('topic', 'describe', 'flushing')).partitionDescriptions[0]?.partitionEpoch ?? -1;
    const before = await epoch();
    await dev.ok(['topic', 'alter', 'flushing', '--set', 'flush.policy=async']);
    assert.equal(await epoch(), before + 1);
    await dev.ok(['topic', 'alter', 'flushing', '--set', 'flush.policy=commit']);
    const until = Date.now() + 10_000;
    while ((await epoch()) === before + 1 && Date.now() < until);
    assert.equal(await epoch(), before + 2);
    await dev.ok(['produce', 'flushing'], { input: 'more\n' });
  });

  test('a topic is created and deleted as the dry runs said', async () => {
    const create = ['topic', 'create', 'planned', '--partitions', '2'];
    assert.equal(
      await text(...create, '--dry-run'),
      'Dry run: would create topic planned with 2 partitions, replication factor 1.\n',
    );
    await dev.ok(create);
    await dev.ok(['produce', 'planned'], { input: lines(10) });
    const effect = await json<Gone & { partitions: number }>('topic', 'delete', 'planned', '--dry-run');
    assert.deepEqual([effect.partitions, effect.records], [2, 10]);
    assert.match(await text('topic', 'delete', 'planned', '--dry-run'), /2 partitions with 10 records and \d+ B\.\n$/);
    await dev.ok(['topic', 'alter', 'planned', '--set', 'cleanup.policy=compact']);
    assert.match(
      await text('topic', 'delete', 'planned', '--dry-run'),
      /partitions with at most 10 records and \d+ B\.\n$/,
    );
    await dev.ok(['topic', 'delete', 'planned']);
    assert.match(await refusal('topic', 'describe', 'planned'), /no topic "planned"/);
  });

  test('brokers say what they are, hold and use', async () => {
    interface Broker {
      readonly id: number;
      readonly address: string;
      readonly softwareVersion: string;
      readonly partitionsLed: number;
      readonly logDirs: readonly { path: string; totalBytes: number; freeBytes: number; sizeBytes: number }[];
    }
    await withRecords('held', 5);
    const [first, ...others] = await json<Broker[]>('broker', 'describe');
    assert.deepEqual(others, []);
    assert.deepEqual([first?.id, first?.address, first?.softwareVersion], [1, dev.bootstrap, '0.1.0']);
    const [directory] = first?.logDirs ?? [];
    assert.ok(directory !== undefined && directory.path.startsWith(dev.dataDirectory));
    assert.ok(directory.totalBytes > directory.freeBytes && directory.freeBytes > 0 && directory.sizeBytes > 0);
    assert.match(await refusal('broker', 'describe', '7'), /Broker 7 is not running; registered are: 1\./);
  });

  test('what is wrong with a wish is said with what is possible, in one line', async () => {
    await dev.ok(['topic', 'create', 'plain']);
    const alter = ['topic', 'alter', 'plain'];
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [alter, /Nothing to change/],
      [[...alter, '--set', 'retention.mss=1'], /"retention\.mss".*nearest known one is "retention\.ms"/],
      [[...alter, '--set', 'retention.ms=soon'], /"soon" for topic config retention\.ms: allowed is a whole number/],
      [[...alter, '--set', 'retention.ms=1', '--delete', 'retention.ms'], /retention\.ms is changed twice/],
      [[...alter, '--append', 'retention.ms=1'], /retention\.ms is no list/],
      [['topic', 'alter', 'none', '--set', 'retention.ms=1'], /no topic "none"/],
      [['broker', 'alter', '7', '--set', 'max.connections=1'], /no broker 7; known are: 1/],
      [['broker', 'alter', '1', '--set', 'num.partitions=2'], /of all brokers together/],
      [['broker', 'alter', '--set', 'max.connection=1'], /nearest known one is "max\.connections"/],
      [['broker', 'describe', 'x'], /a whole number from 0/],
      [['partition', 'delete-records', 'plain', '--partition', '0', '--before-offset', '-1'], /or end/],
      [['partition', 'delete-records', 'plain', '--partition', '0'], /before-offset/],
    ];
    for (const [args, sentence] of cases) assert.match(await refusal(...args), sentence);
    await dev.ok([...alter, '--set', 'cleanup.policy=compact']);
    assert.match(
      await refusal('partition', 'delete-records', 'plain', '--partition', '0', '--before-offset', 'end'),
      /cleanup\.policy=compact/,
    );
    assert.match(await text(...alter, '--set', 'min.insync.replicas=3', '--dry-run'), /counts as 1/);
  });
});
