/**
 * BrokerService.DescribeLogDirs: the data directory of this broker, its disk, and the logs in it. Asked about another broker (`node_id`), it passes the
 * request on to that one (F1). BROKER_ID_NOT_REGISTERED, BROKER_NOT_AVAILABLE, INVALID_REQUEST; what is wrong with a directory travels with it.
 */
import type { PartitionName } from '@tributary/metadata';
import type { CallContext, FileSystem } from '@tributary/ports';
import {
  type DescribeLogDirsRequest,
  type DescribeLogDirsResponse,
  type LogDir,
  type LogDirPartition,
  methods,
} from '@tributary/wire';
import type { DataDirectory } from '../log/data-directory.ts';
import { refusedBelow } from '../log/disk-mark.ts';
import type { Replicas } from '../replicas.ts';
import type { LiveSettings } from '../settings.ts';
import { failure } from './partition-errors.ts';
import type { Neighbours } from './neighbours.ts';

type Directory = Pick<DataDirectory, 'root' | 'directoryId' | 'refusal'>;
type Files = Pick<FileSystem, 'freeBytes' | 'totalBytes'>;

/** On the wire: the file system sets no bound. */
const unbounded = -1n;

export function describeLogDirsHandler(
  replicas: Replicas,
  neighbours: Neighbours,
  directory: Directory,
  files: Files,
  settings: Pick<LiveSettings, 'current'>,
) {
  return async (request: DescribeLogDirsRequest, call: CallContext): Promise<DescribeLogDirsResponse> => {
    const other = neighbours.other(request.nodeId);
    if (other !== undefined) return await neighbours.forward(other, methods.describeLogDirs, request, call);
    const wanted = new Set(request.topicIds);
    const partitions: LogDirPartition[] = [];
    for (const { name, partition } of replicas.open()) {
      if (wanted.size > 0 && !wanted.has(name.topicId)) continue;
      partitions.push({
        topicId: name.topicId,
        topic: replicas.nameOf(name.topicId) ?? '',
        partition: name.partition,
        sizeBytes: BigInt(partition.log.sizeBytes),
        segments: partition.log.segmentCount,
        logStartOffset: partition.startOffset,
        highWatermark: partition.highWatermark,
        logEndOffset: partition.log.endOffset,
        firstDirtyOffset: partition.state.config.cleanup.compact ? partition.log.firstDirty : -1n,
        errorMessage: '',
        lastEpoch: partition.log.latestEpoch ?? -1,
      });
    }
    for (const { name, why } of replicas.failed())
      if (wanted.size === 0 || wanted.has(name.topicId)) partitions.push(failed(replicas, name, why));
    partitions.sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1));
    return {
      throttleMs: 0,
      nodeId: neighbours.me,
      logDirs: [{ ...(await disk(directory, files, settings)), partitions }],
    };
  };
}

function failed(replicas: Pick<Replicas, 'nameOf'>, name: PartitionName, errorMessage: string): LogDirPartition {
  return {
    topicId: name.topicId,
    topic: replicas.nameOf(name.topicId) ?? '',
    partition: name.partition,
    sizeBytes: 0n,
    segments: 0,
    logStartOffset: 0n,
    highWatermark: 0n,
    logEndOffset: 0n,
    firstDirtyOffset: -1n,
    lastEpoch: -1,
    errorMessage,
  };
}

async function disk(
  directory: Directory,
  files: Files,
  settings: Pick<LiveSettings, 'current'>,
): Promise<Omit<LogDir, 'partitions'>> {
  const about = { path: directory.root, directoryId: directory.directoryId };
  try {
    const [free, total] = await Promise.all([files.freeBytes(directory.root), files.totalBytes(directory.root)]);
    const isBounded = Number.isFinite(total);
    return {
      ...about,
      errorCode: 0,
      errorMessage: directory.refusal === undefined ? '' : `No records are taken: ${directory.refusal}`,
      totalBytes: isBounded ? BigInt(Math.floor(total)) : unbounded,
      freeBytes: Number.isFinite(free) ? BigInt(Math.floor(free)) : unbounded,
      refuseBelowFreeBytes: isBounded ? BigInt(refusedBelow({ free, total }, settings.current)) : 0n,
    };
  } catch (thrown) {
    return { ...about, ...failure(thrown), totalBytes: unbounded, freeBytes: unbounded, refuseBelowFreeBytes: 0n };
  }
}
