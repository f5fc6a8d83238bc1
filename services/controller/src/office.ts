/** The active controller at work: one decision at a time, each on an image that has everything it wrote before. */
import {
  type ClusterDelta,
  type ClusterImage,
  type ImageSource,
  type MetadataKeys,
  Bell,
  LinkedAbort,
  allBrokers,
  encodeTransaction,
} from '@tributary/metadata';
import {
  type BrokerEpoch,
  type NodeId,
  type TopicId,
  AssertionFailure,
  TributaryError,
  clusterId,
  limits,
  randomId,
} from '@tributary/model';
import type { Clock, CommitResult, Logger, MetadataStore, Random, Transport } from '@tributary/ports';
import { type Losses, noLosses } from './brokers.ts';
import { type CoordinatorLosses, noCoordinatorLosses } from './coordinators.ts';
import { type CoordinatorJudgement, CoordinatorSigns } from './coordinator-signs.ts';
import { type ControllerEvent, decide } from './decide.ts';
import type { Term } from './election.ts';
import { Facts } from './facts.ts';
import { type Judgement, LifeSigns } from './life-signs.ts';
import { Probe } from './probe.ts';
import type { Role } from './signs.ts';
import type { Step } from './step.ts';
import type { TopicDefaults } from './topic-defaults.ts';

/** What somebody asked the controller to do. */
export interface Order {
  /** From the image of the moment; asked again when a race was lost or an outcome is unknown. @throws TributaryError: refused. */
  event(image: ClusterImage, losses: Losses): ControllerEvent;
  /** Who asked has gone. */
  readonly signal: AbortSignal;
  /** A part asks, with one at a time: acks=all may wait for it, so that it does not wait behind all that clients have asked for. */
  readonly isOfPart?: true;
}

interface Placed {
  readonly order: Order;
  readonly settle: PromiseWithResolvers<Done>;
}

/** What became of an order: its steps as committed, and the first revision that holds them. */
export interface Done {
  readonly steps: readonly Step[];
  readonly revision: bigint;
}

export interface OfficePorts {
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  readonly images: ImageSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly transport: Pick<Transport, 'connect'>;
}

type Outcome =
  | { readonly kind: 'committed'; readonly revision: bigint }
  /** Something had changed: decide anew. */
  | { readonly kind: 'overtaken' };

export class Office {
  readonly facts = new Facts();
  readonly #ports: OfficePorts;
  readonly #defaults: TopicDefaults;
  readonly #sessionTimeoutMs: number;
  readonly #bell = new Bell();
  #orders: Placed[] = [];
  #ordersOfParts: Placed[] = [];
  #lastWasOfPart = false;
  readonly #signs: { readonly broker: LifeSigns; readonly coordinator: CoordinatorSigns };
  readonly #probes: Readonly<Record<Role, Probe>>;
  #term: { readonly revision: bigint; readonly over: AbortSignal } | undefined;
  #losses: Losses = noLosses;
  #coordinatorLosses: CoordinatorLosses = noCoordinatorLosses;
  /** Topics of which something may have changed, beside brokers, since reconciling last came to rest. */
  #reconfigured: Set<TopicId> | 'all' = 'all';
  /** Counts changes of registrations: a plan made before one is not carried on. */
  #registrationChanges = 0;

  constructor(ports: OfficePorts, defaults: TopicDefaults, sessionTimeoutMs: number) {
    this.#ports = ports;
    this.#defaults = defaults;
    this.#sessionTimeoutMs = sessionTimeoutMs;
    const [broker, coordinator] = [new LifeSigns(sessionTimeoutMs), new CoordinatorSigns(sessionTimeoutMs)];
    this.#signs = { broker, coordinator };
    const onLearnt = (): void => this.#bell.ring();
    this.#probes = {
      broker: new Probe(ports, 'broker', broker, sessionTimeoutMs, onLearnt),
      coordinator: new Probe(ports, 'coordinator', coordinator, sessionTimeoutMs, onLearnt),
    };
  }

  get isOpen(): boolean {
    return this.#term !== undefined;
  }

  /** The term in which this controller decides; undefined: it does not. */
  get term(): { readonly revision: bigint; readonly over: AbortSignal } | undefined {
    return this.#term;
  }

  /** As of the last look. */
  get losses(): Losses {
    return this.#losses;
  }

  /** Registered brokers of which nothing is heard. */
  get silent(): readonly NodeId[] {
    return this.isOpen ? this.#judge().silent : [];
  }

  /** Registered coordinators of which nothing is heard. */
  get silentCoordinators(): readonly NodeId[] {
    return this.isOpen ? this.#judgeCoordinators(this.#judge()).silent : [];
  }

  /** As of the last look. */
  get coordinatorLosses(): CoordinatorLosses {
    return this.#coordinatorLosses;
  }

  /** A stream of a registered one has begun. */
  opened(role: Role, node: NodeId, epoch: BrokerEpoch): void {
    this.#signs[role].opened(node, epoch, this.#ports.clock.monotonicMs());
  }

  heard(role: Role, node: NodeId, epoch: BrokerEpoch): void {
    this.#signs[role].heard(node, epoch, this.#ports.clock.monotonicMs());
  }

  /** Its process may be gone (R10). */
  closed(role: Role, node: NodeId, epoch: BrokerEpoch): void {
    this.#signs[role].closed(node, epoch);
    const over = this.#term?.over;
    if (over !== undefined) void this.#probes[role].ask(node, epoch, over);
  }

  /** A coordinator has said that it is about to stop: what it owns goes to others. */
  coordinatorLeaves(node: NodeId, epoch: BrokerEpoch): void {
    this.#signs.coordinator.leaves(node, epoch);
    this.#bell.ring();
  }

  /** Carried out behind what the cluster itself calls for, those of clients and those of parts each in order of arrival, and in turns. @throws TributaryError. */
  async place(order: Order): Promise<Done> {
    if (!this.isOpen) throw new TributaryError('NOT_CONTROLLER', 'This controller is not active.');
    const orders = order.isOfPart ? this.#ordersOfParts : this.#orders;
    if (!order.isOfPart && orders.length >= limits.controllerRequests) {
      throw new TributaryError(
        'THROTTLING_QUOTA_EXCEEDED',
        `${limits.controllerRequests} requests already wait for the controller; try again.`,
      );
    }
    const settle = Promise.withResolvers<Done>();
    orders.push({ order, settle });
    this.#bell.ring();
    return settle.promise;
  }

  /** Works until the term is over, then throws its signal's reason. Whatever else it throws is a bug or a store that cannot be used. */
  async work(term: Term): Promise<never> {
    const { clock, images, random } = this.#ports;
    for (const signs of Object.values(this.#signs)) signs.begin(clock.monotonicMs(), images.current.revision);
    this.#reconfigured = 'all';
    const freshClusterId = clusterId(randomId(() => random.nextU32()));
    using working = new LinkedAbort(term.signal);
    const watching = this.#watchRegistrations(working.signal);
    const probing = Object.values(this.#probes).map((probe) => probe.keepAsking(working.signal));
    this.#term = { revision: term.fence.is === 'absent' ? 0n : term.fence.revision, over: working.signal };
    // At once, although a call to the store may still be under way.
    const close = (): void => this.#close();
    term.signal.addEventListener('abort', close, { once: true });
    try {
      for (;;) {
        term.signal.throwIfAborted();
        images.over.throwIfAborted();
        this.#resignIfUnseated(term);
        const rang = this.#bell.heard(term.signal);
        rang.catch(() => undefined);
        const judgement = this.#judge();
        this.#resignIfCutOff(judgement, term);
        // Somebody may have been passed over for it.
        if (isRevived(this.#losses, judgement, images.current)) this.#reconfigured = 'all';
        this.#losses = judgement;
        const coordinators = this.#judgeCoordinators(judgement);
        this.#coordinatorLosses = coordinators;
        const steps = decide(images.current, {
          kind: 'reconcile',
          freshClusterId,
          losses: judgement,
          coordinators,
          reconfigured: this.#reconfigured,
          defaults: this.#defaults,
        });
        if (steps.length === 0) this.#reconfigured = new Set();
        if (steps.length > 0) await this.#commitAll(steps, term);
        else if (this.#orders.length + this.#ordersOfParts.length > 0) await this.#carryOut(term);
        else await this.#rest(rang, earliest(judgement.againAtMs, coordinators.againAtMs), term.signal);
      }
    } finally {
      term.signal.removeEventListener('abort', close);
      this.#close();
      working.abort(new Error('The term is over.'));
      await Promise.all([watching, ...probing]);
    }
  }

  #close(): void {
    this.#term = undefined;
    const orders = [...this.#orders, ...this.#ordersOfParts];
    this.#orders = [];
    this.#ordersOfParts = [];
    for (const { settle } of orders)
      settle.reject(new TributaryError('NOT_CONTROLLER', 'This controller is no longer active; ask the next one.'));
  }

  async #carryOut(term: Term): Promise<void> {
    // In turns: neither can keep the other from being heard.
    const isOfPart = this.#ordersOfParts.length > 0 && (!this.#lastWasOfPart || this.#orders.length === 0);
    const next = isOfPart ? this.#ordersOfParts.shift() : this.#orders.shift();
    if (next === undefined) return;
    this.#lastWasOfPart = isOfPart;
    const { order, settle } = next;
    try {
      for (;;) {
        order.signal.throwIfAborted();
        const { images } = this.#ports;
        const steps = decide(images.current, order.event(images.current, this.#losses));
        const outcome = await this.#commitAll(steps, term);
        if (outcome.kind === 'overtaken') continue;
        settle.resolve({ steps, revision: outcome.revision });
        return;
      }
    } catch (thrown) {
      if (thrown instanceof AssertionFailure) throw thrown;
      settle.reject(term.signal.aborted ? unknownOutcome() : thrown);
    }
  }

  /** In order, up to the first that is overtaken. The image has all of them afterwards. */
  async #commitAll(steps: readonly Step[], term: Term): Promise<Outcome> {
    const { images, logger } = this.#ports;
    const plannedAt = this.#registrationChanges;
    let revision = images.current.revision;
    for (const step of steps) {
      if (this.#registrationChanges !== plannedAt) {
        await images.reached(revision, term.signal);
        return { kind: 'overtaken' };
      }
      const result = await this.#commit(step, term);
      if (result === 'unknown') {
        await this.#learnOutcome(term);
        return { kind: 'overtaken' };
      }
      if (!result.succeeded) {
        await images.reached(result.revision, term.signal);
        this.#resignIfUnseated(term);
        return { kind: 'overtaken' };
      }
      this.facts.committed(step);
      logger.info('controller-committed', { why: step.why, revision: String(result.revision) });
      revision = result.revision;
    }
    await images.reached(revision, term.signal);
    return { kind: 'committed', revision };
  }

  async #commit(step: Step, term: Term): Promise<CommitResult | 'unknown'> {
    const { store, keys, clock, logger } = this.#ports;
    term.signal.throwIfAborted();
    const transaction = encodeTransaction(keys, {
      ...step.transaction,
      expect: [term.fence, ...step.transaction.expect],
    });
    try {
      return await store.commit(transaction);
    } catch (thrown) {
      term.signal.throwIfAborted();
      logger.warn('controller-commit-failed', {
        why: step.why,
        error: thrown instanceof Error ? thrown.message : String(thrown),
      });
      await clock.sleep(limits.storeRetryMsMin, term.signal);
      return 'unknown';
    }
  }

  /** Waits until the image has whatever had been committed by now; what may still come later fails against the next transaction's comparisons. */
  async #learnOutcome(term: Term): Promise<void> {
    const { store, keys, clock, images } = this.#ports;
    let retryMs: number = limits.storeRetryMsMin;
    for (;;) {
      try {
        const { revision } = await store.read(keys.of(term.fence.place));
        await images.reached(revision, term.signal);
        this.#resignIfUnseated(term);
        return;
      } catch {
        term.signal.throwIfAborted();
        images.over.throwIfAborted();
        await clock.sleep(retryMs, term.signal);
        retryMs = Math.min(retryMs * 2, limits.storeRetryMsMax);
      }
    }
  }

  #resignIfUnseated(term: Term): void {
    const elected = this.#ports.images.current.controller;
    if (term.fence.is === 'created-at' && elected?.createRevision === term.fence.revision) return;
    term.resign(
      new Error(
        `The election's key is no longer this controller's${elected === undefined ? '' : `: node ${elected.nodeId} is elected`}.`,
      ),
    );
    term.signal.throwIfAborted();
  }

  #judge(): Judgement {
    return this.#signs.broker.judge(this.#ports.images.current, this.#ports.clock.monotonicMs());
  }

  #judgeCoordinators({ isHushed }: Judgement): CoordinatorJudgement {
    return this.#signs.coordinator.judge(this.#ports.images.current, this.#ports.clock.monotonicMs(), isHushed);
  }

  #resignIfCutOff({ isCutOff, silent }: Judgement, term: Term): void {
    if (!isCutOff) return;
    const why = `Nothing is heard of brokers ${silent.join(', ')}, which are most: this controller takes itself to be cut off.`;
    term.resign(new Error(why), this.#sessionTimeoutMs);
    term.signal.throwIfAborted();
  }

  /** Until something happens, or silence alone may change what is to be done. */
  async #rest(rang: Promise<void>, untilMs: number | undefined, signal: AbortSignal): Promise<void> {
    if (untilMs === undefined) return rang;
    using resting = new LinkedAbort(signal);
    // A timer may be early by a little.
    const leftMs = Math.max(1, Math.ceil(untilMs - this.#ports.clock.monotonicMs()));
    const timer = this.#ports.clock.sleep(leftMs, resting.signal);
    timer.catch(() => undefined);
    try {
      await Promise.race([rang, timer]);
    } finally {
      resting.abort(new Error('Something happened.'));
    }
  }

  async #watchRegistrations(signal: AbortSignal): Promise<void> {
    try {
      for await (const { delta } of this.#ports.images.changes(signal)) {
        this.#noteSettings(delta);
        for (const [nodeId, { before, after }] of delta.brokers) {
          if (before?.registration?.createRevision === after?.registration?.createRevision) continue;
          this.#registrationChanges++;
          this.#signs.broker.registrationChanged(nodeId, before?.registration, after?.registration !== undefined);
        }
        for (const [nodeId, { before, after }] of delta.coordinators) {
          if (before?.createRevision === after?.createRevision) continue;
          this.#registrationChanges++;
          this.#signs.coordinator.registrationChanged(nodeId, before, after !== undefined);
        }
        this.#bell.ring();
      }
    } catch {
      // The term is over, or following is; the main loop sees either.
      this.#bell.ring();
    }
  }

  #noteSettings(delta: ClusterDelta): void {
    if (delta.brokerConfigs.has(allBrokers)) this.#reconfigured = 'all';
    if (this.#reconfigured === 'all') return;
    for (const topicId of delta.topics.keys()) this.#reconfigured.add(topicId);
  }
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}

/** Somebody who was taken for dead, and is still registered, has been heard again. */
function isRevived(before: Losses, now: Losses, image: ClusterImage): boolean {
  return [...before.dead].some(([node, epoch]) => {
    return now.dead.get(node) !== epoch && image.broker(node)?.registration?.createRevision === epoch;
  });
}

function unknownOutcome(): TributaryError {
  return new TributaryError(
    'NOT_CONTROLLER',
    'This controller lost its election while it carried out the request: look whether it took effect, then ask the next one.',
  );
}
