// Text that people and programs wrote, as it lies on any machine: licences, package lists, the tree's own history and sources. Where one of
// them is missing the others make up for it.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.dirname(path.dirname(import.meta.dirname));

/** What stands between key and value in the lines: no text contains it. */
export const separator = '\x1f';

/**
 * Lines `KEY␟TEXT` of at least so many bytes. The key is the first word of the line, so a few keys are very common and many are rare; the empty
 * key exists too. Where the machine has less, it is repeated.
 */
export function keyedLines(bytesMin: number): Buffer {
  const text = realText();
  const lines: Buffer[] = [];
  let bytes = 0;
  while (bytes < bytesMin) {
    for (let start = 0; start < text.length; ) {
      const newline = text.indexOf(10, start);
      const end = newline < 0 ? text.length : newline;
      const line = text.subarray(start, end);
      start = end + 1;
      const keyed = Buffer.concat([keyOf(line), Buffer.from(separator), line, Buffer.from('\n')]);
      lines.push(keyed);
      bytes += keyed.length;
      if (bytes >= bytesMin) break;
    }
  }
  return Buffer.concat(lines);
}

function keyOf(line: Buffer): Buffer {
  const word = /^\s*(\S{0,16})/.exec(line.subarray(0, 64).toString('latin1'))?.[1] ?? '';
  return Buffer.from(word, 'latin1');
}

function realText(): Buffer {
  const parts = [
    ...filesOf('/usr/share/common-licenses'),
    ...maybe(() => readFileSync('/var/lib/dpkg/status')),
    ...maybe(() => spawnSync('git', ['log', '-p', '--no-color'], { cwd: root, maxBuffer: 256 * 1024 * 1024 }).stdout),
    readFileSync(path.join(root, 'package-lock.json')),
    ...filesOf(path.join(root, 'node_modules', 'typescript', 'lib')),
  ];
  const text = Buffer.concat(parts);
  return Buffer.from(text.toString('latin1').replaceAll(separator, ' '), 'latin1');
}

function filesOf(folder: string): Buffer[] {
  const entries = maybe(() => readdirSync(folder, { withFileTypes: true })).flat();
  return entries.filter((entry) => entry.isFile()).map((entry) => readFileSync(path.join(folder, entry.name)));
}

function maybe<T>(read: () => T): T[] {
  try {
    const value = read();
    return value === null || value === undefined ? [] : [value];
  } catch {
    return [];
  }
}
