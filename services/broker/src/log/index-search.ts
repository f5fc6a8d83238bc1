// pure
/** Binary search in the two kinds of index, straight in their bytes. Formats are big-endian, like the records. */

/** Offset index: offset delta u32, position u32. Both rise strictly. */
export const offsetEntryBytes = 8;
/** Time index: timestamp i64 (ms), offset delta u32. Timestamps rise strictly, deltas never fall. */
export const timeEntryBytes = 12;

/** Offsets are stored as the distance from the segment's base, in signed 32 bits as Kafka does. */
export const deltaMax = 0x7fff_ffffn;

const two32 = 4_294_967_296;

export const deltaAt = (entries: Buffer, index: number): number => entries.readUInt32BE(index * offsetEntryBytes);
export const positionAt = (entries: Buffer, index: number): number =>
  entries.readUInt32BE(index * offsetEntryBytes + 4);
export const timestampAt = (entries: Buffer, index: number): number =>
  entries.readInt32BE(index * timeEntryBytes) * two32 + entries.readUInt32BE(index * timeEntryBytes + 4);
export const timeDeltaAt = (entries: Buffer, index: number): number => entries.readUInt32BE(index * timeEntryBytes + 8);

export function writeTimestamp(into: Buffer, at: number, timestamp: number): void {
  into.writeInt32BE(Math.floor(timestamp / two32), at);
  into.writeUInt32BE(timestamp - Math.floor(timestamp / two32) * two32, at + 4);
}

/** How many entries, from the first on, have a key ≤ `key`. */
export function countUpTo(
  entries: Buffer,
  keyAt: (entries: Buffer, index: number) => number,
  entryBytes: number,
  key: number,
): number {
  let low = 0;
  let high = Math.floor(entries.length / entryBytes);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keyAt(entries, middle) <= key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many entries, from the first on, can be believed: keys that do not rise are bytes that never reached the disk. */
export function countSound(entries: Buffer, entryBytes: number): number {
  const count = Math.floor(entries.length / entryBytes);
  for (let index = 0; index < count; index++) {
    if (entryBytes === offsetEntryBytes ? !soundOffset(entries, index) : !soundTime(entries, index)) return index;
  }
  return count;
}

function soundOffset(entries: Buffer, index: number): boolean {
  if (index === 0) return positionAt(entries, 0) > 0 && deltaAt(entries, 0) > 0;
  return (
    deltaAt(entries, index) > deltaAt(entries, index - 1) && positionAt(entries, index) > positionAt(entries, index - 1)
  );
}

function soundTime(entries: Buffer, index: number): boolean {
  if (index === 0) return timestampAt(entries, 0) >= 0;
  return (
    timestampAt(entries, index) > timestampAt(entries, index - 1) &&
    timeDeltaAt(entries, index) >= timeDeltaAt(entries, index - 1)
  );
}
