// pure
import type { ClusterImage } from './image.ts';
import type { Place, StateChange } from './state.ts';

type Put = StateChange & { readonly kind: 'put' };

/** The changes that turn `image` into what a whole listing shows: new and newer values, and what is no longer there. */
export function changesSince(image: ClusterImage, listing: readonly Put[]): StateChange[] {
  const gone = placesOf(image);
  for (const { value } of listing) {
    switch (value.kind) {
      case 'cluster':
      case 'controller':
      case 'producer-ids':
        gone.delete(value.kind);
        break;
      case 'registration':
      case 'broker-status':
      case 'coordinator-registration':
        gone.delete(`${value.kind} ${value.value.nodeId}`);
        break;
      case 'group-partition':
        gone.delete(`group-partition ${value.value.partition}`);
        break;
      case 'broker-configs':
        gone.delete(`broker-configs ${value.value.scope}`);
        break;
      case 'topic':
        gone.delete(`topic ${value.value.topicId}`);
        break;
      case 'topic-name':
        gone.delete(`topic-name ${value.value.name}`);
        break;
      case 'partition':
        gone.delete(`partition ${value.value.topicId} ${value.value.partition}`);
        break;
      case 'removal':
        gone.delete(`removal ${value.value.topicId} ${value.value.nodeId}`);
        break;
    }
  }
  const removed = [...gone.values()].map((place): StateChange => ({ kind: 'delete', place }));
  return [...removed, ...listing.filter((put) => put.modRevision > image.revision)];
}

function placesOf(image: ClusterImage): Map<string, Place> {
  const places = new Map<string, Place>();
  if (image.cluster !== undefined) places.set('cluster', { kind: 'cluster' });
  if (image.controller !== undefined) places.set('controller', { kind: 'controller' });
  if (image.producerIds !== undefined) places.set('producer-ids', { kind: 'producer-ids' });
  for (const { nodeId, registration, status } of image.brokers()) {
    if (registration !== undefined) places.set(`registration ${nodeId}`, { kind: 'registration', nodeId });
    if (status !== undefined) places.set(`broker-status ${nodeId}`, { kind: 'broker-status', nodeId });
  }
  for (const { scope } of image.allConfigsSet())
    places.set(`broker-configs ${scope}`, { kind: 'broker-configs', scope });
  for (const { nodeId } of image.coordinators())
    places.set(`coordinator-registration ${nodeId}`, { kind: 'coordinator-registration', nodeId });
  for (const { partition } of image.groupPartitions())
    places.set(`group-partition ${partition}`, { kind: 'group-partition', partition });
  for (const { topicId } of image.topics()) places.set(`topic ${topicId}`, { kind: 'topic', topicId });
  for (const name of image.topicNames()) places.set(`topic-name ${name}`, { kind: 'topic-name', name });
  for (const { topicId, partition } of image.partitions()) {
    places.set(`partition ${topicId} ${partition}`, { kind: 'partition', topicId, partition });
  }
  for (const [topicId, removals] of image.removals()) {
    for (const nodeId of removals.keys())
      places.set(`removal ${topicId} ${nodeId}`, { kind: 'removal', topicId, nodeId });
  }
  return places;
}
