/** What the disks hold of a partition, as recovery would find it. */
import { baseOffsetOf, batchHeaderBytes, leaderEpochOf, nextOffsetOf, scanBatches } from '@tributary/record';
import type { SimulatedDisk } from '../disk.ts';
import { DATA_DIRECTORY } from '../cluster.ts';

/** `platter`: what a loss of power leaves for sure. `cache`: what processes see. */
export type Depth = 'platter' | 'cache';

export interface FoundBatch {
  readonly baseOffset: bigint;
  readonly leaderEpoch: number;
}

interface Segment {
  readonly base: bigint;
  readonly bytes: Uint8Array;
}

const suffix = '.log';

/** Of a partition's folder, by ascending base. */
function segmentsOf(disk: SimulatedDisk, folder: string, depth: Depth): Segment[] {
  const path = `${DATA_DIRECTORY}/${folder}`;
  const files = depth === 'platter' ? disk.durableFilesIn(path) : disk.cachedFilesIn(path);
  const found: Segment[] = [];
  for (const [name, bytes] of files)
    if (name.endsWith(suffix)) found.push({ base: BigInt(name.slice(0, -suffix.length)), bytes });
  return found.sort((a, b) => (a.base < b.base ? -1 : 1));
}

/** The offset after the last whole batch; undefined: there is no log. */
export function endOn(disk: SimulatedDisk, folder: string, depth: Depth): bigint | undefined {
  const last = segmentsOf(disk, folder, depth).at(-1);
  if (last === undefined) return undefined;
  let end = last.base;
  try {
    for (const { at } of scanBatches(last.bytes)) end = nextOffsetOf(last.bytes, at);
  } catch {
    // What a crash left at the end is no batch.
  }
  return end;
}

/** A batch by what lies behind its header, which is the same wherever it was stamped. */
export function findOn(disk: SimulatedDisk, folder: string, records: Uint8Array, depth: Depth): FoundBatch[] {
  const found: FoundBatch[] = [];
  for (const { bytes } of segmentsOf(disk, folder, depth)) {
    const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = file.indexOf(records); at >= 0; at = file.indexOf(records, at + 1)) {
      const header = at - batchHeaderBytes;
      if (header >= 0)
        found.push({ baseOffset: baseOffsetOf(bytes, header), leaderEpoch: leaderEpochOf(bytes, header) });
    }
  }
  return found;
}

/** All whole batches, by base offset. */
export function batchesOn(disk: SimulatedDisk, folder: string, depth: Depth): Map<bigint, Uint8Array> {
  const found = new Map<bigint, Uint8Array>();
  for (const { bytes } of segmentsOf(disk, folder, depth)) {
    try {
      for (const { at, size } of scanBatches(bytes)) found.set(baseOffsetOf(bytes, at), bytes.subarray(at, at + size));
    } catch {
      // As above.
    }
  }
  return found;
}
