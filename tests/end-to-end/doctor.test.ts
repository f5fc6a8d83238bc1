// `tributary doctor`: names the hop that fails, and what to do.

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttp2, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer as createTcp, type Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { DevProcess, freePort, tributary } from './dev-process.ts';

interface Check {
  readonly group: string;
  readonly check: string;
  readonly outcome: string;
  readonly detail: string;
  readonly advice: string;
}

interface Diagnosis {
  readonly code: number | null;
  readonly stderr: string;
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

async function diagnose(...args: readonly string[]): Promise<Diagnosis> {
  const { code, stdout, stderr } = await tributary(['doctor', '--output', 'json', '--timeout', '3000', ...args]);
  const { ok, checks } = JSON.parse(stdout.toString()) as Pick<Diagnosis, 'ok' | 'checks'>;
  assert.equal(code, ok ? 0 : 1);
  assert.doesNotMatch(stderr, /^\s+at /m);
  return { code, stderr, ok, checks };
}

/** The one check that failed, on the way from the address on; all after it are skipped. */
function failedHop({ checks }: Diagnosis): Check {
  const way = checks.filter(({ group }) => group !== 'installed');
  const failed = way.filter(({ outcome }) => outcome === 'failed');
  const [first] = failed;
  assert.equal(failed.length, 1, JSON.stringify(way));
  assert.ok(first !== undefined);
  for (const later of way.slice(way.indexOf(first) + 1)) assert.equal(later.outcome, 'skipped', JSON.stringify(later));
  assert.notEqual(first.advice, '', 'it says what to do');
  return first;
}

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('doctor', () => {
  let dev: DevProcess;
  before(async () => {
    dev = await DevProcess.begin();
    await dev.ok(['topic', 'create', 'events']);
  });
  after(async () => await dev[Symbol.asyncDispose]());

  const ends = async (): Promise<string> =>
    (await dev.ok(['consume', 'events', '--from-beginning', '--exit-at-end'])).toString();

  test('where all is well every check says so, and nothing is changed that was not asked for', async () => {
    const files = () => readdirSync(dev.dataDirectory, { recursive: true, encoding: 'utf8' }).toSorted();
    const before = files();
    const args = ['--bootstrap', dev.bootstrap, '--data-dir', dev.dataDirectory, '--topic', 'events'];
    const { ok, checks, stderr } = await diagnose(...args);
    assert.ok(ok, JSON.stringify(checks));
    assert.equal(stderr, '');
    const names = checks.map(({ check }) => check);
    for (const name of [
      'node',
      'crc32c',
      'zstd',
      'name',
      'TCP',
      'HTTP/2',
      'gRPC health',
      'metadata',
      'fetch',
      'lock',
      'sync',
    ])
      assert.ok(names.includes(name), `${name} is checked`);
    assert.match(checks.find(({ check }) => check === 'lock')?.detail ?? '', /in use by process \d+|nobody/);
    assert.equal(await ends(), '');
    assert.deepEqual(files(), before);
  });

  test('the address that a broker advertises is walked, too, where it is another', async () => {
    const { checks } = await diagnose('--bootstrap', `localhost:${dev.port}`);
    const advertised = checks.filter(({ group }) => group === `reachable broker 1 at ${dev.bootstrap}`);
    assert.deepEqual(
      advertised.map(({ check, outcome }) => `${check} ${outcome}`),
      ['address ok', 'name ok', 'TCP ok', 'HTTP/2 ok', 'gRPC health ok'],
    );
  });

  test('with --write a record is appended and acknowledged', async () => {
    const { checks } = await diagnose('--bootstrap', dev.bootstrap, '--topic', 'events', '--write');
    assert.match(checks.at(-1)?.detail ?? '', /acknowledged .* offset 0/);
    assert.equal(await ends(), 'written by tributary doctor\n');
  });

  test('a topic that is absent is named', async () => {
    const failed = failedHop(await diagnose('--bootstrap', dev.bootstrap, '--topic', 'none'));
    assert.equal(failed.check, 'topic none');
  });

  test('an address that is none, a name that nobody knows, and a port on which nobody listens are told apart', async () => {
    assert.equal(failedHop(await diagnose('--bootstrap', 'nonsense')).check, 'address');
    assert.equal(failedHop(await diagnose('--bootstrap', 'no-such-name.invalid:9095')).check, 'name');
    const closed = failedHop(await diagnose('--bootstrap', `127.0.0.1:${await freePort()}`));
    assert.deepEqual([closed.check, closed.detail], ['TCP', 'connection refused']);
  });

  test('what listens but does not speak HTTP/2, says nothing, is no gRPC, or is not well is named by its hop', async () => {
    const http1 = createHttp((_request, response) => response.end('hello'));
    const silent = createTcp(() => undefined);
    const web = createHttp2((_request, response) => response.end('hello'));
    const unwell = createHttp2();
    unwell.on('stream', (stream: ServerHttp2Stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 0x08, 2]));
    });
    const expected: readonly (readonly [Server, string, RegExp])[] = [
      [http1, 'HTTP/2', /does not speak HTTP\/2|closed before/],
      [silent, 'HTTP/2', /no HTTP\/2 settings within 3000 ms/],
      [web, 'gRPC health', /without a gRPC status/],
      [unwell, 'gRPC health', /NOT_SERVING/],
    ];
    for (const [server, check, detail] of expected) {
      const failed = failedHop(await diagnose('--bootstrap', await listening(server)));
      assert.equal(failed.check, check, JSON.stringify(failed));
      assert.match(failed.detail, detail);
      server.close();
    }
    silent.unref();
  });

  test('a data directory that is absent, a file, or not to be written is named by its check', async () => {
    const diagnoseFolder = async (folder: string) => failedHop(await diagnose('--offline', '--data-dir', folder));
    assert.match((await diagnoseFolder(dev.file('none'))).detail, /there is no such folder/);
    writeFileSync(dev.file('file'), '');
    assert.match((await diagnoseFolder(dev.file('file'))).detail, /it is a file/);
    mkdirSync(dev.file('closed'));
    chmodSync(dev.file('closed'), 0o500);
    if (process.getuid?.() !== 0) assert.equal((await diagnoseFolder(dev.file('closed'))).check, 'permission');
  });

  test('for people it is a list with one line an advice, and the first failure on standard error', async () => {
    const { code, stdout, stderr } = await tributary(['doctor', '--bootstrap', '127.0.0.1:1']);
    assert.equal(code, 1);
    assert.match(stdout.toString(), /^ {2}FAILED {3}TCP {10}connection refused\n +→ /m);
    assert.match(
      stderr,
      /^tributary: 1 check failed; the first: reachable 127\.0\.0\.1:1: TCP: connection refused\.\n$/,
    );
    assert.match((await tributary(['doctor', '--write'])).stderr, /--write needs --topic/);
  });
});
