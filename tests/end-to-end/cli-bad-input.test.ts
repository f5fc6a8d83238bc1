// What a user may get wrong, and what may go wrong around them: one clear line on standard error, a code that is not zero, and nothing lost or
// half-written.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BatchBuilder } from '@tributary/record';
import { grpcTransport } from '@tributary/runtime';
import { Acks, methods } from '@tributary/wire';
import { DevProcess, type Ended, freePort, main, start, tributary } from './dev-process.ts';

/** One line that matches, and the code. */
function refused({ code, stdout, stderr }: Ended, line: RegExp, expected = 1): void {
  assert.match(stderr, line);
  assert.match(stderr, /^tributary: [^\n]+\n$/, 'one line, and no stack');
  assert.equal(code, expected);
  assert.equal(stdout.toString(), '');
}

describe('bad input to a running cluster', () => {
  let dev: DevProcess;
  before(async () => {
    dev = await DevProcess.begin();
    await dev.ok(['topic', 'create', 'good', '--partitions', '2']);
  });
  after(async () => await dev[Symbol.asyncDispose]());

  const read = async (topic: string): Promise<string> =>
    (await dev.ok(['consume', topic, '--from-beginning', '--exit-at-end'])).toString();

  const unknownTopic = [
    ['produce', 'absent'],
    ['consume', 'absent'],
    ['topic', 'describe', 'absent'],
    ['topic', 'delete', 'absent'],
    ['bench', 'produce', '--topic', 'absent'],
    ['bench', 'consume', '--topic', 'absent'],
    ['bench', 'latency', '--topic', 'absent'],
  ];
  for (const args of unknownTopic) {
    test(`an unknown topic is named: ${args.join(' ')}`, async () => {
      refused(await dev.run(args, { input: 'a\n' }), /"absent"/);
    });
  }

  test('an unknown topic is not created by producing to it, and the error says how to create it', async () => {
    refused(await dev.run(['produce', 'absent'], { input: 'a\n' }), /tributary topic create absent/);
    const deletion = ['partition', 'delete-records', 'absent', '--partition', '0', '--before-offset', '1'];
    refused(await dev.run(deletion), /: There is no topic "absent"\. Create it: tributary topic create absent/);
    assert.deepEqual(
      JSON.parse((await dev.ok(['topic', 'list', '--output', 'json'])).toString()).map(
        ({ name }: { name: string }) => name,
      ),
      ['good'],
    );
  });

  for (const command of ['produce', 'consume']) {
    test(`${command}: a partition that does not exist is named, with those that do`, async () => {
      refused(
        await dev.run([command, 'good', '--partition', '2'], { input: 'a\n' }),
        /"good" has no partition 2: its partitions are 0 to 1/,
      );
    });
  }

  test('an offset that is not in the log is named, with the range that is', async () => {
    refused(
      await dev.run(['consume', 'good', '--partition', '0', '--offset', '9']),
      /no offset 9: it has none, the next one will be 0/,
    );
    refused(await dev.run(['consume', 'good', '--offset', '0']), /2 partitions: --offset needs --partition/, 2);
  });

  test('a line over max.message.bytes is named with both sizes; those before it are acknowledged, it and those after it are not sent', async () => {
    await dev.ok(['topic', 'create', 'small', '--config', 'max.message.bytes=1000']);
    const input = `one\ntwo\n${'x'.repeat(2_000)}\nfour\n`;
    refused(
      await dev.run(['produce', 'small'], { input }),
      /Line 3 of standard input has 2,000 bytes, at most 939 .* 2 of 2 records sent were acknowledged/,
    );
    assert.equal(await read('small'), 'one\ntwo\n');
    writeFileSync(dev.file('nearly'), `five\n${'y'.repeat(935)}\n`);
    refused(
      await dev.run(['produce', 'small', '--file', dev.file('nearly')]),
      /Line 2 of ".*nearly" cannot be sent: .*9\d\d.* 939/,
    );
    assert.equal(await read('small'), 'one\ntwo\nfive\n');
  });

  test('a line without end is refused in bounded memory', async () => {
    const { child, ended } = start(['produce', 'good'], { TRIBUTARY_BOOTSTRAP: dev.bootstrap });
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    const { stdin } = child;
    assert.ok(stdin !== null);
    for (let sent = 0; sent < 64; sent++)
      if (!stdin.write(chunk)) await Promise.race([new Promise((resolve) => stdin.once('drain', resolve)), ended]);
    const memory = /VmHWM:\s+(\d+) kB/.exec(
      existsSync(`/proc/${child.pid}/status`) ? readFileSync(`/proc/${child.pid}/status`, 'utf8') : '',
    )?.[1];
    stdin.end();
    refused(await ended, /Line 1 of standard input has 67,108,864 bytes, at most 1,048,527/);
    if (memory !== undefined) assert.ok(Number(memory) < 300 * 1024, `at most ${memory} kB were used`);
  });

  test('a line without the key separator is named; those before it are acknowledged', async () => {
    await dev.ok(['topic', 'create', 'separated']);
    refused(
      await dev.run(['produce', 'separated', '--key-separator', ':'], { input: 'k:v\nno key\n' }),
      /Line 2 of standard input has no key: ":" .*1 of 1 record sent was acknowledged/,
    );
    assert.equal(await read('separated'), 'v\n');
  });

  test('topic names and settings that are not allowed are named with what is, and nothing is created', async () => {
    refused(await dev.run(['topic', 'create', 'a b']), /Bad topic name "a b": only letters, digits/);
    refused(await dev.run(['topic', 'create', 'x'.repeat(250)]), /250 characters, at most 249/);
    refused(await dev.run(['topic', 'create', 'good']), /"good" exists already/);
    refused(
      await dev.run(['topic', 'create', 'new', '--config', 'retention.mss=1']),
      /Unknown topic config "retention\.mss"; the nearest known one is "retention\.ms"/,
    );
    refused(
      await dev.run(['topic', 'create', 'new', '--config', 'retention.ms=soon']),
      /Bad value "soon" for topic config retention\.ms: allowed is/,
    );
    refused(await dev.run(['topic', 'create', 'new', '--replication-factor', '3']), /3/);
    refused(await dev.run(['topic', 'create', 'new', '--partitions', '1000000']), /1,?000,?000/);
    refused(await dev.run(['topic', 'describe', 'new']), /"new"/);
  });

  test('a file that is not there, or is a folder, is named', async () => {
    refused(await dev.run(['produce', 'good', '--file', dev.file('none')]), /There is no file ".*none"/);
    refused(await dev.run(['produce', 'good', '--file', dev.folder]), /is a folder/);
  });

  test('a corrupt batch is refused as such, and nothing of it is kept', async () => {
    await dev.ok(['topic', 'create', 'corrupt']);
    const { id } = JSON.parse((await dev.ok(['topic', 'describe', 'corrupt', '--output', 'json'])).toString());
    const builder = new BatchBuilder(1_000);
    builder.append(Date.now(), null, 'some value', []);
    const records = Buffer.from(builder.build());
    records[records.length - 2] = (records[records.length - 2] ?? 0) ^ 1;
    await using peer = grpcTransport.connect(dev.bootstrap);
    const stream = peer.stream(methods.produce, new AbortController().signal);
    const batch = { correlationId: 1, topicId: id, partition: 0, leaderEpoch: 0, records };
    stream.send({ context: undefined, acks: Acks.ALL, timeoutMs: 5_000, transactionalId: '', batches: [batch] });
    for await (const { results } of stream) {
      assert.equal(results[0]?.errorCode, 2);
      assert.match(results[0]?.errorMessage ?? '', /CRC/);
      break;
    }
    assert.equal(await read('corrupt'), '');
  });

  test('standard output closed early ends consume quietly with the code of SIGPIPE', async () => {
    await dev.ok(['topic', 'create', 'piped']);
    await dev.ok(['produce', 'piped'], { input: 'line\n'.repeat(200_000) });
    const script = `"$0" "$1" consume piped --from-beginning --exit-at-end | head -n 1; echo "code \${PIPESTATUS[0]}"`;
    const said = await shell(script, dev);
    assert.deepEqual(said, { stdout: 'line\ncode 141\n', stderr: '' });
  });

  test('standard output closed early ends produce quietly; what it had acknowledged is kept', async () => {
    await dev.ok(['topic', 'create', 'cut']);
    writeFileSync(dev.file('many'), Array.from({ length: 200_000 }, (_, index) => `line ${index}\n`).join(''));
    const script = `"$0" "$1" produce cut --output json --file "$2" | head -n 1; echo "code \${PIPESTATUS[0]}"`;
    const { stdout, stderr } = await shell(script, dev, dev.file('many'));
    assert.match(stdout, /^\{"topic":"cut","partition":0,"offset":0,.*\}\ncode 141\n$/);
    assert.equal(stderr, '');
    const there = await read('cut');
    assert.ok(
      there.startsWith('line 0\n') && readFileSync(dev.file('many'), 'utf8').startsWith(there),
      'what is there is the beginning of the input',
    );
  });

  test('options that make no sense are named with what is allowed, and the code is 2', async () => {
    refused(await dev.run(['nonsense']), /Unknown command 'nonsense'/, 2);
    refused(await dev.run(['produce', 'good', '--nonsense']), /Unknown option '--nonsense'/, 2);
    refused(await dev.run(['produce']), /Missing required argument 'topic'/, 2);
    refused(await dev.run(['produce', 'good', '--acks', '2']), /0, 1 or all/, 2);
    refused(await dev.run(['produce', 'good', '--compression', 'zip']), /none, gzip, snappy, lz4, zstd/, 2);
    refused(await dev.run(['produce', 'good', '--partition', '-1']), /whole number ≥ 0/, 2);
    refused(await dev.run(['consume', 'good', '--offset', '1', '--from-beginning']), /cannot be used with/, 2);
    refused(await dev.run(['consume', 'good', '--format', '%x']), /"%x" means nothing/, 2);
    refused(await dev.run(['topic', 'create', 'new', '--config', 'retention.ms']), /key=value/, 2);
    refused(await dev.run(['topic', 'list', '--output', 'xml']), /text, json/, 2);
    refused(await dev.run([]), /Which command\? See: tributary --help/, 2);
    refused(await dev.run(['partition']), /Which command\? See: tributary partition --help/, 2);
    refused(await dev.run(['topic', 'create', 'new', '--nonsense']), /See: tributary topic create --help/, 2);
    refused(await dev.run(['bench', 'produce', '--topic', 'good', '--record-size', '1e9']), /from 0 to 67108864/, 2);
    refused(await dev.run(['bench', 'latency', '--topic', 'good', '--record-size', '67108865']), /8 to 67108864/, 2);
    refused(await dev.run(['topic', 'create', 'new', '--partitions', '2147483648']), /from 1 to 2147483647/, 2);
    refused(await dev.run(['topic', 'alter', 'good', '--partitions', '2147483648']), /from 1 to 2147483647/, 2);
  });

  test('TRIBUTARY_DEBUG=1 shows where an error comes from', async () => {
    const { stderr } = await dev.run(['consume', 'absent'], { env: { TRIBUTARY_DEBUG: '1' } });
    assert.match(stderr, /\n +at .*consume/);
  });
});

describe('nobody there', () => {
  test('nothing listening at the bootstrap address is said within seconds, with the address', async () => {
    const port = await freePort();
    for (const args of [
      ['topic', 'list'],
      ['produce', 'a'],
      ['consume', 'a'],
    ]) {
      refused(
        await tributary([...args, '--bootstrap', `127.0.0.1:${port}`], { timeoutMs: 15_000 }),
        new RegExp(`127\\.0\\.0\\.1:${port}.*tributary dev`),
      );
    }
  });

  test('a bootstrap address that is none is named', async () => {
    for (const address of ['nonsense', 'localhost:', 'localhost:99999', ''])
      refused(await tributary(['topic', 'list', '--bootstrap', address]), /host:port/);
  });

  test('something else that listens there is told from a broker', async () => {
    await using server = createServer((socket) =>
      socket
        .on('error', () => undefined)
        .resume()
        .end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    refused(
      await tributary(['topic', 'list', '--bootstrap', `127.0.0.1:${address.port}`], { timeoutMs: 15_000 }),
      new RegExp(`127\\.0\\.0\\.1:${address.port}`),
    );
  });
});

describe('tributary dev that cannot start', () => {
  let dev: DevProcess;
  before(async () => {
    dev = await DevProcess.begin();
    await dev.ok(['topic', 'create', 'kept']);
    await dev.ok(['produce', 'kept'], { input: 'kept\n' });
  });
  after(async () => await dev[Symbol.asyncDispose]());

  const tryDev = async (port: number, folder: string, ...more: string[]): Promise<Ended> => {
    const ended = await tributary(['dev', '--port', String(port), '--data-dir', folder, ...more], {
      timeoutMs: 20_000,
    });
    // Its log goes to standard error as well; what it has to say to the user is the last line.
    const last = ended.stderr.trimEnd().split('\n').at(-1) ?? '';
    assert.ok(
      ended.stderr
        .trimEnd()
        .split('\n')
        .every((line) => line === last || line.startsWith('{')),
      ended.stderr,
    );
    return { ...ended, stderr: `${last}\n` };
  };
  const kept = async (): Promise<void> =>
    assert.equal((await dev.ok(['consume', 'kept', '--from-beginning', '--exit-at-end'])).toString(), 'kept\n');

  test('the port is in use: it is named', async () => {
    refused(await tryDev(dev.port, dev.file('other')), new RegExp(`127\\.0\\.0\\.1:${dev.port}: the port is in use`));
    await kept();
  });

  test('the HTTP port is in use: it is named', async () => {
    refused(
      await tryDev(await freePort(), dev.file('third'), '--http-port', String(dev.port)),
      new RegExp(`127\\.0\\.0\\.1:${dev.port}: the port is in use`),
    );
    await kept();
  });

  test('the data directory is in use: it is named, and the first goes on', async () => {
    refused(await tryDev(await freePort(), dev.dataDirectory), /data\/metadata.* is locked by process \d+.*--data-dir/);
    await kept();
  });

  test('the data directory cannot be written: it is named', async () => {
    writeFileSync(dev.file('a-file'), 'mine');
    refused(await tryDev(await freePort(), dev.file('a-file')), /a-file/);
    assert.equal(readFileSync(dev.file('a-file'), 'utf8'), 'mine');
    if (process.getuid?.() === 0) return;
    chmodSync(dev.folder, 0o500);
    refused(await tryDev(await freePort(), dev.file('forbidden')), /forbidden.*permission/);
    chmodSync(dev.folder, 0o700);
  });

  test('the data directory is of a newer format: it is named and left as it is', async () => {
    await dev.stop();
    cpSync(dev.dataDirectory, dev.file('newer'), { recursive: true });
    await dev.start();
    const meta = path.join(dev.file('newer'), 'broker-1', 'meta.json');
    const text = readFileSync(meta, 'utf8').replace(/("formatVersion":\s*)\d+/, '$1999');
    assert.match(text, /999/);
    writeFileSync(meta, text);
    const names = (): string[] =>
      readdirSync(dev.file('newer'), { recursive: true })
        .map(String)
        .toSorted((a, b) => (a < b ? -1 : 1));
    const before = names();
    refused(await tryDev(await freePort(), dev.file('newer')), /newer.*999/);
    assert.equal(readFileSync(meta, 'utf8'), text);
    assert.deepEqual(names(), before);
  });

  test('bytes that rotted on the disk are an error that names the place, not another record', async () => {
    await dev.stop();
    const log = readdirSync(dev.dataDirectory, { recursive: true })
      .map(String)
      .find((name) => name.endsWith('.log'));
    assert.ok(log !== undefined);
    const file = path.join(dev.dataDirectory, log);
    const bytes = readFileSync(file);
    const at = bytes.indexOf('kept');
    bytes[at] = 'K'.charCodeAt(0);
    writeFileSync(file, bytes);
    await dev.start();
    const ended = await dev.run(['consume', 'kept', '--from-beginning', '--exit-at-end'], { timeoutMs: 20_000 });
    refused(ended, /Partition 0 of "kept" .*CRC/);
  });
});

async function shell(
  script: string,
  dev: DevProcess,
  ...more: readonly string[]
): Promise<{ stdout: string; stderr: string }> {
  const child = spawn('bash', ['-c', script, process.execPath, main, ...more], {
    env: { ...process.env, TRIBUTARY_BOOTSTRAP: dev.bootstrap },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  await new Promise((resolve) => child.on('close', resolve));
  return { stdout, stderr };
}
