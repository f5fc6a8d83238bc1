/** For completion: the names of the topics or groups, if the cluster answers at once. Says nothing otherwise: somebody is typing. */
import type { Tributary } from '@tributary/client';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';

/** From the start of the process, ms: longer than that a keypress should not take. TRIBUTARY_COMPLETION_MS gives more to a cluster far away. */
const answeredWithinMs = 300;

export async function topicNames(options: ConnectionOptions): Promise<void> {
  await offer(options, async ({ admin }) =>
    (await admin.listTopics()).filter(({ internal }) => !internal).map(({ name }) => name),
  );
}

export async function groupNames(options: ConnectionOptions): Promise<void> {
  await offer(options, async ({ admin }) => (await admin.groups.list()).groups.map(({ groupId }) => groupId));
}

async function offer(
  { bootstrap }: ConnectionOptions,
  namesOf: (cluster: Tributary) => Promise<readonly string[]>,
): Promise<void> {
  const wished = Number(process.env['TRIBUTARY_COMPLETION_MS']);
  const withinMs = Number.isInteger(wished) && wished > 0 ? wished : answeredWithinMs;
  // Whatever is still under way then must not keep the shell waiting.
  const timer = setTimeout(() => process.exit(0), Math.max(withinMs - performance.now(), 1));
  try {
    const { connect } = await import('@tributary/client');
    const cluster = await connect({ bootstrap, clientId: 'tributary-completion', connectTimeoutMs: withinMs });
    const described = await namesOf(cluster);
    clearTimeout(timer);
    const names = offerable(described);
    if (names.length > 0) await print(names.join('\n'));
  } catch {
    // No cluster, no names.
  }
  process.exit(0);
}

/** Shells expand the words that are offered to them: of what a stranger at that address says, only what can name a topic is passed on. */
export function offerable(names: readonly string[]): readonly string[] {
  return names.filter((name) => /^[a-zA-Z0-9._-]+$/.test(name));
}
