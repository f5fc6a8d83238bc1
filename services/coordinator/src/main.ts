/** A coordinator of groups as a process of its own, on an etcd. `--help` lists its settings. */
import { unlessAborted } from '@tributary/metadata';
import { limits } from '@tributary/model';
import { numberSetting, textSetting, withStandardServices } from '@tributary/runtime';
import { advertisedAddress, machineName, partSettings, runPart, sessionTimeoutSetting } from '@tributary/runtime/part';
import { createCoordinator, groupSettings, registerCoordinatorMetrics } from './coordinator.ts';

const dayMs = 24 * 60 * 60_000;

export const settingTable = {
  ...partSettings(9097),
  host: textSetting({ default: '', doc: 'Name of the machine. Empty: its own.' }),
  rack: textSetting({ default: '', doc: 'Of the machine.' }),
  'session.timeout.ms': sessionTimeoutSetting(
    'How long the cluster waits for this coordinator after it fell silent, before others own its groups.',
  ),
  'group.consumer.session.timeout.ms': numberSetting(
    {
      default: String(groupSettings.sessionTimeoutMs),
      doc: 'Silence of a member that is its end, where it names none, ms.',
    },
    1_000,
    dayMs,
  ),
  'group.min.session.timeout.ms': numberSetting(
    { default: String(groupSettings.sessionTimeoutMsMin), doc: 'The shortest that a member may name, ms.' },
    500,
    dayMs,
  ),
  'group.max.session.timeout.ms': numberSetting(
    { default: String(groupSettings.sessionTimeoutMsMax), doc: 'The longest that a member may name, ms.' },
    1_000,
    dayMs,
  ),
  'group.consumer.max.size': numberSetting(
    { default: String(groupSettings.membersMax), doc: 'Members that a group may have.' },
    1,
    limits.groupMembers,
  ),
  'max.poll.interval.ms': numberSetting(
    {
      default: String(groupSettings.maxPollIntervalMs),
      doc: 'From poll to poll of a member that names no other time, ms: `stalled` after half of it, over after all.',
    },
    1_000,
    dayMs,
  ),
  'offsets.retention.minutes': numberSetting(
    {
      default: String(groupSettings.offsetsRetentionMs / 60_000),
      doc: 'How long a group without members keeps its committed offsets.',
    },
    1,
    2 ** 31 - 1,
  ),
  'offset.metadata.max.bytes': numberSetting(
    { default: String(groupSettings.offsetMetadataBytes), doc: 'Of the text that goes with a committed offset.' },
    0,
    limits.groupUserData,
  ),
  'lag.poll.interval.ms': numberSetting(
    { default: String(limits.lagPollMs), doc: 'How often the lag of all groups is looked at, for metrics.' },
    1_000,
    dayMs,
  ),
};

if (import.meta.main) {
  await runPart('coordinator', settingTable, async ({ settings, ports, metrics, stack, stop, unreadyBecause }) => {
    const config = {
      nodeId: settings['node.id'],
      host: settings.host === '' ? machineName() : settings.host,
      rack: settings.rack,
      sessionTimeoutMs: settings['session.timeout.ms'],
      groups: {
        sessionTimeoutMs: settings['group.consumer.session.timeout.ms'],
        sessionTimeoutMsMin: settings['group.min.session.timeout.ms'],
        sessionTimeoutMsMax: settings['group.max.session.timeout.ms'],
        maxPollIntervalMs: settings['max.poll.interval.ms'],
        offsetsRetentionMs: settings['offsets.retention.minutes'] * 60_000,
        offsetMetadataBytes: settings['offset.metadata.max.bytes'],
        membersMax: settings['group.consumer.max.size'],
      },
      lagPollMs: settings['lag.poll.interval.ms'],
    };
    const coordinator = stack.use(createCoordinator(config, ports));
    registerCoordinatorMetrics(metrics, coordinator);
    const service = withStandardServices(coordinator.service, () => coordinator.isRegistered);
    const server = stack.use(await ports.transport.serve(settings.listen, service));
    await unlessAborted(coordinator.start(advertisedAddress(settings, server.address)), stop);
    unreadyBecause(() => (coordinator.isRegistered ? [] : ['it is not registered']));
    // While the server still serves.
    stack.defer(() => coordinator.handOver());
  });
}
