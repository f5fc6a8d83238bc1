/** meta.json: whose data directory this is, and how it was left (L1, M6, R6). Replaced as a whole at each change. */
import {
  type ClusterId,
  clusterId,
  type DirectoryId,
  directoryId,
  type IncarnationId,
  incarnationId,
  type NodeId,
  nodeId,
  TributaryError,
} from '@tributary/model';
import { crc32c } from '@tributary/record';

/** Raised when an older build could no longer read the directory. */
const formatVersion = 1;

export interface FailedSync {
  readonly path: string;
  readonly why: string;
}

export interface Meta {
  readonly clusterId: ClusterId | undefined;
  readonly brokerId: NodeId | undefined;
  readonly directoryId: DirectoryId;
  /** Of the machine when the directory was last opened. */
  readonly bootId: string;
  readonly cleanShutdown: boolean;
  /** A lossy stop that no registration has told the controller of yet (R6). */
  readonly lossy: boolean;
  readonly lastRegisteredIncarnation: IncarnationId | undefined;
  readonly pendingIncarnation: IncarnationId | undefined;
  /** Those before, of which metadata may still know: registered, and perhaps admitted, while the ones above were not yet. */
  readonly earlierIncarnations: readonly IncarnationId[];
  readonly highestRevision: bigint;
  readonly restoreGeneration: number;
  /** The page cache may differ from the disk past the recovery points (L2). */
  readonly failedSync: FailedSync | undefined;
}

export function encodeMeta(meta: Meta): Uint8Array {
  const fields = {
    formatVersion,
    clusterId: meta.clusterId,
    brokerId: meta.brokerId,
    directoryId: meta.directoryId,
    bootId: meta.bootId,
    cleanShutdown: meta.cleanShutdown,
    lossy: meta.lossy,
    lastRegisteredIncarnation: meta.lastRegisteredIncarnation,
    pendingIncarnation: meta.pendingIncarnation,
    earlierIncarnations: meta.earlierIncarnations.length === 0 ? undefined : meta.earlierIncarnations,
    highestRevision: meta.highestRevision.toString(),
    restoreGeneration: meta.restoreGeneration,
    failedSync: meta.failedSync,
  };
  return Buffer.from(`${JSON.stringify({ ...fields, crc: checksum(fields) }, undefined, 2)}\n`);
}

/**
 * @throws TributaryError UNSUPPORTED_VERSION when a newer build wrote it, KAFKA_STORAGE_ERROR when it is damaged.
 */
export function decodeMeta(bytes: Uint8Array, path: string): Meta {
  const fields = parse(bytes, path);
  if (typeof fields['formatVersion'] === 'number' && fields['formatVersion'] > formatVersion) {
    throw new TributaryError(
      'UNSUPPORTED_VERSION',
      `${path} has format version ${fields['formatVersion']}; this build reads up to ${formatVersion}. Start the newer build that wrote it.`,
    );
  }
  const { crc, ...others } = fields;
  if (crc !== checksum(others)) throw damaged(path, 'its checksum does not fit');
  const id = text(fields['directoryId']);
  const bootId = text(fields['bootId']);
  if (id === undefined || bootId === undefined) throw damaged(path, 'directoryId or bootId is missing');
  const failedSync = fields['failedSync'];
  return {
    clusterId: mapped(text(fields['clusterId']), clusterId),
    brokerId: mapped(typeof fields['brokerId'] === 'number' ? fields['brokerId'] : undefined, nodeId),
    directoryId: directoryId(id),
    bootId,
    cleanShutdown: fields['cleanShutdown'] === true,
    lossy: fields['lossy'] === true,
    lastRegisteredIncarnation: mapped(text(fields['lastRegisteredIncarnation']), incarnationId),
    pendingIncarnation: mapped(text(fields['pendingIncarnation']), incarnationId),
    earlierIncarnations: texts(fields['earlierIncarnations']).map(incarnationId),
    highestRevision: BigInt(text(fields['highestRevision']) ?? '0'),
    restoreGeneration: Number(fields['restoreGeneration'] ?? 0),
    failedSync: isFields(failedSync)
      ? { path: text(failedSync['path']) ?? '', why: text(failedSync['why']) ?? '' }
      : undefined,
  };
}

type Fields = Record<string, unknown>;

function parse(bytes: Uint8Array, path: string): Fields {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (thrown) {
    throw damaged(path, thrown instanceof Error ? thrown.message : 'it is not JSON');
  }
  if (!isFields(parsed)) throw damaged(path, 'it is not an object');
  return parsed;
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
const texts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((each: unknown) => typeof each === 'string') : [];
const mapped = <A, B>(value: A | undefined, map: (value: A) => B): B | undefined =>
  value === undefined ? undefined : map(value);

/** Over the fields in their order, absent ones left out, as JSON does. */
const checksum = (fields: Fields): string =>
  crc32c(Buffer.from(JSON.stringify(fields)))
    .toString(16)
    .padStart(8, '0');

function damaged(path: string, why: string): TributaryError {
  return new TributaryError(
    'KAFKA_STORAGE_ERROR',
    `${path} is damaged: ${why}. The logs beside it may be whole: restore the file, or move the directory away and let the replicas fill a new one.`,
  );
}
