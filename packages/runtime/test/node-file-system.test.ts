import assert from 'node:assert/strict';
import fs from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { limits } from '@tributary/model';
import { FileError } from '@tributary/ports';
import { fileError } from '../src/file-system/file-error.ts';
import { nodeFileSystem } from '../src/index.ts';
import { Program } from './programs.ts';

async function inFolder(story: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'tributary-files-'));
  try {
    await story(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const hasReason = (reason: string, part: string) => (thrown: unknown) => {
  assert.ok(thrown instanceof FileError, String(thrown));
  assert.equal(thrown.reason, reason);
  assert.ok(thrown.message.includes(part), thrown.message);
  return true;
};

describe('the lock of a folder', () => {
  it('keeps other processes out, and names the one that holds it', () =>
    inFolder(async (folder) => {
      await using holder = new Program('hold-lock', `${folder}/lock`);
      assert.equal(await holder.line(), 'locked');
      const part = process.platform === 'linux' ? `process ${holder.process.pid}` : 'another process';
      await assert.rejects(nodeFileSystem.lock(`${folder}/lock`), hasReason('locked', part));
      await using second = new Program('hold-lock', `${folder}/lock`);
      assert.match((await second.line()) ?? '', /is locked by/);
    }));

  it('is free as soon as its process was killed, with nothing to clean up', () =>
    inFolder(async (folder) => {
      for (let round = 0; round < 3; round++) {
        await using holder = new Program('hold-lock', `${folder}/lock`);
        assert.equal(await holder.line(), 'locked');
        holder.process.kill('SIGKILL');
        await holder.ended();
      }
      await using _ = await nodeFileSystem.lock(`${folder}/lock`);
    }));

  it('is won by exactly one of many processes that ask at once', () =>
    inFolder(async (folder) => {
      await using stack = new AsyncDisposableStack();
      const racers = Array.from({ length: 8 }, () => stack.use(new Program('hold-lock', `${folder}/lock`)));
      const said = await Promise.all(racers.map((racer) => racer.line()));
      assert.equal(said.filter((line) => line === 'locked').length, 1, said.join('\n'));
    }));

  it('survives an attempt by the same process that holds it', () =>
    inFolder(async (folder) => {
      await using _ = await nodeFileSystem.lock(`${folder}/lock`);
      await assert.rejects(nodeFileSystem.lock(`${folder}/lock`), hasReason('locked', 'this process'));
      await using other = new Program('hold-lock', `${folder}/lock`);
      assert.match((await other.line()) ?? '', /is locked by/);
    }));

  it('leaves an empty file, whatever happens', () =>
    inFolder(async (folder) => {
      await using _ = await nodeFileSystem.lock(`${folder}/lock`);
      assert.deepEqual(await nodeFileSystem.list(folder), ['lock']);
      assert.equal((await readFile(`${folder}/lock`)).length, 0);
    }));
});

describe('an append', () => {
  it('to a full disk fails as such, small and large, and leaves a file that says how long it is', {
    skip: !fs.existsSync('/dev/full'),
  }, async () => {
    const file = await nodeFileSystem.open('/dev/full', 'append');
    for (const bytes of [1, limits.synchronousIo + 1]) {
      await assert.rejects(file.append([Buffer.alloc(bytes)]), hasReason('full', '/dev/full'));
      assert.equal(file.size, 0);
    }
    await file.close();
  });

  it('gives every byte once and in order, however it is cut into chunks', () =>
    inFolder(async (folder) => {
      const file = await nodeFileSystem.open(`${folder}/log`, 'append');
      const expected: Buffer[] = [];
      let next = 0;
      for (const [chunks, bytes] of [
        [1, 10],
        [limits.buffersPerWrite + 1, 3],
        [3, limits.synchronousIo],
        [2 * limits.buffersPerWrite, 300],
        [1, limits.synchronousIo],
        [1, limits.synchronousIo + 1],
      ] as const) {
        const appended = Array.from({ length: chunks }, () => Buffer.alloc(bytes, next++ & 0xff));
        await file.append(appended);
        expected.push(...appended);
        assert.equal(
          file.size,
          expected.reduce((sum, chunk) => sum + chunk.length, 0),
        );
      }
      await file.sync();
      await file.close();
      assert.ok((await readFile(`${folder}/log`)).equals(Buffer.concat(expected)));
    }));
});

describe('a read', () => {
  it('gives the same bytes near the end, where it does not wait, and far from it, where it may', () =>
    inFolder(async (folder) => {
      const chunk = Buffer.alloc(1024 * 1024);
      const file = await nodeFileSystem.open(`${folder}/log`, 'append');
      const chunks = limits.readCached / chunk.length + 3;
      for (let i = 0; i < chunks; i++) await file.append([chunk.fill(i)]);
      for (let i = 0; i < chunks; i++) {
        const into = Buffer.alloc(1000);
        assert.equal(await file.read(into, (i + 1) * chunk.length - 500), i === chunks - 1 ? 500 : 1000);
        assert.equal(into[0], i);
        if (i < chunks - 1) assert.equal(into[999], i + 1);
      }
      await file.close();
    }));
});

describe('an error of the disk', () => {
  it('says what was not possible, with which file, and why', () =>
    inFolder(async (folder) => {
      await writeFile(`${folder}/file`, '');
      await assert.rejects(
        nodeFileSystem.open(`${folder}/file/below`, 'append'),
        hasReason('absent', `Cannot open ${folder}/file/below`),
      );
      await assert.rejects(nodeFileSystem.open(folder, 'append'), hasReason('io', 'EISDIR'));
      await assert.rejects(nodeFileSystem.makeDirectory(`${folder}/file/below`), hasReason('absent', 'create folder'));
      await assert.rejects(nodeFileSystem.freeBytes(`${folder}/nowhere`), hasReason('absent', 'nowhere'));
    }));

  for (const [code, reason] of [
    ['ENOSPC', 'full'],
    ['EDQUOT', 'full'],
    ['EACCES', 'not-writable'],
    ['EROFS', 'not-writable'],
    ['EPERM', 'not-writable'],
    ['ENOENT', 'absent'],
    ['EIO', 'io'],
  ] as const) {
    it(`${code} means ${reason}`, () => {
      const failure = fileError('write to', '/data/log', Object.assign(new Error('as the system says it'), { code }));
      assert.equal(failure.reason, reason);
      assert.match(failure.message, new RegExp(`^Cannot write to /data/log: .* \\(${code}\\)\\.$`));
    });
  }
});

it('a folder that cannot be made is an error that names it, also where parents appear to exist and do not', async () => {
  await assert.rejects(nodeFileSystem.makeDirectory('/proc/nothing/here'), /\/proc\/nothing\/here/);
  await assert.rejects(nodeFileSystem.makeDirectory('/dev/null/here'), /\/dev\/null\/here/);
});
