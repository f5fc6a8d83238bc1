/**
 * One partition of several replicas as pure states, with a controller that decides as it should: what brokers do to each other comes late, not at all, or of a
 * session that is over; brokers crash and come back. After each step: what was ever shown as committed is where it was.
 */
import assert from 'node:assert/strict';
import { brokerEpoch, leaderEpoch, millis, nodeId, type Offset, offset, topicConfig } from '@tributary/model';
import { EpochHistory } from '../../src/log/epochs.ts';
import type { IsrChange, Leadership } from '../../src/partition/leadership.ts';
import { PartitionState } from '../../src/partition/partition-state.ts';
import { ProducerState } from '../../src/partition/producer-state.ts';
import { compareHistories, cutAt } from '../../src/replication/histories.ts';
import { header } from '../partition/batches.ts';
import { lagMs, termOf } from './leaderships.ts';

interface Entry {
  readonly epoch: number;
  /** No two records of a run are the same one. */
  readonly id: number;
}

interface Session {
  readonly leadership: Leadership;
  readonly leader: number;
  readonly attachment: number;
  /** Acknowledgements on the way. */
  readonly said: Offset[];
}

interface Proposal {
  readonly leadership: Leadership;
  readonly change: IsrChange;
}

const config = topicConfig({ 'flush.policy': 'commit' });

class Node {
  readonly id: number;
  log: Entry[] = [];
  epochs = new EpochHistory();
  incarnation = 1;
  isUp = true;
  state: PartitionState;
  session: Session | undefined;
  /** By epoch: the highest that it has shown. */
  shown = new Map<number, bigint>();

  constructor(id: number) {
    this.id = id;
    this.state = this.#recovered(0n);
  }

  #recovered(committed: bigint): PartitionState {
    const end = offset(BigInt(this.log.length));
    const last = this.epochs.latest;
    return new PartitionState(nodeId(this.id), 't-0', config, new ProducerState(), end, offset(committed), 0, last);
  }

  /** @param kept of what was not flushed; Infinity: all, as the machine lives. */
  crash(kept: number): void {
    const flushed = Number(this.state.durable);
    this.log.length = Math.min(this.log.length, flushed + kept);
    this.epochs.cutEnd(offset(BigInt(this.log.length)));
    this.isUp = false;
    this.session = undefined;
    this.incarnation++;
    this.shown.clear();
    this.state = this.#recovered(this.state.highWatermark);
  }

  wipe(): void {
    this.log = [];
    this.epochs = new EpochHistory();
    this.state = this.#recovered(0n);
  }

  get historian() {
    const end = offset(BigInt(this.log.length));
    return {
      startOffset: offset(0n),
      endOffset: end,
      tombstonesGone: offset(0n),
      endOffsetFor: (epoch: ReturnType<typeof leaderEpoch>) => this.epochs.endOffsetFor(epoch, end),
    };
  }

  append(entry: Entry): void {
    const at = BigInt(this.log.length);
    this.epochs.begin(leaderEpoch(entry.epoch), offset(at));
    this.state.applyAppend(header({ at }));
    this.log.push(entry);
    this.state.applyWritten(offset(at + 1n));
  }
}

export class ClusterModel {
  readonly nodes: readonly Node[];
  readonly #committed: Entry[] = [];
  #leader = 1;
  #epoch = 1;
  #partitionEpoch = 0;
  #isr: number[];
  readonly #proposals: Proposal[] = [];
  #now = 0;
  #ids = 0;
  #attachments = 0;

  constructor(count: number) {
    this.#isr = Array.from({ length: count }, (_, i) => i + 1);
    this.nodes = this.#isr.map((id) => new Node(id));
  }

  get committed(): number {
    return this.#committed.length;
  }

  node(id: number): Node {
    const node = this.nodes[id - 1];
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  /** It hears what the controller has decided. */
  hear(id: number): void {
    const node = this.node(id);
    const { state } = node;
    if (!node.isUp) return;
    const role = state.role;
    if (this.#leader === id) {
      if (role.kind !== 'leading' || role.epoch !== this.#epoch) {
        state.wait('elected');
        node.session = undefined;
        this.#committed.forEach((entry, at) =>
          assert.deepEqual(
            node.log[at],
            entry,
            `broker ${id}, elected in ${this.#epoch}, has what was committed at ${at}`,
          ),
        );
        node.epochs.begin(leaderEpoch(this.#epoch), state.staged);
      }
      const term = { isr: this.#isr, replicas: this.nodes.map((each) => each.id), minIsr: 1 };
      state.lead(termOf({ ...term, epoch: this.#epoch, at: this.#partitionEpoch }), millis(this.#now));
    } else if (role.kind !== 'following' || role.epoch !== this.#epoch) {
      state.wait('another leads');
      node.session = undefined;
      state.follow({ epoch: leaderEpoch(this.#epoch), leader: nodeId(this.#leader), uncleanEpoch: undefined });
    }
  }

  append(): void {
    // Whoever believes to lead does, however long another one has been elected.
    for (const node of this.nodes) {
      const { role } = node.state;
      if (node.isUp && role.kind === 'leading') node.append({ epoch: role.epoch, id: ++this.#ids });
    }
  }

  flush(id: number): void {
    const { state, isUp } = this.node(id);
    if (isUp) state.applyFlushed(state.written);
  }

  /** The leader that it has heard of, if that leads in that epoch. */
  #leaderOf(follower: Node): Node | undefined {
    const { role } = follower.state;
    if (!follower.isUp || role.kind !== 'following') return undefined;
    const leader = this.node(role.term.leader);
    return leader.isUp && leader.state.leadership?.epoch === role.epoch ? leader : undefined;
  }

  attach(id: number): void {
    const follower = this.node(id);
    const leader = this.#leaderOf(follower);
    const leadership = leader?.state.leadership;
    if (leader === undefined || leadership === undefined) return;
    follower.session = undefined;
    for (;;) {
      const { endOffset } = follower.historian;
      const lastEpoch = follower.epochs.latest;
      const asked = { lastEpoch, startOffset: offset(0n), endOffset, tombstonesGone: offset(0n), needsRestart: false };
      const verdict = compareHistories(leader.historian, asked);
      if (verdict.kind === 'agreed') break;
      assert.equal(verdict.kind, 'diverges');
      if (verdict.kind !== 'diverges') return;
      const to = cutAt(verdict, follower.historian);
      assert.ok(follower.state.mayCut(to), `R2: broker ${id} would lose what is committed`);
      follower.log.length = Number(to);
      follower.epochs.cutEnd(to);
      follower.state.applyCut(to);
    }
    const attachment = ++this.#attachments;
    const epoch = brokerEpoch(BigInt(follower.incarnation));
    assert.ok(leadership.attach({ node: nodeId(id), brokerEpoch: epoch, attachment }));
    follower.session = { leadership, leader: leader.id, attachment, said: [] };
  }

  push(id: number, count: number): void {
    const follower = this.node(id);
    const leader = this.#leaderOf(follower);
    if (leader === undefined || follower.session?.leadership !== leader.state.leadership) return;
    for (const entry of leader.log.slice(follower.log.length, follower.log.length + count)) follower.append(entry);
    follower.state.followHighWatermark(leader.state.highWatermark);
  }

  /** It says how far it has synced; that is under way until {@link deliver}. */
  say(id: number): void {
    const { session, state } = this.node(id);
    if (session === undefined) return;
    session.said.push(state.durable);
    this.#underWay.push([id, session]);
  }

  readonly #underWay: (readonly [number, Session])[] = [];

  /** Something that somebody has said arrives, in whatever order sessions have it, maybe long after its session. */
  deliver(which: number): void {
    const picked = this.#underWay[which % Math.max(1, this.#underWay.length)];
    if (picked === undefined) return;
    this.#underWay.splice(this.#underWay.indexOf(picked), 1);
    const [id, session] = picked;
    const end = session.said.shift();
    const { state, isUp } = this.node(session.leader);
    if (end === undefined || !isUp || state.leadership !== session.leadership) return;
    const { leadership, attachment } = session;
    leadership.acknowledge(nodeId(id), attachment, end, offset(0n), state.written, millis(this.#now));
  }

  /** It follows whoever leads as it should: most of the time it does. */
  serve(id: number, isHeard: boolean): void {
    const node = this.node(id);
    this.hear(id);
    if (node.session === undefined || node.session.leadership !== this.#leaderOf(node)?.state.leadership)
      this.attach(id);
    this.push(id, 3);
    this.flush(id);
    this.say(id);
    if (isHeard) this.deliver(this.#underWay.length - 1);
  }

  detach(id: number): void {
    const { session } = this.node(id);
    session?.leadership.detach(nodeId(id), session.attachment);
    this.node(id).session = undefined;
  }

  wait(ms: number): void {
    this.#now += ms;
  }

  /** Each leader proposes what is due. */
  propose(): void {
    for (const { state, isUp } of this.nodes) {
      const { leadership } = state;
      if (!isUp || leadership === undefined) continue;
      const change = leadership.due(
        state.highWatermark,
        state.written,
        millis(this.#now),
        lagMs,
        ({ node, brokerEpoch: epoch }) => {
          return this.node(node).isUp && BigInt(this.node(node).incarnation) === epoch;
        },
      );
      if (change === undefined) continue;
      leadership.propose(change);
      this.#proposals.push({ leadership, change });
    }
  }

  /** The controller takes up a proposal; whether its leader hears of it is another matter, but for a refusal. */
  decide(): void {
    const next = this.#proposals.shift();
    if (next === undefined) return;
    const { leadership, change } = next;
    const isCurrent = leadership.epoch === this.#epoch && change.partitionEpoch === this.#partitionEpoch;
    const isFit = change.isr.every(
      (id) =>
        this.node(id).isUp &&
        (leadership.attachedEpoch(id) ?? BigInt(this.node(id).incarnation)) === BigInt(this.node(id).incarnation),
    );
    if (isCurrent && isFit) {
      this.#isr = [...change.isr];
      this.#partitionEpoch++;
      return;
    }
    const leader = this.nodes.find(({ state }) => state.leadership === leadership);
    // It acts on a refusal once its image has what that was judged against (M4).
    if (leader !== undefined) this.hear(leader.id);
    leadership.refused(change);
  }

  crash(id: number, kept: number): void {
    const node = this.node(id);
    if (!node.isUp) return;
    this.detach(id);
    node.crash(kept);
  }

  start(id: number): void {
    const node = this.node(id);
    if (node.isUp) return;
    node.isUp = true;
    // A broker leads in no epoch from before its registration (R6).
    if (this.#leader === id) this.elect(this.#isr.indexOf(id) + 1);
  }

  /** A new disk under the old id: the controller has taken it out of the ISR before it lets it in (R6). */
  replace(id: number): void {
    if (this.#isr.length === 1 && this.#isr[0] === id) return;
    this.crash(id, 0);
    this.fence(id);
    this.node(id).wipe();
    this.start(id);
  }

  /** The controller takes it for dead, and sees to it that somebody in sync leads. */
  fence(id: number): void {
    if (this.#isr.length > 1) this.#isr = this.#isr.filter((each) => each !== id);
    this.#partitionEpoch++;
    if (this.#leader === id) this.elect(this.#isr[0] ?? id);
  }

  /** The nth of those in sync leads. */
  elect(nth: number): void {
    this.#leader = this.#isr[nth % this.#isr.length] ?? this.#leader;
    this.#epoch++;
    this.#partitionEpoch++;
  }

  /** What every replica may show now; it must be what was shown before. */
  check(): void {
    for (const { id, state, log, isUp, shown } of this.nodes) {
      if (!isUp) continue;
      state.advanceHighWatermark();
      const { highWatermark, role } = state;
      if (role.kind !== 'waiting') {
        assert.ok(highWatermark >= (shown.get(role.epoch) ?? 0n), `R3: broker ${id} in epoch ${role.epoch}`);
        shown.set(role.epoch, highWatermark);
      }
      for (let at = 0; at < highWatermark; at++) {
        const entry = log[at];
        assert.ok(entry !== undefined, `broker ${id} has ${at}`);
        if (at === this.#committed.length) this.#committed.push(entry);
        assert.deepEqual(entry, this.#committed[at], `L6: offset ${at} at broker ${id}`);
      }
    }
  }
}
