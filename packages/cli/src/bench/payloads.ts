/** What `bench produce` sends. */
import { randomFillSync, randomInt } from 'node:crypto';
import { openInput } from '../input.ts';
import { readLines } from '../lines.ts';

/** So many different values, whose bytes are as hard to compress as Kafka's tool makes them: letters A to Z. */
const variety = 64;
const letters = 26;
const firstLetter = 65;
/** A payload file is kept in memory, and no larger than this, bytes. */
const payloadFileMost = 256 * 1024 * 1024;

export function randomPayloads(size: number): readonly Uint8Array[] {
  return Array.from({ length: variety }, () => {
    const bytes = randomFillSync(Buffer.alloc(size));
    for (let index = 0; index < size; index++) bytes[index] = firstLetter + ((bytes[index] ?? 0) % letters);
    return bytes;
  });
}

/** Lines of the file, shuffled. @throws Error when there are none. */
export async function filePayloads(file: string): Promise<readonly Uint8Array[]> {
  const input = await openInput(file);
  if ((input.size ?? 0) > payloadFileMost)
    throw new Error(`File "${file}" has ${input.size} bytes, at most ${payloadFileMost} are taken as payloads.`);
  const lines: Uint8Array[] = [];
  await readLines(input.stream, payloadFileMost, {
    line: (bytes) => {
      lines.push(Buffer.from(bytes));
      return undefined;
    },
    tooLong: (number) => {
      throw new Error(`Line ${number} of "${file}" is too long.`);
    },
  });
  if (lines.length === 0) throw new Error(`File "${file}" has no lines.`);
  for (let last = lines.length - 1; last > 0; last--) {
    const other = randomInt(last + 1);
    [lines[last], lines[other]] = [lines[other] ?? Buffer.alloc(0), lines[last] ?? Buffer.alloc(0)];
  }
  return lines;
}
