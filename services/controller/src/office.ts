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
  type NodeId,
  type TopicId,
  AssertionFailure,
  TributaryError,
  clusterId,
  limits,
  randomId,
} from '@tributary/model';
import type { Clock, CommitResult, Logger, MetadataStore, Random } from '@tributary/ports';
import { type ControllerEvent, decide } from './decide.ts';
import type { Term } from './election.ts';
import type { Step } from './step.ts';
import type { TopicDefaults } from './topic-defaults.ts';

/** What somebody asked the controller to do. */
export interface Order {
  /** From the image of the moment; asked again when a race was lost or an outcome is unknown. @throws TributaryError: refused. */
  event(image: ClusterImage): ControllerEvent;
  /** Who asked has gone. */
  readonly signal: AbortSignal;
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
}

type Outcome =
  | { readonly kind: 'committed'; readonly revision: bigint }
  /** Something had changed: decide anew. */
  | { readonly kind: 'overtaken' };

export class Office {
  readonly #ports: OfficePorts;
  readonly #defaults: TopicDefaults;
  readonly #sessionTimeoutMs: number;
  readonly #bell = new Bell();
  #orders: { readonly order: Order; readonly settle: PromiseWithResolvers<Done> }[] = [];
  #open = false;
  /** Brokers whose registration came and went while this controller was watching. */
  readonly #vanished = new Set<NodeId>();
  /** Topics whose settings may have changed since reconciling last came to rest. */
  #reconfigured: Set<TopicId> | 'all' = 'all';
  /** Counts changes of registrations: a plan made before one is not carried on. */
  #registrationChanges = 0;
  /** Until then an absence found at the takeover is no death (M5). */
  #graceEndsMs = 0;

  constructor(ports: OfficePorts, defaults: TopicDefaults, sessionTimeoutMs: number) {
    this.#ports = ports;
    this.#defaults = defaults;
    this.#sessionTimeoutMs = sessionTimeoutMs;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Carried out in order of arrival, behind what the cluster itself calls for. @throws TributaryError. */
  async place(order: Order): Promise<Done> {
    if (!this.#open) throw new TributaryError('NOT_CONTROLLER', 'This controller is not active.');
    if (this.#orders.length >= limits.controllerRequests) {
      throw new TributaryError(
        'THROTTLING_QUOTA_EXCEEDED',
        `${limits.controllerRequests} requests already wait for the controller; try again.`,
      );
    }
    const settle = Promise.withResolvers<Done>();
    this.#orders.push({ order, settle });
    this.#bell.ring();
    return settle.promise;
  }

  /** Works until the term is over, then throws its signal's reason. Whatever else it throws is a bug or a store that cannot be used. */
  async work(term: Term): Promise<never> {
    const { clock, images, random } = this.#ports;
    this.#vanished.clear();
    this.#reconfigured = 'all';
    this.#graceEndsMs = clock.monotonicMs() + this.#sessionTimeoutMs;
    const freshClusterId = clusterId(randomId(() => random.nextU32()));
    using working = new LinkedAbort(term.signal);
    const watching = this.#watchBrokers(images.current.revision, working.signal);
    const grace = this.#ringAfterGrace(working.signal);
    this.#open = true;
    // At once, although a call to the store may still be under way.
    const close = (): void => this.#close();
    term.signal.addEventListener('abort', close, { once: true });
    try {
      for (;;) {
        term.signal.throwIfAborted();
        images.over.throwIfAborted();
        const rang = this.#bell.heard(term.signal);
        rang.catch(() => undefined);
        const gone = this.#gone(images.current);
        const steps = decide(images.current, {
          kind: 'reconcile',
          freshClusterId,
          gone,
          reconfigured: this.#reconfigured,
          defaults: this.#defaults,
        });
        if (steps.length === 0) this.#reconfigured = new Set();
        if (steps.length > 0) await this.#commitAll(steps, term);
        else if (this.#orders.length > 0) await this.#carryOut(term);
        else await rang;
      }
    } finally {
      term.signal.removeEventListener('abort', close);
      this.#close();
      working.abort(new Error('The term is over.'));
      await Promise.all([watching, grace]);
    }
  }

  #close(): void {
    this.#open = false;
    const orders = this.#orders;
    this.#orders = [];
    for (const { settle } of orders)
      settle.reject(new TributaryError('NOT_CONTROLLER', 'This controller is no longer active; ask the next one.'));
  }

  async #carryOut(term: Term): Promise<void> {
    const next = this.#orders.shift();
    if (next === undefined) return;
    const { order, settle } = next;
    try {
      for (;;) {
        order.signal.throwIfAborted();
        const { images } = this.#ports;
        const steps = decide(images.current, order.event(images.current));
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

  /** Brokers that count as dead: they went before our eyes, or have stayed away for a session timeout since the takeover. */
  #gone(image: ClusterImage): ReadonlySet<NodeId> {
    const graceIsOver = this.#ports.clock.monotonicMs() >= this.#graceEndsMs;
    const gone = new Set<NodeId>();
    for (const { nodeId, registration, status } of image.brokers()) {
      if (registration !== undefined || status === undefined || status.fenced) continue;
      if (graceIsOver || this.#vanished.has(nodeId)) gone.add(nodeId);
    }
    return gone;
  }

  /**
   * Leases from before the takeover may run out because the store was away, as its last controller's did: only the grace tells who is dead (M5).
   * @param tookOverAt revision of the image with which the term began.
   */
  async #watchBrokers(tookOverAt: bigint, signal: AbortSignal): Promise<void> {
    try {
      for await (const { delta } of this.#ports.images.changes(signal)) {
        this.#noteSettings(delta);
        for (const [nodeId, { before, after }] of delta.brokers) {
          if (before?.registration?.createRevision === after?.registration?.createRevision) continue;
          this.#registrationChanges++;
          if (after?.registration !== undefined) this.#vanished.delete(nodeId);
          else if ((before?.registration?.modRevision ?? 0n) > tookOverAt) this.#vanished.add(nodeId);
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

  async #ringAfterGrace(signal: AbortSignal): Promise<void> {
    try {
      // A timer may be early by a little; what rings has to find the grace over.
      for (;;) {
        const leftMs = this.#graceEndsMs - this.#ports.clock.monotonicMs();
        if (leftMs <= 0) break;
        await this.#ports.clock.sleep(Math.ceil(leftMs), signal);
      }
      this.#bell.ring();
    } catch {
      // The term is over.
    }
  }
}

function unknownOutcome(): TributaryError {
  return new TributaryError(
    'NOT_CONTROLLER',
    'This controller lost its election while it carried out the request: look whether it took effect, then ask the next one.',
  );
}
