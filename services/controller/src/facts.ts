// pure
/** What this controller has decided since it started, in counts. */
import type { GroupMoveReason, PartitionReason, Step } from './step.ts';

export class Facts {
  readonly #elections = new Map<PartitionReason, number>();
  readonly #groupMoves = new Map<GroupMoveReason, number>();
  uncleanElections = 0;
  isrShrinks = 0;
  isrExpands = 0;
  /** False while the metadata store takes no writes; as of the last look. */
  isStoreWritable = true;

  get elections(): ReadonlyMap<PartitionReason, number> {
    return this.#elections;
  }

  get groupMoves(): ReadonlyMap<GroupMoveReason, number> {
    return this.#groupMoves;
  }

  committed({ facts, groupMoves = [] }: Step): void {
    for (const reason of groupMoves) this.#groupMoves.set(reason, (this.#groupMoves.get(reason) ?? 0) + 1);
    if (facts === undefined) return;
    if (facts.elections > 0)
      this.#elections.set(facts.reason, (this.#elections.get(facts.reason) ?? 0) + facts.elections);
    this.uncleanElections += facts.uncleanElections;
    this.isrShrinks += facts.isrShrinks;
    this.isrExpands += facts.isrExpands;
  }
}
