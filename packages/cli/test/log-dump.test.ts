import assert from 'node:assert/strict';
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect } from '@tributary/client';
import { assembleDev } from '../src/dev/assemble.ts';
import { dumpFile } from '../src/log-dump/files.ts';
import { dumpFolder } from '../src/log-dump/folders.ts';
import { type DumpOptions, Report } from '../src/log-dump/report.ts';

interface Dumped {
  readonly text: string;
  readonly problems: number;
}

type Line = Readonly<Record<string, unknown>>;

const plain: DumpOptions = { json: false, details: true, records: false, colour: false, awaitWriter: async () => {} };

async function dumped(target: string, dump: typeof dumpFile, options: Partial<DumpOptions> = {}): Promise<Dumped> {
  let text = '';
  const output = { writeText: (more: string) => void (text += more), full: false, flush: async () => {} };
  const report = new Report({ ...plain, ...options }, output);
  await dump(target, report);
  return { text, problems: report.problems };
}

const file = (target: string, options?: Partial<DumpOptions>) => dumped(target, dumpFile, options);
const folder = (target: string, options?: Partial<DumpOptions>) =>
  dumped(target, dumpFolder, { details: false, ...options });
const linesOf = async (dump: Promise<Dumped>): Promise<readonly Line[]> =>
  (await dump).text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

describe('log dump', () => {
  const root = mkdtempSync(path.join(tmpdir(), 'tributary-dump-'));
  const data = path.join(root, 'data', 'broker-1');
  let partition = '';
  let segments: readonly string[] = [];
  let copies = 0;

  /** A copy that a test may damage. */
  const copy = (): string => {
    const target = path.join(root, `copy-${copies++}`);
    cpSync(partition, target, { recursive: true });
    return target;
  };
  const at = (where: string, name: string | undefined) => path.join(where, name ?? 'absent');
  const damage = (target: string, position: number): void => {
    const bytes = readFileSync(target);
    bytes[position] = (bytes[position] ?? 0) ^ 0xff;
    writeFileSync(target, bytes);
  };

  before(async () => {
    const port = await freePort();
    const quiet = { info: () => {}, warn: () => {}, error: () => {} };
    const host = { bootId: 'boot', crash: (reason: string) => assert.fail(reason) };
    const abort = new AbortController();
    await using dev = await assembleDev(
      { dataDirectory: path.join(root, 'data'), host: '127.0.0.1', port, configs: {} },
      { host, logger: quiet },
      abort.signal,
    );
    await using cluster = await connect({ bootstrap: dev.address });
    await cluster.admin.createTopic({
      name: 't',
      partitions: 1,
      configs: { 'segment.bytes': '16384', 'index.interval.bytes': '1024' },
    });
    const producer = cluster.producer({ batchSize: 0, lingerMs: 0 });
    for (let index = 0; index < 60; index++)
      await producer.send({ topic: 't', key: `k${index}`, value: 'v'.repeat(500), headers: { h: 'x' } });
    await producer.close();
  });
  before(() => {
    const name = readdirSync(data).find((each) => each.endsWith('-0'));
    partition = path.join(data, name ?? '');
    segments = readdirSync(partition)
      .filter((each) => each.endsWith('.log'))
      .sort((a, b) => (a < b ? -1 : 1));
    assert.ok(segments.length >= 2, `several segments, not ${segments.join(' ')}`);
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  test('every file of a sound data directory is shown, and nothing is said against it', async () => {
    const { text, problems } = await folder(path.join(root, 'data'));
    assert.equal(problems, 0, text);
    assert.match(text, /cleanShutdown +true/);
    assert.match(text, /recovery point 60 {2}high watermark 60/);
    assert.match(text, /offset index: \d+ entries/);
    assert.match(text, /time index: \d+ entries/);
    assert.match(text, /as of offset 60: 1 producer,/);
    for (const name of segments) assert.match((await file(at(partition, name))).text, /^position +size +base/);
  });

  test('batches and records are shown with all that they say, for people and for programs', async () => {
    const { text } = await file(at(partition, segments[0]), { records: true });
    assert.match(text, /^0 +\d+ +0 +0 +1 +0 +\d+\/0 +0 +none +20\S+Z +ok$/m);
    assert.match(text, /^ {2}0 {2}20\S+Z {2}key "k0" {2}value "v{500}" {2}headers h="x"$/m);
    const lines = await linesOf(file(at(partition, segments[0]), { json: true, records: true }));
    const [batch, record] = lines;
    assert.deepEqual(
      { what: batch?.['what'], position: batch?.['position'], base: batch?.['baseOffset'], ok: batch?.['crcOk'] },
      { what: 'batch', position: 0, base: 0, ok: true },
    );
    assert.deepEqual(
      [record?.['what'], record?.['key'], record?.['headers']],
      ['record', 'k0', [{ key: 'h', value: 'x' }]],
    );
    assert.equal(lines.at(-1)?.['what'], 'segment');
  });

  test('a changed byte is told with its batch, why, how much is lost, and how much whole data follows', async () => {
    const where = copy();
    const target = at(where, segments[0]);
    const batches = (await linesOf(file(target, { json: true }))).filter((line) => line['what'] === 'batch');
    const hit = batches[4];
    const position = Number(hit?.['position']);
    damage(target, position + 100);
    const { text, problems } = await file(target);
    assert.equal(problems, 1, text);
    assert.match(
      text,
      new RegExp(
        `^CORRUPT ${segments[0] ?? ''} at byte ${position}: .*CRC32C is 0x.*; ${String(hit?.['size'])} bytes are no batch$`,
        'm',
      ),
    );
    assert.match(
      text,
      new RegExp(`behind the last damage follow ${batches.length - 5} whole batches, .* from offset 5$`, 'm'),
    );
    const corrupt = (await linesOf(file(target, { json: true }))).find((line) => line['what'] === 'corrupt');
    assert.equal(corrupt?.['position'], position);
    assert.match(
      (await folder(where)).text,
      /CORRUPT \d+\.index at byte \d+: it leads to byte \d+, where no whole batch is/,
    );
  });

  test('an index entry that leads elsewhere, does not rise, or is cut is told by its byte', async () => {
    const index = (segments[0] ?? '').replace('.log', '.index');
    const time = (segments[0] ?? '').replace('.log', '.timeindex');
    const damaged = async (name: string, change: (bytes: Buffer) => Buffer): Promise<string> => {
      const where = copy();
      writeFileSync(at(where, name), change(readFileSync(at(where, name))));
      const dump = await file(at(where, name));
      assert.ok(dump.problems > 0, dump.text);
      return dump.text;
    };
    const plusOne = (byte: number) => (bytes: Buffer) => {
      bytes.writeUInt32BE(bytes.readUInt32BE(byte) + 1, byte);
      return bytes;
    };
    assert.match(
      await damaged(index, plusOne(12)),
      /CORRUPT \d+\.index at byte 8: it leads into the middle of the batch|no whole batch/,
    );
    assert.match(await damaged(index, plusOne(8)), /at byte 8: it says offset \d+ for the batch at byte/);
    assert.match(await damaged(index, (bytes) => bytes.fill(0, 16, 24)), /at byte 16: entry 2 does not rise/);
    assert.match(
      await damaged(index, (bytes) => bytes.subarray(0, 11)),
      /at byte 8: the last entry is cut: 3 of 8 bytes/,
    );
    assert.match(await damaged(time, plusOne(4)), /timeindex at byte 0: it says that offset \d+ is as new as/);
  });

  test('segments that overlap or leave a gap, and a log shorter than its snapshot, are told', async () => {
    const gap = copy();
    rmSync(at(gap, segments[1]));
    assert.match((await folder(gap)).text, /CORRUPT .*: a gap: offsets \d+ to \d+ are in no segment/);
    const overlap = copy();
    writeFileSync(
      at(overlap, segments[0]),
      Buffer.concat([readFileSync(at(overlap, segments[0])), readFileSync(at(overlap, segments[1]))]),
    );
    assert.match((await folder(overlap)).text, /belongs to the next segment, which begins at/);
    const short = copy();
    for (const name of segments.slice(1)) rmSync(at(short, name));
    assert.match((await folder(short)).text, /snapshot: it is of offset 60, and the log ends at/);
  });

  test('a checkpoint beyond the end of its log is told', async () => {
    const where = path.join(root, 'short-log');
    cpSync(data, where, { recursive: true });
    rmSync(path.join(where, path.basename(partition), segments.at(-1) ?? ''));
    assert.match((await folder(where)).text, /the checkpointed high watermark is 60, and the log ends at/);
  });

  test('a file that grows while it is read is no corrupt file', async () => {
    const where = copy();
    const target = at(where, segments.at(-1));
    const bytes = readFileSync(target);
    writeFileSync(target, bytes.subarray(0, bytes.length - 200));
    let rest = bytes.subarray(bytes.length - 200);
    const { text, problems } = await file(target, {
      awaitWriter: async () => {
        appendFileSync(target, rest);
        rest = Buffer.alloc(0);
      },
    });
    assert.equal(problems, 0, text);
    assert.match(text, /note .*the file is growing/);
    assert.match(text, /to below 60/);
  });

  test('a segment that compaction replaces while it is read is no corrupt segment', async () => {
    const where = copy();
    const target = at(where, segments.at(-1));
    // A torn last segment, which another file replaces while the dump waits for its writer.
    const bytes = readFileSync(target);
    writeFileSync(target, bytes.subarray(0, bytes.length - 200));
    const { text, problems } = await folder(where, {
      awaitWriter: async () => {
        writeFileSync(`${target}.new`, bytes.subarray(0, bytes.length - 200));
        renameSync(`${target}.new`, target);
      },
    });
    assert.match(text, /note .*it was replaced while it was read/);
    // The snapshot of the whole log is beyond the end that is there now.
    assert.equal(problems, 1, text);
  });

  test('what recovery cut away may be damaged, what replaces segments may not, leftovers do not count', async () => {
    const where = copy();
    const base = (segments[0] ?? '').slice(0, 20);
    const swap = at(where, `${base}-${(segments[1] ?? '').slice(0, 20)}.swap`);
    renameSync(at(where, segments[0]), swap);
    assert.equal((await file(swap)).problems, 0);
    const cut = at(where, `${base}.cut`);
    copyFileSync(swap, cut);
    for (const target of [swap, cut]) damage(target, 700);
    assert.equal((await file(swap)).problems, 1);
    assert.equal((await file(cut)).problems, 0);
    assert.match((await file(cut)).text, /^note .*no batch/m);
    renameSync(cut, `${cut}.tmp`);
    assert.match((await file(`${cut}.tmp`)).text, /it does not count/);
  });

  test('files and folders that are not ours are refused by name', async () => {
    const foreign = path.join(root, 'notes.txt');
    writeFileSync(foreign, 'x');
    await assert.rejects(file(foreign), /is no file of a data directory by its name/);
    const empty = path.join(root, 'empty');
    mkdirSync(empty);
    await assert.rejects(folder(empty), /holds no file of a data directory/);
  });

  test('any file cut at any byte is shown or told to be corrupt: no defect, no crash', async () => {
    const where = path.join(root, 'cut');
    mkdirSync(where);
    const small = (bytes: Buffer) => bytes.subarray(0, 1_500);
    const whole = new Map<string, Buffer>([
      ['meta.json', readFileSync(path.join(data, 'meta.json'))],
      ['checkpoints', readFileSync(path.join(data, 'checkpoints'))],
      ...readdirSync(partition).map((name): [string, Buffer] => [name, small(readFileSync(at(partition, name)))]),
    ]);
    for (const [name, bytes] of whole) {
      const step = name.endsWith('.log') ? 61 : 1;
      for (let length = 0; length < bytes.length; length += step) {
        const target = at(where, name);
        writeFileSync(target, bytes.subarray(0, length));
        // Whoever cuts a log file in front of its writer waits to see it grow: here nobody writes.
        const { problems, text } = await file(target, { json: true, records: true });
        // meta.json without its last newline is whole; a log or index cut between two of its entries is shorter.
        const isBoundary = /index$|log$/.test(name) || (name === 'meta.json' && length === bytes.length - 1);
        assert.ok(problems > 0 || isBoundary, `${name} cut to ${length} bytes: ${text}`);
        rmSync(target);
      }
    }
  });

  test('any file with any byte changed is shown or told to be corrupt: no defect, no crash', async () => {
    const where = path.join(root, 'changed');
    mkdirSync(where);
    for (const name of ['meta.json', 'checkpoints', ...readdirSync(partition)]) {
      const source = name === 'meta.json' || name === 'checkpoints' ? path.join(data, name) : at(partition, name);
      const bytes = readFileSync(source).subarray(0, 700);
      for (let position = 0; position < bytes.length; position += 3) {
        const changed = Buffer.from(bytes);
        changed[position] = (changed[position] ?? 0) ^ 0x41;
        const target = at(where, name);
        writeFileSync(target, changed);
        if (!name.endsWith('.log')) await file(target, { json: true });
        rmSync(target);
      }
    }
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return address === null || typeof address === 'string' ? 0 : address.port;
}
