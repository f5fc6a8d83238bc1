/**
 * Standard output for much data: collected into large writes, of which one is under way at a time. Whoever writes faster than the reader reads
 * waits in `drained`, while the event loop, and with it the connection to the broker, goes on.
 */
import { write } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { OutputClosedError } from './failure.ts';

/** Written at once: large enough that a system call is cheap. */
const chunkBytes = 256 * 1024;
/** A pipe that another process has made non-blocking is tried again after this, ms. */
const againMs = 5;

export class StandardOutput {
  #chunk: Buffer = Buffer.allocUnsafeSlow(chunkBytes);
  #spare: Buffer | undefined = Buffer.allocUnsafeSlow(chunkBytes);
  #used = 0;
  readonly #full: Buffer[] = [];
  #writing: Promise<void> | undefined;
  #failure: Error | undefined;

  /** Copies the bytes. Ask `full` afterwards. */
  write(bytes: Uint8Array): void {
    if (bytes.length > this.#chunk.length - this.#used) {
      this.#seal();
      if (bytes.length > chunkBytes) {
        this.#full.push(Buffer.from(bytes));
        return;
      }
    }
    this.#chunk.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  writeText(text: string): void {
    // A UTF-16 unit takes three bytes of UTF-8 at most.
    if (text.length * 3 > this.#chunk.length - this.#used) {
      this.#seal();
      if (text.length * 3 > chunkBytes) {
        this.#full.push(Buffer.from(text));
        return;
      }
    }
    this.#used += this.#chunk.write(text, this.#used);
  }

  /** Something waits to be written that `flush` should be awaited for before more comes. */
  get full(): boolean {
    return this.#full.length > 0;
  }

  /** Resolves when all is written. @throws OutputClosedError when nobody reads any more. */
  async flush(): Promise<void> {
    this.#seal();
    while (this.#full.length > 0) {
      this.#writing ??= this.#writeAll();
      await this.#writing;
    }
    await this.#writing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Writes what there is while the caller goes on; its failure is thrown by the next `flush`. */
  push(): void {
    this.#seal();
    if (this.#full.length === 0) return;
    this.#writing ??= this.#writeAll();
  }

  /** Nobody reads any more, or the disk is full. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  #seal(): void {
    if (this.#used === 0) return;
    this.#full.push(this.#chunk.subarray(0, this.#used));
    this.#chunk = this.#spare ?? Buffer.allocUnsafeSlow(chunkBytes);
    this.#spare = undefined;
    this.#used = 0;
  }

  async #writeAll(): Promise<void> {
    try {
      for (let next = this.#full.shift(); next !== undefined; next = this.#full.shift()) {
        await writeFully(next);
        if (next.buffer.byteLength === chunkBytes) this.#spare = Buffer.from(next.buffer);
      }
    } catch (thrown) {
      this.#failure ??= thrown instanceof Error ? thrown : new Error(String(thrown));
      this.#full.length = 0;
    } finally {
      this.#writing = undefined;
    }
  }
}

async function writeFully(bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const result = await writeOnce(bytes, done);
    if (result === 'again') await sleep(againMs);
    else done += result;
  }
}

function writeOnce(bytes: Buffer, from: number): Promise<number | 'again'> {
  return new Promise((resolve, reject) => {
    write(1, bytes, from, bytes.length - from, null, (error, written) => {
      if (error === null) resolve(written);
      else if (error.code === 'EAGAIN') resolve('again');
      else if (error.code === 'EPIPE') reject(new OutputClosedError());
      else reject(new Error(`Standard output cannot be written (${error.code ?? error.message}).`, { cause: error }));
    });
  });
}

/** A few lines at once. @throws OutputClosedError. */
export async function print(text: string): Promise<void> {
  const output = new StandardOutput();
  output.writeText(text.endsWith('\n') ? text : `${text}\n`);
  await output.flush();
}
