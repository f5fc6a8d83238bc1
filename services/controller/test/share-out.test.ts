import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { shareOut } from '../src/share-out.ts';

test('shares are complete, balanced within one, and no more moves than that takes', () => {
  const anyHolders = fc.array(fc.nat(12), { minLength: 1, maxLength: 7 });
  fc.assert(
    fc.property(anyHolders, fc.nat(20), (counts, homelessCount) => {
      let next = 0;
      const some = (count: number): number[] => Array.from({ length: count }, () => next++);
      const held = new Map(counts.map((count, id) => [id, some(count)]));
      const homeless = some(homelessCount);
      const moves = shareOut(held, homeless);
      const after = counts.map((_, id) =>
        [...held].reduce(
          (sum, [had, things]) => sum + things.filter((each) => (moves.get(each) ?? had) === id).length,
          homeless.filter((each) => moves.get(each) === id).length,
        ),
      );
      assert.equal(
        after.reduce((sum, each) => sum + each, 0),
        next,
      );
      assert.ok(Math.max(...after) - Math.min(...after) <= 1);
      const least = Math.floor(next / counts.length);
      const ranked = counts.toSorted((a, b) => b - a);
      const forced = ranked.reduce(
        (sum, count, i) => sum + Math.max(0, count - least - (i < next % counts.length ? 1 : 0)),
        0,
      );
      assert.equal(moves.size, homelessCount + forced);
    }),
  );
});
