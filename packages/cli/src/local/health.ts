/** Whether a local cluster is healthy as a whole, beyond each part being ready: replicas that were away have to catch up first. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, TributaryError } from '@tributary/client';
import { type Problem, problemsOf } from '../cluster-health.ts';

/** How often the controller is asked, ms. */
const askAgainMs = 100;

/** @returns what is still wrong when the time is over; empty: nothing. */
export async function untilHealthy(
  bootstrap: string,
  withinMs: number,
  signal: AbortSignal,
): Promise<readonly Problem[]> {
  const deadlineMs = performance.now() + withinMs;
  const left = (): number => Math.max(deadlineMs - performance.now(), 1);
  await using cluster = await connect({ bootstrap, clientId: 'tributary-cli' });
  for (;;) {
    const problems = await cluster.admin.clusterReport({ timeoutMs: left(), signal }).then(problemsOf, unanswered);
    signal.throwIfAborted();
    if (problems.length === 0 || performance.now() >= deadlineMs) return problems;
    await sleep(askAgainMs, undefined, { signal }).catch(() => undefined);
  }
}

function unanswered(thrown: unknown): readonly Problem[] {
  const { error } = TributaryError.from(thrown);
  // An older controller does not know the question: that it runs is all that can be told.
  if (error === 'UNSUPPORTED_VERSION') return [];
  return [{ kind: 'no_controller', sentence: TributaryError.from(thrown).message }];
}
