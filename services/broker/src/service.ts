/** What a broker serves: the log and metadata itself, the rest by one hop to the controller (F1). */
import type { ImageSource } from '@tributary/metadata';
import { limits } from '@tributary/model';
import type { Clock, Handlers, Random, Service } from '@tributary/ports';
import { methods } from '@tributary/wire';
import type { BrokerObserver } from './observer.ts';
import type { ProducerIds } from './producer-ids.ts';
import type { Replicas } from './replicas.ts';
import type { ControllerClient } from './rpc/controller-client.ts';
import { Coordinators } from './rpc/coordinators.ts';
import { fetchHandler } from './rpc/fetch.ts';
import { serveGroups } from './rpc/group-service.ts';
import { holding } from './rpc/held.ts';
import { listOffsetsHandler } from './rpc/list-offsets.ts';
import { measureLagHandler } from './rpc/measure-lag.ts';
import type { Neighbours } from './rpc/neighbours.ts';
import { getMetadataHandler, initProducerIdHandler } from './rpc/metadata.ts';
import { produceHandler } from './rpc/produce.ts';
import { publishHandler } from './rpc/publish.ts';
import { commitHandler } from './rpc/record-commit.ts';
import { Subscriptions } from './rpc/subscribe.ts';
import { Turns } from './turns.ts';

interface Parts {
  readonly replicas: Replicas;
  readonly neighbours: Neighbours;
  readonly source: ImageSource;
  readonly controller: ControllerClient;
  readonly producerIds: ProducerIds;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: BrokerObserver;
  /** Aborted when this broker stops. */
  readonly stopping: AbortSignal;
}

export function brokerService({
  replicas,
  neighbours,
  source,
  controller,
  producerIds,
  clock,
  random,
  observer,
  stopping,
}: Parts): Service {
  const turns = new Turns(clock);
  const coordinators = new Coordinators({ neighbours, source, controller, clock });
  const subscriptions = new Subscriptions({
    replicas,
    neighbours,
    source,
    clock,
    random,
    turns,
    observer: observer.fetch,
    coordinators,
    stopping,
  });
  return (handlers: Handlers): void => {
    handlers.stream(methods.produce, produceHandler({ replicas, neighbours, clock, observer: observer.produce }));
    handlers.stream(methods.fetch, fetchHandler({ replicas, neighbours, observer: observer.fetch, turns }));
    const publish = publishHandler({ replicas, neighbours, source, clock, turns, observer: observer.produce });
    handlers.unary(
      methods.publish,
      holding(publish, ({ records }) => records.length * limits.decodedRecord),
    );
    handlers.stream(methods.subscribe, (stream, context) => subscriptions.subscribe(stream, context));
    handlers.unary(methods.grantCredit, (request, context) => subscriptions.grantCredit(request, context));
    handlers.unary(methods.commit, commitHandler(coordinators, source, clock));
    handlers.unary(methods.release, (request, context) => subscriptions.release(request, context));
    serveGroups(coordinators, handlers);
    handlers.unary(methods.listOffsets, listOffsetsHandler(replicas, neighbours));
    handlers.unary(methods.measureLag, measureLagHandler(replicas, neighbours, clock));
    handlers.unary(methods.getMetadata, getMetadataHandler(source, clock));
    handlers.unary(methods.initProducerId, initProducerIdHandler(producerIds));
    handlers.unary(methods.createTopic, (request, context) =>
      controller.forward(methods.createTopic, request, context.signal),
    );
    handlers.unary(methods.deleteTopic, (request, context) =>
      controller.forward(methods.deleteTopic, request, context.signal),
    );
    handlers.unary(methods.listTopics, (request, context) =>
      controller.forward(methods.listTopics, request, context.signal),
    );
    handlers.unary(methods.describeTopic, (request, context) =>
      controller.forward(methods.describeTopic, request, context.signal),
    );
  };
}
