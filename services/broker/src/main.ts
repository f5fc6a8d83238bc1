/** A broker as a process of its own, on an etcd. `--help` lists its settings. */
import { unlessAborted } from '@tributary/metadata';
import { brokerConfigKeys, limits } from '@tributary/model';
import { secondsBuckets, type Setting, textSetting, withStandardServices } from '@tributary/runtime';
import { advertisedAddress, machineName, partSettings, runPart, sessionTimeoutSetting } from '@tributary/runtime/part';
import { BrokerMetrics, createBroker } from './broker.ts';

type Dynamic = keyof typeof brokerConfigKeys;
const dynamicNames = Object.keys(brokerConfigKeys) as Dynamic[];

/** What `broker alter` changes, as it is where nobody has. */
const startingPoints = Object.fromEntries(
  dynamicNames.map((name) => [name, startingPoint(brokerConfigKeys[name])]),
) as Readonly<Record<Dynamic, Setting<string>>>;

function startingPoint({ default: text, doc, allowed, valid }: (typeof brokerConfigKeys)[Dynamic]): Setting<string> {
  return { default: text, doc, allowed, read: (given) => (valid(given) ? given : undefined) };
}

export const settingTable = {
  ...partSettings(9095),
  'data.dir': textSetting(
    { default: './data/broker', doc: 'Where the records are: of this broker alone.' },
    'a folder',
  ),
  host: textSetting({
    default: '',
    doc: 'Name of the machine; replicas of a partition are put on different ones. Empty: its own.',
  }),
  rack: textSetting({ default: '', doc: 'Of the machine; replicas are spread over racks too.' }),
  'session.timeout.ms': sessionTimeoutSetting(
    'How long the cluster waits for this broker after it fell silent, before others lead its partitions.',
  ),
  ...startingPoints,
};

if (import.meta.main) {
  await runPart('broker', settingTable, async ({ settings, ports, metrics, stack, stop, unreadyBecause }) => {
    const facts = new BrokerMetrics();
    const config = {
      nodeId: settings['node.id'],
      dataDirectory: settings['data.dir'],
      host: settings.host === '' ? machineName() : settings.host,
      rack: settings.rack,
      sessionTimeoutMs: settings['session.timeout.ms'],
      configs: Object.fromEntries(
        dynamicNames
          .filter((name) => settings[name] !== settingTable[name].default)
          .map((name) => [name, settings[name]]),
      ),
      checkpointMs: limits.checkpointMs,
    };
    const broker = stack.use(await createBroker(config, { ...ports, observer: facts.observer }, stop));
    unreadyBecause(() => {
      const readiness = broker.readiness();
      return readiness.ready ? [] : [readiness.reason];
    });
    facts.register(metrics, secondsBuckets, broker, ports.images);
    const service = withStandardServices(broker.service, () => broker.readiness().ready);
    const server = stack.use(await ports.transport.serve(settings.listen, service, broker.resources));
    await unlessAborted(broker.start(advertisedAddress(settings, server.address)), stop);
    // While the server still serves.
    stack.defer(() => broker.handOver());
  });
}
