/** What deletion and retention would take of a log. */
import type { Offset, TopicConfig } from '@tributary/model';
import type { Chronicle } from './chronicle.ts';
import { countRemovable, type Removable, removableBelow } from './expired-segments.ts';
import { onCurrentSegments } from './log-reader.ts';
import type { RetentionRule } from './retention.ts';
import type { SegmentList } from './segment-list.ts';

export class RemovalPreview {
  readonly #segments: SegmentList;
  readonly #chronicle: Pick<Chronicle, 'start' | 'highWatermark'>;
  readonly #end: () => Offset;

  constructor(segments: SegmentList, chronicle: Pick<Chronicle, 'start' | 'highWatermark'>, end: () => Offset) {
    this.#segments = segments;
    this.#chronicle = chronicle;
    this.#end = end;
  }

  /** By PartitionLog.advanceStart. */
  below(offset: Offset): Removable {
    return removableBelow(this.#segments, this.#chronicle.start, this.#end(), offset);
  }

  /** By PartitionLog.enforceRetention under `config`. @param now wall clock, ms. */
  async byRetention(config: TopicConfig, now: number): Promise<Removable> {
    const { start, highWatermark } = this.#chronicle;
    if (!config.cleanup.delete) return this.below(start);
    const rule: RetentionRule = { ...config, now, highWatermark };
    const count = await onCurrentSegments(() => countRemovable(this.#segments, this.#end(), rule));
    return this.below(this.#segments.at(count)?.base ?? this.#end());
  }
}
