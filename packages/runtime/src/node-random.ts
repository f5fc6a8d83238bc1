import { randomFillSync } from 'node:crypto';
import type { Random } from '@tributary/ports';

/** Draws are taken from the system in blocks: one call each costs a microsecond, a block of 256 costs two. */
const block = new Uint32Array(256);
let used = block.length;

/** The system's cryptographic generator: ids must not repeat across processes that start at the same instant. */
export const nodeRandom: Random = {
  nextU32: () => {
    if (used === block.length) {
      randomFillSync(block);
      used = 0;
    }
    const draw = block[used++];
    if (draw === undefined) throw new RangeError('block exhausted');
    return draw;
  },
};
