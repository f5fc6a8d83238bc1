import { deepStrictEqual } from 'node:assert/strict';
import { offset } from '@tributary/model';
import type { Change, GroupPartition } from '../../src/group/change.ts';
import type {
  CommitRequest,
  Decision,
  MemberAnswer,
  MemberRequest,
  Reply,
  Subscription,
  Told,
} from '../../src/group/decision.ts';
import { Groups } from '../../src/group/groups.ts';
import { Sessions } from '../../src/group/sessions.ts';
import { type GroupSettings, groupSettings } from '../../src/group/settings.ts';
import { compileTopicPattern } from '../../src/group/topic-pattern.ts';
import { FakeTopics } from './topics.ts';

export function subscription(wishes: Partial<Subscription> = {}): Subscription {
  return {
    instanceId: '',
    topics: ['orders'],
    topicPattern: '',
    assignor: '',
    clientAssignors: [],
    userData: new Uint8Array(),
    rack: '',
    sessionTimeoutMs: 0,
    maxPollIntervalMs: 0,
    ...wishes,
  };
}

/** The shell without its journal: what is decided is applied at once. */
export class Shard {
  readonly topics = new FakeTopics();
  readonly groups: Groups;
  readonly sessions = new Sessions(groupSettings.sessionTimeoutMs);
  readonly journal: Change[] = [];
  readonly told: Told[] = [];
  now = 0;
  wallMs = 1_000_000;

  constructor(settings: Partial<GroupSettings> = {}) {
    this.groups = new Groups({ settings: { ...groupSettings, ...settings }, compile: compileTopicPattern });
  }

  get at() {
    return { wallMs: this.wallMs, topics: this.topics };
  }

  carryOut<T>(decision: Decision<T>): Reply<T> {
    for (const change of decision.changes) {
      this.groups.apply(change);
      this.sessions.apply(change, this.now);
      this.journal.push(change);
    }
    this.told.push(...decision.toTell);
    return decision.reply;
  }

  ask(request: Partial<MemberRequest> & { readonly memberId: string }): Reply<MemberAnswer> {
    const whole: MemberRequest = {
      groupId: 'g',
      memberEpoch: 0,
      appliedVersion: 0,
      subscription: undefined,
      computed: undefined,
      clientId: 'client',
      host: 'host',
      ...request,
    };
    const reply = this.carryOut(this.groups.member(whole, this.at));
    if (reply.kind === 'ok') this.sessions.heard(whole.groupId, whole.memberId, this.now, undefined);
    return reply;
  }

  join(memberId: string, wishes: Partial<Subscription> = {}): Reply<MemberAnswer> {
    return this.ask({ memberId, subscription: subscription(wishes) });
  }

  /** The member has given up what it was told to, and says so. */
  applied(memberId: string): Reply<MemberAnswer> {
    const member = this.member(memberId);
    return this.ask({ memberId, memberEpoch: member.memberEpoch, appliedVersion: member.assignmentVersion });
  }

  member(memberId: string, groupId = 'g') {
    const answer = this.groups.answer(groupId, memberId);
    if (answer.kind !== 'ok' || answer.value.member === undefined) throw new Error(`no member ${memberId}`);
    return answer.value.member;
  }

  assigned(memberId: string): string[] {
    return placesOf(this.member(memberId).assigned);
  }

  commit(
    memberId: string,
    place: GroupPartition,
    at: bigint,
    more: Partial<CommitRequest> & { metadata?: string; logEnd?: bigint } = {},
  ) {
    const { metadata = '', logEnd, ...rest } = more;
    const memberEpoch = memberId === '' ? 0 : (rest.memberEpoch ?? this.member(memberId).memberEpoch);
    const end = logEnd === undefined ? undefined : offset(logEnd);
    const reply = this.carryOut(
      this.groups.commit(
        {
          groupId: 'g',
          memberId,
          sequence: 0n,
          validateOnly: false,
          offsets: [{ place, offset: offset(at), leaderEpoch: undefined, metadata, logEnd: end }],
          ...rest,
          memberEpoch,
        },
        this.at,
      ),
    );
    return reply.kind === 'ok' ? (reply.value[0] ?? reply) : reply;
  }

  committed(place: GroupPartition): bigint | undefined {
    const reply = this.groups.fetchOffsets({ groupId: 'g', partitions: [place], memberId: '', memberEpoch: 0 });
    return reply.kind === 'ok' ? reply.value[0]?.commit?.offset : undefined;
  }

  expire(): void {
    for (const expired of this.sessions.expired(this.now)) this.carryOut(this.groups.expired(expired, this.at));
  }

  /** What is left when all that was decided is read again. */
  replayed(): Groups {
    const groups = new Groups({ settings: groupSettings, compile: compileTopicPattern });
    for (const change of this.journal) groups.apply(change);
    return groups;
  }
}

export function placesOf(places: readonly GroupPartition[]): string[] {
  return places.map(({ topicId, partition }) => `${topicId}-${partition}`).sort();
}

/** All that the journal is to say, in one order. */
export function digest(groups: Groups): unknown {
  return [...groups.ids()].sort().map((groupId) => {
    const reply = groups.describe(groupId);
    if (reply.kind === 'refused') return [groupId, reply];
    const { group, members, commits, phase } = reply.value;
    const byId = [...members].sort((a, b) => (a.memberId < b.memberId ? -1 : 1));
    const byPlace = commits
      .map(({ place, commit }) => [placesOf([place]).join(), commit] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return [groupId, phase, group, byId, byPlace];
  });
}

export function refusedAs(reply: Reply<unknown>, error: string, sentence: RegExp): void {
  if (reply.kind !== 'refused') throw new Error(`not refused: ${error} expected`);
  deepStrictEqual(reply.error, error);
  if (!sentence.test(reply.message)) throw new Error(`"${reply.message}" does not match ${sentence}`);
}
