/** What the `main.ts` of every part of a cluster does: settings, log, pages, metadata; then the part itself, until it is told to stop. */
import type { ImageSource, MetadataKeys } from '@tributary/metadata';
import { softwareVersion } from '@tributary/model';
import type { Clock, FileSystem, Host, Logger, MetadataStore, Random, Transport } from '@tributary/ports';
import { nodeFileSystem } from '../file-system/node-file-system.ts';
import { type Reasons, serveHttp } from '../http.ts';
import { createLogger } from '../logging.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import { nodeClock } from '../node-clock.ts';
import { nodeHost } from '../node-host.ts';
import { nodeRandom } from '../node-random.ts';
import { runProcess, untilAborted } from '../run-process.ts';
import { settingSources } from '../setting-sources.ts';
import { readSettings, type SettingTable, type SettingValues, variableOf } from '../settings.ts';
import { grpcTransport } from '../transport/grpc-transport.ts';
import { openMetadata } from './open-metadata.ts';
import { httpAddress, type partSettings, type PartSettings } from './part-settings.ts';

export { advertisedAddress, machineName, partSettings, sessionTimeoutSetting } from './part-settings.ts';

/** The doors to the world, as the parts' assembly functions take them. */
interface PartPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: FileSystem;
  readonly transport: Transport;
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  readonly images: ImageSource;
  readonly host: Host;
  readonly logger: Logger;
}

interface Part<Settings> {
  readonly settings: Settings;
  readonly ports: PartPorts;
  readonly metrics: Metrics;
  /** Closed in the reverse order when the part stops. */
  readonly stack: AsyncDisposableStack;
  readonly stop: AbortSignal;
  /** From now on this says why no traffic should be sent here; asked at each probe. */
  unreadyBecause(reasons: () => Reasons): void;
}

/**
 * Runs a part as a process. Its pages are there first, so that a probe learns why the part is not ready. SIGTERM is a clean stop at any time,
 * also while it still waits for etcd.
 * @param begin starts the part, and resolves once it works.
 */
export async function runPart<Table extends SettingTable & ReturnType<typeof partSettings>>(
  kind: 'broker' | 'controller' | 'coordinator',
  table: Table,
  begin: (part: Part<SettingValues<Table>>) => Promise<void>,
): Promise<void> {
  await runProcess(`tributary ${kind}`, async (stop, stack) => {
    if (process.argv.includes('--help')) {
      process.stdout.write(help(kind, table));
      return;
    }
    const settings = readSettings(table, settingSources(process.argv.slice(2), process.env));
    const common: PartSettings = settings;
    const format = common['log.format'];
    const logger = await createLogger({
      service: kind,
      node: common['node.id'],
      level: common['log.level'],
      ...(format === 'auto' ? {} : { format }),
    });
    const metrics = await createMetrics({});
    let unready = (): Reasons => ['it waits for the metadata store'];
    const pages = await serveHttp(httpAddress(common), {
      metrics: () => metrics.expose(),
      // A part that can no longer do its work ends the process: what answers is well.
      unhealthy: () => [],
      unready: () => unready(),
    });
    stack.use(pages);
    logger.info('starting', { version: softwareVersion, cluster: common.cluster, http: pages.address });
    try {
      const metadata = await openMetadata(common, logger, stop, stack);
      unready = () => ['it is starting'];
      const host = nodeHost(`tributary ${kind}`);
      const world = { clock: nodeClock, random: nodeRandom, files: nodeFileSystem, transport: grpcTransport };
      const ports = { ...world, ...metadata, host, logger };
      const unreadyBecause = (reasons: () => Reasons): void => void (unready = reasons);
      await begin({ settings, ports, metrics, stack, stop, unreadyBecause });
      logger.info('ready');
      await untilAborted(stop);
    } catch (thrown) {
      if (!stop.aborted) throw thrown;
    }
    unready = () => ['it is stopping'];
    logger.info('stopping');
  });
}

function help(kind: string, table: SettingTable): string {
  const rows = Object.entries(table).map(([name, { default: text, doc, allowed }]) => {
    const shown = text === undefined ? 'must be set' : `default: ${text === '' ? 'none' : text}`;
    return `  --${name} (${variableOf(name)})\n      ${doc} Allowed: ${allowed}; ${shown}.\n`;
  });
  return [
    `tributary ${kind} ${softwareVersion}\n`,
    'Settings come from the file that --config or TRIBUTARY_CONFIG names, over it the environment, over that flags.\n',
    ...rows,
  ].join('\n');
}
