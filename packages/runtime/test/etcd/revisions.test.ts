import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RevisionAssembly } from '../../src/etcd/revisions.ts';
import { deletion, put } from './samples.ts';

test('however etcd cuts its answer, revisions come out whole, in order, once each, and as soon as they can be', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(sizes, fc.array(fc.nat(6), { maxLength: 40 }), fc.nat(4), (changes, cuts, seen) => {
      const events = changes.flatMap((count, i) => Array.from({ length: count }, (_, j) => put(i + 1, `/${i}/${j}`)));
      const assembly = new RevisionAssembly(BigInt(seen));
      const told: (readonly [number, number])[] = [];
      for (let at = 0, cut = 0; at < events.length; cut++) {
        const length = cut < cuts.length ? (cuts[cut] ?? 0) : events.length;
        const part = events.slice(at, at + length);
        at += length;
        for (const whole of assembly.add({ events: part, fragment: at < events.length }))
          told.push([Number(whole.revision), whole.changes.length]);
      }
      assert.deepEqual(
        told,
        changes.map((count, i) => [i + 1, count] as const).filter(([revision]) => revision > seen),
      );
      assert.ok(!assembly.isHalfDone);
    }),
  );
});

test('a fragment that ends within a revision holds only that one back', () => {
  const assembly = new RevisionAssembly(0n);
  const first = assembly.add({ events: [put(1, '/a'), put(2, '/a')], fragment: true });
  assert.deepEqual(
    first.map(({ revision }) => revision),
    [1n],
  );
  assert.ok(assembly.isHalfDone);
  const rest = assembly.add({ events: [deletion(2, '/b')], fragment: false });
  assert.deepEqual(rest, [
    {
      revision: 2n,
      changes: [
        { kind: 'put', key: '/a', value: '', createRevision: 2n, modRevision: 2n },
        { kind: 'delete', key: '/b' },
      ],
    },
  ]);
});

test('what is no later than what is known otherwise is dropped', () => {
  const assembly = new RevisionAssembly(1n);
  assembly.reach(5n);
  const told = assembly.add({ events: [put(4, '/a'), deletion(5, '/a'), put(6, '/a')], fragment: false });
  assert.deepEqual(
    told.map(({ revision }) => revision),
    [6n],
  );
});
