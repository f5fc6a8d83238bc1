/** Whether parts work, as they themselves say. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterFolder } from './cluster-folder.ts';
import { endedSentence } from './launch.ts';
import { isAlive, type Part, statusPage } from './parts.ts';

/** How often each part is asked, ms: an answer takes about one. */
const askAgainMs = 50;
/** How long a page may take, ms: it depends on nobody. */
const pageMs = 1_000;

/** @returns empty: it works. */
async function whyNotReady(part: Part): Promise<string> {
  try {
    const answer = await fetch(statusPage(part), { signal: AbortSignal.timeout(pageMs) });
    if (answer.ok) return '';
    return reasonIn(await answer.text());
  } catch (thrown) {
    const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause.message : String(thrown);
    return `${statusPage(part)} does not answer (${cause})`;
  }
}

function reasonIn(body: string): string {
  try {
    const found: { readonly reasons?: readonly string[] } = JSON.parse(body);
    return found.reasons?.join('; ') ?? body;
  } catch {
    return body;
  }
}

export interface Waiting {
  readonly withinMs: number;
  readonly signal: AbortSignal;
  /** Called whenever more of them are ready. */
  readonly progress: (ready: number, of: number) => void;
}

/** Resolves once all of them work. @throws Error for one that has ended, or naming those that do not work in time, with their reasons. */
export async function untilReady(
  parts: readonly Part[],
  folder: ClusterFolder,
  { withinMs, signal, progress }: Waiting,
): Promise<void> {
  const deadlineMs = performance.now() + withinMs;
  let waiting = parts;
  for (;;) {
    signal.throwIfAborted();
    const answers = await Promise.all(waiting.map(async (part) => ({ part, why: await whyNotReady(part) })));
    const unready = answers.filter(({ why }) => why !== '');
    const ended = unready.find(({ part }) => !isAlive(part));
    if (ended !== undefined) throw new Error(endedSentence(ended.part, folder));
    waiting = unready.map(({ part }) => part);
    progress(parts.length - waiting.length, parts.length);
    if (waiting.length === 0) return;
    if (performance.now() >= deadlineMs) {
      const said = unready.map(({ part, why }) => `${part.name}: ${why}`).join('; ');
      throw new Error(
        `Not ready within ${withinMs / 1000} s, and still starting: ${said}. Their logs are in ${folder.directory}/logs.`,
      );
    }
    await sleep(askAgainMs, undefined, { signal }).catch(() => undefined);
  }
}
