import type { DirectoryId, NodeId } from '@tributary/model';
import type { Clock, MetadataStore } from '@tributary/ports';
import { limits } from '@tributary/model';
import type { MetadataKeys } from './keys.ts';
import type { Stored, TopicInfo } from './state.ts';
import { encodeTransaction } from './values.ts';

/**
 * A broker's word that it holds nothing more of a topic in phase `deleting` (M6); also when it never held any of it but is named in
 * `removingReplicas`. Repeating it is harmless, and so is a topic that is gone by now. A store that does not answer is asked again until the
 * signal aborts.
 */
export async function confirmRemoval(
  store: MetadataStore,
  keys: MetadataKeys,
  topic: Stored<TopicInfo>,
  replica: { readonly nodeId: NodeId; readonly directoryId: DirectoryId },
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const transaction = encodeTransaction(keys, {
    expect: [{ place: { kind: 'topic', topicId: topic.topicId }, is: 'created-at', revision: topic.createRevision }],
    put: [
      { kind: 'removal', value: { topicId: topic.topicId, nodeId: replica.nodeId, directoryId: replica.directoryId } },
    ],
    delete: [],
  });
  let retryMs: number = limits.storeRetryMsMin;
  for (;;) {
    signal.throwIfAborted();
    try {
      await store.commit(transaction);
      return;
    } catch {
      await clock.sleep(retryMs, signal);
      retryMs = Math.min(retryMs * 2, limits.storeRetryMsMax);
    }
  }
}
