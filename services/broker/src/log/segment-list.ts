/** The segments of a log, oldest first. The last one is being written. */
import { assert, type Offset } from '@tributary/model';
import type { Segment } from './segment.ts';

export class SegmentList {
  readonly #segments: Segment[];

  /** @param segments rising, at least one. */
  constructor(segments: readonly Segment[]) {
    this.#segments = [...segments];
  }

  get all(): readonly Segment[] {
    return this.#segments;
  }

  get count(): number {
    return this.#segments.length;
  }

  get active(): Segment {
    const last = this.#segments.at(-1);
    assert(last !== undefined, 'a log has at least one segment');
    return last;
  }

  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  add(segment: Segment): void {
    assert(segment.base > this.active.base, `segment ${segment.base} does not follow ${this.active.base}`);
    this.#segments.push(segment);
  }

  /** Index of the segment that holds `offset` or would; 0 if it lies before all. */
  indexOf(offset: Offset): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#segments[middle]?.base ?? 0n) <= offset) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  at(index: number): Segment | undefined {
    return this.#segments[index];
  }

  /** The one behind `segment`; undefined if that is the last, or gone. */
  after(segment: Segment): Segment | undefined {
    const index = this.indexOf(segment.base);
    return this.#segments[index] === segment ? this.#segments[index + 1] : undefined;
  }

  /** The offset after the last of `index`, where `end` is the log's. */
  endOf(index: number, end: Offset): Offset {
    return this.#segments[index + 1]?.base ?? end;
  }

  /** @returns the first `count`, which are gone now. */
  dropFirst(count: number): readonly Segment[] {
    assert(count < this.#segments.length, 'the last segment stays');
    return this.#segments.splice(0, count);
  }

  /** Keeps the first `count`. @returns the others, which are gone now. */
  keepFirst(count: number): readonly Segment[] {
    assert(count > 0, 'the first segment stays');
    return this.#segments.splice(count);
  }

  /** Whether all are here, one behind the other. */
  has(neighbours: readonly Segment[]): boolean {
    const at = this.#segments.findIndex((each) => each === neighbours[0]);
    return at >= 0 && neighbours.every((each, index) => this.#segments[at + index] === each);
  }

  /** One segment in the place of neighbours that are all here. */
  replace(neighbours: readonly Segment[], segment: Segment): void {
    const at = this.#segments.findIndex((each) => each === neighbours[0]);
    assert(this.has(neighbours) && neighbours.at(-1) !== this.active, 'closed neighbours are replaced');
    this.#segments.splice(at, neighbours.length, segment);
  }

  replaceAll(segment: Segment): readonly Segment[] {
    return this.#segments.splice(0, this.#segments.length, segment);
  }
}
