/** The way from a command to the cluster. */
import { connect, type Tributary } from '@tributary/client';
import type { ConnectionOptions } from './program/options.ts';

export async function open({ bootstrap }: ConnectionOptions): Promise<Tributary> {
  return await connect({ bootstrap, clientId: 'tributary-cli' });
}
