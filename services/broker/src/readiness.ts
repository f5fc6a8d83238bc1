// pure
/** What /readyz says: a rolling restart goes on to the next broker once this one has caught up. */
import type { DirectoryId, NodeId } from '@tributary/model';
import type { ClusterImage } from '@tributary/metadata';

export type Readiness = { readonly ready: true } | { readonly ready: false; readonly reason: string };

/** Every replica that is assigned to this directory is in sync. Partitions without a leader are nothing that waiting here would mend. */
export function caughtUp(image: ClusterImage, me: NodeId, directory: DirectoryId): Readiness {
  let behind = 0;
  let example = '';
  for (const { topicId, partition, leader, replicas, isr, adding } of image.partitions()) {
    const isMine = replicas.some((each) => each.nodeId === me && each.directoryId === directory);
    if (!isMine || leader === undefined || isr.includes(me) || adding.includes(me)) continue;
    if (behind === 0) example = `${image.topic(topicId)?.name ?? topicId}-${partition}`;
    behind++;
  }
  if (behind === 0) return { ready: true };
  return { ready: false, reason: `${behind} of its replicas are not in sync yet, ${example} for one` };
}
