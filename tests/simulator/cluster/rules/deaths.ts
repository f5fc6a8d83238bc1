/** R10, M5: who is taken for dead. A wrong guess costs no data; one that nothing had given rise to is a bug. */
import type { ClusterImage, ImageChange } from '@tributary/metadata';
import { nodeId } from '@tributary/model';
import type { Member } from '../member.ts';
import { SESSION_TIMEOUT_MS } from '../plan.ts';
import type { Stage } from '../stage.ts';

/** So long after it was last troubled a member may still be suffering from it. */
const AFTERMATH_MS = 3 * SESSION_TIMEOUT_MS;

/** Those who fall silent one after the other may have reasons of their own. */
const AT_ONCE_MS = 500;

export class DeathRules {
  readonly #stage: Stage;
  /** Brokers that ran, untroubled, when the active controller saw them out, in this term, and when that was. */
  readonly #seenOut = new Map<number, number>();

  /** Revision of each broker's newest registration. */
  readonly #registered = new Map<number, bigint>();

  /** Since when a broker's registration has been absent, in virtual microseconds. */
  readonly #absentSince = new Map<number, number>();

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  begin(): void {
    this.#stage.truth.onChange((change, before) => this.#changed(change, before));
  }

  #changed({ image, delta }: ImageChange, before: ClusterImage): void {
    if (delta.controller) this.#seenOut.clear();
    for (const [node, change] of delta.brokers) {
      const { registration } = change.after ?? {};
      if (registration !== undefined) {
        this.#registered.set(node, registration.createRevision);
        this.#absentSince.delete(node);
      } else if (!this.#absentSince.has(node)) this.#absentSince.set(node, this.#stage.world.scheduler.nowMicros);
      const isNow = change.after?.status?.fenced === true;
      // One that was leaving has left.
      if (isNow && change.before?.status?.fenced === false && !change.before.status.leaving)
        this.#fenced(node, image, before);
    }
  }

  #fenced(node: number, image: ClusterImage, before: ClusterImage): void {
    const { world, active } = this.#stage;
    world.coverage.count('broker: taken for dead');
    const member = this.#stage.broker(node);
    if (member === undefined || active === undefined || !member.runs) return;
    // It has said that it stops, and its server is closed before its process is gone.
    if (before.broker(nodeId(node))?.status?.leaving === true) return;
    // It may not have reached the store since it started.
    if ((this.#registered.get(node) ?? 0n) <= this.#stage.durability.startedAt(member)) return;
    // Without a registration for so long it counts as dead, whatever kept it from the store.
    const absentMicros = world.scheduler.nowMicros - (this.#absentSince.get(node) ?? Number.POSITIVE_INFINITY);
    if (absentMicros >= SESSION_TIMEOUT_MS * 900) return;
    const what = `broker ${node} was taken for dead by ${active.name} and is well`;
    if (this.#isWell(active) && this.#isWell(member)) return world.broken('R10', what);
    // Whoever is cut off hears nobody, and says so of few at most.
    if (this.#isSteady(active, AFTERMATH_MS) || member.troubledMicros > active.troubledMicros) return;
    const now = world.scheduler.nowMicros;
    this.#seenOut.set(node, now);
    for (const [each, atMicros] of this.#seenOut) if (now - atMicros > AT_ONCE_MS * 1_000) this.#seenOut.delete(each);
    const registered = [...before.brokers()].filter(({ registration }) => registration !== undefined).length;
    const leases = Math.max(registered, [...image.brokers()].length);
    if (2 * this.#seenOut.size > leases)
      world.broken('R10', `${what}, as have more than half of ${leases}: ${[...this.#seenOut.keys()].join(', ')}`);
  }

  #isWell(member: Member): boolean {
    const sinceMicros = this.#stage.world.scheduler.nowMicros - member.shakenMicros;
    return this.#isSteady(member, AFTERMATH_MS) && sinceMicros > AFTERMATH_MS * 1_000;
  }

  /** It runs, and nobody has laid hands on it for so long. */
  #isSteady(member: Member, forMs: number): boolean {
    return member.runs && this.#stage.world.scheduler.nowMicros - member.troubledMicros > forMs * 1_000;
  }
}
