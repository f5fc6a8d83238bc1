// pure
/** Which segments may go (L4). The configured amount always stays, so what a user asked to keep is a floor and never a ceiling. */
import type { Offset } from '@tributary/model';

export interface RetainedSegment {
  readonly bytes: number;
  /** Newest record, wall clock, ms. */
  readonly newestMs: number;
  /** The offset after its last. */
  readonly end: Offset;
}

export interface RetentionRule {
  /** undefined: for ever. */
  readonly retentionMs: number | undefined;
  /** undefined: all. */
  readonly retentionBytes: number | undefined;
  /** Wall clock, ms. */
  readonly now: number;
  readonly highWatermark: Offset;
}

/**
 * Whether the oldest segment may go: all of it is committed, and its newest record is older than retention.ms, or what stays without it
 * is still at least retention.bytes.
 * @param total bytes of the log, this segment included.
 */
export function mayRemove(oldest: RetainedSegment, total: number, rule: RetentionRule): boolean {
  if (isExpired(oldest, rule)) return true;
  if (oldest.end > rule.highWatermark || rule.retentionBytes === undefined) return false;
  return total - oldest.bytes >= rule.retentionBytes;
}

/** All of it is committed, and its newest record is older than retention.ms. */
export function isExpired(segment: RetainedSegment, rule: RetentionRule): boolean {
  if (segment.end > rule.highWatermark || rule.retentionMs === undefined) return false;
  return segment.newestMs < rule.now - rule.retentionMs;
}
