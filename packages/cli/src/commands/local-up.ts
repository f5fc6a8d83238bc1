/** `tributary local up`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { quoted } from '../completion/model.ts';
import { InterruptedError } from '../failure.ts';
import { duration } from '../figures.ts';
import { Interruption } from '../interruption.ts';
import type { Problem } from '../cluster-health.ts';
import { ClusterFolder } from '../local/cluster-folder.ts';
import { untilHealthy } from '../local/health.ts';
import { launchMissing } from '../local/lifecycle.ts';
import { listed } from '../local/listing.ts';
import { bootstrapOf, isAlive, statusPage, withRole } from '../local/parts.ts';
import { inWords, planned, type Wishes } from '../local/plan.ts';
import { untilReady, type Waiting } from '../local/readiness.ts';
import type { LocalOptions, StartOptions } from '../program/local.ts';
import { print } from '../standard-output.ts';
import { takeDown } from './local-stop.ts';

interface UpOptions extends LocalOptions, StartOptions {
  readonly brokers?: number;
  readonly controllers?: number;
  readonly coordinators?: number;
  readonly port?: number;
  readonly etcd?: string;
  readonly set?: Readonly<Record<string, string>>;
  readonly delete?: readonly string[];
  readonly foreground?: boolean;
}

interface Outcome {
  readonly started: readonly string[];
  /** What is wrong with it although all of it runs. */
  readonly problems: readonly Problem[];
  readonly tookMs: number;
}

/** In the foreground: how often it looks whether another command has taken the cluster down, ms. */
const lookMs = 500;
/** How long each kind of part may take to stop at Ctrl-C, s. */
const stopSeconds = 30;

export async function localUp(options: UpOptions): Promise<void> {
  using interruption = new Interruption();
  const { signal } = interruption;
  const folder = new ClusterFolder(options.dataDir);
  const begun = performance.now();
  const wishes = {
    brokers: options.brokers,
    controllers: options.controllers,
    coordinators: options.coordinators,
    port: options.port,
    etcd: options.etcd,
    set: options.set ?? {},
    delete: options.delete ?? [],
  };
  try {
    const started = await launchAll(folder, wishes);
    using progress = new StartProgress();
    const waiting = { withinMs: options.timeout * 1000, signal, progress: progress.show };
    const problems = options.wait ? await untilWell(folder, waiting) : [];
    progress[Symbol.dispose]();
    await announce(folder, options, { started, problems, tookMs: performance.now() - begun });
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    if (options.foreground !== true)
      throw new InterruptedError(
        'Interrupted. What has been started goes on: `tributary local up` again waits for it, `tributary local down` ends it.',
      );
  }
  if (options.foreground === true) await untilOver(folder, signal);
}

async function launchAll(folder: ClusterFolder, wishes: Wishes): Promise<readonly string[]> {
  folder.prepare();
  await using _ = await folder.lock();
  try {
    const cluster = await planned(folder.read(), wishes);
    folder.write(cluster);
    return await launchMissing(folder, cluster, cluster.parts);
  } finally {
    // Nothing came of it: nothing stays.
    if (folder.read() === undefined) folder.remove({ parts: [] });
  }
}

async function untilWell(folder: ClusterFolder, waiting: Waiting): Promise<readonly Problem[]> {
  const begun = performance.now();
  await untilReady(folder.expect().parts, folder, waiting);
  const leftMs = waiting.withinMs - (performance.now() - begun);
  return await untilHealthy(bootstrapOf(folder.expect()), leftMs, waiting.signal);
}

async function untilOver(folder: ClusterFolder, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(lookMs, undefined, { signal }).catch(() => undefined);
    if (!(folder.read()?.parts.some((part) => isAlive(part)) ?? false)) {
      await print('Nothing of the cluster runs any more.').catch(() => undefined);
      return;
    }
  }
  if (folder.read() !== undefined) await takeDown(folder, stopSeconds);
}

async function announce(
  folder: ClusterFolder,
  { output, foreground, wait }: UpOptions,
  { started, problems, tookMs }: Outcome,
): Promise<void> {
  if (problems.length > 0) process.exitCode = 1;
  const cluster = folder.expect();
  const bootstrap = bootstrapOf(cluster);
  const parts = listed(cluster, folder);
  if (output === 'json') {
    const etcd = withRole(cluster, 'etcd')[0]?.ports['client'];
    const about = { bootstrap, etcd: `http://127.0.0.1:${etcd}`, dataDirectory: folder.directory };
    await print(JSON.stringify({ ...about, started, tookMs: Math.round(tookMs), problems, parts })).catch(
      () => undefined,
    );
    return;
  }
  const pages = withRole(cluster, 'broker').map((part) => statusPage(part).replace(/\/readyz$/, '/metrics'));
  const how = started.length === 0 ? 'was up already' : wait ? `is up after ${duration(tookMs)}` : 'has been started';
  const some = started.length === 0 || started.length === parts.length ? '' : ` (started: ${started.join(', ')})`;
  const lines = [
    `The cluster ${how}${some}: ${inWords(cluster)}.`,
    ...problems.map(({ sentence }) => `Not healthy: ${sentence}`),
    `Bootstrap: ${bootstrap}`,
    `Metrics:   ${pages.join(' ')}`,
    `Data:      ${folder.directory}, with a log of each part in logs/`,
    '',
    'In another terminal:',
    ...nextSteps(bootstrap, folder).map((line) => `  ${line}`),
    ...(foreground === true ? ['', 'Ctrl-C stops it all.'] : []),
  ];
  // Nobody may be reading: that is no reason to stop.
  await print(lines.join('\n')).catch(() => undefined);
}

/** Exactly what works where this was started from. */
function nextSteps(bootstrap: string, folder: ClusterFolder): readonly string[] {
  const command = process.env['npm_lifecycle_event'] === undefined ? 'tributary' : 'npx tributary';
  const { directory } = folder;
  const shown = /^[\w./-]+$/.test(directory) ? directory : quoted(directory);
  const where = folder.isDefault ? '' : ` --data-dir ${shown}`;
  return [
    `export TRIBUTARY_BOOTSTRAP=${bootstrap}`,
    `${command} topic create events --partitions 6`,
    `${command} cluster describe`,
    `${command} local ps${where}`,
    `${command} local kill broker-1${where}`,
    `${command} local down${where}`,
  ];
}

/** On standard error, for people only. */
class StartProgress implements Disposable {
  #drawn = false;

  readonly show = (ready: number, of: number): void => {
    if (process.stderr.isTTY !== true || process.env['TERM'] === 'dumb') return;
    this.#drawn = true;
    process.stderr.write(`\rStarting: ${ready} of ${of} parts are ready …\u001b[K`);
  };

  [Symbol.dispose](): void {
    if (this.#drawn) process.stderr.write('\r\u001b[K');
    this.#drawn = false;
  }
}
