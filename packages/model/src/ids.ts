// pure
/** Branded scalars. Offsets are `bigint`, sizes, counts and file positions plain `number`: the compiler then refuses offset + size. */

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Position of a record in its partition, ≥ 0, dense until compaction. */
export type Offset = Brand<bigint, 'Offset'>;
/** Counts the leaders that a partition has had; bumped at each election. */
export type LeaderEpoch = Brand<number, 'LeaderEpoch'>;
/** Counts the changes of a partition's state; bumped at each one. */
export type PartitionEpoch = Brand<number, 'PartitionEpoch'>;
/** Revision of the metadata store at which the current incarnation of a broker, or a coordinator, registered. */
export type BrokerEpoch = Brand<bigint, 'BrokerEpoch'>;
/** From one namespace for all roles. */
export type NodeId = Brand<number, 'NodeId'>;
/** Number of a partition in its topic, ≥ 0. */
export type PartitionIndex = Brand<number, 'PartitionIndex'>;
/** 16 random bytes as 22 characters of base64url, never beginning with "-". A re-created topic has another id. */
export type TopicId = Brand<string, 'TopicId'>;
/** As {@link TopicId}; made by the first controller. */
export type ClusterId = Brand<string, 'ClusterId'>;
/** As {@link TopicId}; made when a data directory is formatted. */
export type DirectoryId = Brand<string, 'DirectoryId'>;
/** As {@link TopicId}; made at each start of a broker. */
export type IncarnationId = Brand<string, 'IncarnationId'>;
/** Counts the owners that a partition of `__consumer_offsets` has had, from 1: what an owner writes has it as producer id (G1). */
export type WriterEpoch = Brand<bigint, 'WriterEpoch'>;
export type ProducerId = Brand<bigint, 'ProducerId'>;
/** 0 … 32767. */
export type ProducerEpoch = Brand<number, 'ProducerEpoch'>;
/** Milliseconds on the monotonic clock of one process; never compared across processes. */
export type Millis = Brand<number, 'Millis'>;

export const offset = (value: bigint): Offset => value as Offset;
export const leaderEpoch = (value: number): LeaderEpoch => value as LeaderEpoch;
export const partitionEpoch = (value: number): PartitionEpoch => value as PartitionEpoch;
export const brokerEpoch = (value: bigint): BrokerEpoch => value as BrokerEpoch;
export const nodeId = (value: number): NodeId => value as NodeId;
export const partitionIndex = (value: number): PartitionIndex => value as PartitionIndex;
export const topicId = (value: string): TopicId => value as TopicId;
export const clusterId = (value: string): ClusterId => value as ClusterId;
export const directoryId = (value: string): DirectoryId => value as DirectoryId;
export const incarnationId = (value: string): IncarnationId => value as IncarnationId;
export const writerEpoch = (value: bigint): WriterEpoch => value as WriterEpoch;
export const producerId = (value: bigint): ProducerId => value as ProducerId;
export const producerEpoch = (value: number): ProducerEpoch => value as ProducerEpoch;
export const millis = (value: number): Millis => value as Millis;

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** A fresh 22-character id from four 32-bit draws and six more bits. @param nextU32 uniform in [0, 2³²). */
export function randomId(nextU32: () => number): string {
  let id = '';
  while (id.length < 22) {
    const draw = nextU32();
    for (let shift = 0; shift < 30 && id.length < 22; shift += 6) {
      const symbol = alphabet[(draw >>> shift) & 63] ?? '';
      if (id.length > 0 || symbol !== '-') id += symbol;
    }
  }
  return id;
}
