/** What every story of a cluster begins with. */
import { TributaryError } from '@tributary/model';
import { methods } from '@tributary/wire';
import { Peers } from '../clients/peers.ts';
import { contextOf, findRoutes, untilDone } from '../clients/routes.ts';
import type { ProcessMain, ProcessPorts } from '../process.ts';
import type { Stage } from './stage.ts';

/** On the clients' machine, to its end. */
export async function runClient(stage: Stage, name: string, program: ProcessMain): Promise<void> {
  const end = await stage.clients.start(name, program).ended;
  if (end.how === 'failed') throw end.thrown;
}

/** All topics of the stage, each with a leader. */
export async function createTopics(stage: Stage, ports: ProcessPorts, stop: AbortSignal): Promise<void> {
  await using peers = new Peers(ports.transport);
  const random = stage.random.stream('admin');
  const any = () => peers.to(random.pick(stage.bootstrap));
  for (const { name, partitions, configs, replicationFactor } of stage.topics) {
    const context = contextOf('admin');
    const request = { context, name, partitions, replicationFactor, configs, validateOnly: false };
    await untilDone(ports, stop, async () => {
      try {
        await any().unary(methods.createTopic, request, { deadlineMs: 5_000 });
      } catch (thrown) {
        const { error, message } = TributaryError.from(thrown);
        // Not all brokers are there yet; or it was done, and the answer was lost.
        if (error === 'INVALID_REPLICATION_FACTOR') throw new TributaryError('BROKER_NOT_AVAILABLE', message);
        if (error !== 'TOPIC_ALREADY_EXISTS') throw thrown;
      }
    });
    const routes = await untilDone(ports, stop, () => findRoutes(any(), 'admin', [name]));
    const [route] = routes.values();
    if (route === undefined || routes.size !== partitions)
      throw new TributaryError('LEADER_NOT_AVAILABLE', `${name} was created with ${routes.size} partitions`);
    stage.topicCreated(name, route.topicId, partitions);
  }
}
