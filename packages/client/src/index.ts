/**
 * Tributary's client for TypeScript.
 * ```ts
 * import { connect } from '@tributary/client';
 *
 * await using cluster = await connect({ bootstrap: 'localhost:9095' });
 * const producer = cluster.producer();
 * console.log(await producer.send({ topic: 'greetings', key: 'en', value: 'hello' }));
 *
 * const consumer = cluster.consumer({ valueDeserializer: serializers.string });
 * await consumer.assign([{ topic: 'greetings', offset: 'beginning' }]);
 * for await (const record of consumer) console.log(record.offset, record.value);
 *
 * const member = cluster.consumer({ groupId: 'readers', autoOffsetReset: 'earliest' });
 * await member.subscribe({ topics: ['greetings'] });
 * for await (const record of member) console.log(record.partition, record.offset);
 * ```
 */
import { grpcTransport, nodeClock, nodeRandom } from '@tributary/runtime';
import { type ConnectOptions, connectWith, type Tributary } from './connect.ts';

/**
 * Connects to a cluster.
 * @throws TributaryError INVALID_CONFIG naming a bad option; BROKER_NOT_AVAILABLE when nothing answers at any bootstrap address within
 *   `connectTimeoutMs`, with the reason for each.
 */
export async function connect(options: ConnectOptions): Promise<Tributary> {
  return await connectWith({ clock: nodeClock, random: nodeRandom, transport: grpcTransport }, options);
}

export { type ErrorName, type Offset, type TopicId, TributaryError } from '@tributary/model';
export { type Compression, partitionOfKey, type RecordHeader } from '@tributary/record';
export type {
  Admin,
  ClusterDescription,
  NewTopic,
  PartitionDescription,
  TopicDescription,
  TopicSummary,
} from './admin.ts';
export type { BrokerDescription, LogDescription, LogDirDescription, ResourceUse } from './admin-brokers.ts';
export type { AdminOptions, ChangeOptions } from './admin-call.ts';
export type {
  BrokerReport,
  ClusterReport,
  CoordinatorReport,
  ElectionOutcome,
  ElectionRequest,
  PartitionTrouble,
} from './admin-cluster.ts';
export type { AlteredConfigs, ConfigChange, ConfigResource, ConfigValue } from './admin-configs.ts';
export type {
  GroupDescription,
  GroupMember,
  GroupPartitionLag,
  GroupPhase,
  LagState,
} from './admin-group-description.ts';
export type { OffsetReset as GroupOffsetReset, ResetOffset } from './admin-group-reset.ts';
export type {
  DescribeGroupOptions,
  GroupList,
  GroupListing,
  GroupOutcome,
  GroupsAdmin,
  PartitionOutcome,
} from './admin-groups.ts';
export type { DeletedRecords, RecordsToDelete } from './admin-records.ts';
export { type AvroOptions, type AvroSerde, avro, avroFrom } from './avro.ts';
export type { AvroDuration } from './avro/logical-forms.ts';
export type { AvroSchema, SchemaFraming, SchemaId, SchemaSource } from './avro/schema-source.ts';
export { type ConnectOptions, connectWith, type Tributary } from './connect.ts';
export type { Consumer } from './consumer.ts';
export type {
  Assignment,
  CallLimits,
  CloseOptions,
  PartitionOffset,
  PollOptions,
  Position,
  TimedOffset,
} from './consumer-calls.ts';
export type { ConsumerOptions, OffsetReset } from './consumer-options.ts';
export type { ConsumerRecord } from './consumer-record.ts';
export type { Delivery, RecordMetadata } from './delivery.ts';
export type { CommittedOffset, GroupMetadata, OffsetToCommit } from './group/consumer-group.ts';
export type {
  Assignor,
  AssignorMember,
  AssignorTopic,
  GroupOptions,
  RebalanceCallbacks,
  Subscription,
} from './group/group-options.ts';
export type { PartitionRecords } from './hand-out.ts';
export type { TopicPartition } from './topic-partition.ts';
export type { HeadersInput, HeaderValue } from './headers.ts';
export type { ClientPorts } from './ports.ts';
export type { FoundOffset, OffsetQuestion } from './offset-lookup.ts';
export type { Producer, ProducerRecord } from './producer.ts';
export type { DeliveryFailure, Partitioner, ProducerOptions } from './producer-options.ts';
export type { ProducerMetrics } from './send-metrics.ts';
export { type Deserializer, type Serde, type Serializer, serializers } from './serializers.ts';
