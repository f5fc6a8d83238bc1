/**
 * LogService.PreviewRetention: what retention would take at once, under the given settings, from each partition of a topic; every leader
 * answers for its own (F1). Changes nothing. INVALID_CONFIG naming the setting; UNKNOWN_TOPIC_ID; errors of one partition travel with it: BROKER_NOT_AVAILABLE.
 */
import { checkTopicConfigs, type NodeId, TributaryError, topicConfig, topicId } from '@tributary/model';
import type { CallContext, Clock } from '@tributary/ports';
import {
  type DeletedRecords,
  methods,
  type PreviewRetentionRequest,
  type PreviewRetentionResponse,
} from '@tributary/wire';
import type { Replicas } from '../replicas.ts';
import { checkCluster } from './context.ts';
import { isForwarded, type Neighbours } from './neighbours.ts';
import { failure } from './partition-errors.ts';

export function previewRetentionHandler(replicas: Replicas, neighbours: Neighbours, clock: Clock) {
  return async (request: PreviewRetentionRequest, call: CallContext): Promise<PreviewRetentionResponse> => {
    checkCluster(request.context, replicas.clusterId);
    checkTopicConfigs(request.configs);
    const id = topicId(request.topicId);
    if (!replicas.knows(id)) {
      throw new TributaryError(
        'UNKNOWN_TOPIC_ID',
        `No topic has the id "${request.topicId.slice(0, 40)}" here: it was deleted, or is not yet known; refresh the metadata.`,
      );
    }
    const partitions = await preview(replicas, request, clock);
    if (!isForwarded(request.context)) partitions.push(...(await previewElsewhere(neighbours, request, call)));
    return { throttleMs: 0, partitions: partitions.sort((a, b) => a.partition - b.partition) };
  };
}

/** Of what this broker leads. */
async function preview(
  replicas: Replicas,
  request: PreviewRetentionRequest,
  clock: Pick<Clock, 'wallMs'>,
): Promise<DeletedRecords[]> {
  const config = topicConfig(request.configs);
  const partitions: DeletedRecords[] = [];
  for (const { name, partition } of replicas.open()) {
    if (name.topicId !== request.topicId || partition.state.role.kind !== 'leading') continue;
    const about = { topicId: name.topicId, partition: name.partition };
    try {
      const { start, records, bytes } = await partition.log.preview.byRetention(config, clock.wallMs());
      const gone = { logStartOffset: start, records: BigInt(records), bytes: BigInt(bytes) };
      partitions.push({ ...about, errorCode: 0, errorMessage: '', ...gone });
    } catch (thrown) {
      partitions.push({ ...about, ...failure(thrown), logStartOffset: -1n, records: 0n, bytes: 0n });
    }
  }
  return partitions;
}

async function previewElsewhere(
  neighbours: Neighbours,
  request: PreviewRetentionRequest,
  call: CallContext,
): Promise<DeletedRecords[]> {
  const byLeader = new Map<NodeId, number[]>();
  for (const info of neighbours.source.current.partitionsOf(topicId(request.topicId))) {
    const to = info === undefined ? undefined : neighbours.leaderElsewhere(info.topicId, info.partition)?.to;
    if (info !== undefined && to !== undefined) byLeader.set(to, [...(byLeader.get(to) ?? []), info.partition]);
  }
  const asked = [...byLeader].map(async ([to, partitions]) => {
    try {
      return (await neighbours.forward(to, methods.previewRetention, request, call)).partitions;
    } catch (thrown) {
      const about = { topicId: request.topicId, ...failure(thrown), logStartOffset: -1n, records: 0n, bytes: 0n };
      return partitions.map((partition) => ({ ...about, partition }));
    }
  });
  return (await Promise.all(asked)).flat();
}
