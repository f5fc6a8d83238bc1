import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeTransaction, type ImageSource, metadataKeys, openImageSource } from '@tributary/metadata';
import {
  brokerEpoch,
  clusterId,
  incarnationId,
  leaderEpoch,
  limits,
  nodeId,
  partitionEpoch,
  partitionIndex,
  topicId,
  TributaryError,
} from '@tributary/model';
import type { Logger } from '@tributary/ports';
import { ErrorCode } from '@tributary/wire';
import { type SimulatedBench, simulated } from '../../../../packages/metadata/test/simulated-bench.ts';
import { Attendance } from '../../src/attendance/attendance.ts';
import type { ProposedIsr } from '../../src/attendance/proposals.ts';
import { Desk } from './desk.ts';

const keys = metadataKeys('test');
const never = new AbortController().signal;
const place = { kind: 'controller' } as const;
const sessionTimeoutMs = 1_000;
const incarnation = (n: number) => ({ epoch: brokerEpoch(BigInt(n)), incarnationId: incarnationId(`i${n}`) });
const proposalOf = (partition: number): ProposedIsr => ({
  topicId: topicId('t'),
  partition: partitionIndex(partition),
  leaderEpoch: leaderEpoch(3),
  partitionEpoch: partitionEpoch(7),
  isr: [{ nodeId: nodeId(1), brokerEpoch: brokerEpoch(1n) }],
});

interface Bench extends SimulatedBench {
  readonly attendance: Attendance;
  readonly desk: Desk;
  readonly images: ImageSource;
  readonly warnings: string[];
  elect(id: number | undefined): Promise<void>;
  wait(ms: number): Promise<void>;
}

async function attending(seed: number, story: (bench: Bench) => Promise<void>): Promise<void> {
  await simulated(seed, async (bench) => {
    const { store, clock } = bench;
    const desk = new Desk();
    const warnings: string[] = [];
    const logger: Logger = {
      info: () => undefined,
      warn: (event, fields) => void warnings.push(`${event} ${String(fields?.['why'])}`),
      error: () => assert.fail('no errors'),
    };
    await using images = await openImageSource(store, keys, clock, never);
    const me = { nodeId: nodeId(1), clusterId: clusterId('c'), sessionTimeoutMs };
    const attendance = new Attendance(me, { clock, logger, transport: desk, images });
    const stopping = new AbortController();
    const running = attendance.run(stopping.signal);
    const elect = async (id: number | undefined): Promise<void> => {
      const value = { nodeId: nodeId(id ?? 0), incarnationId: incarnationId(`c${id}`), address: `c${id}:9096` };
      const put = id === undefined ? [] : [{ kind: 'controller', value } as const];
      await store.commit(encodeTransaction(keys, { expect: [], put, delete: id === undefined ? [place] : [] }));
      await images.until(({ controller }) => controller?.nodeId === id, never);
    };
    const wait = (ms: number): Promise<void> => clock.sleep(ms, never);
    try {
      await story({ ...bench, attendance, desk, images, warnings, elect, wait });
    } finally {
      stopping.abort();
      await running;
    }
    assert.ok(desk.streams.every(({ isOver }) => isOver));
  });
}

test('a broker attends once it is registered and a controller elected, and says who it is and in which term', () =>
  attending(1, async ({ attendance, desk, images, elect, wait }) => {
    await wait(500);
    attendance.registered(incarnation(5));
    await wait(500);
    assert.equal(desk.streams.length, 0);
    await elect(101);
    await wait(50);
    const { hello, address, received } = desk.at(0);
    assert.equal(address, 'c101:9096');
    assert.equal(hello.context?.clusterId, 'c');
    assert.equal(hello.brokerId, 1);
    assert.equal(hello.brokerEpoch, 5n);
    assert.equal(hello.incarnationId, 'i5');
    assert.equal(hello.controllerTerm, images.current.controller?.createRevision);
    assert.ok(received.slice(1).every((each) => each.hello === undefined));
  }));

test('R10: signs of life come several times in the session timeout that the controller names', () =>
  attending(2, async ({ attendance, desk, elect, wait }) => {
    attendance.registered(incarnation(5));
    await elect(101);
    await wait(10 * sessionTimeoutMs);
    assert.equal(desk.streams.length, 1);
    const perSession = desk.at(0).received.length / 10;
    assert.ok(perSession > 3 && perSession < 8, `${perSession} in a session`);
  }));

test('R10: a stream that breaks is followed at once by one of a greater number; a silent controller costs the stream within the session', () =>
  attending(3, async ({ attendance, desk, warnings, elect, wait }) => {
    attendance.registered(incarnation(5));
    await elect(101);
    await wait(100);
    desk.at(0).break('The cable was pulled.');
    await wait(2 * limits.attendRetryMsMin);
    assert.equal(desk.streams.length, 2);
    assert.ok(desk.at(1).hello.streamNumber > desk.at(0).hello.streamNumber);
    assert.match(warnings.join(), /cable was pulled/);
    await wait(100);
    desk.at(1).answers = false;
    await wait(0.9 * sessionTimeoutMs);
    assert.equal(desk.at(1).isOver, true);
    assert.equal(desk.streams.length, 3);
    assert.match(warnings.join(), /silent for \d+ ms/);
  }));

test('a controller that breaks every stream is asked less and less often, one that is elected then at once', () =>
  attending(4, async ({ attendance, desk, elect, wait }) => {
    attendance.registered(incarnation(5));
    await elect(101);
    for (let ms = 0; ms < 5_000; ms += 10) {
      desk.streams.at(-1)?.break('Nothing listens there.');
      await wait(10);
    }
    assert.ok(desk.streams.length > 5 && desk.streams.length < 15, `${desk.streams.length} attempts in 5 s`);
    const before = desk.streams.length;
    await elect(undefined);
    await elect(102);
    await wait(2 * limits.attendRetryMsMin);
    assert.equal(desk.streams.length, before + 1);
    assert.equal(desk.at(-1).address, 'c102:9096');
  }));

test('another controller, another term of the same one, and another registration each mean another stream', () =>
  attending(5, async ({ attendance, desk, elect, wait }) => {
    attendance.registered(incarnation(5));
    await elect(101);
    await wait(50);
    await elect(undefined);
    await elect(101);
    await wait(50);
    assert.equal(desk.streams.length, 2);
    assert.ok(desk.at(1).hello.controllerTerm > desk.at(0).hello.controllerTerm);
    attendance.registered(incarnation(9));
    await wait(50);
    assert.equal(desk.streams.length, 3);
    assert.equal(desk.at(2).hello.brokerEpoch, 9n);
    assert.deepEqual(
      desk.streams.map(({ isOver }) => isOver),
      [true, true, false],
    );
  }));

test('M4: proposals of one tick go in one message; one without an answer goes again, identical, on each new stream, and no other way', () =>
  attending(6, async ({ attendance, desk, elect, wait }) => {
    attendance.registered(incarnation(5));
    await elect(101);
    await wait(50);
    const before = desk.at(0).received.length;
    const outcomes = [0, 1].map((each) => attendance.propose(proposalOf(each), never));
    await wait(5);
    assert.equal(desk.at(0).received.length, before + 1);
    assert.equal(desk.at(0).proposals.length, 2);
    await wait(3 * sessionTimeoutMs);
    assert.equal(desk.at(0).proposals.length, 2);
    desk.at(0).break('The reply is lost.');
    await wait(50);
    assert.deepEqual(desk.at(1).received[0]?.proposals, desk.at(0).proposals);
    const refused = { errorCode: ErrorCode.INELIGIBLE_REPLICA, errorMessage: 'broker 3 is fenced', revision: 0n };
    const [first, second] = desk.at(1).proposals;
    desk.at(1).say({
      decisions: [
        { proposalId: second?.proposalId ?? 0n, ...refused },
        { proposalId: first?.proposalId ?? 0n, errorCode: 0, errorMessage: '', revision: 9n },
      ],
    });
    const [one, two] = await Promise.all(outcomes);
    assert.equal(one, 'decided');
    assert.ok(two instanceof TributaryError && two.error === 'INELIGIBLE_REPLICA');
    desk.at(1).break('And once more.');
    await wait(50);
    assert.deepEqual(desk.at(2).proposals, []);
  }));

test('M4: a refusal counts only once the image has what it was judged against', () =>
  attending(9, async ({ attendance, desk, images, elect, wait }) => {
    attendance.registered(incarnation(5));
    await elect(101);
    await wait(50);
    const outcomes: unknown[] = [];
    void attendance.propose(proposalOf(0), never).then((told) => outcomes.push(told));
    await wait(5);
    const [sent] = desk.at(0).proposals;
    const revision = images.current.revision + 1n;
    const refused = { errorCode: ErrorCode.INVALID_UPDATE_VERSION, errorMessage: 'it has moved on', revision };
    desk.at(0).say({ decisions: [{ proposalId: sent?.proposalId ?? 0n, ...refused }] });
    await wait(50);
    assert.equal(outcomes.length, 0);
    await elect(102);
    await wait(50);
    // It may have been told at the very end of its stream; then the next one asks again.
    const again = desk.streams.at(-1);
    again?.say({ decisions: [{ proposalId: sent?.proposalId ?? 0n, ...refused }] });
    await wait(50);
    const [outcome] = outcomes;
    assert.ok(outcome instanceof TributaryError && outcome.error === 'INVALID_UPDATE_VERSION');
  }));

test('M4: a proposal made while no controller is elected waits for one; one whose proposer has seen a newer state is not sent again', () =>
  attending(7, async ({ attendance, desk, elect, wait }) => {
    attendance.registered(incarnation(5));
    const noLonger = new AbortController();
    const abandoned = attendance.propose(proposalOf(0), noLonger.signal);
    const awaited = attendance.propose(proposalOf(1), never);
    await elect(101);
    await wait(50);
    assert.equal(desk.at(0).received[0]?.proposals.length, 2);
    noLonger.abort(new Error('the image shows a higher partition epoch'));
    await assert.rejects(abandoned, /higher partition epoch/);
    desk.at(0).break('Broken.');
    await wait(50);
    assert.deepEqual(
      desk.at(1).proposals.map(({ partition }) => partition),
      [1],
    );
    const [sent] = desk.at(1).proposals;
    desk
      .at(1)
      .say({ decisions: [{ proposalId: sent?.proposalId ?? 0n, errorCode: 0, errorMessage: '', revision: 1n }] });
    assert.equal(await awaited, 'decided');
  }));

test('a broker that leaves says so in every message, soon again and again, on each stream', () =>
  attending(8, async ({ attendance, desk, elect, wait }) => {
    attendance.registered(incarnation(5));
    await elect(101);
    await wait(50);
    assert.ok(desk.at(0).received.every(({ leaving }) => !leaving));
    const told: number[] = [];
    attendance.sayLeaving(({ toMove }) => told.push(toMove));
    await wait(5);
    assert.equal(desk.at(0).received.at(-1)?.leaving, true);
    desk.at(0).say({ leave: { toMove: 3, withoutSuccessor: 0, revision: 1n } });
    await wait(3 * limits.leaveRepeatMs);
    assert.ok(desk.at(0).received.filter(({ leaving }) => leaving).length >= 3);
    desk.at(0).break('Broken.');
    await wait(50);
    assert.equal(desk.at(1).received[0]?.leaving, true);
    desk.at(1).say({ leave: { toMove: 0, withoutSuccessor: 0, revision: 1n } });
    await wait(5);
    assert.deepEqual(told, [3, 0]);
  }));
