// One coordinator: commits a second and their latency, members that only give signs of life, what an idle group takes, and how fast a journal is read.

import { setTimeout as sleep } from 'node:timers/promises';
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { connect } from '@tributary/client';
import { grpcTransport } from '@tributary/runtime';
import { methods } from '@tributary/wire';
import { ClusterProcesses, type PartProcess } from '../../tests/end-to-end/cluster-processes.ts';

const groups = 1_000;
const membersEach = 10;
const commitMs = 5_000;
/** From one sign of life of a member to the next, and from commit to commit. */
const signMs = 3_000;
const memberCommitMs = 5_000;
const workMs = 8_000;
const lanes = 64;
const joinMs = 30_000;

const context = {
  clusterId: '',
  clientId: 'bench',
  principal: '',
  originalPrincipal: '',
  host: '',
  hops: 1,
  minRevision: 0n,
};

/** CPU time of a process so far, ms; its memory, MiB. */
function useOf({ pid }: PartProcess) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  const rss = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return { cpuMs: ticks * 10, mib: Number(rss?.[1] ?? 0) / 1024 };
}

await using cluster = await ClusterProcesses.begin({ controllers: 1, brokers: 1, coordinators: 1 });
const client = await connect({ bootstrap: cluster.bootstrap });
await client.admin.createTopic({ name: 'load', partitions: 10 });
await using producer = client.producer();
for (let partition = 0; partition < 10; partition++) await producer.send({ topic: 'load', partition, value: 'x' });
const coordinator = cluster.coordinator(201);
const peer = grpcTransport.connect(coordinator.address);
const broker = grpcTransport.connect(cluster.broker(1).address);
const { topics } = await broker.unary(
  methods.getMetadata,
  { context: { ...context, hops: 0 }, topics: ['load'], allTopics: false, topicIds: [] },
  { deadlineMs: 5_000 },
);
const topicId = topics[0]?.topicId ?? '';
for (;;) {
  try {
    const request = { context: { ...context, hops: 0 }, groupId: 'any' };
    await broker.unary(methods.findCoordinator, request, { deadlineMs: 5_000 });
    break;
  } catch {
    await sleep(50);
  }
}
await sleep(1_000);

const commit = (group: number) =>
  peer.unary(
    methods.commitOffsets,
    {
      context,
      groupId: `outside-${group}`,
      memberId: '',
      memberEpoch: 0,
      offsets: [{ topicId, partition: group % 10, offset: 1n, leaderEpoch: -1, metadata: '' }],
      sequence: 0n,
      validateOnly: false,
    },
    { deadlineMs: 30_000 },
  );

async function commits(atOnce: number) {
  const tookMs: number[] = [];
  const untilMs = performance.now() + commitMs;
  const before = useOf(coordinator);
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (performance.now() < untilMs) {
        const begunMs = performance.now();
        await commit(next++ % groups);
        tookMs.push(performance.now() - begunMs);
      }
    }),
  );
  tookMs.sort((a, b) => a - b);
  const at = (share: number): number => Number((tookMs[Math.floor(tookMs.length * share)] ?? 0).toFixed(2));
  const cpu = (useOf(coordinator).cpuMs - before.cpuMs) / commitMs;
  return {
    atOnce,
    perSecond: Math.round((tookMs.length * 1_000) / commitMs),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    cores: cpu,
  };
}

console.log('commits', await commits(1));
console.log('commits', await commits(lanes));

const empty = useOf(coordinator).mib;
const stop = new AbortController();
const streams: ((first: boolean) => void)[] = [];
/** A commit of each member, of the one partition that it has. */
const commitsOf: (() => Promise<unknown>)[] = [];
const begunMs = performance.now();
let answers = 0;
let joined = 0;
let refused = 0;
let broken = 0;
// A server takes so many calls on one connection.
const peers = Array.from({ length: 40 }, () => grpcTransport.connect(coordinator.address));
for (let group = 0; group < groups; group++) {
  for (let member = 0; member < membersEach; member++) {
    const index = group * membersEach + member;
    const said = { groupId: `inside-${group}`, memberId: `member-${member}-of-group-${group}` };
    const subscription = {
      instanceId: '',
      topics: ['load'],
      topicPattern: '',
      assignor: '',
      clientAssignors: [],
      userData: new Uint8Array(),
      rack: '',
      sessionTimeoutMs: 10_000,
      maxPollIntervalMs: 0,
    };
    const state = { epoch: 0, version: 0n, sequence: 0n, partition: 0, commit: 0n };
    const own = peers[index % peers.length] ?? peer;
    commitsOf.push(() =>
      own.unary(
        methods.commitOffsets,
        {
          ...{ context, groupId: said.groupId, memberId: said.memberId, memberEpoch: state.epoch },
          ...{ sequence: ++state.commit, validateOnly: false },
          offsets: [{ topicId, partition: state.partition, offset: 1n, leaderEpoch: -1, metadata: '' }],
        },
        { deadlineMs: 30_000 },
      ),
    );
    let stream = own.stream(methods.join, stop.signal);
    const say = (first: boolean): void =>
      stream.send({
        member: {
          ...said,
          context: first ? context : undefined,
          memberEpoch: state.epoch,
          appliedVersion: state.version,
          subscription: first ? subscription : undefined,
          sincePollMs: 0n,
          computed: undefined,
          sequence: ++state.sequence,
        },
      });
    /** Until the stream breaks, or the coordinator refuses. */
    const attend = async (): Promise<void> => {
      say(true);
      for await (const { member: told } of stream) {
        answers++;
        if (told === undefined || told.errorCode !== 0) {
          refused++;
          return;
        }
        if (state.epoch === 0) joined++;
        state.epoch = told.memberEpoch;
        if (told.assignment === undefined || told.assignment.version === state.version) continue;
        state.version = told.assignment.version;
        state.partition = told.assignment.partitions[0]?.partition ?? 0;
        say(false);
      }
    };
    void (async () => {
      while (!stop.signal.aborted) {
        try {
          await attend();
        } catch {
          broken++;
        }
        // As any client does: a busy machine takes long to connect, and a coordinator may be taken for dead for a moment.
        stream.cancel();
        await sleep(200);
        if (!stop.signal.aborted) stream = own.stream(methods.join, stop.signal);
      }
    })();
    streams.push(say);
  }
  if (group % 50 === 49) await sleep(20);
}
while (joined < groups * membersEach) {
  if (performance.now() - begunMs > joinMs)
    throw new Error(
      `${joined} of ${groups * membersEach} are members after ${joinMs} ms; ${refused} refused, ${broken} streams broken`,
    );
  await sleep(50);
}
console.log('joined', { members: groups * membersEach, ms: Math.round(performance.now() - begunMs) });
await sleep(3_000);
const idleMib = useOf(coordinator).mib;

/** Each member says that it is alive every 3 s, and commits every so many ms; 0: never. */
async function atWork(everyCommitMs: number) {
  const before = useOf(coordinator);
  const own = process.cpuUsage();
  const answersBefore = answers;
  const tookMs: number[] = [];
  const commitErrors = new Map<string, number>();
  const asked: Promise<unknown>[] = [];
  const begunMs = performance.now();
  let said = 0;
  let committed = 0;
  while (performance.now() - begunMs < workMs) {
    const sinceMs = performance.now() - begunMs;
    for (const due = (sinceMs * streams.length) / signMs; said < due; said++) streams[said % streams.length]?.(false);
    for (
      const due = everyCommitMs === 0 ? 0 : (sinceMs * streams.length) / everyCommitMs;
      committed < due;
      committed++
    ) {
      const atMs = performance.now();
      const done = (commitsOf[committed % commitsOf.length]?.() ?? Promise.resolve()) as ReturnType<typeof commit>;
      asked.push(
        done.then(({ results }) => {
          tookMs.push(performance.now() - atMs);
          for (const { errorCode } of results)
            if (errorCode !== 0) commitErrors.set(`${errorCode}`, (commitErrors.get(`${errorCode}`) ?? 0) + 1);
        }),
      );
    }
    await sleep(10);
  }
  await Promise.all(asked);
  const lastedMs = performance.now() - begunMs;
  const after = useOf(coordinator);
  const driver = process.cpuUsage(own);
  tookMs.sort((a, b) => a - b);
  return {
    answersPerSecond: Math.round(((answers - answersBefore) * 1_000) / lastedMs),
    commitsPerSecond: Math.round((tookMs.length * 1_000) / lastedMs),
    commitP50Ms: Number((tookMs[tookMs.length >> 1] ?? 0).toFixed(1)),
    commitP99Ms: Number((tookMs[Math.floor(tookMs.length * 0.99)] ?? 0).toFixed(1)),
    commitErrors: Object.fromEntries(commitErrors),
    cores: Number(((after.cpuMs - before.cpuMs) / lastedMs).toFixed(3)),
    driverCores: Number(((driver.user + driver.system) / 1_000 / lastedMs).toFixed(3)),
    mib: Math.round(after.mib),
  };
}

console.log('idle', {
  mib: Math.round(idleMib),
  kibPerGroup: Number((((idleMib - empty) * 1024) / groups).toFixed(1)),
});
console.log('signs of life', await atWork(0));
console.log('signs of life and commits', await atWork(memberCommitMs));
console.log('refused', refused, 'streams broken', broken, 'load', loadavg()[0]);
stop.abort();

await coordinator.end('SIGKILL');
await coordinator.start();
await sleep(2_000);
interface Loaded {
  readonly event: string;
  readonly records?: number;
  readonly ms?: number;
}
const loaded = (coordinator.events as readonly Loaded[])
  .filter(({ event }) => event === 'group-partition-loaded')
  .slice(-50);
const records = loaded.reduce((sum, each) => sum + (each.records ?? 0), 0);
console.log('loaded', { partitions: loaded.length, records, slowestMs: Math.max(...loaded.map(({ ms }) => ms ?? 0)) });
await client.close();
await Promise.all([peer, ...peers].map((each) => each[Symbol.asyncDispose]()));
await broker[Symbol.asyncDispose]();
