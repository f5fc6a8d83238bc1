import type { Clock, Logger, Random, Transport } from '@tributary/ports';

/** The client's doors to the world: real ones by default, simulated ones in tests. */
export interface ClientPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: Transport;
  /** Told of what heals by itself but should not happen. Silent if absent. */
  readonly logger?: Logger;
}
