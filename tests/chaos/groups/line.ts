/** What a member's process tells, a line of JSON each. `at`: ms of the machine's monotonic clock, which all of its processes share. */
export type Line =
  | { readonly kind: 'assigned' | 'relinquished'; readonly at: number; readonly partitions: readonly number[] }
  /** The application has them, and is done with them. */
  | { readonly kind: 'handed'; readonly at: number; readonly partition: number; readonly offsets: readonly number[] }
  | { readonly kind: 'committing'; readonly at: number; readonly commit: number }
  | {
      readonly kind: 'committed';
      readonly at: number;
      readonly commit: number;
      readonly offsets: readonly (readonly [partition: number, offset: number])[];
    }
  | { readonly kind: 'refused'; readonly at: number; readonly commit: number; readonly error: string }
  | { readonly kind: 'failed'; readonly at: number; readonly error: string };

/** What a member is started with. */
export interface MemberPlan {
  readonly bootstrap: string;
  readonly clientId: string;
  readonly groupId: string;
  readonly topic: string;
  readonly isStrict: boolean;
  readonly sessionTimeoutMs: number;
  /** A planted bug: it commits what it has not handled yet. */
  readonly commitsFirst: boolean;
}

export function nowMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}
