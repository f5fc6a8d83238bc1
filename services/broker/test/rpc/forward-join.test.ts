/** F1: a member's stream through a broker to its coordinator, which is played: either end is the other's, at once. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits, TributaryError } from '@tributary/model';
import type { CallContext, Service, Stream } from '@tributary/ports';
import { type ErrorCode, type JoinRequest, type JoinResponse, type MemberRequest, methods } from '@tributary/wire';
import { context } from './one-broker.ts';
import { clientHost, type Stubs, withStubs } from './stub-coordinators.ts';
import { refused } from './with-groups.ts';

/** Of virtual time, ms: what is at once takes a few frames. */
const atOnceMs = 20;

/** A coordinator that keeps the streams of members, and answers what they say with its number. */
class JoinedAt {
  readonly heard: MemberRequest[] = [];
  readonly ends: ('ended' | 'broken')[] = [];
  readonly service: Service = (handlers) => handlers.stream(methods.join, (stream, call) => this.#attend(stream, call));
  readonly #epoch: number;
  /** Ends the stream that there is, or breaks it. */
  finish: (error?: TributaryError) => void = () => assert.fail('there is no stream');
  /** What it says instead of the first answer. */
  refusal: ErrorCode = 0;
  isSilent = false;

  constructor(epoch: number) {
    this.#epoch = epoch;
  }

  async #attend(stream: Stream<JoinResponse, JoinRequest>, { signal }: CallContext): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.finish = (error) => (error === undefined ? resolve() : reject(error));
    const reading = (async (): Promise<void> => {
      try {
        for await (const { member } of stream) {
          if (member === undefined) continue;
          this.heard.push(member);
          if (!this.isSilent) stream.send(answerTo(member, this.#epoch, this.refusal));
        }
        this.ends.push('ended');
        resolve();
      } catch {
        assert.ok(signal.aborted, 'whoever listens to the call hears it, too');
        this.ends.push('broken');
        resolve();
      }
    })();
    await promise;
    void reading;
  }
}

function answerTo({ memberId, sequence }: MemberRequest, memberEpoch: number, errorCode: ErrorCode): JoinResponse {
  const rest = { heartbeatIntervalMs: 1_000, sessionTimeoutMs: 3_000, assignment: undefined, task: undefined };
  return { member: { throttleMs: 0, errorCode, errorMessage: '', memberId, memberEpoch, sequence, ...rest } };
}

/** A member at the broker. */
class Joining {
  readonly stream: Stream<JoinRequest, JoinResponse>;
  /** Epochs, by which the coordinators tell themselves apart. */
  readonly answers: number[] = [];
  readonly over: Promise<string>;
  #sequence = 0n;
  readonly #groupId: string;

  constructor({ peer }: Stubs, groupId: string) {
    this.stream = peer.stream(methods.join, new AbortController().signal);
    this.#groupId = groupId;
    this.over = refused(this.#read());
    this.say({ context: { ...context, clientId: 'app', principal: 'alice' } });
  }

  say(rest: Partial<MemberRequest> = {}): void {
    const about = { groupId: this.#groupId, memberId: 'm', memberEpoch: 0, appliedVersion: 0n, context: undefined };
    const member = { ...about, subscription: undefined, sincePollMs: -1n, computed: undefined };
    this.stream.send({ member: { ...member, sequence: ++this.#sequence, ...rest } });
  }

  async #read(): Promise<void> {
    for await (const { member } of this.stream) this.answers.push(member?.memberEpoch ?? -1);
  }
}

const sleep = ({ clock }: Stubs, ms: number = atOnceMs): Promise<void> => clock.sleep(ms, new AbortController().signal);

/** How the member's stream ended, or that it has not. */
const soFar = async (joining: Joining, stubs: Stubs): Promise<string> =>
  await Promise.race([joining.over, sleep(stubs).then(() => 'is on')]);

/** Group in partition 0, of coordinator 7; a member that has been answered. */
async function joined(
  seed: number,
  story: (stubs: Stubs, member: Joining, seven: JoinedAt, eight: JoinedAt) => Promise<void>,
): Promise<void> {
  const seven = new JoinedAt(7);
  const eight = new JoinedAt(8);
  await withStubs(seed, [seven.service, eight.service], async (stubs) => {
    await stubs.assign(0, 7);
    const member = new Joining(stubs, stubs.groupIn(0));
    await sleep(stubs);
    assert.deepEqual(member.answers, [7]);
    await story(stubs, member, seven, eight);
  });
}

describe("a member's stream through a broker", () => {
  test('the coordinator hears the first message with who joins and from where, and the others as they come, in order', () =>
    joined(1, async (stubs, member, seven) => {
      member.say({ appliedVersion: 4n });
      member.say({ memberEpoch: -1 });
      await sleep(stubs);
      const [first] = seven.heard;
      const told = first?.context;
      assert.deepEqual(
        [told?.clientId, told?.originalPrincipal, told?.host, told?.hops],
        ['app', 'alice', clientHost, 1],
      );
      assert.deepEqual(
        seven.heard.map(({ sequence, appliedVersion, memberEpoch }) => [sequence, appliedVersion, memberEpoch]),
        [
          [1n, 0n, 0],
          [2n, 4n, 0],
          [3n, 0n, -1],
        ],
      );
      assert.deepEqual(member.answers, [7, 7, 7]);
    }));

  test("a client that breaks its stream breaks the coordinator's, at once: its grace begins", () =>
    joined(2, async (stubs, member, seven) => {
      member.stream.cancel();
      await sleep(stubs);
      assert.deepEqual(seven.ends, ['broken']);
    }));

  test("a client that ends its stream ends the coordinator's, and is told the end of it", () =>
    joined(3, async (stubs, member, seven) => {
      member.stream.end();
      await sleep(stubs);
      assert.deepEqual(seven.ends, ['ended']);
      assert.equal(await soFar(member, stubs), '');
    }));

  test("a coordinator that ends the stream ends the client's; one that breaks it says why", async () => {
    await joined(4, async (stubs, member, seven) => {
      seven.finish();
      assert.equal(await soFar(member, stubs), '');
    });
    await joined(5, async (stubs, member, seven) => {
      seven.finish(new TributaryError('COORDINATOR_LOAD_IN_PROGRESS', 'It is reading.'));
      assert.equal(await soFar(member, stubs), 'COORDINATOR_LOAD_IN_PROGRESS');
    });
  });

  test('a coordinator that is killed: the client hears COORDINATOR_NOT_AVAILABLE as soon as the connection breaks', () =>
    joined(6, async (stubs, member) => {
      stubs.coordinator(7).kill();
      await sleep(stubs);
      assert.equal(await soFar(member, stubs), 'COORDINATOR_NOT_AVAILABLE');
    }));

  test('another owner: the stream ends with NOT_COORDINATOR, at both ends, as the member may join another life of the group only by itself', () =>
    joined(7, async (stubs, member, seven, eight) => {
      await stubs.assign(0, 8);
      assert.equal(await soFar(member, stubs), 'NOT_COORDINATOR');
      await sleep(stubs);
      assert.deepEqual([seven.ends, eight.heard.length], [['broken'], 0]);
    }));
});

describe('an owner that is one no longer before it has said anything', () => {
  for (const how of ['refuses', 'is silent'] as const) {
    test(`${how}: the next one hears all that it was told`, async () => {
      const seven = new JoinedAt(7);
      const eight = new JoinedAt(8);
      if (how === 'refuses') seven.refusal = new TributaryError('NOT_COORDINATOR', '').code as ErrorCode;
      else seven.isSilent = true;
      await withStubs(8, [seven.service, eight.service], async (stubs) => {
        await stubs.assign(0, 7);
        const member = new Joining(stubs, stubs.groupIn(0));
        member.say({ appliedVersion: 2n });
        await sleep(stubs, 100);
        assert.deepEqual([member.answers, await soFar(member, stubs)], [[], 'is on']);
        await stubs.assign(0, 8);
        await sleep(stubs);
        assert.deepEqual(member.answers, [8, 8]);
        const heard = ({ heard: all }: JoinedAt) => all.map(({ sequence, context: about }) => [sequence, about?.host]);
        assert.deepEqual(heard(eight), [
          [1n, clientHost],
          [2n, undefined],
        ]);
        assert.deepEqual(seven.ends, ['broken']);
      });
    });
  }

  test('where nobody takes its place in time the member hears NOT_COORDINATOR; of messages without an answer only so many are kept', async () => {
    const seven = new JoinedAt(7);
    seven.refusal = new TributaryError('NOT_COORDINATOR', '').code as ErrorCode;
    await withStubs(9, [seven.service], async (stubs) => {
      await stubs.assign(0, 7);
      const member = new Joining(stubs, stubs.groupIn(0));
      await sleep(stubs, limits.coordinatorWaitMs - 100);
      assert.equal(await soFar(member, stubs), 'is on');
      await sleep(stubs, 200);
      assert.equal(await soFar(member, stubs), 'NOT_COORDINATOR');
      const many = new Joining(stubs, stubs.groupIn(0));
      for (let count = 0; count < limits.joinUnanswered; count++) many.say();
      assert.notEqual(await soFar(many, stubs), 'is on');
    });
  });
});
