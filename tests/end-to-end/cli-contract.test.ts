// The `tributary` command as scripts rely on it: what it prints, what it keeps, how it ends.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { connect, type Tributary } from '@tributary/client';
import { DevProcess, freePort, start, tributary } from './dev-process.ts';

describe('the tributary command', () => {
  let dev: DevProcess;
  before(async () => {
    dev = await DevProcess.begin();
  });
  after(async () => await dev[Symbol.asyncDispose]());

  const json = async (args: readonly string[]): Promise<unknown> =>
    JSON.parse((await dev.ok([...args, '--output', 'json'])).toString());
  const text = async (args: readonly string[], input = ''): Promise<string> =>
    (await dev.ok(args, { input })).toString();
  const all = (topic: string, ...more: string[]): string[] => [
    'consume',
    topic,
    '--from-beginning',
    '--exit-at-end',
    ...more,
  ];

  test('topics are created with what was asked for, listed, described, and gone once deleted', async () => {
    const created = await json([
      'topic',
      'create',
      'first',
      '--partitions',
      '3',
      '--config',
      'retention.ms=1000',
      '--config',
      'flush.policy=async',
    ]);
    assert.equal((created as { partitions: number }).partitions, 3);
    assert.match(
      await text(['topic', 'create', 'second']),
      /^Created topic second with 1 partition, replication factor 1\.\n$/,
    );
    const names = async (): Promise<string[]> =>
      ((await json(['topic', 'list'])) as { name: string }[]).map(({ name }) => name);
    assert.deepEqual(await names(), ['first', 'second']);
    assert.match(await text(['topic', 'list']), /^first +3 +1 /m);
    const described = (await json(['topic', 'describe', 'first'])) as {
      configs: { name: string; value: string; source: string }[];
      partitionDescriptions: { leader: number; isr: number[] }[];
    };
    assert.deepEqual(
      described.configs
        .filter(({ source }) => source === 'topic')
        .map(({ name, value }) => `${name}=${value}`)
        .toSorted(),
      ['flush.policy=async', 'retention.ms=1000'],
    );
    assert.equal(described.partitionDescriptions.length, 3);
    assert.deepEqual(described.partitionDescriptions[0]?.isr, [described.partitionDescriptions[0]?.leader]);
    assert.match(await text(['topic', 'describe', 'first']), /^retention\.ms +1000 +topic /m);
    await dev.ok(['topic', 'delete', 'first']);
    assert.deepEqual(await names(), ['second']);
  });

  test('every line is a record, byte for byte: empty ones, carriage returns, bytes that are no text, a last line without its newline', async () => {
    await dev.ok(['topic', 'create', 'bytes']);
    const input = Buffer.concat([
      Buffer.from('a\n\n b \r\n\t\0\n'),
      Buffer.from([0xff, 0xfe, 0x0a, 0xc3, 0x28, 0x0a]),
      Buffer.from('last'),
    ]);
    const summary = await dev.ok(['produce', 'bytes'], { input });
    assert.match(summary.toString(), /^7 records, \d+ B in [\d.]+ s \(.*\), acknowledged by all in-sync replicas\.\n$/);
    assert.deepEqual(await dev.ok(all('bytes')), Buffer.concat([input, Buffer.from('\n')]));
  });

  test('nothing to read is nothing produced', async () => {
    await dev.ok(['topic', 'create', 'nothing']);
    assert.match(await text(['produce', 'nothing']), /^0 records, 0 B/);
    assert.equal(await text(all('nothing')), '');
  });

  test('lines longer than what is read at once, and of every length about it, come back whole', async () => {
    await dev.ok(['topic', 'create', 'long']);
    const lengths = [0, 1, 65_535, 65_536, 65_537, 524_287, 524_288, 524_289, 700_000];
    const input = lengths.map((length, index) => `${String.fromCharCode(97 + index).repeat(length)}\n`).join('');
    writeFileSync(dev.file('long'), input);
    await dev.ok(['produce', 'long', '--file', dev.file('long')]);
    assert.ok((await dev.ok(all('long'))).equals(Buffer.from(input)));
    await dev.ok(['produce', 'long', '--compression', 'zstd'], { input });
    assert.ok((await dev.ok(all('long'))).equals(Buffer.from(input + input)), 'through a pipe, and compressed, too');
  });

  test('keys choose the partition, headers and keys show in every format, --partition wins', async () => {
    await dev.ok(['topic', 'create', 'keyed', '--partitions', '4']);
    await dev.ok(['produce', 'keyed', '--key-separator', '\\t'], { input: 'k\tone\nk\ttwo\twith tab\n\tempty key\n' });
    const records = (await text(all('keyed', '--format', 'json')))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const [one, two] = records.filter(({ key }) => key === 'k');
    assert.deepEqual([one.value, two.value], ['one', 'two\twith tab']);
    assert.equal(one.partition, two.partition);
    assert.deepEqual(Object.keys(one), ['topic', 'partition', 'offset', 'timestamp', 'key', 'value', 'headers']);
    assert.ok(Math.abs(Date.now() - one.timestamp) < 60_000);
    assert.equal(records.find(({ value }) => value === 'empty key').key, '', 'an empty key is a key');
    await dev.ok(['produce', 'keyed', '--partition', '3', '--key-separator', ':'], { input: 'k:three\n' });
    assert.match(
      await text(all('keyed', '--partition', '3', '--format', '%t|%p|%k|%v|%h|%%|\\x41\\n')),
      /^keyed\|3\|k\|three\|\|%\|A$/m,
    );
  });

  test('what is no UTF-8 is shown in base64, what is absent as null', async () => {
    await dev.ok(['topic', 'create', 'binary']);
    await dev.ok(['produce', 'binary'], { input: Buffer.from([0xff, 0x00, 0x0a]) });
    const { key, value } = JSON.parse(await text(all('binary', '--output', 'json')));
    assert.deepEqual({ key, value }, { key: null, value: { base64: '/wA=' } });
  });

  test('with --output json each acknowledged record is a line with its place', async () => {
    await dev.ok(['topic', 'create', 'places']);
    const output = await dev.ok(['produce', 'places', '--output', 'json'], { input: 'a\nb\nc\n' });
    const lines = output
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map(({ topic, partition, offset }) => `${topic}/${partition}/${offset}`),
      ['places/0/0', 'places/0/1', 'places/0/2'],
    );
    assert.ok(lines.every(({ timestamp }) => Math.abs(Date.now() - timestamp) < 60_000));
  });

  test('acks, batch size, linger and each compression end in the same records', async () => {
    await dev.ok(['topic', 'create', 'ways']);
    const ways = [
      ['--acks', '0'],
      ['--acks', '1'],
      ['--acks', 'all'],
      ['--batch-size', '10'],
      ['--linger', '20'],
      ...['gzip', 'snappy', 'lz4', 'zstd'].map((each) => ['--compression', each]),
    ];
    for (const way of ways) await dev.ok(['produce', 'ways', ...way], { input: `${way.join(' ')}\n` });
    assert.equal(await text(all('ways')), ways.map((way) => `${way.join(' ')}\n`).join(''));
  });

  test('--offset, --max-messages and the end of the log bound what is read', async () => {
    await dev.ok(['topic', 'create', 'bounds', '--partitions', '2']);
    await dev.ok(['produce', 'bounds', '--partition', '1'], { input: 'a\nb\nc\nd\n' });
    assert.equal(
      await text(['consume', 'bounds', '--partition', '1', '--offset', '1', '--max-messages', '2']),
      'b\nc\n',
    );
    assert.equal(await text(['consume', 'bounds', '--partition', '1', '--offset', '4', '--exit-at-end']), '');
    assert.equal(
      await text(['consume', 'bounds', '--exit-at-end']),
      '',
      'without a position reading begins at the end',
    );
    assert.equal(await text(['consume', 'bounds', '--max-messages', '0']), '');
  });

  test('a consumer without an end prints what comes later, at once', async () => {
    await dev.ok(['topic', 'create', 'live']);
    await dev.ok(['produce', 'live'], { input: 'before\n' });
    const { child, ended } = start(['consume', 'live', '--from-beginning'], { TRIBUTARY_BOOTSTRAP: dev.bootstrap });
    const seen = async (): Promise<string> =>
      await new Promise((resolve) => child.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString())));
    assert.equal(await seen(), 'before\n');
    const next = seen();
    await dev.ok(['produce', 'live'], { input: 'after\n' });
    assert.equal(await next, 'after\n');
    child.kill('SIGINT');
    assert.equal((await ended).signal, 'SIGINT', 'Ctrl-C ends it as it ends any command');
  });

  test('lines typed one by one are sent one by one', async () => {
    await dev.ok(['topic', 'create', 'typed']);
    const { child, ended } = start(['produce', 'typed', '--output', 'json'], { TRIBUTARY_BOOTSTRAP: dev.bootstrap });
    for (const offset of [0, 1]) {
      const acknowledged = new Promise<string>((resolve) =>
        child.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString())),
      );
      child.stdin?.write(`line ${offset}\n`);
      assert.equal(JSON.parse(await acknowledged).offset, offset);
    }
    child.stdin?.end();
    assert.equal((await ended).code, 0);
  });

  test('Ctrl-C during produce: what was sent is acknowledged and said, and the exit code is 130', async () => {
    await dev.ok(['topic', 'create', 'interrupted']);
    const { child, ended } = start(['produce', 'interrupted'], { TRIBUTARY_BOOTSTRAP: dev.bootstrap });
    child.stdin?.write('a\nb\npart of a li');
    const deadline = Date.now() + 20_000;
    while ((await text(all('interrupted'))) !== 'a\nb\n' && Date.now() < deadline);
    child.kill('SIGINT');
    const { code, stderr } = await ended;
    assert.equal(code, 130);
    assert.equal(stderr, 'tributary: Interrupted. 2 of 2 records sent were acknowledged.\n');
    assert.equal(await text(all('interrupted')), 'a\nb\n');
  });

  test('bench produce, consume and latency report counts, rates and percentiles', async () => {
    await dev.ok(['topic', 'create', 'bench', '--partitions', '2']);
    const produced = (await json([
      'bench',
      'produce',
      '--topic',
      'bench',
      '--num-records',
      '2000',
      '--record-size',
      '50',
    ])) as Record<string, number>;
    assert.deepEqual([produced['records'], produced['bytes']], [2000, 100_000]);
    assert.match(
      await text([
        'bench',
        'produce',
        '--topic',
        'bench',
        '--num-records',
        '500',
        '--throughput',
        '1000',
        '--acks',
        '1',
        '--linger',
        '5',
        '--compression',
        'lz4',
        '--batch-size',
        '1000',
      ]),
      /^500 records sent, [\d.]+ records\/sec \([\d.]+ MiB\/sec\), [\d.]+ ms avg latency, [\d.]+ ms max latency, .* 50th, .* 95th, .* 99th, .* 99\.9th\.\n$/,
    );
    const consumed = (await json(['bench', 'consume', '--topic', 'bench', '--num-records', '2400'])) as Record<
      string,
      number
    >;
    assert.equal(consumed['records'], 2400);
    const latency = (await json(['bench', 'latency', '--topic', 'bench', '--num-records', '100'])) as Record<
      string,
      Record<string, number>
    >;
    const { p50 = 0, max = 0 } = latency['endToEndMs'] ?? {};
    assert.ok(p50 > 0 && max >= p50);
    writeFileSync(dev.file('payloads'), 'x\nyy\n');
    const payloads = (await json([
      'bench',
      'produce',
      '--topic',
      'bench',
      '--num-records',
      '10',
      '--payload-file',
      dev.file('payloads'),
    ])) as Record<string, number>;
    assert.equal(payloads['bytes'], 15);
  });

  test('metrics and health are served beside it', async () => {
    await dev.ok(['topic', 'create', 'metered', '--partitions', '2']);
    await dev.ok(['produce', 'metered', '--partition', '1'], { input: 'a\nb\n' });
    await dev.ok(all('metered'));
    for (const page of ['healthz', 'readyz']) {
      const answer = await fetch(`${dev.http}/${page}`);
      assert.deepEqual([answer.status, await answer.json()], [200, { status: 'ok', reasons: [] }]);
    }
    const metrics = await (await fetch(`${dev.http}/metrics`)).text();
    const value = (series: string): number => {
      const line = metrics.split('\n').find((each) => each.startsWith(`${series} `));
      assert.ok(line !== undefined, `${series} is among the metrics`);
      return Number(line.slice(series.length + 1));
    };
    assert.equal(value('kafka_topic_partition_current_offset{topic="metered",partition="1"}'), 2);
    assert.equal(value('kafka_topic_partition_current_offset{topic="metered",partition="0"}'), 0);
    assert.equal(value('kafka_topic_partition_oldest_offset{topic="metered",partition="1"}'), 0);
    assert.equal(value('kafka_topic_partitions{topic="metered"}'), 2);
    assert.equal(value('kafka_brokers'), 1);
    assert.equal(value('tributary_controller_active'), 1);
    assert.equal(value('tributary_partitions_without_leader'), 0);
    assert.ok(value('tributary_log_size_bytes{topic="metered",partition="1"}') > 60);
    assert.ok(
      value('tributary_records_in_total') >= 2 &&
        value('tributary_bytes_in_total') > 60 &&
        value('tributary_bytes_out_total') > 60,
    );
    assert.ok(value('tributary_produce_request_seconds_count') > 0 && value('tributary_log_sync_seconds_count') > 0);
    assert.ok(value('nodejs_eventloop_lag_p99_seconds') >= 0);
  });
});

describe('tributary dev', () => {
  test('whoever finds the port open can create a topic and produce at once', async () => {
    await using dev = await DevProcess.begin();
    const port = await freePort();
    const second = start(['dev', '--data-dir', dev.file('second'), '--port', String(port)]);
    try {
      await using cluster = await connected(`127.0.0.1:${port}`);
      await cluster.admin.createTopic({ name: 'early' });
      const { offset } = await cluster.producer().send({ topic: 'early', value: 'bird' });
      assert.equal(offset, 0n);
    } finally {
      second.child.kill('SIGKILL');
      await second.ended;
    }
  });

  test('stops cleanly on SIGTERM and on SIGINT, and finds everything again', async () => {
    await using dev = await DevProcess.begin();
    await dev.ok(['topic', 'create', 'kept']);
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      await dev.ok(['produce', 'kept'], { input: `${signal}\n` });
      const { code, stderr } = await dev.stop(signal);
      assert.equal(code, 0, stderr);
      await dev.start();
    }
    assert.equal(
      (await dev.ok(['consume', 'kept', '--from-beginning', '--exit-at-end'])).toString(),
      'SIGTERM\nSIGINT\n',
    );
  });
});

describe('help', () => {
  const commands = [
    [],
    ['dev'],
    ['local'],
    ['local', 'up'],
    ['local', 'kill'],
    ['local', 'down'],
    ['cluster'],
    ['cluster', 'describe'],
    ['cluster', 'health'],
    ['topic'],
    ['topic', 'create'],
    ['topic', 'alter'],
    ['partition'],
    ['partition', 'offsets'],
    ['partition', 'delete-records'],
    ['partition', 'elect'],
    ['broker'],
    ['broker', 'describe'],
    ['broker', 'alter'],
    ['produce'],
    ['consume'],
    ['bench'],
    ['bench', 'produce'],
    ['bench', 'consume'],
    ['bench', 'latency'],
  ];
  for (const command of commands) {
    test(`tributary ${command.join(' ')} --help says how it is used`, async () => {
      const { code, stdout, stderr } = await tributary([...command, '--help']);
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
      assert.match(stdout.toString(), /^Usage: tributary/);
    });
  }
});

/** Tries again and again, without a pause, until somebody listens. */
async function connected(bootstrap: string): Promise<Tributary> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    try {
      return await connect({ bootstrap, connectTimeoutMs: 100, retryBackoffMs: 1, retryBackoffMsMax: 1 });
    } catch (thrown) {
      if (Date.now() > deadline) throw thrown;
    }
  }
}
