// pure
/** Names of folders and files in a data directory. Part of the format. */
import {
  type Offset,
  offset,
  type PartitionIndex,
  partitionIndex,
  type TopicId,
  topicId as toTopicId,
} from '@tributary/model';

/** What a file of a partition's folder is, by the end of its name. */
export type LogFileKind = 'log' | 'index' | 'timeindex' | 'snapshot' | 'cut';

const pattern = /^(\d{20})\.(log|index|timeindex|snapshot|cut)$/;

/** Twenty, so that names sort as offsets do. */
const digits = (value: Offset): string => value.toString().padStart(20, '0');

export const fileName = (base: Offset, kind: LogFileKind): string => `${digits(base)}.${kind}`;

/** undefined: some other file. */
export function parseFileName(name: string): { readonly base: Offset; readonly kind: LogFileKind } | undefined {
  const match = pattern.exec(name);
  if (match === null) return undefined;
  return { base: offset(BigInt(match[1] ?? '0')), kind: match[2] as LogFileKind };
}

const swapPattern = /^(\d{20})-(\d{20})\.swap$/;

/** What takes the place of all segments from `base` to below `end`, from the moment that it has this name. */
export const swapName = (base: Offset, end: Offset): string => `${digits(base)}-${digits(end)}.swap`;

/** undefined: some other file. */
export function parseSwapName(name: string): { readonly base: Offset; readonly end: Offset } | undefined {
  const match = swapPattern.exec(name);
  if (match === null) return undefined;
  return { base: offset(BigInt(match[1] ?? '0')), end: offset(BigInt(match[2] ?? '0')) };
}

/** A file that is being written and does not count yet. */
export const temporarySuffix = '.tmp';
/** A file or folder that is on its way out. */
export const deletedSuffix = '.deleted';

export const isLeftover = (name: string): boolean => name.endsWith(temporarySuffix) || name.endsWith(deletedSuffix);

export const folderName = (topicId: TopicId, partition: PartitionIndex): string => `${topicId}-${partition}`;

/** undefined: not the folder of a partition. */
export function parseFolderName(
  name: string,
): { readonly topicId: TopicId; readonly partition: PartitionIndex } | undefined {
  const match = /^([A-Za-z0-9_-]+)-(\d{1,9})$/.exec(name);
  if (match === null) return undefined;
  return { topicId: toTopicId(match[1] ?? ''), partition: partitionIndex(Number(match[2])) };
}
