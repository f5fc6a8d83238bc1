import { type Tributary, TributaryError } from '@tributary/client';
import { open } from '../cluster.ts';
import { type Problem, problemsOf } from '../cluster-health.ts';
import { counted } from '../figures.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';

interface HealthOptions extends ConnectionOptions {
  /** Seconds. */
  readonly timeout: number;
}

interface Health {
  readonly problems: readonly Problem[];
  /** What there is, in one sentence; empty: nobody could tell. */
  readonly summary: string;
}

/** Exit code 1 when something is wrong. */
export async function clusterHealth(options: HealthOptions): Promise<void> {
  const { problems, summary } = await healthOf(options);
  const healthy = problems.length === 0;
  if (!healthy) process.exitCode = 1;
  await print(
    options.output === 'json'
      ? JSON.stringify({ healthy, problems })
      : healthy
        ? `Healthy: ${summary}`
        : ['Not healthy:', ...problems.map(({ sentence }) => `- ${sentence}`)].join('\n'),
  );
}

async function healthOf(options: HealthOptions): Promise<Health> {
  let cluster: Tributary;
  try {
    cluster = await open(options);
  } catch (thrown) {
    return { problems: [{ kind: 'no_cluster', sentence: TributaryError.from(thrown).message }], summary: '' };
  }
  await using _ = cluster;
  try {
    const report = await cluster.admin.clusterReport({ timeoutMs: options.timeout * 1000 });
    const active = report.brokers.filter(({ standing }) => standing === 'active').length;
    const summary = `${counted(active, 'broker')}, controller ${report.controller}, ${counted(report.partitions, 'partition')}.`;
    return { problems: problemsOf(report), summary };
  } catch (thrown) {
    if (!TributaryError.from(thrown).retriable) throw thrown;
    return { problems: [noController(thrown, options.timeout)], summary: '' };
  }
}

function noController(thrown: unknown, seconds: number): Problem {
  return {
    kind: 'no_controller',
    sentence: `No controller answered within ${seconds} s: topics, settings and elections wait for one, while partitions that have a leader go on. Start a controller, or see in its log whether it waits for etcd. Last: ${TributaryError.from(thrown).message}`,
  };
}
