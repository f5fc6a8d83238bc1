/** Terms, followers and what they say, for tests of who is in sync. */
import { brokerEpoch, leaderEpoch, millis, nodeId, offset, partitionEpoch } from '@tributary/model';
import { Leadership, type LeaderTerm } from '../../src/partition/leadership.ts';

export interface TermShape {
  readonly isr?: readonly number[];
  readonly replicas?: readonly number[];
  readonly minIsr?: number;
  readonly epoch?: number;
  /** Partition epoch. */
  readonly at?: number;
}

export function termOf({
  isr = [1, 2, 3],
  replicas = [1, 2, 3],
  minIsr = 2,
  epoch = 5,
  at = 0,
}: TermShape): LeaderTerm {
  return {
    epoch: leaderEpoch(epoch),
    partitionEpoch: partitionEpoch(at),
    isr: isr.map(nodeId),
    replicas: replicas.map(nodeId),
    minIsr,
  };
}

export const lagMs = 10_000;

/** A leadership of broker 1 with followers that attach and acknowledge in short words. */
export class Led {
  readonly leadership: Leadership;
  now = 0;
  /** Of the leader's log. */
  end = 0n;
  #attachments = 0;

  constructor(shape: TermShape = {}, startOffset = 0n) {
    this.leadership = new Leadership(nodeId(1), termOf(shape), offset(startOffset), millis(0));
    this.end = startOffset;
  }

  /** @returns the attachment; undefined: it was refused. */
  attach(node: number, incarnation = BigInt(node * 10)): number | undefined {
    const attachment = ++this.#attachments;
    const attached = { node: nodeId(node), brokerEpoch: brokerEpoch(incarnation), attachment };
    return this.leadership.attach(attached) ? attachment : undefined;
  }

  acknowledge(node: number, attachment: number | undefined, end: bigint, logStart = 0n): boolean {
    if (attachment === undefined) throw new Error('it is not attached');
    const { leadership, now } = this;
    return leadership.acknowledge(
      nodeId(node),
      attachment,
      offset(end),
      offset(logStart),
      offset(this.end),
      millis(now),
    );
  }

  /** Attaches, and has so much. */
  has(node: number, end: bigint): number {
    const attachment = this.attach(node);
    if (attachment === undefined || !this.acknowledge(node, attachment, end)) throw new Error('refused');
    return attachment;
  }

  committable(own = this.end): bigint | undefined {
    return this.leadership.committable(offset(own));
  }

  /** What is due, as words. */
  due(highWatermark: bigint, isEligible = true, logStart = 0n): string | undefined {
    const change = this.leadership.due(
      offset(highWatermark),
      offset(this.end),
      millis(this.now),
      lagMs,
      () => isEligible,
      offset(logStart),
    );
    return change === undefined ? undefined : `${change.kind} to ${change.isr.join(', ')}`;
  }

  /** Proposes what is due. */
  propose(highWatermark: bigint) {
    const { leadership, now, end } = this;
    const change = leadership.due(offset(highWatermark), offset(end), millis(now), lagMs, () => true);
    if (change === undefined) throw new Error('nothing is due');
    leadership.propose(change);
    return change;
  }

  update(shape: TermShape): void {
    this.leadership.update(termOf(shape), millis(this.now));
  }
}
