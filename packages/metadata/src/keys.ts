// pure
/** The only place that spells keys. */
import { assert, nodeId, partitionIndex, topicId } from '@tributary/model';
import { type Place, allBrokers } from './state.ts';

export interface MetadataKeys {
  /** All keys of one cluster begin with it, and nothing else does. */
  readonly prefix: string;
  of(place: Place): string;
  /** undefined: not a key of this version. */
  parse(key: string): Place | undefined;
}

/** @param installation one name per cluster sharing a store: letters, digits, "-", "_", "." */
export function metadataKeys(installation: string): MetadataKeys {
  assert(
    /^[A-Za-z0-9._-]+$/.test(installation),
    `the metadata prefix "${installation}" has other characters than letters, digits, ".", "_", "-"`,
  );
  const prefix = `/tributary/${installation}/`;
  return {
    prefix,
    of: (place) => prefix + below(place),
    parse: (key) => (key.startsWith(prefix) ? parse(key.slice(prefix.length)) : undefined),
  };
}

function below(place: Place): string {
  switch (place.kind) {
    case 'cluster':
      return 'cluster';
    case 'controller':
      return 'election/controller';
    case 'registration':
      return `brokers/${place.nodeId}/registration`;
    case 'broker-status':
      return `brokers/${place.nodeId}/state`;
    case 'coordinator-registration':
      return `coordinators/${place.nodeId}/registration`;
    case 'group-partition':
      return `group-partitions/${place.partition}`;
    case 'broker-configs':
      return `brokers/${place.scope}/configs`;
    case 'topic':
      return `topics/${place.topicId}`;
    case 'topic-name':
      return `topic-names/${place.name}`;
    case 'partition':
      return `partitions/${place.topicId}/${place.partition}`;
    case 'producer-ids':
      return 'producer-ids';
    case 'removal':
      return `removals/${place.topicId}/${place.nodeId}`;
  }
}

function parse(path: string): Place | undefined {
  const parts = path.split('/');
  const [first, second = '', third = ''] = parts;
  const depth = parts.length;
  if (first === 'cluster' && depth === 1) return { kind: 'cluster' };
  if (first === 'producer-ids' && depth === 1) return { kind: 'producer-ids' };
  if (first === 'election' && depth === 2 && second === 'controller') return { kind: 'controller' };
  if (first === 'topics' && depth === 2) return { kind: 'topic', topicId: topicId(second) };
  if (first === 'topic-names' && depth === 2) return { kind: 'topic-name', name: second };
  if (first === 'brokers' && depth === 3 && third === 'configs' && second === allBrokers)
    return { kind: 'broker-configs', scope: allBrokers };
  if (first === 'brokers' && depth === 3 && isWhole(second)) {
    const node = nodeId(Number(second));
    if (third === 'configs') return { kind: 'broker-configs', scope: node };
    if (third === 'registration') return { kind: 'registration', nodeId: node };
    if (third === 'state') return { kind: 'broker-status', nodeId: node };
  }
  if (first === 'coordinators' && depth === 3 && isWhole(second) && third === 'registration')
    return { kind: 'coordinator-registration', nodeId: nodeId(Number(second)) };
  if (first === 'group-partitions' && depth === 2 && isWhole(second))
    return { kind: 'group-partition', partition: partitionIndex(Number(second)) };
  if (depth === 3 && isWhole(third)) {
    if (first === 'partitions')
      return { kind: 'partition', topicId: topicId(second), partition: partitionIndex(Number(third)) };
    if (first === 'removals') return { kind: 'removal', topicId: topicId(second), nodeId: nodeId(Number(third)) };
  }
  return undefined;
}

const isWhole = (text: string): boolean => /^(0|[1-9]\d{0,9})$/.test(text);
