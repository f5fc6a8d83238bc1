import type { PartitionHistory } from './history.ts';
import type { World } from './world.ts';

/** What a run that held came to. */
export interface RunResult {
  readonly seed: number;
  readonly hash: string;
  readonly events: number;
  readonly crashes: number;
  readonly virtualMs: number;
  readonly acknowledged: number;
  readonly coverage: readonly (readonly [string, number])[];
}

/** A run that did not hold, with the last lines of its story. */
export class RunFailure extends Error {
  override readonly name = 'RunFailure';
  readonly tail: readonly string[];

  constructor(message: string, tail: readonly string[], cause: unknown) {
    super(message, { cause });
    this.tail = tail;
  }
}

/** @throws RunFailure. */
export async function runIn(
  world: World,
  tell: () => Promise<void>,
  told: { readonly crashes: number; readonly histories: Iterable<PartitionHistory> },
): Promise<RunResult> {
  try {
    await world.run(tell);
  } catch (thrown) {
    throw withTrace(world, thrown);
  }
  let acknowledged = 0;
  for (const history of told.histories) acknowledged += history.acknowledged;
  return {
    seed: world.seed,
    hash: world.trace.hash(),
    events: world.scheduler.events,
    crashes: told.crashes,
    virtualMs: Math.round(world.scheduler.nowMicros / 1_000),
    acknowledged,
    coverage: world.coverage.entries(),
  };
}

function withTrace(world: World, thrown: unknown): RunFailure {
  const what =
    thrown instanceof Error
      ? thrown.name === 'BrokenRule'
        ? thrown.message
        : (thrown.stack ?? thrown.message)
      : String(thrown);
  return new RunFailure(what, world.trace.tail(60), thrown);
}
