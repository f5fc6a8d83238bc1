/** Dynamic settings of topics and brokers. */
import { TributaryError } from '@tributary/model';
import { type ConfigEntry, ConfigOperationType, ConfigResourceType, ConfigSource, methods } from '@tributary/wire';
import { type AdminOptions, adminCall, type ChangeOptions, finalIfUnknown } from './admin-call.ts';
import type { Routing } from './routing.ts';

/** Whose settings. */
export type ConfigResource =
  | { readonly kind: 'topic'; readonly name: string }
  | { readonly kind: 'broker'; readonly id: number }
  /** What holds for every broker that says nothing itself, and for topics' settings where the topic says nothing. */
  | { readonly kind: 'all-brokers' };

export interface ConfigChange {
  /** Kafka's, for example `retention.ms`. */
  readonly name: string;
  /** `append` and `subtract` add words to a list and take them away; `delete` goes back to what lies beneath. */
  readonly operation: 'set' | 'append' | 'subtract' | 'delete';
  /** Not for `delete`. */
  readonly value?: string | undefined;
}

export interface ConfigValue {
  readonly name: string;
  readonly value: string;
  /** What it is without a setting of its own. */
  readonly defaultValue: string;
  /** Who set the value. */
  readonly source: 'default' | 'cluster' | 'broker' | 'topic';
  readonly documentation: string;
  /** For people. */
  readonly allowed: string;
}

/** The settings that were named, in that order. */
export interface AlteredConfigs {
  readonly before: readonly ConfigValue[];
  /** As they are now, or would be. */
  readonly after: readonly ConfigValue[];
}

export async function alterConfigs(
  routing: Routing,
  resource: ConfigResource,
  changes: readonly ConfigChange[],
  options: ChangeOptions,
): Promise<AlteredConfigs> {
  const call = adminCall(routing, `Changing the settings of ${named(resource)}`, options);
  // Repeated after a lost answer it does the same; but what was there before is what the first attempt found.
  const { before, after, revision } = await routing.retry(call, async (attempt, deadlineMs) => {
    const request = {
      context: routing.context,
      ...onWire(resource),
      operations: changes.map(({ name, operation, value = '' }) => ({
        name,
        operation: operations[operation],
        value,
      })),
      validateOnly: options.validateOnly ?? false,
    };
    try {
      return await routing.callOnce(methods.alterConfigs, request, attempt, deadlineMs, options.signal);
    } catch (thrown) {
      throw finalIfUnknown(thrown);
    }
  });
  routing.changedAt(revision);
  return { before: before.map(valueOf), after: after.map(valueOf) };
}

export async function describeConfigs(
  routing: Routing,
  resource: ConfigResource,
  options: AdminOptions,
): Promise<readonly ConfigValue[]> {
  const call = adminCall(routing, `Describing the settings of ${named(resource)}`, options);
  const { configs } = await routing.retry(call, async (attempt, deadlineMs) => {
    const request = { context: routing.context, ...onWire(resource) };
    try {
      return await routing.callOnce(methods.describeConfigs, request, attempt, deadlineMs, options.signal);
    } catch (thrown) {
      throw finalIfUnknown(thrown);
    }
  });
  return configs.map(valueOf);
}

const operations = {
  set: ConfigOperationType.SET,
  append: ConfigOperationType.APPEND,
  subtract: ConfigOperationType.SUBTRACT,
  delete: ConfigOperationType.DELETE,
} as const;

function onWire(resource: ConfigResource): { resourceType: ConfigResourceType; resourceName: string } {
  switch (resource.kind) {
    case 'topic':
      return { resourceType: ConfigResourceType.TOPIC, resourceName: resource.name };
    case 'broker':
      if (!Number.isInteger(resource.id) || resource.id < 0)
        throw new TributaryError('INVALID_REQUEST', `${resource.id} is no node id: allowed is a whole number ≥ 0.`);
      return { resourceType: ConfigResourceType.BROKER, resourceName: String(resource.id) };
    case 'all-brokers':
      return { resourceType: ConfigResourceType.BROKER, resourceName: '' };
  }
}

function named(resource: ConfigResource): string {
  switch (resource.kind) {
    case 'topic':
      return `topic "${resource.name}"`;
    case 'broker':
      return `broker ${resource.id}`;
    case 'all-brokers':
      return 'all brokers';
  }
}

export function valueOf({ source, ...entry }: ConfigEntry): ConfigValue {
  return { ...entry, source: sourceOf(source) };
}

function sourceOf(source: ConfigSource): ConfigValue['source'] {
  switch (source) {
    case ConfigSource.TOPIC:
      return 'topic';
    case ConfigSource.BROKER:
      return 'broker';
    case ConfigSource.CLUSTER:
      return 'cluster';
    case ConfigSource.DEFAULT:
    case ConfigSource.UNSPECIFIED:
      return 'default';
  }
}
