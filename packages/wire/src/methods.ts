/** Every call of the public and internal API, built from the generated service definitions: the only place that knows their paths. */
import type { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { TributaryError } from '@tributary/model';
import type { Codec, StreamMethod, UnaryMethod } from '@tributary/ports';
import { fetchResponseCodec, produceRequestCodec, produceResponseCodec } from './batch-codecs.ts';
import { AdminServiceDefinition } from './gen/tributary/v1alpha/admin.ts';
import { BrokerServiceDefinition } from './gen/tributary/v1alpha/broker.ts';
import { ControllerServiceDefinition } from './gen/tributary/v1alpha/controller.ts';
import { LogServiceDefinition } from './gen/tributary/v1alpha/log.ts';
import { MetadataServiceDefinition } from './gen/tributary/v1alpha/metadata.ts';
import { RecordServiceDefinition } from './gen/tributary/v1alpha/record.ts';
import { publishRequestCodec, publishResponseCodec, subscribeResponseCodec } from './record-codecs.ts';

/** What ts-proto generates for a message. */
interface GeneratedMessage<T> {
  encode(message: T, writer?: BinaryWriter): BinaryWriter;
  decode(input: BinaryReader | Uint8Array, length?: number): T;
}

interface ServiceDefinition {
  readonly fullName: string;
}

interface UnaryDefinition<Request, Response> {
  readonly name: string;
  readonly requestType: GeneratedMessage<Request>;
  readonly requestStream: false;
  readonly responseType: GeneratedMessage<Response>;
  readonly responseStream: false;
}

interface StreamDefinition<Request, Response> {
  readonly name: string;
  readonly requestType: GeneratedMessage<Request>;
  /** false: the client sends one message and ends its side. */
  readonly requestStream: boolean;
  readonly responseType: GeneratedMessage<Response>;
  readonly responseStream: true;
}

/** The codec that ts-proto generated. Decoding @throws TributaryError INVALID_REQUEST when the bytes are no such message. */
function generated<T>(type: GeneratedMessage<T>): Codec<T> {
  return {
    encode: (message) => type.encode(message).finish(),
    decode: (bytes) => {
      try {
        return type.decode(bytes);
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new TributaryError('INVALID_REQUEST', `The message is not valid protobuf: ${why}.`, { cause });
      }
    },
  };
}

function unary<Request, Response>(
  service: ServiceDefinition,
  method: UnaryDefinition<Request, Response>,
): UnaryMethod<Request, Response> {
  return {
    kind: 'unary',
    path: `/${service.fullName}/${method.name}`,
    request: generated(method.requestType),
    response: generated(method.responseType),
  };
}

function stream<Request, Response>(
  service: ServiceDefinition,
  method: StreamDefinition<Request, Response>,
): StreamMethod<Request, Response> {
  return {
    kind: 'stream',
    path: `/${service.fullName}/${method.name}`,
    request: generated(method.requestType),
    response: generated(method.responseType),
  };
}

const log = LogServiceDefinition.methods;
const metadata = MetadataServiceDefinition.methods;
const admin = AdminServiceDefinition.methods;
const controller = ControllerServiceDefinition.methods;
const record = RecordServiceDefinition.methods;
const broker = BrokerServiceDefinition.methods;

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
  publish: {
    ...unary(RecordServiceDefinition, record.publish),
    request: publishRequestCodec,
    response: publishResponseCodec,
  },
  subscribe: { ...stream(RecordServiceDefinition, record.subscribe), response: subscribeResponseCodec },
  grantCredit: unary(RecordServiceDefinition, record.grantCredit),
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
  allocateProducerIds: unary(ControllerServiceDefinition, controller.allocateProducerIds),
} as const;
