/** What every FileSystem keeps, the machine's and the simulated one. An adapter says how to run a story in an empty folder. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type File, FileError, type FileErrorReason, type FileSystem } from '@tributary/ports';

export type RunFileStory = (story: (files: FileSystem, folder: string) => Promise<void>) => Promise<void>;

export function fileSystemContract(name: string, run: RunFileStory): void {
  describe(`${name} as a FileSystem`, () => {
    describe('a file', () => oneFile(run));
    describe('names', () => names(run));
    describe('a lock', () => locks(run));
  });
}

function oneFile(run: RunFileStory): void {
  it('is created by opening it for appending, empty', () =>
    run(async (files, folder) => {
      const file = await files.open(`${folder}/new`, 'append');
      assert.equal(file.size, 0);
      await file.close();
      assert.deepEqual(await files.list(folder), ['new']);
    }));

  it('that is not there cannot be read, which the error says', () =>
    run(async (files, folder) => {
      await refused(files.open(`${folder}/nothing`, 'read'), 'absent', 'nothing');
      await refused(files.open(`${folder}/no-folder/file`, 'append'), 'absent', 'no-folder');
      assert.deepEqual(await files.list(folder), []);
    }));

  it('gives back what was appended, from any position, as far as it reaches', () =>
    run(async (files, folder) => {
      const file = await files.open(`${folder}/log`, 'append');
      await file.append([Buffer.from('abc'), Buffer.from(''), Buffer.from('defg')]);
      await file.append([]);
      await file.append([Buffer.from('hi')]);
      assert.equal(file.size, 9);
      assert.equal(await text(file, 0, 9), 'abcdefghi');
      assert.equal(await text(file, 2, 3), 'cde');
      assert.equal(await text(file, 7, 10), 'hi');
      assert.equal(await text(file, 9, 1), '');
      assert.equal(await text(file, 100, 5), '');
      await file.close();
    }));

  it('leaves the rest of the buffer alone when it ends early', () =>
    run(async (files, folder) => {
      const file = await files.open(`${folder}/log`, 'append');
      await file.append([Buffer.from('xy')]);
      const into = Buffer.from('......');
      assert.equal(await file.read(into.subarray(1, 5), 0), 2);
      assert.equal(into.toString(), '.xy...');
      await file.close();
    }));

  it('takes any number of chunks, and chunks of any size, in one append', () =>
    run(async (files, folder) => {
      const file = await files.open(`${folder}/log`, 'append');
      const many = Array.from({ length: 3_000 }, (_, i) => Buffer.from([i & 0xff, (i >> 8) & 0xff]));
      const large = [Buffer.alloc(1_000_000, 1), Buffer.alloc(700_001, 2)];
      await file.append(many);
      await file.append(large);
      const expected = Buffer.concat([...many, ...large]);
      assert.equal(file.size, expected.length);
      const back = Buffer.alloc(expected.length);
      assert.equal(await file.read(back, 0), expected.length);
      assert.ok(back.equals(expected));
      await file.close();
    }));

  it('keeps what was appended when it is opened again, and goes on from there', () =>
    run(async (files, folder) => {
      const first = await files.open(`${folder}/log`, 'append');
      await first.append([Buffer.from('one ')]);
      await first.sync();
      await first.close();
      const second = await files.open(`${folder}/log`, 'append');
      assert.equal(second.size, 4);
      await second.append([Buffer.from('two')]);
      await second.close();
      const reader = await files.open(`${folder}/log`, 'read');
      assert.equal(reader.size, 7);
      assert.equal(await text(reader, 0, 7), 'one two');
      await reader.close();
    }));

  it('is cut by truncate, and appends go on at the cut', () =>
    run(async (files, folder) => {
      const file = await files.open(`${folder}/log`, 'append');
      await file.append([Buffer.from('kept, cut off')]);
      await file.truncate(4);
      assert.equal(file.size, 4);
      assert.equal(await text(file, 0, 20), 'kept');
      await file.append([Buffer.from('!')]);
      await file.sync();
      assert.equal(await text(file, 0, 20), 'kept!');
      await file.truncate(0);
      assert.equal(await text(file, 0, 20), '');
      await file.close();
    }));

  it('opened for reading takes no appends', () =>
    run(async (files, folder) => {
      const file = await files.open(`${folder}/log`, 'append');
      await file.append([Buffer.from('as it was')]);
      await file.close();
      const reader = await files.open(`${folder}/log`, 'read');
      await assert.rejects(async () => reader.append([Buffer.from('!')]));
      assert.equal(await text(reader, 0, 20), 'as it was');
      await reader.close();
    }));

  it('shows other openings of it what was appended', () =>
    run(async (files, folder) => {
      const writer = await files.open(`${folder}/log`, 'append');
      await writer.append([Buffer.from('early ')]);
      const reader = await files.open(`${folder}/log`, 'read');
      await writer.append([Buffer.from('late')]);
      assert.equal(await text(reader, 0, 20), 'early late');
      await writer.close();
      await reader.close();
    }));
}

function names(run: RunFileStory): void {
  it('in a folder are listed sorted, those of folders too; there are none where there is no folder', () =>
    run(async (files, folder) => {
      for (const name of ['b', 'a', 'c-1', 'B']) await create(files, `${folder}/${name}`);
      await files.makeDirectory(`${folder}/aa`);
      assert.deepEqual(await files.list(folder), ['B', 'a', 'aa', 'b', 'c-1']);
      assert.deepEqual(await files.list(`${folder}/nowhere`), []);
    }));

  it('of folders are made with those above them, and may be there already', () =>
    run(async (files, folder) => {
      await files.makeDirectory(`${folder}/x/y/z`);
      await files.makeDirectory(`${folder}/x/y/z`);
      await create(files, `${folder}/x/y/z/file`);
      assert.deepEqual(await files.list(`${folder}/x/y/z`), ['file']);
    }));

  it('change by rename, which replaces what had the new one', () =>
    run(async (files, folder) => {
      await create(files, `${folder}/new`, 'new');
      await create(files, `${folder}/old`, 'old');
      await files.rename(`${folder}/new`, `${folder}/old`);
      await files.syncDirectory(folder);
      assert.deepEqual(await files.list(folder), ['old']);
      assert.equal(await content(files, `${folder}/old`), 'new');
    }));

  it('change by rename for a whole folder', () =>
    run(async (files, folder) => {
      await files.makeDirectory(`${folder}/from`);
      await create(files, `${folder}/from/file`, 'inside');
      await files.rename(`${folder}/from`, `${folder}/to`);
      assert.deepEqual(await files.list(folder), ['to']);
      assert.equal(await content(files, `${folder}/to/file`), 'inside');
    }));

  it('that are absent cannot be renamed', () =>
    run(async (files, folder) => {
      await refused(files.rename(`${folder}/nothing`, `${folder}/something`), 'absent', 'nothing');
    }));

  it('go by remove, a folder with all in it; what is absent may stay so', () =>
    run(async (files, folder) => {
      await files.makeDirectory(`${folder}/deep/er`);
      await create(files, `${folder}/deep/er/file`);
      await create(files, `${folder}/single`);
      await files.remove(`${folder}/single`);
      await files.remove(`${folder}/deep`);
      await files.remove(`${folder}/nothing`);
      assert.deepEqual(await files.list(folder), []);
    }));

  it('may go while the file is open: it stays readable until it is closed', () =>
    run(async (files, folder) => {
      const file = await files.open(`${folder}/log`, 'append');
      await file.append([Buffer.from('still here')]);
      await files.remove(`${folder}/log`);
      assert.equal(await text(file, 0, 20), 'still here');
      await file.close();
    }));

  it('of a folder that is absent cannot be synced', () =>
    run(async (files, folder) => {
      await refused(files.syncDirectory(`${folder}/nowhere`), 'absent', 'nowhere');
    }));

  it('share a disk that says how much is free, and of how much', () =>
    run(async (files, folder) => {
      const free = await files.freeBytes(folder);
      const total = await files.totalBytes(folder);
      assert.ok(free > 0);
      assert.ok(total >= free, `${free} of ${total}`);
    }));
}

function locks(run: RunFileStory): void {
  it('is held by one at a time, and says so to the other', () =>
    run(async (files, folder) => {
      const held = await files.lock(`${folder}/lock`);
      await refused(files.lock(`${folder}/lock`), 'locked', 'lock');
      // Asking in vain must not weaken it.
      await refused(files.lock(`${folder}/lock`), 'locked', 'lock');
      await held[Symbol.asyncDispose]();
      await using _ = await files.lock(`${folder}/lock`);
    }));

  it('released twice does not release the next holder', () =>
    run(async (files, folder) => {
      const first = await files.lock(`${folder}/lock`);
      await first[Symbol.asyncDispose]();
      await using _ = await files.lock(`${folder}/lock`);
      await first[Symbol.asyncDispose]();
      await refused(files.lock(`${folder}/lock`), 'locked', 'lock');
    }));

  it('on one file says nothing about another', () =>
    run(async (files, folder) => {
      await using _ = await files.lock(`${folder}/one`);
      await using __ = await files.lock(`${folder}/two`);
    }));

  it('needs its folder', () =>
    run(async (files, folder) => {
      await refused(files.lock(`${folder}/nowhere/lock`), 'absent', 'nowhere');
    }));
}

async function create(files: FileSystem, path: string, initial = ''): Promise<void> {
  const file = await files.open(path, 'append');
  await file.append([Buffer.from(initial)]);
  await file.close();
}

async function content(files: FileSystem, path: string): Promise<string> {
  const file = await files.open(path, 'read');
  const all = await text(file, 0, file.size);
  await file.close();
  return all;
}

async function text(file: File, position: number, length: number): Promise<string> {
  const into = Buffer.alloc(length);
  return into.subarray(0, await file.read(into, position)).toString();
}

/** @param names part of the path that the sentence must name. */
async function refused(attempt: Promise<unknown>, reason: FileErrorReason, part: string): Promise<void> {
  await assert.rejects(attempt, (thrown) => {
    assert.ok(thrown instanceof FileError, String(thrown));
    assert.equal(thrown.reason, reason, thrown.message);
    assert.ok(thrown.message.includes(part), thrown.message);
    return true;
  });
}
