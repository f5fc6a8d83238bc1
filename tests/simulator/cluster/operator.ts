/** Somebody who changes what an acknowledgement is worth, while everything else goes wrong. */
import { TributaryError } from '@tributary/model';
import { ConfigOperationType, ConfigResourceType, ElectionType, methods } from '@tributary/wire';
import { Peers } from '../clients/peers.ts';
import { contextOf } from '../clients/routes.ts';
import type { ProcessMain } from '../process.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { Stage } from './stage.ts';

const PAUSE_MS_MAX = 2_500;
const minIsr = 'min.insync.replicas';
/** Mostly as it was. */
const values = ['1', '2', '2', '2', '3'] as const;

/** Until it is to be calm; then all is as it was at first. */
export function operatorProgram(stage: Stage, random: SeededRandom): ProcessMain {
  return async ({ clock, transport }, stop) => {
    await using peers = new Peers(transport);
    const set = async (topic: string, value: string): Promise<boolean> => {
      const operations = [{ name: minIsr, operation: ConfigOperationType.SET, value }];
      const resource = { resourceType: ConfigResourceType.TOPIC, resourceName: topic };
      const request = { context: contextOf('operator'), ...resource, operations, validateOnly: false };
      try {
        await peers.to(random.pick(stage.bootstrap)).unary(methods.alterConfigs, request, { deadlineMs: 5_000 });
        stage.world.coverage.count('operator: min.insync.replicas set');
        return true;
      } catch (thrown) {
        const { error, message, retriable } = TributaryError.from(thrown);
        stage.world.coverage.count(`operator: refused with ${error}`);
        if (!retriable) stage.world.broken('judge', `the operator was refused: ${error}: ${message}`);
        return false;
      }
    };
    while (!stage.isCalm) {
      await clock.sleep(random.between(50, PAUSE_MS_MAX), stop);
      const [first = 'ledger', ...rest] = stage.topics.map(({ name }) => name);
      await set(random.pick([first, ...rest]), random.pick(values));
    }
    for (const { name, configs } of stage.topics)
      while (!(await set(name, configs[minIsr] ?? '2'))) await clock.sleep(100, stop);
  };
}

/**
 * Somebody who, once all is healed, gives up on what will never come back: an `async` partition whose last members all lost something, and one of
 * them its disk.
 */
export function menderProgram(stage: Stage, random: SeededRandom, isDone: () => boolean): ProcessMain {
  return async ({ clock, transport }, stop) => {
    await using peers = new Peers(transport);
    while (!isDone()) {
      await clock.sleep(1_000, stop);
      for (const { topic, partition, folder } of stage.partitions) {
        if (!isAbandoned(stage, folder)) continue;
        const topics = [{ topic, partitions: [partition] }];
        const request = {
          context: contextOf('mender'),
          electionType: ElectionType.UNCLEAN,
          topics,
          validateOnly: false,
        };
        try {
          await peers.to(random.pick(stage.bootstrap)).unary(methods.electLeaders, request, { deadlineMs: 5_000 });
          stage.world.coverage.count('operator: unclean election asked for');
        } catch (thrown) {
          const { error, message, retriable } = TributaryError.from(thrown);
          if (!retriable) stage.world.broken('judge', `the mender was refused: ${error}: ${message}`);
        }
      }
    }
  };
}

/** Nobody leads, and a directory that may have had the most has been replaced. */
function isAbandoned(stage: Stage, folder: string): boolean {
  const partition = stage.truth.partition(folder);
  if (partition?.effectiveFlushPolicy !== 'async' || partition.leader !== undefined) return false;
  const { isr, lastMembers, replicas } = partition;
  // Who is in the ISR lost nothing, and is waited for.
  if (isr.length > 0) return false;
  return lastMembers.some((node) => {
    const directory = replicas.find(({ nodeId }) => nodeId === node)?.directoryId;
    const { registration } = stage.truth.image.broker(node) ?? {};
    return registration !== undefined && registration.directoryId !== directory;
  });
}
