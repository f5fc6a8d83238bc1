import { writeFileSync } from 'node:fs';
import path from 'node:path';

const lines = 2_000;
const letters = 'abcdefghijklmnopqrstuvwxyz0123456789 ';

/** Values of one size, the same ones every time. */
export function payloads(bytes: number): readonly string[] {
  let state = bytes + 1;
  const letter = (): string => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return letters[(state >>> 16) % letters.length] ?? ' ';
  };
  return Array.from({ length: lines }, () => Array.from({ length: bytes }, letter).join(''));
}

/** For tools that read their values from a file, one a line. @returns its path. */
export function payloadFile(folder: string, bytes: number): string {
  const file = path.join(folder, `payload-${bytes}`);
  writeFileSync(file, `${payloads(bytes).join('\n')}\n`);
  return file;
}
