import { limits, TributaryError } from '@tributary/model';
import type { Server, Service, Transport } from '@tributary/ports';
import type { Coverage } from './coverage.ts';
import { type Call, Connection, type Surroundings } from './network/connection.ts';
import { type Endpoint, Listener } from './network/endpoint.ts';
import { type Direction, type Frame, sizeOf, type Wire } from './network/lane.ts';
import type { Shipment } from './network/shipment.ts';
import { into } from './gate.ts';
import { type Dialling, SimulatedPeer } from './network/simulated-peer.ts';
import type { Scheduler } from './scheduler.ts';
import type { SeededRandom } from './seeded-random.ts';

export const networkFaults = [
  'network: connection refused',
  'network: connection broken',
  'network: request lost',
  'network: reply lost',
  'network: silence between machines',
  'network: connection given up after silence',
] as const;

export interface NetworkOptions {
  /** Typical delay of one frame, in virtual microseconds. */
  readonly delayMicros?: number;
  /** A connection over which nothing comes for so long is given up by both sides. */
  readonly keepaliveMicros?: number;
  readonly connectTimeoutMicros?: number;
  /** Unread bytes of one direction of a call before its sender must wait. */
  readonly windowBytes?: number;
}

/** Loses the next frame that matches, with the connection that it came over. */
export interface PlannedLoss {
  readonly direction: Direction;
  /** Part of the method's path; '' matches all. */
  readonly path: string;
  /** The machine that called; undefined: any. */
  readonly client?: string;
}

/** What a client said that has not arrived. */
export interface Stalled {
  /** The client's end of the connection breaks; its server does not hear of that. */
  breakClientEnd(): void;
  /** What was said arrives, and then the news of the break. */
  goOn(): void;
}

/**
 * The network between all machines of a world: late, ordered within each direction of a call, and unreliable in the ways of TCP: a
 * connection breaks with an unknown part of what was under way, or falls silent until it heals or is given up. Nothing is lost from the
 * middle, doubled or reordered within a stream.
 */
export class SimulatedNetwork {
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #coverage: Coverage;
  readonly #options: Required<NetworkOptions>;
  readonly #listeners = new Map<string, Listener>();
  readonly #connections = new Set<Connection>();
  /** `from>to` of machines between which nothing gets through, and who wants to know when that changes. */
  readonly #silent = new Map<string, (() => void)[]>();
  readonly #slow = new Map<string, number>();
  readonly #off = new Set<string>();
  readonly #stalled = new Set<Connection>();
  readonly #watchers = new Set<(call: Call, bytes: Uint8Array) => boolean>();
  #losses: PlannedLoss[] = [];
  #nextPort = 20_000;
  /** For the trace: each frame that arrived. */
  onDelivered: ((from: string, to: string, path: string, kind: Frame['kind'], bytes: number) => void) | undefined;
  /** A message of a stream has reached its server. */
  onAsked: ((call: Call, bytes: Uint8Array) => void) | undefined;
  /** A message of a stream leaves its client: the same, of the client's machine. */
  onSent: ((call: Call, message: Shipment) => void) | undefined;
  /** A message of a stream leaves its server: what it says can be checked against what the server's machine really holds. */
  onAnswered: ((call: Call, message: Shipment) => void) | undefined;
  /** A handler of the code under test broke an invariant. */
  onDefect: ((thrown: unknown, path: string) => void) | undefined;

  constructor(scheduler: Scheduler, random: SeededRandom, coverage: Coverage, options: NetworkOptions = {}) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#coverage = coverage;
    this.#options = {
      delayMicros: 120,
      keepaliveMicros: (limits.keepaliveMs + limits.keepaliveTimeoutMs) * 1_000,
      connectTimeoutMicros: limits.connectTimeoutMs * 1_000,
      windowBytes: limits.receiveQueue + limits.transportWindow,
      ...options,
    };
  }

  /** The transport as one process sees it. */
  transport(endpoint: Endpoint): Transport {
    return {
      connect: (address) => new SimulatedPeer(endpoint, this.#absolute(endpoint, address), this.#dialling),
      serve: (address, service) => this.#serve(endpoint, address, service),
    };
  }

  /** A process has ended and its machine lives: the kernel closes its connections, and the others hear of it soon. */
  processEnded(endpoint: Endpoint): void {
    this.#stopListening((listener) => listener.endpoint === endpoint);
    for (const connection of [...this.#connections]) {
      if (connection.client !== endpoint && connection.listener?.endpoint !== endpoint) continue;
      this.#closedBy(endpoint.machine, connection, 'the process at the other end is gone');
    }
  }

  /** A process was stopped: its kernel takes what comes, and it answers nothing. */
  processPaused(endpoint: Endpoint, isStill: () => boolean): void {
    this.#giveUpLater(
      (connection) => connection.client === endpoint || connection.listener?.endpoint === endpoint,
      isStill,
    );
  }

  /** A machine lost power: silence, until it is back or the others give up. */
  machineOff(machine: string): void {
    this.#off.add(machine);
    this.#stopListening((listener) => listener.endpoint.machine === machine);
    this.#giveUpLater(
      (connection) => this.#touches(connection, machine),
      () => this.#off.has(machine),
    );
  }

  /** It runs again, and answers what belongs to its former life with a reset. */
  machineOn(machine: string): void {
    this.#off.delete(machine);
    for (const connection of [...this.#connections]) {
      const theEndIsGone = !connection.client.alive || connection.listener?.endpoint.alive === false;
      if (theEndIsGone && this.#touches(connection, machine))
        this.#closedBy(machine, connection, 'the machine has restarted');
      else connection.changed();
    }
  }

  /** Nothing gets from one machine to the other until {@link heal}; the way back stays open. */
  silence(from: string, to: string): void {
    if (this.#silent.has(`${from}>${to}`)) return;
    this.#coverage.count('network: silence between machines');
    this.#silent.set(`${from}>${to}`, []);
    const isBetween = (connection: Connection): boolean =>
      this.#touches(connection, from) && this.#touches(connection, to);
    this.#giveUpLater(isBetween, () => this.#silent.has(`${from}>${to}`));
  }

  /** The one hears the other again. */
  hear(from: string, to: string): void {
    const waiting = this.#silent.get(`${from}>${to}`) ?? [];
    this.#silent.delete(`${from}>${to}`);
    this.#goOn(waiting);
  }

  /** Frames between the two take so many times as long. */
  slow(from: string, to: string, factor: number): void {
    this.#coverage.count('network: slow between machines');
    this.#slow.set(`${from}>${to}`, factor);
  }

  /** What the client says over the connections that carry such a call stays on its way: half-open connections, middle boxes, full buffers. @returns undefined: there is none. */
  stall(client: string, server: string, path: string): Stalled | undefined {
    const concerned = [...this.#connections].filter(
      (connection) =>
        connection.state === 'open' &&
        connection.client.machine === client &&
        machineOf(connection.address) === server &&
        [...connection.calls].some((call) => call.path === path),
    );
    if (concerned.length === 0) return undefined;
    this.#coverage.count('network: connection stalled');
    for (const connection of concerned) {
      connection.stall();
      this.#stalled.add(connection);
    }
    return {
      breakClientEnd: () => {
        for (const connection of concerned) this.#break(connection, 'connection reset by the network');
      },
      goOn: () => {
        for (const connection of concerned) this.#goOnWith(connection);
      },
    };
  }

  #goOnWith(connection: Connection): void {
    if (this.#stalled.delete(connection)) connection.goOn();
  }

  /** Looks at each message that reaches the server of a stream, until it answers true. */
  watch(look: (call: Call, bytes: Uint8Array) => boolean): void {
    this.#watchers.add(look);
  }

  #asked(call: Call, bytes: Uint8Array): void {
    for (const look of this.#watchers) if (look(call, bytes)) this.#watchers.delete(look);
    this.onAsked?.(call, bytes);
  }

  /** All machines hear each other again, in good time. */
  heal(): void {
    this.#watchers.clear();
    for (const connection of this.#stalled) this.#goOnWith(connection);
    const waiting = [...this.#silent.values()].flat();
    this.#silent.clear();
    this.#slow.clear();
    this.#goOn(waiting);
  }

  #goOn(waiting: readonly (() => void)[]): void {
    for (const action of waiting) action();
    for (const connection of [...this.#connections]) connection.changed();
  }

  /** One open connection, chosen by the seed, breaks. @returns false when there is none. */
  breakOne(): boolean {
    const [first, ...others] = [...this.#connections].filter((connection) => connection.state === 'open');
    if (first === undefined) return false;
    this.#break(this.#random.pick([first, ...others]), 'connection reset by the network');
    return true;
  }

  loseNext(loss: PlannedLoss): void {
    this.#losses.push(loss);
  }

  /** Planned losses that have not found their frame are off. */
  forgetLosses(): void {
    this.#losses = [];
  }

  /** A machine closes a connection: the other side hears of it when it hears anything of that machine. */
  #closedBy(machine: string, connection: Connection, why: string): void {
    const client = connection.client.machine;
    const other = client === machine ? machineOf(connection.address) : client;
    const unheard = this.#silent.get(`${machine}>${other}`);
    if (unheard === undefined) this.#break(connection, why);
    else unheard.push(() => this.#break(connection, why));
  }

  #break(connection: Connection, why: string): void {
    this.#connections.delete(connection);
    if (connection.state === 'broken') return;
    this.#coverage.count('network: connection broken');
    connection.break(why, this.#delay(), this.#delay() * 2);
  }

  /** @param isStill asked when the keepalive has run out. */
  #giveUpLater(concerns: (connection: Connection) => boolean, isStill: () => boolean): void {
    const candidates = [...this.#connections].filter(concerns);
    if (candidates.length === 0) return;
    this.#scheduler.after(this.#options.keepaliveMicros, () => {
      if (!isStill()) return;
      for (const connection of candidates) {
        if (connection.state === 'broken') continue;
        this.#coverage.count('network: connection given up after silence');
        this.#break(connection, 'nothing was heard for the keepalive time');
      }
    });
  }

  #touches(connection: Connection, machine: string): boolean {
    return connection.client.machine === machine || machineOf(connection.address) === machine;
  }

  #stopListening(which: (listener: Listener) => boolean): void {
    for (const [address, listener] of this.#listeners) {
      if (!which(listener)) continue;
      listener.isOpen = false;
      this.#listeners.delete(address);
    }
  }

  #serve(endpoint: Endpoint, address: string, service: Service): Promise<Server> {
    return new Promise((resolve, reject) => {
      this.#scheduler.after(this.#delay(), () => {
        if (!endpoint.alive) return;
        into(endpoint, 'outside', () => this.#listen(endpoint, address, service, resolve, reject));
      });
    });
  }

  #listen(
    endpoint: Endpoint,
    address: string,
    service: Service,
    resolve: (server: Server) => void,
    reject: (error: TributaryError) => void,
  ): void {
    const wanted = this.#absolute(endpoint, address);
    const port = Number(wanted.split(':')[1]);
    const at = port === 0 ? `${machineOf(wanted)}:${this.#nextPort++}` : wanted;
    if (this.#listeners.has(at)) {
      reject(new TributaryError('INVALID_CONFIG', `Cannot listen at ${at}: the port is in use`));
      return;
    }
    const listener = new Listener(endpoint, at, service);
    this.#listeners.set(at, listener);
    resolve({ address: at, [Symbol.asyncDispose]: () => this.#dispose(listener) });
  }

  async #dispose(listener: Listener): Promise<void> {
    this.#stopListening((other) => other === listener);
    const connections = [...this.#connections].filter((connection) => connection.listener === listener);
    const callsOn = (): boolean =>
      connections.some((connection) => [...connection.calls].some((call) => call.serverLeaves()));
    const untilMicros = this.#scheduler.nowMicros + limits.closeGraceMs * 1_000;
    while (callsOn() && this.#scheduler.nowMicros < untilMicros) await this.#scheduler.pause(1_000);
    if (!listener.endpoint.alive) return new Promise(() => undefined);
    await this.#scheduler.pause(this.#delay() * 2);
    for (const connection of connections) this.#break(connection, 'the server has stopped');
  }

  #connect(client: Endpoint, address: string): Connection {
    const connection = new Connection(client, address, this.#surroundings);
    this.#connections.add(connection);
    const giveUp = this.#scheduler.after(this.#options.connectTimeoutMicros, () => {
      if (connection.state !== 'connecting') return;
      this.#connections.delete(connection);
      connection.refused('no answer to the attempt to connect');
    });
    const knock = (): void => {
      if (connection.state !== 'connecting') return;
      if (
        this.#stateBetween(client.machine, machineOf(address)) === 'silent' ||
        this.#stateBetween(machineOf(address), client.machine) === 'silent'
      ) {
        connection.whenChanged(() => this.#scheduler.after(this.#delay(), knock));
        return;
      }
      giveUp.cancel();
      const listener = this.#listeners.get(address);
      if (listener !== undefined) {
        connection.opened(listener);
        return;
      }
      this.#coverage.count('network: connection refused');
      this.#connections.delete(connection);
      connection.refused('connection refused: nothing listens there', 'refused');
    };
    this.#scheduler.after(this.#delay() * 2, knock);
    return connection;
  }

  #stateBetween(from: string, to: string): 'open' | 'silent' {
    return this.#off.has(from) || this.#off.has(to) || this.#silent.has(`${from}>${to}`) ? 'silent' : 'open';
  }

  #delay(): number {
    return this.#random.latency(this.#options.delayMicros);
  }

  #absolute(endpoint: Endpoint, address: string): string {
    const [host = '', port = ''] = address.replace('[::]', '').split(':');
    return ['', '0.0.0.0', 'localhost', '127.0.0.1'].includes(host) ? `${endpoint.machine}:${port}` : `${host}:${port}`;
  }

  #wire(connection: Connection, direction: Direction): Wire {
    const client = connection.client.machine;
    const server = machineOf(connection.address);
    const [from, to] = direction === 'up' ? [client, server] : [server, client];
    return {
      scheduler: this.#scheduler,
      windowBytes: this.#options.windowBytes,
      delayMicros: () => this.#delay() * (this.#slow.get(`${from}>${to}`) ?? 1),
      state: () => (connection.state === 'open' ? this.#stateBetween(from, to) : connection.state),
      whenChanged: (action) => {
        const silent = this.#silent.get(`${from}>${to}`);
        if (silent === undefined) connection.whenChanged(action);
        else silent.push(action);
      },
    };
  }

  #loses(connection: Connection, direction: Direction, path: string, frame: Frame): boolean {
    if (frame.kind !== 'message' && frame.kind !== 'call') return false;
    const at = this.#losses.findIndex(
      (loss) =>
        loss.direction === direction &&
        path.includes(loss.path) &&
        (loss.client === undefined || loss.client === connection.client.machine),
    );
    if (at < 0) return false;
    this.#losses.splice(at, 1);
    return true;
  }

  readonly #surroundings: Surroundings = this.#makeSurroundings();

  readonly #dialling: Dialling = this.#makeDialling();

  #makeSurroundings(): Surroundings {
    const network = this;
    return {
      wire: (connection, direction) => this.#wire(connection, direction),
      loses: (connection, direction, path, frame) => this.#loses(connection, direction, path, frame),
      asked: (call, bytes) => this.#asked(call, bytes),
      answered: (call, message) => this.onAnswered?.(call, message),
      delivered: (connection, direction, path, frame) => {
        const server = machineOf(connection.address);
        const client = connection.client.name ?? connection.client.machine;
        const [from, to] = direction === 'up' ? [client, server] : [server, client];
        this.onDelivered?.(from, to, path, frame.kind, sizeOf(frame));
      },
      defect: (thrown, path) => this.onDefect?.(thrown, path),
      after: (delayMicros, action) => this.#scheduler.after(delayMicros, action),
      get nowMicros() {
        return network.#scheduler.nowMicros;
      },
      get random() {
        return network.#random;
      },
      count: (name) => this.#coverage.count(name),
    };
  }

  #makeDialling(): Dialling {
    const network = this;
    return {
      connect: (client, address) => this.#connect(client, address),
      sent: (call, message) => this.onSent?.(call, message),
      after: (delayMicros, action) => this.#scheduler.after(delayMicros, action),
      get nowMicros() {
        return network.#scheduler.nowMicros;
      },
    };
  }
}

function machineOf(address: string): string {
  return address.split(':')[0] ?? address;
}
