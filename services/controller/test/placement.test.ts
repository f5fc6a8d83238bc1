import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type NodeId, nodeId } from '@tributary/model';
import fc from 'fast-check';
import { type Load, type Site, place } from '../src/placement.ts';

const nothing: ReadonlyMap<NodeId, Load> = new Map();
const site = (id: number, host: string, rack = ''): Site => ({ nodeId: nodeId(id), host, rack });

const anySites = fc
  .array(fc.record({ host: fc.nat(5), rack: fc.nat(2) }), { minLength: 1, maxLength: 9 })
  // A host stands in one rack.
  .map((all) => all.map(({ host }, i) => site(i + 1, `h${host}`, `r${host % 3}`)));

const anyCase = anySites.chain((sites) =>
  fc.record({ sites: fc.constant(sites), partitions: fc.nat(60), factor: fc.integer({ min: 1, max: sites.length }) }),
);

const countBy = (nodes: Iterable<NodeId>): number[] =>
  [...Map.groupBy(nodes, (node) => node).values()].map((group) => group.length);
const spread = (counts: readonly number[], of: number): number =>
  Math.max(0, ...counts) - (counts.length < of ? 0 : Math.min(...counts));

describe('placement', () => {
  test('gives each partition as many different brokers as it has replicas', () => {
    fc.assert(
      fc.property(anyCase, ({ sites, partitions, factor }) => {
        const placed = place(sites, nothing, partitions, factor);
        assert.equal(placed.length, partitions);
        for (const nodes of placed) assert.equal(new Set(nodes).size, factor);
      }),
    );
  });

  test('uses as many hosts as there are, and then as many racks as those allow', () => {
    fc.assert(
      fc.property(anyCase, ({ sites, partitions, factor }) => {
        const byId = new Map(sites.map((each) => [each.nodeId, each]));
        const hosts = new Set(sites.map((each) => each.host)).size;
        for (const nodes of place(sites, nothing, partitions, factor)) {
          assert.equal(new Set(nodes.map((node) => byId.get(node)?.host)).size, Math.min(hosts, factor));
        }
      }),
    );
    const twoRacks = [site(1, 'a', 'x'), site(2, 'b', 'x'), site(3, 'c', 'x'), site(4, 'd', 'y')];
    for (const nodes of place(twoRacks, nothing, 20, 2))
      assert.ok(nodes.includes(nodeId(4)), `${nodes.join(' ')} spans both racks`);
    // A third host in the fuller rack is better than a second broker of the host in the other.
    const uneven = [site(1, 'a', 'x'), site(2, 'b', 'x'), site(3, 'd', 'x'), site(4, 'c', 'y'), site(5, 'c', 'y')];
    for (const nodes of place(uneven, nothing, 20, 4)) {
      assert.equal(nodes.filter((node) => node > 3).length, 1, `${nodes.join(' ')}: hosts come before racks`);
    }
  });

  test('balances leaders to within one, whatever the hosts', () => {
    fc.assert(
      fc.property(anyCase, ({ sites, partitions, factor }) => {
        const leaders = place(sites, nothing, partitions, factor).map((nodes) => nodes[0] ?? nodeId(0));
        assert.ok(spread(countBy(leaders), sites.length) <= 1);
      }),
    );
  });

  test('balances replicas to within two where every broker has its own host', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(60), fc.nat(8), (count, partitions, more) => {
        const sites = Array.from({ length: count }, (_, i) => site(i + 1, `h${i}`));
        const placed = place(sites, nothing, partitions, 1 + (more % count));
        // Leaders come first: to even those out, a replica more or less is accepted.
        assert.ok(spread(countBy(placed.flat()), count) <= 2);
      }),
      { numRuns: 1_000 },
    );
  });

  test('gives to those who have least', () => {
    const sites = [site(1, 'a'), site(2, 'b'), site(3, 'c')];
    const load = new Map<NodeId, Load>([
      [nodeId(1), { replicas: 10, preferred: 10 }],
      [nodeId(2), { replicas: 10, preferred: 0 }],
    ]);
    assert.deepEqual(place(sites, load, 1, 1), [[3]]);
    const placed = place(sites, load, 20, 1).map(([leader]) => leader);
    assert.deepEqual(
      [1, 2, 3].map((id) => placed.filter((leader) => leader === nodeId(id)).length),
      [0, 10, 10],
    );
  });

  test('is the same each time, in whatever order the brokers are named', () => {
    fc.assert(
      fc.property(anyCase, ({ sites, partitions, factor }) => {
        assert.deepEqual(
          place(sites, nothing, partitions, factor),
          place(sites.toReversed(), nothing, partitions, factor),
        );
      }),
    );
  });
});
