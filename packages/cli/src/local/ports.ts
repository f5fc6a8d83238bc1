/** Ports of this machine that nobody listens at. */
import { createServer } from 'node:net';
import { loopback } from './parts.ts';

const portMax = 65_535;
/** The HTTP port lies so far above the gRPC port, everywhere in Tributary. */
export const httpPortDistance = 100;

/** Hands out free ports, each once. */
export class FreePorts {
  readonly #taken: Set<number>;

  /** @param taken not to be had, whether somebody listens there now or not. */
  constructor(taken: Iterable<number>) {
    this.#taken = new Set(taken);
  }

  /** The first from `wanted` on that is free together with those so far above it. @throws Error when there is none. */
  async from(wanted: number, ...distances: readonly number[]): Promise<number> {
    const offsets = [0, ...distances];
    for (let port = wanted; port + Math.max(...offsets) <= portMax; port++) {
      const ports = offsets.map((offset) => port + offset);
      if (ports.some((each) => this.#taken.has(each))) continue;
      if (!(await Promise.all(ports.map(isFree))).every(Boolean)) continue;
      for (const each of ports) this.#taken.add(each);
      return port;
    }
    throw new Error(`No port from ${wanted} on is free: begin with a lower one (--port).`);
  }
}

/** Whether a listener gets it now. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', () => resolve(false));
    server.listen(port, loopback, () => server.close(() => resolve(true)));
  });
}
