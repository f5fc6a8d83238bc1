/** What brokers say of themselves: what they are, hold and use. */
import { type Offset, offset, type TopicId, topicId, TributaryError } from '@tributary/model';
import { type LogDir, methods } from '@tributary/wire';
import { type AdminOptions, adminCall } from './admin-call.ts';
import type { Routing } from './routing.ts';

export interface BrokerDescription {
  readonly id: number;
  /** host:port of the advertised listener. */
  readonly address: string;
  readonly host: string;
  readonly rack: string;
  /** Of its registration: rises with each start. */
  readonly brokerEpoch: bigint;
  readonly softwareVersion: string;
  /** Milliseconds since 1970. */
  readonly startedMs: number;
  readonly partitions: number;
  readonly partitionsLed: number;
  readonly resources: readonly ResourceUse[];
}

export interface ResourceUse {
  readonly name: string;
  readonly used: number;
  readonly limit: number;
  /** Requests refused since the start because of it. */
  readonly refused: number;
}

export interface LogDirDescription {
  /** Node id of the broker. */
  readonly broker: number;
  readonly path: string;
  readonly directoryId: string;
  /** What is wrong with it. */
  readonly error: TributaryError | undefined;
  /** What is worth knowing, for example that it takes no records now; '' otherwise. */
  readonly remark: string;
  /** Of the file system; undefined: it has no bound, or could not be asked. */
  readonly totalBytes: number | undefined;
  readonly freeBytes: number | undefined;
  /** Produce is refused while less than this is free. */
  readonly refuseBelowFreeBytes: number;
  readonly partitions: readonly LogDescription[];
}

export interface LogDescription {
  readonly topic: string;
  readonly topicId: TopicId;
  readonly partition: number;
  readonly sizeBytes: number;
  readonly segments: number;
  readonly logStartOffset: Offset;
  readonly highWatermark: Offset;
  readonly logEndOffset: Offset;
  /** Where compaction has not yet been; undefined unless the topic is compacted. */
  readonly firstDirtyOffset: Offset | undefined;
}

/** On the wire: whoever is asked. */
const whoeverIsAsked = -1;

/** @param id undefined: whoever is asked. @throws TributaryError BROKER_ID_NOT_REGISTERED naming those there are. */
export async function describeBroker(
  routing: Routing,
  id: number | undefined,
  options: AdminOptions,
): Promise<BrokerDescription> {
  const {
    nodeId,
    startedMs,
    resources,
    throttleMs: _,
    ...about
  } = await routing.call(
    methods.describeBroker,
    () => ({ context: routing.context, nodeId: id ?? whoeverIsAsked }),
    adminCall(routing, id === undefined ? 'Describing the broker' : `Describing broker ${id}`, options),
  );
  return {
    id: nodeId,
    ...about,
    startedMs: Number(startedMs),
    resources: resources.map(({ name, used, limit, refused }) => ({
      name,
      used: Number(used),
      limit: Number(limit),
      refused: Number(refused),
    })),
  };
}

/** @param topicIds empty: all topics. @throws TributaryError BROKER_ID_NOT_REGISTERED naming those there are. */
export async function describeLogDirs(
  routing: Routing,
  id: number,
  topicIds: readonly string[],
  options: AdminOptions,
): Promise<readonly LogDirDescription[]> {
  const { nodeId, logDirs } = await routing.call(
    methods.describeLogDirs,
    () => ({ context: routing.context, nodeId: id, topicIds: [...topicIds] }),
    adminCall(routing, `Describing the log directories of broker ${id}`, options),
  );
  return logDirs.map((directory) => logDirOf(nodeId, directory));
}

function logDirOf(broker: number, directory: LogDir): LogDirDescription {
  const { path, directoryId, errorCode, errorMessage, totalBytes, freeBytes, refuseBelowFreeBytes } = directory;
  const bounded = (bytes: bigint): number | undefined => (bytes < 0n ? undefined : Number(bytes));
  return {
    broker,
    path,
    directoryId,
    error: errorCode === 0 ? undefined : TributaryError.fromAnswer(errorCode, errorMessage),
    remark: errorCode === 0 ? errorMessage : '',
    totalBytes: bounded(totalBytes),
    freeBytes: bounded(freeBytes),
    refuseBelowFreeBytes: Number(refuseBelowFreeBytes),
    partitions: directory.partitions.map((log) => ({
      topic: log.topic,
      topicId: topicId(log.topicId),
      partition: log.partition,
      sizeBytes: Number(log.sizeBytes),
      segments: log.segments,
      logStartOffset: offset(log.logStartOffset),
      highWatermark: offset(log.highWatermark),
      logEndOffset: offset(log.logEndOffset),
      firstDirtyOffset: log.firstDirtyOffset < 0n ? undefined : offset(log.firstDirtyOffset),
    })),
  };
}
