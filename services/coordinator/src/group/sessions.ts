// pure
/**
 * Who has given a sign of life, and whose time is over: what a coordinator knows and does not write down (G2). It follows the changes that
 * `Groups` applies, and is otherwise told by the shell; a new owner, or one whose renewal lapsed, calls {@link Sessions.grantAll}.
 */
import { limits } from '@tributary/model';
import type { Change, MemberFacts } from './change.ts';
import type { Expired, WhyExpired } from './decision.ts';
import { Heap } from './heap.ts';

/** Monotonic ms throughout; Infinity: does not apply. */
interface Timer {
  readonly groupId: string;
  /** When it has to be looked at in the queue; what is queued for another time is void. */
  queuedAt: number;
  over: boolean;
}

interface Session extends Timer {
  readonly kind: 'session';
  readonly memberId: string;
  member: MemberFacts;
  heardAt: number;
  /** When silence is the end. */
  silentUntil: number;
  polledAt: number;
  pollUntil: number;
  revokeUntil: number;
  streams: number;
}

interface TaskTimer extends Timer {
  readonly kind: 'task';
  readonly groupEpoch: number;
  until: number;
}

/** Of one member, for those who look at the group. */
export interface SessionState {
  readonly connected: boolean;
  /** Its application has not polled for half of what it may take. */
  readonly stalled: boolean;
  readonly silentMs: number;
}

interface Queued {
  readonly at: number;
  readonly timer: Session | TaskTimer;
}

export class Sessions {
  readonly #groups = new Map<string, Map<string, Session>>();
  readonly #tasks = new Map<string, TaskTimer>();
  /** Timers are found late, not moved: a sign of life costs no more than a number. */
  #queue = new Heap<Queued>((a, b) => a.at < b.at);
  readonly #timeouts = new Map<number, number>();
  readonly #taskTimeoutMs: number;

  /** @param taskTimeoutMs how long a client-side assignor may take. */
  constructor(taskTimeoutMs: number) {
    this.#taskTimeoutMs = taskTimeoutMs;
  }

  /** Follows what was applied to the groups. @param now monotonic, ms. */
  apply(change: Change, now: number): void {
    switch (change.kind) {
      case 'member':
        this.#follow(change.groupId, change.memberId, change.member, now);
        return;
      case 'member-gone':
        this.#forget(change.groupId, change.memberId);
        return;
      case 'group':
        this.#followTask(change.groupId, change.group.groupEpoch, change.group.assignmentEpoch, now);
        return;
      case 'group-gone':
        this.#endTask(change.groupId);
        return;
      case 'offset':
      case 'offset-gone':
        return;
      default:
        change satisfies never;
    }
  }

  /** A member's request was accepted. @param sincePollMs undefined: does not apply. */
  heard(groupId: string, memberId: string, now: number, sincePollMs: number | undefined): void {
    const session = this.#session(groupId, memberId);
    if (session === undefined || session.member.away) return;
    session.heardAt = now;
    session.silentUntil = now + session.member.sessionTimeoutMs;
    if (sincePollMs === undefined) {
      session.pollUntil = Infinity;
      return;
    }
    session.polledAt = now - sincePollMs;
    session.pollUntil = session.polledAt + session.member.maxPollIntervalMs;
    this.#hasten(session);
  }

  /** A stream of the member begins. */
  opened(groupId: string, memberId: string): void {
    const session = this.#session(groupId, memberId);
    if (session !== undefined) session.streams += 1;
  }

  /** One has ended that {@link opened} was called for: without another the member has the grace. A static one's place is kept for who starts again under its name. */
  closed(groupId: string, memberId: string, now: number): void {
    const session = this.#session(groupId, memberId);
    if (session === undefined || session.streams === 0) return;
    session.streams -= 1;
    if (session.streams > 0 || session.member.away || session.member.instanceId !== undefined) return;
    session.silentUntil = Math.min(session.silentUntil, now + limits.groupStreamGraceMs);
    this.#hasten(session);
  }

  /** G2: nobody's time is over before 1.5 session timeouts from now. Polling counts anew from the next sign of life. */
  grantAll(now: number): void {
    this.#queue = new Heap((a, b) => a.at < b.at);
    for (const group of this.#groups.values()) {
      for (const session of group.values()) {
        session.silentUntil = now + session.member.sessionTimeoutMs * limits.groupGrantSessions;
        session.pollUntil = Infinity;
        if (session.revokeUntil !== Infinity) session.revokeUntil = now + session.member.maxPollIntervalMs;
        this.#enqueue(session);
      }
    }
    for (const task of this.#tasks.values()) {
      task.until = now + this.#taskTimeoutMs;
      this.#enqueue(task);
    }
  }

  /** When to call {@link expired} again, monotonic, ms; undefined: nobody is waited for. It may be early, never late. */
  nextDeadline(): number | undefined {
    return this.#queue.peek()?.at;
  }

  /** Whose time is over. They stay until `Groups` has decided about them and {@link apply} was told. */
  expired(now: number): readonly Expired[] {
    const found = new Map<string, { members: { memberId: string; why: WhyExpired }[]; task: boolean }>();
    const stay: (Session | TaskTimer)[] = [];
    for (let next = this.#queue.peek(); next !== undefined && next.at <= now; next = this.#queue.peek()) {
      this.#queue.pop();
      const { timer } = next;
      if (timer.over || timer.queuedAt !== next.at) continue;
      if (due(timer) > now) {
        this.#enqueue(timer);
        continue;
      }
      stay.push(timer);
      const group = found.get(timer.groupId) ?? { members: [], task: false };
      found.set(timer.groupId, group);
      if (timer.kind === 'task') group.task = true;
      else group.members.push({ memberId: timer.memberId, why: why(timer, now) });
    }
    for (const timer of stay) this.#enqueue(timer);
    return [...found].map(([groupId, { members, task }]) => ({ groupId, members, task }));
  }

  /** The shortest session timeout of all members, ms; undefined: there are none. For G2. */
  shortestTimeoutMs(): number | undefined {
    let shortest: number | undefined;
    for (const timeout of this.#timeouts.keys()) {
      if (shortest === undefined || timeout < shortest) shortest = timeout;
    }
    return shortest;
  }

  state(groupId: string, memberId: string, now: number): SessionState | undefined {
    const session = this.#session(groupId, memberId);
    if (session === undefined) return undefined;
    const { heardAt, polledAt, pollUntil, member, streams } = session;
    const stalled = pollUntil !== Infinity && now >= polledAt + member.maxPollIntervalMs / 2;
    return { connected: streams > 0, stalled, silentMs: Math.max(0, now - heardAt) };
  }

  #session(groupId: string, memberId: string): Session | undefined {
    return this.#groups.get(groupId)?.get(memberId);
  }

  #follow(groupId: string, memberId: string, member: MemberFacts, now: number): void {
    const known = this.#session(groupId, memberId);
    if (known === undefined) {
      this.#begin(groupId, memberId, member, now);
      return;
    }
    const before = known.member;
    known.member = member;
    if (before.sessionTimeoutMs !== member.sessionTimeoutMs) {
      this.#count(before.sessionTimeoutMs, -1);
      this.#count(member.sessionTimeoutMs, 1);
    }
    if (member.away && !before.away) {
      known.silentUntil = now + member.sessionTimeoutMs;
      known.pollUntil = Infinity;
    }
    if (member.revoking.length === 0) known.revokeUntil = Infinity;
    else if (known.revokeUntil === Infinity) known.revokeUntil = now + member.maxPollIntervalMs;
    this.#hasten(known);
  }

  #begin(groupId: string, memberId: string, member: MemberFacts, now: number): void {
    const session: Session = {
      kind: 'session',
      groupId,
      memberId,
      member,
      heardAt: now,
      silentUntil: now + member.sessionTimeoutMs * limits.groupGrantSessions,
      polledAt: now,
      pollUntil: Infinity,
      revokeUntil: member.revoking.length === 0 ? Infinity : now + member.maxPollIntervalMs,
      streams: 0,
      queuedAt: Infinity,
      over: false,
    };
    const group = this.#groups.get(groupId) ?? new Map<string, Session>();
    this.#groups.set(groupId, group);
    group.set(memberId, session);
    this.#count(member.sessionTimeoutMs, 1);
    this.#enqueue(session);
  }

  #forget(groupId: string, memberId: string): void {
    const group = this.#groups.get(groupId);
    const session = group?.get(memberId);
    if (group === undefined || session === undefined) return;
    session.over = true;
    group.delete(memberId);
    if (group.size === 0) this.#groups.delete(groupId);
    this.#count(session.member.sessionTimeoutMs, -1);
  }

  #followTask(groupId: string, groupEpoch: number, assignmentEpoch: number, now: number): void {
    const known = this.#tasks.get(groupId);
    if (known?.groupEpoch === groupEpoch && assignmentEpoch < groupEpoch) return;
    this.#endTask(groupId);
    if (assignmentEpoch >= groupEpoch) return;
    const until = now + this.#taskTimeoutMs;
    const task: TaskTimer = { kind: 'task', groupId, groupEpoch, until, queuedAt: Infinity, over: false };
    this.#tasks.set(groupId, task);
    this.#enqueue(task);
  }

  #endTask(groupId: string): void {
    const task = this.#tasks.get(groupId);
    if (task === undefined) return;
    task.over = true;
    this.#tasks.delete(groupId);
  }

  #count(timeoutMs: number, by: 1 | -1): void {
    const count = (this.#timeouts.get(timeoutMs) ?? 0) + by;
    if (count === 0) this.#timeouts.delete(timeoutMs);
    else this.#timeouts.set(timeoutMs, count);
  }

  /** A timer that is due before the queue would look at it is queued once more. */
  #hasten(timer: Session): void {
    if (due(timer) < timer.queuedAt) this.#enqueue(timer);
  }

  #enqueue(timer: Session | TaskTimer): void {
    timer.queuedAt = due(timer);
    this.#queue.push({ at: timer.queuedAt, timer });
  }
}

function due(timer: Session | TaskTimer): number {
  return timer.kind === 'task' ? timer.until : Math.min(timer.silentUntil, timer.pollUntil, timer.revokeUntil);
}

function why(session: Session, now: number): WhyExpired {
  if (session.silentUntil <= now) return 'session';
  return session.pollUntil <= now ? 'poll' : 'revocation';
}
