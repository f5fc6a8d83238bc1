/** Programs of the clients' machine, and what they tell the judge. */
import { RawConsumer, type RawConsumerPlan } from '../clients/raw-consumer.ts';
import type { ProcessMain, ProcessPorts } from '../process.ts';
import type { Scene } from './scene.ts';

/** Runs a client program to its end. */
export async function runProgram(scene: Scene, name: string, program: ProcessMain): Promise<void> {
  const end = await scene.clients.start(name, program).ended;
  if (end.how === 'failed') throw end.thrown;
}

export function newConsumer(scene: Scene, plan: RawConsumerPlan, ports: ProcessPorts, keep: boolean): RawConsumer {
  return new RawConsumer(plan, ports, scene.random.stream(`consumer ${plan.name}`), observersOf(scene), keep);
}

/** What a client tells of itself. */
export function observersOf(scene: Scene) {
  return {
    history: (topic: string, partition: number) => scene.history(topic, partition),
    count: (what: string) => scene.world.coverage.count(what),
    broken: (rule: string, what: string) => scene.world.broken(rule, what),
  };
}
