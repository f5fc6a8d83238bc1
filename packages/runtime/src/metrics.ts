import type {
  Counter,
  CounterConfiguration,
  Gauge,
  GaugeConfiguration,
  Histogram,
  HistogramConfiguration,
} from 'prom-client';

export type { Counter, Gauge, Histogram } from 'prom-client';

type Unregistered<T> = Omit<T, 'registers'>;

/** The metrics of one process, in Prometheus' terms. Names are `tributary_*`, except families that others defined. */
export interface Metrics {
  counter<Label extends string>(configuration: Unregistered<CounterConfiguration<Label>>): Counter<Label>;
  gauge<Label extends string>(configuration: Unregistered<GaugeConfiguration<Label>>): Gauge<Label>;
  histogram<Label extends string>(configuration: Unregistered<HistogramConfiguration<Label>>): Histogram<Label>;
  /** What a scrape gets; runs the `collect` functions. */
  expose(): Promise<{ readonly contentType: string; readonly body: string }>;
}

/** Buckets for what takes from a tenth of a millisecond to seconds. */
export const secondsBuckets: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** How often the delay of the event loop is sampled, ms: seldom enough to let an idle machine sleep. */
const eventLoopSampleMs = 20;

/**
 * With the metrics of the process itself: CPU, memory, garbage collection, the delay of the event loop. Loads prom-client, which is why it
 * is asynchronous: call it once what users wait for is up.
 */
export async function createMetrics(labels: Readonly<Record<string, string>>): Promise<Metrics> {
  const client = await import('prom-client');
  const registry = new client.Registry();
  registry.setDefaultLabels({ ...labels });
  client.collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: eventLoopSampleMs });
  const registers = [registry];
  return {
    counter: (configuration) => new client.Counter({ ...configuration, registers }),
    gauge: (configuration) => new client.Gauge({ ...configuration, registers } as GaugeConfiguration<never>),
    histogram: (configuration) => new client.Histogram({ ...configuration, registers }),
    expose: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
  };
}
