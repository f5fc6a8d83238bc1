/**
 * AdminService: settings of topics and brokers.
 * - AlterConfigs: all operations or none; answers once the partitions' keys say so too, but `flush.policy=commit`, which waits for every in-sync
 *   replica's word (R6). UNKNOWN_TOPIC_OR_PARTITION, BROKER_ID_NOT_REGISTERED, INVALID_REQUEST, INVALID_CONFIG naming the setting, the value and
 *   what is allowed.
 * - DescribeConfigs: UNKNOWN_TOPIC_OR_PARTITION, BROKER_ID_NOT_REGISTERED, INVALID_REQUEST.
 */
import { type ClusterImage, type ImageSource, allBrokers } from '@tributary/metadata';
import { TributaryError } from '@tributary/model';
import type { CallContext } from '@tributary/ports';
import {
  type AlterConfigsRequest,
  type AlterConfigsResponse,
  type ConfigEntry,
  type ConfigOperation,
  type DescribeConfigsRequest,
  type DescribeConfigsResponse,
  ConfigOperationType,
  ConfigResourceType,
} from '@tributary/wire';
import { type ConfigChange, type ConfigResource, brokersNamed, checkChanges } from './alter-configs.ts';
import { describeBrokerConfigs, describeTopicConfigs } from './describe.ts';
import { type Reconfigured, settleEffective } from './effective-settings.ts';
import { type Reception, shownTopic } from './reception.ts';
import type { TopicDefaults } from './topic-defaults.ts';

interface Parts {
  readonly images: ImageSource;
  readonly defaults: TopicDefaults;
}

type Named = Pick<DescribeConfigsRequest, 'resourceType' | 'resourceName'>;

export class ConfigDesk {
  readonly #parts: Parts;
  readonly #reception: Reception;

  constructor(parts: Parts, reception: Reception) {
    this.#parts = parts;
    this.#reception = reception;
  }

  async alter(request: AlterConfigsRequest, { signal }: CallContext): Promise<AlterConfigsResponse> {
    const { defaults, images } = this.#parts;
    const image = await this.#reception.imageFor(request.context, signal);
    const resource = resourceOf(image, request);
    const changes = request.operations.map(changeOf);
    const wanted = checkChanges(image, resource, changes, defaults);
    const names = changes.map(({ name }) => name);
    const before = pick(names, entries(image, resource, defaults));
    if (request.validateOnly) {
      const after = pick(names, entries(wouldBe(image, resource, wanted), resource, defaults));
      return { throttleMs: 0, revision: image.revision, before, after };
    }
    return this.#reception.inTime(`changing the settings of ${said(request)}`, signal, async (limited) => {
      await this.#reception.order({
        event: () => ({ kind: 'alter-configs', resource, changes, defaults }),
        signal: limited,
      });
      const reconfigured = touchedBy(resource);
      const settled = await images.until((each) => settleEffective(each, reconfigured, defaults).length === 0, limited);
      const now = pick(names, entries(settled, resource, defaults));
      return { throttleMs: 0, revision: settled.revision, before, after: now };
    });
  }

  async describe(request: DescribeConfigsRequest, { signal }: CallContext): Promise<DescribeConfigsResponse> {
    const image = await this.#reception.imageFor(request.context, signal);
    return { throttleMs: 0, configs: entries(image, resourceOf(image, request), this.#parts.defaults) };
  }
}

function resourceOf(image: ClusterImage, { resourceType, resourceName }: Named): ConfigResource {
  switch (resourceType) {
    case ConfigResourceType.TOPIC:
      return { kind: 'topic', topicId: shownTopic(image, resourceName).topicId };
    case ConfigResourceType.BROKER:
      return { kind: 'brokers', scope: brokersNamed(image, resourceName) };
    default:
      throw new TributaryError(
        'INVALID_REQUEST',
        `Settings belong to a topic or a broker; resource type ${Number(resourceType)} is neither.`,
      );
  }
}

function changeOf({ name, operation, value }: ConfigOperation): ConfigChange {
  switch (operation) {
    case ConfigOperationType.SET:
      return { name, operation: 'set', value };
    case ConfigOperationType.DELETE:
      return { name, operation: 'delete', value: '' };
    case ConfigOperationType.APPEND:
      return { name, operation: 'append', value };
    case ConfigOperationType.SUBTRACT:
      return { name, operation: 'subtract', value };
    default:
      throw new TributaryError(
        'INVALID_REQUEST',
        `Operation ${Number(operation)} on setting "${name.slice(0, 100)}" is none of set, delete, append, subtract.`,
      );
  }
}

function entries(image: ClusterImage, resource: ConfigResource, defaults: TopicDefaults): ConfigEntry[] {
  if (resource.kind === 'brokers') return describeBrokerConfigs(image, resource.scope, defaults);
  const topic = image.topic(resource.topicId);
  if (topic === undefined) throw new TributaryError('UNKNOWN_TOPIC_OR_PARTITION', 'The topic was deleted meanwhile.');
  return describeTopicConfigs(image, topic, defaults);
}

/** In the order of the names. */
function pick(names: readonly string[], all: readonly ConfigEntry[]): ConfigEntry[] {
  return names.flatMap((name) => all.filter((entry) => entry.name === name));
}

/** The image with these settings instead of the present ones. */
function wouldBe(
  image: ClusterImage,
  resource: ConfigResource,
  configs: Readonly<Record<string, string>>,
): ClusterImage {
  const revisions = { createRevision: image.revision, modRevision: image.revision };
  if (resource.kind === 'brokers') {
    const value = { scope: resource.scope, configs };
    return image.apply(image.revision, [{ kind: 'put', value: { kind: 'broker-configs', value }, ...revisions }]).image;
  }
  const topic = image.topic(resource.topicId);
  if (topic === undefined) return image;
  const value = { ...topic, configs };
  return image.apply(image.revision, [{ kind: 'put', value: { kind: 'topic', value }, ...revisions }]).image;
}

function touchedBy(resource: ConfigResource): Reconfigured {
  if (resource.kind === 'topic') return new Set([resource.topicId]);
  return resource.scope === allBrokers ? 'all' : new Set();
}

function said({ resourceType, resourceName }: Named): string {
  if (resourceType === ConfigResourceType.TOPIC) return `topic "${resourceName}"`;
  return resourceName === '' ? 'all brokers' : `broker ${resourceName}`;
}
