/** Many durations, and their distribution: constant memory, three significant digits, microseconds inside. */
import { build, type Histogram } from 'hdr-histogram-js';

/** Milliseconds. */
export interface Percentiles {
  readonly avg: number;
  readonly max: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
}

const microsecondsMost = 3_600_000_000;

export class Latencies {
  readonly #histogram: Histogram = build({
    bitBucketSize: 64,
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: microsecondsMost,
    numberOfSignificantValueDigits: 3,
  });

  record(ms: number): void {
    this.#histogram.recordValue(Math.min(Math.max(Math.round(ms * 1000), 0), microsecondsMost));
  }

  get count(): number {
    return this.#histogram.totalCount;
  }

  percentiles(): Percentiles {
    const histogram = this.#histogram;
    const at = (percentile: number): number => histogram.getValueAtPercentile(percentile) / 1000;
    if (histogram.totalCount === 0) return { avg: 0, max: 0, p50: 0, p95: 0, p99: 0, p999: 0 };
    return {
      avg: histogram.mean / 1000,
      max: histogram.maxValue / 1000,
      p50: at(50),
      p95: at(95),
      p99: at(99),
      p999: at(99.9),
    };
  }
}

/** As Kafka's tools put it. */
export function inWords({ avg, max, p50, p95, p99, p999 }: Percentiles): string {
  const ms = (value: number): string => `${value < 10 ? value.toFixed(3) : value.toFixed(1)} ms`;
  return `${ms(avg)} avg latency, ${ms(max)} max latency, ${ms(p50)} 50th, ${ms(p95)} 95th, ${ms(p99)} 99th, ${ms(p999)} 99.9th`;
}

/** With three digits after the point, as numbers in JSON. */
export function rounded(percentiles: Percentiles): Percentiles {
  const { avg, max, p50, p95, p99, p999 } = percentiles;
  const cut = (value: number): number => Number(value.toFixed(3));
  return { avg: cut(avg), max: cut(max), p50: cut(p50), p95: cut(p95), p99: cut(p99), p999: cut(p999) };
}
