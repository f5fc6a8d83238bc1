import type { Comparison } from './comparison.ts';
import type { Contender } from './contender.ts';

export interface Stage {
  /** Ours first; all on the same disk. */
  readonly contenders: readonly Contender[];
  readonly comparison: Comparison;
  readonly repeat: number;
  /** Of the usual number of records. */
  readonly scale: number;
  /** A folder on that disk. */
  readonly folder: string;
}

export interface Scenario {
  readonly name: string;
  /** Before the first repeat, uncounted. */
  warmUp(stage: Stage): Promise<void>;
  /** One repeat: each contender's turn, its figures noted. */
  measure(stage: Stage): Promise<void>;
}

export const partitions = 6;
export const sizes = [
  { recordBytes: 1_024, title: '1 KiB', records: 1_000_000 },
  { recordBytes: 100, title: '100 B', records: 5_000_000 },
] as const;

let topics = 0;

/** Never the same twice: a name that is being deleted cannot be used again at once. */
export function newTopic(): string {
  topics++;
  return `bench-${topics}`;
}
