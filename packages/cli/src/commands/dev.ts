/** Every part in one process, until it is told to stop. */
import path from 'node:path';
import { BrokerMetrics } from '@tributary/broker';
import { createLogger, nodeHost } from '@tributary/runtime';
import { assembleDev, type Dev } from '../dev/assemble.ts';
import { servePages } from '../dev/pages.ts';
import { Interruption } from '../interruption.ts';
import type { OutputOption } from '../program/options.ts';
import { print } from '../standard-output.ts';

interface DevOptions extends OutputOption {
  readonly dataDir: string;
  readonly host: string;
  readonly port: number;
  readonly httpPort?: number;
  readonly config?: Readonly<Record<string, string>>;
}

/** The HTTP port lies so far above the gRPC port, everywhere in Tributary. */
const httpPortDistance = 100;
const defaultPort = 9095;

export async function dev(options: DevOptions): Promise<void> {
  using interruption = new Interruption();
  const { signal } = interruption;
  const dataDirectory = path.resolve(options.dataDir);
  const logger = await createLogger({ service: 'dev' });
  const facts = new BrokerMetrics();
  const ports = { host: nodeHost('tributary dev'), logger, observer: facts.observer };
  await using running = await assembleDev(
    { dataDirectory, host: options.host, port: options.port, configs: options.config ?? {} },
    ports,
    signal,
  ).catch((thrown: unknown) => {
    if (signal.aborted) return undefined;
    throw thrown;
  });
  if (running === undefined) return;
  await using pages = await servePages(
    `${options.host}:${options.httpPort ?? options.port + httpPortDistance}`,
    running,
    facts,
  );
  await announce(running, `http://${pages.address}`, dataDirectory, options);
  if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  logger.info('stopping');
}

/** Nobody may be reading: that is no reason to stop. */
async function announce(
  { address }: Dev,
  http: string,
  dataDirectory: string,
  { output, port }: DevOptions,
): Promise<void> {
  const text =
    output === 'json'
      ? JSON.stringify({ bootstrap: address, http, dataDirectory })
      : [
          `Tributary is ready at ${address}. Metrics and health: ${http}/metrics, /healthz, /readyz. Data: ${dataDirectory}`,
          '',
          'In another terminal:',
          ...nextSteps(port).map((line) => `  ${line}`),
          '',
          'Stop with Ctrl-C.',
        ].join('\n');
  await print(text).catch(() => undefined);
}

/** Exactly what works where this was started from. */
function nextSteps(port: number): readonly string[] {
  const command = process.env['npm_lifecycle_event'] === undefined ? 'tributary' : 'npx tributary';
  const bootstrap = port === defaultPort ? '' : ` --bootstrap 127.0.0.1:${port}`;
  return [
    `${command} topic create events --partitions 3${bootstrap}`,
    `echo 'hello, log' | ${command} produce events${bootstrap}`,
    `${command} consume events --from-beginning${bootstrap}`,
  ];
}
