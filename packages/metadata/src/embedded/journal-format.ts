import { TributaryError } from '@tributary/model';
import { crc32c } from '@tributary/record';
import { type Effects, type Item, KeySpace } from './key-space.ts';

/**
 * The journal's bytes. A file is a row of frames: length and CRC32C of the text (4 bytes each, big-endian), then the text, JSON. The first
 * frame is a snapshot of all keys; each further one holds the revisions that were written and synced together, so that at most the last
 * frame can be torn.
 */
const formatVersion = 1;

const headerBytes = 8;
/** `{}`: anything shorter is no frame, which makes a run of zeros none. */
const textBytesMin = 2;

type PutText = readonly [key: string, value: string, leaseId: string | null];
type ItemText = readonly [key: string, value: string, created: number, modified: number, leaseId: string | null];
interface RevisionsText {
  readonly revisions: readonly {
    readonly revision: number;
    readonly puts: readonly PutText[];
    readonly deletes: readonly string[];
  }[];
}
interface SnapshotText {
  readonly format: number;
  readonly revision: number;
  readonly items: readonly ItemText[];
}

export function encodeSnapshot(keys: KeySpace): Uint8Array {
  const items = [...keys.items()].map((item): ItemText => {
    return [item.key, item.value, Number(item.createRevision), Number(item.modRevision), item.leaseId ?? null];
  });
  return frame({ format: formatVersion, revision: Number(keys.revision), items } satisfies SnapshotText);
}

export function encodeRevisions(effects: readonly Effects[]): Uint8Array {
  const revisions = effects.map(({ revision, puts, deletes }) => ({
    revision: Number(revision),
    puts: puts.map((item): PutText => [item.key, item.value, item.leaseId ?? null]),
    deletes,
  }));
  return frame({ revisions } satisfies RevisionsText);
}

function frame(content: SnapshotText | RevisionsText): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(content));
  const bytes = new Uint8Array(headerBytes + text.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, text.length);
  view.setUint32(4, crc32c(text));
  bytes.set(text, headerBytes);
  return bytes;
}

/**
 * All keys as the journal leaves them. A torn tail is left out: its writing was never acknowledged.
 * @throws TributaryError CORRUPT_MESSAGE naming file and position for anything else that does not fit, UNSUPPORTED_VERSION for a newer format.
 */
export function decodeJournal(bytes: Uint8Array, file: string): KeySpace {
  const first = frameAt(bytes, 0);
  if (first === undefined) throw corrupt(file, 0, 'its first frame, a snapshot, is damaged');
  const keys = decodeSnapshot(first.content(), file);
  let position = first.end;
  while (position < bytes.length) {
    const next = frameAt(bytes, position);
    if (next === undefined) {
      const whole = wholeFrameAfter(bytes, position);
      if (whole === undefined) break;
      throw corrupt(
        file,
        position,
        `a damaged frame is followed by a whole one at byte ${whole}, so it is not the torn end of a write`,
      );
    }
    replay(keys, next.content(), file, position);
    position = next.end;
  }
  return keys;
}

function decodeSnapshot(content: unknown, file: string): KeySpace {
  const { format, revision, items } = content as SnapshotText;
  if (format !== formatVersion) {
    throw new TributaryError(
      'UNSUPPORTED_VERSION',
      `${file} has format ${format}; this version reads format ${formatVersion}. It was written by a newer Tributary: use that one.`,
    );
  }
  const keys = new KeySpace(BigInt(revision));
  for (const [key, value, created, modified, leaseId] of items) {
    keys.restore({
      key,
      value,
      createRevision: BigInt(created),
      modRevision: BigInt(modified),
      leaseId: leaseId ?? undefined,
    });
  }
  return keys;
}

function replay(keys: KeySpace, content: unknown, file: string, position: number): void {
  for (const { revision, puts, deletes } of (content as RevisionsText).revisions) {
    if (BigInt(revision) !== keys.revision + 1n) {
      throw corrupt(file, position, `revision ${revision} follows ${keys.revision}`);
    }
    const modRevision = BigInt(revision);
    const items = puts.map(([key, value, leaseId]): Item => {
      return {
        key,
        value,
        createRevision: keys.get(key)?.createRevision ?? modRevision,
        modRevision,
        leaseId: leaseId ?? undefined,
      };
    });
    keys.apply({ revision: modRevision, puts: items, deletes });
  }
}

function frameAt(bytes: Uint8Array, position: number): { readonly end: number; content(): unknown } | undefined {
  const begin = position + headerBytes;
  if (begin > bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = view.getUint32(position);
  const end = begin + length;
  if (length < textBytesMin || end > bytes.length || crc32c(bytes, begin, end) !== view.getUint32(position + 4))
    return undefined;
  return { end, content: () => JSON.parse(new TextDecoder().decode(bytes.subarray(begin, end))) };
}

/** Text read as a length is beyond any file's size, so that almost no position costs a checksum. */
function wholeFrameAfter(bytes: Uint8Array, position: number): number | undefined {
  for (let at = position + 1; at + headerBytes + textBytesMin <= bytes.length; at++) {
    if (frameAt(bytes, at) !== undefined) return at;
  }
  return undefined;
}

function corrupt(file: string, position: number, why: string): TributaryError {
  return new TributaryError(
    'CORRUPT_MESSAGE',
    `${file} is damaged at byte ${position}: ${why}. Nothing was changed; restore the file from a copy.`,
  );
}
