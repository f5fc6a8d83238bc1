/** /metrics, /healthz and /readyz of `tributary dev`. Loaded once records can be produced: Prometheus' client is large. */
import type { BrokerMetrics } from '@tributary/broker';
import { registerControllerMetrics } from '@tributary/controller';
import { registerCoordinatorMetrics } from '@tributary/coordinator';
import type { Server } from '@tributary/ports';
import { createMetrics, secondsBuckets, serveHttp } from '@tributary/runtime';
import type { Dev } from './assemble.ts';

/** @throws TributaryError naming the address when it is taken. */
export async function servePages(
  address: string,
  { broker, controller, coordinator, images }: Dev,
  facts: BrokerMetrics,
): Promise<Server> {
  const metrics = await createMetrics({});
  facts.register(metrics, secondsBuckets, broker, images);
  registerControllerMetrics(metrics, controller, images);
  registerCoordinatorMetrics(metrics, coordinator);
  return await serveHttp(address, {
    metrics: () => metrics.expose(),
    // A part that can no longer do its work ends the process: what answers is well.
    unhealthy: () => [],
    unready: () => {
      const readiness = broker.readiness();
      return readiness.ready ? [] : [readiness.reason];
    },
  });
}
