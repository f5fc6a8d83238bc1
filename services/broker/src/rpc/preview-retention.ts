/**
 * LogService.PreviewRetention: what retention would take at once, under the given settings, from each partition of a topic that this broker leads.
 * Changes nothing. INVALID_CONFIG naming the setting; UNKNOWN_TOPIC_ID; errors of one partition travel with it.
 */
import { checkTopicConfigs, TributaryError, topicConfig, topicId } from '@tributary/model';
import type { Clock } from '@tributary/ports';
import type { DeletedRecords, PreviewRetentionRequest, PreviewRetentionResponse } from '@tributary/wire';
import type { Replicas } from '../replicas.ts';
import { checkCluster } from './context.ts';
import { failure } from './partition-errors.ts';

export function previewRetentionHandler(replicas: Replicas, clock: Clock) {
  return async (request: PreviewRetentionRequest): Promise<PreviewRetentionResponse> => {
    checkCluster(request.context, replicas.clusterId);
    checkTopicConfigs(request.configs);
    const config = topicConfig(request.configs);
    const id = topicId(request.topicId);
    if (!replicas.knows(id)) {
      throw new TributaryError(
        'UNKNOWN_TOPIC_ID',
        `No topic has the id "${request.topicId.slice(0, 40)}" here: it was deleted, or is not yet known; refresh the metadata.`,
      );
    }
    const partitions: DeletedRecords[] = [];
    for (const { name, partition } of replicas.open()) {
      if (name.topicId !== id || partition.state.role.kind !== 'leading') continue;
      const about = { topicId: name.topicId, partition: name.partition };
      try {
        const { start, records, bytes } = await partition.log.preview.byRetention(config, clock.wallMs());
        const gone = { logStartOffset: start, records: BigInt(records), bytes: BigInt(bytes) };
        partitions.push({ ...about, errorCode: 0, errorMessage: '', ...gone });
      } catch (thrown) {
        partitions.push({ ...about, ...failure(thrown), logStartOffset: -1n, records: 0n, bytes: 0n });
      }
    }
    return { throttleMs: 0, partitions: partitions.sort((a, b) => a.partition - b.partition) };
  };
}
