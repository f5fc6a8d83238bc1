/** grpc.health.v1: what load balancers and probes ask. A service serves when the part behind it is ready; the empty name is the whole listener. */
import { setTimeout as pause } from 'node:timers/promises';
import { limits, TributaryError } from '@tributary/model';
import type { CallContext, Handlers, Stream } from '@tributary/ports';
import { healthMethods, type HealthCheckResponse, ServingStatus } from '@tributary/wire';

/** @param service full name of a service that is registered at the listener. */
export type IsReady = (service: string) => boolean;

/** @param services as for reflection. */
export function registerHealth(handlers: Handlers, services: ReadonlySet<string>, isReady: IsReady): void {
  const health = new Health(services, isReady);
  handlers.unary(healthMethods.check, async ({ service }) => {
    const status = health.of(service);
    if (status === ServingStatus.SERVICE_UNKNOWN)
      throw new TributaryError('RESOURCE_NOT_FOUND', `No service "${service.slice(0, 249)}" is served here.`);
    return { status };
  });
  handlers.unary(healthMethods.list, async () => ({
    statuses: Object.fromEntries(['', ...services].map((service) => [service, { status: health.of(service) }])),
  }));
  handlers.stream(healthMethods.watch, (stream, context) => health.watch(stream, context));
}

class Health {
  readonly #services: ReadonlySet<string>;
  readonly #isReady: IsReady;

  constructor(services: ReadonlySet<string>, isReady: IsReady) {
    this.#services = services;
    this.#isReady = isReady;
  }

  of(service: string): HealthCheckResponse['status'] {
    if (service !== '' && !this.#services.has(service)) return ServingStatus.SERVICE_UNKNOWN;
    const asked = service === '' ? [...this.#services] : [service];
    return asked.every(this.#isReady) ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }

  /** The status at once, then each change, until the client goes. */
  async watch(
    stream: Stream<HealthCheckResponse, { readonly service: string }>,
    { signal }: CallContext,
  ): Promise<void> {
    const { value, done } = await stream[Symbol.asyncIterator]().next();
    if (done === true) throw new TributaryError('INVALID_REQUEST', 'Watch was called without a request.');
    let told: HealthCheckResponse['status'] | undefined;
    while (!signal.aborted) {
      const status = this.of(value.service);
      if (status !== told) stream.send({ status });
      told = status;
      await pause(limits.healthWatchMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }
}
