/** Rows of ours beside the peer's, repeat by repeat. */
import { Collection, type Row } from '../report.ts';
import type { Contender, FlushPolicy } from './contender.ts';

export class Comparison {
  readonly #collection = new Collection();
  /** Of this repeat. */
  readonly #ours = new Map<string, number>();
  readonly #peers = new Map<string, number>();

  /** @param row what was measured, with its unit. */
  ours(row: string, value: number): void {
    this.#ours.set(row, value);
  }

  /** @param row the peer's figure stands beside every row of ours that begins like this. */
  peers(row: string, value: number): void {
    this.#peers.set(row, value);
  }

  /** Ratios are of figures of the same repeat. */
  endRepeat(): void {
    for (const [row, ours] of this.#ours) {
      const peer = [...this.#peers].find(([name]) => row.startsWith(name))?.[1];
      this.#collection.add(row, {
        Tributary: ours,
        ...(peer === undefined ? {} : { Kafka: peer, 'Tributary / Kafka': ours / peer }),
      });
    }
    this.#ours.clear();
    this.#peers.clear();
  }

  get rows(): readonly Row[] {
    return this.#collection.rows;
  }
}

export interface Run {
  readonly contender: Contender;
  readonly policy: FlushPolicy;
}

/** Each contender with each of its policies, the other way round in every second repeat. */
export function runsOf(contenders: readonly Contender[], repeat: number): readonly Run[] {
  const runs = contenders.flatMap((contender) => contender.flushPolicies.map((policy): Run => ({ contender, policy })));
  return repeat % 2 === 0 ? runs : runs.toReversed();
}

/** Where the figure of a run goes. */
export function note(comparison: Comparison, { contender, policy }: Run, row: string, value: number): void {
  if (contender.name === 'Tributary') comparison.ours(`${row}, ${policy}`, value);
  else comparison.peers(row, value);
}
