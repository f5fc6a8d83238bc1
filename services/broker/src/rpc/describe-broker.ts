/**
 * BrokerService.DescribeBroker: what this broker is, how much it holds, and what it uses of its bounds. Asked about another one (`node_id`), it passes
 * the request on to that one (F1). BROKER_ID_NOT_REGISTERED, BROKER_NOT_AVAILABLE, INVALID_REQUEST.
 */
import type { CallContext } from '@tributary/ports';
import type { DescribeBrokerRequest, DescribeBrokerResponse, ResourceUse } from '@tributary/wire';
import { methods } from '@tributary/wire';
import type { Replicas } from '../replicas.ts';
import type { Neighbours } from './neighbours.ts';

/** What a broker says of itself. */
export interface Identity {
  readonly address: string;
  readonly host: string;
  readonly rack: string;
  readonly brokerEpoch: bigint;
  readonly softwareVersion: string;
  /** Wall clock, ms. */
  readonly startedMs: number;
}

export interface Described {
  readonly identity: () => Identity;
  /** What it uses of its bounds. */
  readonly resources: () => readonly ResourceUse[];
}

export function describeBrokerHandler(replicas: Replicas, neighbours: Neighbours, described: Described) {
  return async (request: DescribeBrokerRequest, call: CallContext): Promise<DescribeBrokerResponse> => {
    const other = neighbours.other(request.nodeId);
    if (other !== undefined) return await neighbours.forward(other, methods.describeBroker, request, call);
    const open = [...replicas.open()];
    const { startedMs, ...identity } = described.identity();
    return {
      throttleMs: 0,
      nodeId: neighbours.me,
      ...identity,
      startedMs: BigInt(startedMs),
      partitions: open.length,
      partitionsLed: open.filter(({ partition }) => partition.state.role.kind === 'leading').length,
      resources: [...described.resources()],
    };
  };
}
