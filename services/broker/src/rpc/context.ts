// pure
import { type ClusterId, TributaryError } from '@tributary/model';
import type { RequestContext } from '@tributary/wire';

/** F2: batch-level requests name the cluster. @throws TributaryError INCONSISTENT_CLUSTER_ID. */
export function checkCluster(context: RequestContext | undefined, clusterId: ClusterId): void {
  const named = context?.clusterId ?? '';
  if (named !== '' && named !== clusterId) {
    throw new TributaryError(
      'INCONSISTENT_CLUSTER_ID',
      `The request is for cluster ${named}, this broker belongs to ${clusterId}: check the bootstrap address.`,
    );
  }
}
