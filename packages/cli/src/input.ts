/** Where `produce` reads from: a file, or standard input. */
import { fstatSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';

/** Read at once: large enough that a read is cheap beside what is done with the bytes. */
const readBytes = 512 * 1024;

export interface Input {
  readonly stream: Readable;
  /** Bytes in all; undefined when nobody knows before the end. */
  readonly size: number | undefined;
  /** For sentences. */
  readonly name: string;
}

/** @throws Error saying which file cannot be read, and why. */
export async function openInput(file: string | undefined): Promise<Input> {
  if (file === undefined) {
    const status = fstatSync(0);
    return { stream: process.stdin, size: status.isFile() ? status.size : undefined, name: 'standard input' };
  }
  try {
    const handle = await open(file, 'r');
    const status = await handle.stat();
    if (status.isDirectory()) {
      await handle.close();
      throw new Error(`"${file}" is a folder: give a file with --file.`);
    }
    return {
      stream: handle.createReadStream({ highWaterMark: readBytes }),
      size: status.isFile() ? status.size : undefined,
      name: `"${file}"`,
    };
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') throw new Error(`There is no file "${file}".`, { cause: thrown });
    if (code === 'EACCES' || code === 'EPERM')
      throw new Error(`File "${file}" may not be read by this user.`, { cause: thrown });
    if (code !== undefined) throw new Error(`File "${file}" cannot be read (${code}).`, { cause: thrown });
    throw thrown;
  }
}
