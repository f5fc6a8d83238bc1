/** Every call of the public and internal API, built from the generated service definitions: the only place that knows their paths. */
import { limits } from '@tributary/model';
import { fetchResponseCodec, produceRequestCodec, produceResponseCodec } from './batch-codecs.ts';
import { AdminServiceDefinition } from './gen/tributary/v1alpha/admin.ts';
import { BrokerServiceDefinition } from './gen/tributary/v1alpha/broker.ts';
import { ControllerServiceDefinition } from './gen/tributary/v1alpha/controller.ts';
import { CoordinatorServiceDefinition } from './gen/tributary/v1alpha/coordinator.ts';
import { GroupServiceDefinition } from './gen/tributary/v1alpha/group.ts';
import { LogServiceDefinition } from './gen/tributary/v1alpha/log.ts';
import { MetadataServiceDefinition } from './gen/tributary/v1alpha/metadata.ts';
import { RecordServiceDefinition } from './gen/tributary/v1alpha/record.ts';
import { ReplicationServiceDefinition } from './gen/tributary/v1alpha/replication.ts';
import { stream, unary } from './generated-methods.ts';
import { replicateResponseCodec } from './replication-codecs.ts';
import { publishRequestCodec, publishResponseCodec, subscribeResponseCodec } from './record-codecs.ts';

const log = LogServiceDefinition.methods;
const metadata = MetadataServiceDefinition.methods;
const admin = AdminServiceDefinition.methods;
const controller = ControllerServiceDefinition.methods;
const record = RecordServiceDefinition.methods;
const broker = BrokerServiceDefinition.methods;
const replication = ReplicationServiceDefinition.methods;
const group = GroupServiceDefinition.methods;
const coordinator = CoordinatorServiceDefinition.methods;

export const methods = {
  produce: {
    ...stream(LogServiceDefinition, log.produce),
    request: produceRequestCodec,
    response: produceResponseCodec,
  },
  fetch: { ...stream(LogServiceDefinition, log.fetch), response: fetchResponseCodec },
  listOffsets: unary(LogServiceDefinition, log.listOffsets),
  deleteRecords: unary(LogServiceDefinition, log.deleteRecords),
  previewRetention: unary(LogServiceDefinition, log.previewRetention),
  measureLag: unary(LogServiceDefinition, log.measureLag),
  publish: {
    ...unary(RecordServiceDefinition, record.publish),
    request: publishRequestCodec,
    requestBytesMax: limits.publishRequest,
    response: publishResponseCodec,
  },
  subscribe: { ...stream(RecordServiceDefinition, record.subscribe), response: subscribeResponseCodec },
  grantCredit: unary(RecordServiceDefinition, record.grantCredit),
  commit: unary(RecordServiceDefinition, record.commit),
  release: unary(RecordServiceDefinition, record.release),
  describeBroker: unary(BrokerServiceDefinition, broker.describeBroker),
  describeLogDirs: unary(BrokerServiceDefinition, broker.describeLogDirs),
  getMetadata: unary(MetadataServiceDefinition, metadata.getMetadata),
  initProducerId: unary(MetadataServiceDefinition, metadata.initProducerId),
  createTopic: unary(AdminServiceDefinition, admin.createTopic),
  deleteTopic: unary(AdminServiceDefinition, admin.deleteTopic),
  listTopics: unary(AdminServiceDefinition, admin.listTopics),
  describeTopic: unary(AdminServiceDefinition, admin.describeTopic),
  createPartitions: unary(AdminServiceDefinition, admin.createPartitions),
  alterConfigs: unary(AdminServiceDefinition, admin.alterConfigs),
  describeConfigs: unary(AdminServiceDefinition, admin.describeConfigs),
  reportFlushed: unary(ControllerServiceDefinition, controller.reportFlushed),
  describeCluster: unary(AdminServiceDefinition, admin.describeCluster),
  electLeaders: unary(AdminServiceDefinition, admin.electLeaders),
  attend: stream(ControllerServiceDefinition, controller.attend),
  replicate: { ...stream(ReplicationServiceDefinition, replication.replicate), response: replicateResponseCodec },
  allocateProducerIds: unary(ControllerServiceDefinition, controller.allocateProducerIds),
  ensureOffsetsTopic: unary(ControllerServiceDefinition, controller.ensureOffsetsTopic),
  describeController: unary(ControllerServiceDefinition, controller.describeController),
  describeCoordinator: unary(CoordinatorServiceDefinition, coordinator.describeCoordinator),
  findCoordinator: unary(GroupServiceDefinition, group.findCoordinator),
  join: stream(GroupServiceDefinition, group.join),
  heartbeat: unary(GroupServiceDefinition, group.heartbeat),
  commitOffsets: unary(GroupServiceDefinition, group.commitOffsets),
  fetchOffsets: unary(GroupServiceDefinition, group.fetchOffsets),
  deleteOffsets: unary(GroupServiceDefinition, group.deleteOffsets),
  listGroups: unary(GroupServiceDefinition, group.listGroups),
  describeGroups: unary(GroupServiceDefinition, group.describeGroups),
  deleteGroups: unary(GroupServiceDefinition, group.deleteGroups),
} as const;
