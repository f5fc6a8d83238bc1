import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ClusterModel } from './cluster-model.ts';

const count = 4;
const id = fc.integer({ min: 1, max: count });
const any = fc.nat({ max: 20 });

type Step = (model: ClusterModel) => void;

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 9, arbitrary: fc.constant<Step>((model) => model.append()) },
  { weight: 6, arbitrary: id.map<Step>((node) => (model) => model.hear(node)) },
  { weight: 5, arbitrary: id.map<Step>((node) => (model) => model.attach(node)) },
  {
    weight: 8,
    arbitrary: fc.tuple(id, any).map<Step>(
      ([node, most]) =>
        (model) =>
          model.push(node, 1 + (most % 3)),
    ),
  },
  { weight: 8, arbitrary: id.map<Step>((node) => (model) => model.flush(node)) },
  { weight: 7, arbitrary: id.map<Step>((node) => (model) => model.say(node)) },
  { weight: 9, arbitrary: any.map<Step>((which) => (model) => model.deliver(which)) },
  {
    weight: 25,
    arbitrary: fc.tuple(id, any).map<Step>(
      ([node, n]) =>
        (model) =>
          model.serve(node, n > 3),
    ),
  },
  { weight: 1, arbitrary: id.map<Step>((node) => (model) => model.detach(node)) },
  { weight: 1, arbitrary: fc.constant<Step>((model) => model.wait(10_001)) },
  { weight: 8, arbitrary: fc.constant<Step>((model) => model.propose()) },
  { weight: 8, arbitrary: fc.constant<Step>((model) => model.decide()) },
  {
    weight: 2,
    arbitrary: fc.tuple(id, any).map<Step>(
      ([node, kept]) =>
        (model) =>
          model.crash(node, kept > 10 ? Infinity : kept),
    ),
  },
  { weight: 3, arbitrary: id.map<Step>((node) => (model) => model.start(node)) },
  { weight: 2, arbitrary: id.map<Step>((node) => (model) => model.fence(node)) },
  { weight: 3, arbitrary: id.map<Step>((node) => (model) => model.replace(node)) },
  { weight: 2, arbitrary: any.map<Step>((nth) => (model) => model.elect(nth)) },
);

test('L6, R3: what any replica has ever shown as committed stays at its offset on every later leader, whatever is late, lost, elected or restarted', () => {
  let committed = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 100, maxLength: 300, size: 'max' }), (steps) => {
      const model = new ClusterModel(count);
      for (let node = 1; node <= count; node++) model.hear(node);
      for (const take of steps) {
        take(model);
        model.check();
      }
      committed += model.committed;
    }),
    { numRuns: 5_000, seed: 20_261_123, endOnFailure: true },
  );
  assert.ok(committed > 1_500, `${committed} records were committed`);
});
