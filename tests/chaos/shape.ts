// The cluster of the short form, the long one and the benchmark.

import type { ChaosShape } from './cluster.ts';

/** The least that is allowed: a run waits for several to end. */
export const sessionMs = 3_000;

export const usualShape: ChaosShape = {
  brokers: 3,
  controllers: 2,
  partitions: 6,
  replicationFactor: 3,
  minInsyncReplicas: 2,
  settings: { 'session.timeout.ms': sessionMs },
};
