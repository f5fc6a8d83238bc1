// pure
/** ISR proposals between being made and being answered (M4): each is decided or refused, once, and until then sent again on every new stream. */
import {
  type BrokerEpoch,
  type LeaderEpoch,
  type NodeId,
  type PartitionEpoch,
  type PartitionIndex,
  type TopicId,
  TributaryError,
} from '@tributary/model';

/** As the leader knows it from the member's session; its own of itself. */
export interface ProposedMember {
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
}

export interface ProposedIsr {
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
  readonly leaderEpoch: LeaderEpoch;
  /** The state that it would follow. */
  readonly partitionEpoch: PartitionEpoch;
  readonly isr: readonly ProposedMember[];
}

/** `decided`: the image will show it, and only then it is in force. Else why the controller refused, which is final. */
export type ProposalOutcome = 'decided' | TributaryError;

export interface IsrProposer {
  /**
   * Resolves once the controller has answered, however often it has to be asked for that; a reply that is lost is asked for again with the
   * identical proposal.
   * @param signal no longer interested, as the image shows a higher partition epoch: it is then not sent again. @throws the signal's reason.
   */
  propose(proposal: ProposedIsr, signal: AbortSignal): Promise<ProposalOutcome>;
}

/** What goes over the wire, and is the same each time. */
export interface NumberedProposal {
  readonly proposalId: bigint;
  readonly proposal: ProposedIsr;
}

interface Entry extends NumberedProposal {
  readonly settle: (outcome: ProposalOutcome) => void;
}

/** The proposals of one process's life. */
export class OutstandingProposals {
  #lastId = 0n;
  readonly #entries = new Map<bigint, Entry>();
  /** Those that the current stream has not carried yet, in the order in which they were made. */
  #unsent = new Set<bigint>();

  get count(): number {
    return this.#entries.size;
  }

  /** Of them, those that the current stream has not carried yet. */
  get unsentCount(): number {
    return this.#unsent.size;
  }

  /** @returns its id, greater than all before. */
  add(proposal: ProposedIsr, settle: (outcome: ProposalOutcome) => void): bigint {
    const proposalId = ++this.#lastId;
    this.#entries.set(proposalId, { proposalId, proposal, settle });
    this.#unsent.add(proposalId);
    return proposalId;
  }

  /** Its proposer has seen a newer state: it is not sent again, and an answer that may still come says nothing new. */
  forget(proposalId: bigint): void {
    this.#entries.delete(proposalId);
    this.#unsent.delete(proposalId);
  }

  /** What an older stream carried may never have arrived, or its answer is lost: the new one carries all again. */
  beginStream(): void {
    this.#unsent = new Set(this.#entries.keys());
  }

  /** The next ones for the current stream, at most so many, the oldest first. */
  take(most: number): readonly NumberedProposal[] {
    const taken: NumberedProposal[] = [];
    for (const proposalId of this.#unsent) {
      if (taken.length === most) break;
      this.#unsent.delete(proposalId);
      const entry = this.#entries.get(proposalId);
      if (entry !== undefined) taken.push({ proposalId, proposal: entry.proposal });
    }
    return taken;
  }

  /** The controller's word, from whichever stream. @param errorCode 0: decided. @returns false: nobody waits for it any more. */
  answer(proposalId: bigint, errorCode: number, errorMessage: string): boolean {
    const entry = this.#entries.get(proposalId);
    if (entry === undefined) return false;
    this.forget(proposalId);
    entry.settle(errorCode === 0 ? 'decided' : TributaryError.fromAnswer(errorCode, errorMessage));
    return true;
  }
}
