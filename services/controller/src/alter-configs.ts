// pure
/** Changes of settings: what a request makes of those that are there, checked as a whole, and the transaction that keeps them. */
import {
  type ConfigKey,
  type TopicId,
  TributaryError,
  brokerConfigKey,
  checkBrokerConfigs,
  isInternalTopic,
  isTopicConfigKey,
  limits,
  nearest,
  nodeId,
  topicConfigKeys,
} from '@tributary/model';
import type { ClusterImage, ConfigScope, Expectation } from '@tributary/metadata';
import type { Step } from './step.ts';
import { type TopicDefaults, beneath, checkOwnConfigs, startedWith } from './topic-defaults.ts';

/** Whose settings. */
export type ConfigResource =
  | { readonly kind: 'topic'; readonly topicId: TopicId }
  | { readonly kind: 'brokers'; readonly scope: ConfigScope };

export interface ConfigChange {
  readonly name: string;
  /** `append` and `subtract`: words of a list. `delete`: back to the default. */
  readonly operation: 'set' | 'append' | 'subtract' | 'delete';
  /** '' for `delete`. */
  readonly value: string;
}

/** All of it or nothing; [] when it is so already. @throws TributaryError naming the setting, the value and what is allowed. */
export function alterConfigs(
  image: ClusterImage,
  resource: ConfigResource,
  changes: readonly ConfigChange[],
  defaults: TopicDefaults,
): readonly Step[] {
  const before = ownConfigs(image, resource);
  const after = checkChanges(image, resource, changes, defaults);
  if (sameConfigs(before, after)) return [];
  return resource.kind === 'topic'
    ? [keepForTopic(image, resource.topicId, after)]
    : [keepForBrokers(image, resource.scope, after)];
}

/** What the settings would be. @throws TributaryError INVALID_CONFIG, INVALID_REQUEST, UNKNOWN_TOPIC_OR_PARTITION, BROKER_ID_NOT_REGISTERED. */
export function checkChanges(
  image: ClusterImage,
  resource: ConfigResource,
  changes: readonly ConfigChange[],
  defaults: TopicDefaults,
): Readonly<Record<string, string>> {
  if (changes.length === 0) throw new TributaryError('INVALID_REQUEST', 'The request names no setting to change.');
  if (changes.length > limits.configChanges) {
    throw new TributaryError(
      'INVALID_REQUEST',
      `The request changes ${changes.length} settings; at most ${limits.configChanges} are allowed.`,
    );
  }
  const after: Record<string, string> = { ...ownConfigs(image, resource) };
  const named = new Set<string>();
  for (const each of changes) {
    if (named.has(each.name))
      throw new TributaryError('INVALID_REQUEST', `The setting "${each.name}" is named twice in one request.`);
    named.add(each.name);
    const value = changed(image, resource, each, defaults);
    if (value === undefined) delete after[each.name];
    else after[each.name] = value;
  }
  if (resource.kind === 'topic') {
    checkOwnConfigs(image, after, defaults);
    checkInternal(image, resource.topicId, after);
  } else checkBrokers(image, resource.scope, after, defaults);
  return after;
}

/** What internal topics are made with, and what rests on it. */
export const internalConfigs = {
  'cleanup.policy': { value: 'compact', why: 'the newest record of each key is all that groups have' },
  'flush.policy': {
    value: 'commit',
    why: 'what is committed for a group, and the fence that keeps a former coordinator out, survive the loss of power (G1)',
  },
  'unclean.leader.election.enable': {
    value: 'false',
    why: 'a leader that lacks the newest fence would let a former coordinator write (G1)',
  },
} as const;

/** What the parts rely on of their own topics stays. @throws TributaryError INVALID_CONFIG. */
function checkInternal(image: ClusterImage, id: TopicId, after: Readonly<Record<string, string>>): void {
  const name = image.topic(id)?.name ?? '';
  if (!isInternalTopic(name)) return;
  for (const [setting, { value, why }] of Object.entries(internalConfigs)) {
    if (after[setting] === value) continue;
    throw new TributaryError('INVALID_CONFIG', `${setting} of "${name}" is ${value} and stays so: ${why}.`);
  }
  const least = limits.batchBytesDefault;
  if (Number(after['max.message.bytes'] ?? 0) < least)
    throw new TributaryError(
      'INVALID_CONFIG',
      `max.message.bytes of "${name}" is at least ${least}: coordinators write batches of that size.`,
    );
}

/** The value after the change; undefined: none of its own. */
function changed(
  image: ClusterImage,
  resource: ConfigResource,
  { name, operation, value }: ConfigChange,
  defaults: TopicDefaults,
): string | undefined {
  const known = keyOf(resource, name);
  switch (operation) {
    case 'delete':
      return undefined;
    case 'set':
      return value;
    case 'append':
    case 'subtract': {
      if (known.isList !== true) {
        throw new TributaryError(
          'INVALID_CONFIG',
          `${name} is no list: "${operation}" does not apply to it, "set" does. Allowed is ${known.allowed}.`,
        );
      }
      const had = wordsOf(valueNow(image, resource, name, defaults));
      const given = wordsOf(value);
      const words =
        operation === 'append' ? [...new Set([...had, ...given])] : had.filter((word) => !given.includes(word));
      if (words.length > 0) return words.join(',');
      throw new TributaryError(
        'INVALID_CONFIG',
        `Nothing would be left of ${name} ("${had.join(',')}"): delete the setting instead, for its default.`,
      );
    }
  }
}

const wordsOf = (list: string): string[] => list.split(',').map((word) => word.trim());

/** With what lies beneath it. */
function valueNow(image: ClusterImage, resource: ConfigResource, name: string, defaults: TopicDefaults): string {
  const own = ownConfigs(image, resource)[name];
  if (own !== undefined) return own;
  if (resource.kind === 'topic' && isTopicConfigKey(name)) return beneath(image, name, defaults).value;
  const started: Readonly<Record<string, string>> = startedWith(defaults);
  return image.clusterConfigs[name] ?? started[name] ?? keyOf(resource, name).default;
}

/** @throws TributaryError INVALID_CONFIG naming the nearest known one. */
function keyOf(resource: ConfigResource, name: string): ConfigKey {
  if (name === '') throw new TributaryError('INVALID_CONFIG', 'The name of a setting is empty.');
  if (resource.kind === 'brokers') return brokerConfigKey(name, resource.scope === 'all' ? 'cluster' : 'broker');
  if (isTopicConfigKey(name)) return topicConfigKeys[name];
  throw new TributaryError(
    'INVALID_CONFIG',
    `Unknown topic config "${name}"; the nearest known one is "${nearest(name, Object.keys(topicConfigKeys))}".`,
  );
}

function checkBrokers(
  image: ClusterImage,
  scope: ConfigScope,
  after: Readonly<Record<string, string>>,
  defaults: TopicDefaults,
): void {
  checkBrokerConfigs(after, scope === 'all' ? 'cluster' : 'broker');
  if (scope !== 'all') return;
  // As topics would see them that set nothing themselves.
  const { image: then } = image.apply(image.revision, [
    {
      kind: 'put',
      value: { kind: 'broker-configs', value: { scope, configs: after } },
      createRevision: 0n,
      modRevision: 0n,
    },
  ]);
  checkOwnConfigs(then, {}, defaults);
  for (const topic of image.topics()) {
    const own = topic.configs;
    if (Object.keys(own).length === 0) continue;
    try {
      checkOwnConfigs(then, own, defaults);
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      throw new TributaryError('INVALID_CONFIG', `With what topic "${topic.name}" sets itself: ${why}`);
    }
  }
}

/** @throws TributaryError where there is no such topic or broker. */
function ownConfigs(image: ClusterImage, resource: ConfigResource): Readonly<Record<string, string>> {
  if (resource.kind === 'topic') {
    const topic = image.topic(resource.topicId);
    if (topic?.phase === 'ready') return topic.configs;
    throw new TributaryError('UNKNOWN_TOPIC_OR_PARTITION', 'The topic was deleted meanwhile.');
  }
  return image.configsSet(resource.scope)?.configs ?? {};
}

/** @param name '' for all brokers. @throws TributaryError INVALID_REQUEST, or BROKER_ID_NOT_REGISTERED naming those there are. */
export function brokersNamed(image: ClusterImage, name: string): ConfigScope {
  if (name === '') return 'all';
  if (!/^(0|[1-9]\d{0,9})$/.test(name)) {
    throw new TributaryError(
      'INVALID_REQUEST',
      `"${name.slice(0, 100)}" is no broker: name one by its node id, or none for all brokers.`,
    );
  }
  const node = nodeId(Number(name));
  if (image.broker(node) !== undefined || image.configsSet(node) !== undefined) return node;
  const known = [...image.brokers()].map((broker) => broker.nodeId).join(', ');
  throw new TributaryError(
    'BROKER_ID_NOT_REGISTERED',
    `There is no broker ${name}; ${known === '' ? 'none is known' : `known are: ${known}`}.`,
  );
}

function keepForTopic(image: ClusterImage, id: TopicId, configs: Readonly<Record<string, string>>): Step {
  const topic = image.topic(id);
  if (topic === undefined) throw new TributaryError('UNKNOWN_TOPIC_OR_PARTITION', 'The topic was deleted meanwhile.');
  const { createRevision: _created, modRevision, ...info } = topic;
  return {
    why: `settings of topic ${topic.name}`,
    transaction: {
      expect: [{ place: { kind: 'topic', topicId: id }, is: 'modified-at', revision: modRevision }],
      put: [{ kind: 'topic', value: { ...info, configs } }],
      delete: [],
    },
  };
}

function keepForBrokers(image: ClusterImage, scope: ConfigScope, configs: Readonly<Record<string, string>>): Step {
  const before = image.configsSet(scope);
  const place = { kind: 'broker-configs', scope } as const;
  const expect: Expectation =
    before === undefined ? { place, is: 'absent' } : { place, is: 'modified-at', revision: before.modRevision };
  // The key of all brokers stays, empty: its revision tells when settings have last changed (R6).
  const goes = scope !== 'all' && Object.keys(configs).length === 0;
  return {
    why: scope === 'all' ? 'settings of all brokers' : `settings of broker ${scope}`,
    transaction: {
      expect: [expect],
      put: goes ? [] : [{ kind: 'broker-configs', value: { scope, configs } }],
      delete: goes ? [place] : [],
    },
  };
}

function sameConfigs(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}
