/**
 * GroupService, for the groups that this coordinator owns, and CoordinatorService. What each answers and refuses stands at the head of its file in `rpc/`.
 *
 * Every call: NOT_COORDINATOR where the group belongs to another; COORDINATOR_LOAD_IN_PROGRESS while its journal is read; INCONSISTENT_CLUSTER_ID (F2);
 * REQUEST_TIMED_OUT when `min_revision` is not reached in time (M4); THROTTLING_QUOTA_EXCEEDED where more waits than there is room for.
 */
import { TributaryError } from '@tributary/model';
import type { Handlers, Service } from '@tributary/ports';
import { type DescribeCoordinatorResponse, type FindCoordinatorRequest, methods } from '@tributary/wire';
import { groupOwner, type ImageSource } from '@tributary/metadata';
import type { LogEnds } from './lag/log-ends.ts';
import { describeGroups, listGroups, deleteGroups, type Describing } from './rpc/groups.ts';
import { heartbeat } from './rpc/heartbeat.ts';
import { serveJoin } from './rpc/join.ts';
import { commitOffsets, deleteOffsets, fetchOffsets } from './rpc/offsets.ts';
import type { Reception } from './rpc/reception.ts';

export interface ServiceParts {
  readonly reception: Reception;
  readonly ends: LogEnds;
  readonly describing: Describing;
  readonly images: Pick<ImageSource, 'current'>;
  readonly about: () => Omit<DescribeCoordinatorResponse, 'throttleMs'>;
}

export function coordinatorService({ reception, ends, describing, images, about }: ServiceParts): Service {
  return (handlers: Handlers) => {
    handlers.stream(methods.join, (stream, context) => serveJoin(reception, stream, context));
    handlers.unary(methods.heartbeat, (request, context) => heartbeat(reception, request, context));
    handlers.unary(methods.commitOffsets, (request, context) => commitOffsets(reception, ends, request, context));
    handlers.unary(methods.fetchOffsets, (request, context) => fetchOffsets(reception, request, context));
    handlers.unary(methods.deleteOffsets, (request, context) => deleteOffsets(reception, request, context));
    handlers.unary(methods.listGroups, (request, context) => listGroups(describing, request, context));
    handlers.unary(methods.describeGroups, (request, context) => describeGroups(describing, request, context));
    handlers.unary(methods.deleteGroups, (request, context) => deleteGroups(describing, request, context));
    handlers.unary(methods.findCoordinator, async (request) => findCoordinator(images, request));
    handlers.unary(methods.describeCoordinator, async () => ({ throttleMs: 0, ...about() }));
  };
}

/** As its own picture of the cluster shows; the topic is created by brokers, on first use. */
function findCoordinator(images: Pick<ImageSource, 'current'>, { groupId }: FindCoordinatorRequest) {
  if (groupId === '') throw new TributaryError('INVALID_GROUP_ID', 'The group id is empty.');
  const owner = groupOwner(images.current, groupId);
  if (typeof owner === 'string') {
    const why = owner === 'no-topic' ? 'its journal is not there yet: ask a broker' : 'nobody owns it now: try again';
    throw new TributaryError('COORDINATOR_NOT_AVAILABLE', `Nobody coordinates the group "${groupId}": ${why}.`);
  }
  const { coordinator, partition, assignment } = owner;
  const { nodeId, address } = coordinator;
  return { throttleMs: 0, nodeId, address, partition, writerEpoch: assignment.writerEpoch };
}
