import type { Doorkeeper } from '../gate.ts';
import type { CallContext, Handlers, Service, Stream, StreamMethod, UnaryMethod } from '@tributary/ports';

/** A process as the network knows it. */
export interface Endpoint extends Doorkeeper {
  readonly machine: string;
  /** For the trace. */
  readonly name?: string;
  /** Once false, nothing that the network does may reach its code. */
  readonly alive: boolean;
}

type AnyUnary = {
  readonly method: UnaryMethod<unknown, unknown>;
  readonly handler: (request: unknown, context: CallContext) => Promise<unknown>;
};
type AnyStream = {
  readonly method: StreamMethod<unknown, unknown>;
  readonly handler: (stream: Stream<unknown, unknown>, context: CallContext) => Promise<void>;
};

/** An address that a process serves, and what it does there. */
export class Listener implements Handlers {
  readonly endpoint: Endpoint;
  readonly address: string;
  readonly unaries = new Map<string, AnyUnary>();
  readonly streams = new Map<string, AnyStream>();
  isOpen = true;

  constructor(endpoint: Endpoint, address: string, service: Service) {
    this.endpoint = endpoint;
    this.address = address;
    service(this);
  }

  unary<Request, Response>(
    method: UnaryMethod<Request, Response>,
    handler: (request: Request, context: CallContext) => Promise<Response>,
  ): void {
    this.unaries.set(method.path, { method, handler } as unknown as AnyUnary);
  }

  stream<Request, Response>(
    method: StreamMethod<Request, Response>,
    handler: (stream: Stream<Response, Request>, context: CallContext) => Promise<void>,
  ): void {
    this.streams.set(method.path, { method, handler } as unknown as AnyStream);
  }
}
