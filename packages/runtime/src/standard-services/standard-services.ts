import type { Handlers, Service } from '@tributary/ports';
import { type IsReady, registerHealth } from './health.ts';
import { registerReflection } from './reflection.ts';

/** The service, and beside it what every gRPC listener has: reflection (of exactly what is served there) and health. */
export function withStandardServices(service: Service, isReady: IsReady): Service {
  return (handlers) => {
    const services = new Set<string>();
    const noting: Handlers = {
      unary: (method, handler) => {
        services.add(serviceOf(method.path));
        handlers.unary(method, handler);
      },
      stream: (method, handler) => {
        services.add(serviceOf(method.path));
        handlers.stream(method, handler);
      },
    };
    service(noting);
    // Reflection and health are ready whenever anything answers.
    const parts = new Set(services);
    registerReflection(noting, services);
    registerHealth(noting, services, (name) => !parts.has(name) || isReady(name));
  };
}

/** `/package.Service/Method` → `package.Service` */
const serviceOf = (path: string): string => path.slice(1, path.lastIndexOf('/'));
