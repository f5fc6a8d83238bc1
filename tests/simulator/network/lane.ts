import type { Scheduler } from '../scheduler.ts';
import type { Shipment } from './shipment.ts';

/** What travels in one call, in either direction. */
export type Frame =
  | { readonly kind: 'call'; readonly path: string; readonly message: Shipment; readonly deadlineMicros: number }
  | { readonly kind: 'open'; readonly path: string }
  | { readonly kind: 'message'; readonly message: Shipment }
  | { readonly kind: 'end' }
  | { readonly kind: 'failure'; readonly code: number; readonly message: string }
  | { readonly kind: 'cancel' };

export type Direction = 'up' | 'down';

/** The stretch of network that a lane runs over, in one direction. */
export interface Wire {
  readonly scheduler: Scheduler;
  /** Bytes that may be under way or unread before the sender has to wait. */
  readonly windowBytes: number;
  delayMicros(): number;
  /** Frames are not taken while the connection is not there yet, and those under way wait while the network is silent. */
  state(): 'connecting' | 'open' | 'silent' | 'broken';
  /** Called once when the state may have changed. */
  whenChanged(action: () => void): void;
}

export function sizeOf(frame: Frame): number {
  return frame.kind === 'call' || frame.kind === 'message' ? frame.message.size : 0;
}

/** One direction of one call: ordered, late, and with a window: who does not read makes the sender wait. */
export class Lane {
  readonly #wire: Wire;
  readonly #deliver: (frame: Frame) => void;
  readonly #queue: Frame[] = [];
  readonly #underWay: Frame[] = [];
  #unread = 0;
  #queuedBytes = 0;
  #lastArrivalMicros = 0;
  #departureIsPlanned = false;
  #isWaiting = false;
  #isCut = false;
  #isHeld = false;
  /** Arrivals that were due while it was held. */
  #heldArrivals = 0;
  /** Called when `queuedBytes` went down. */
  onTaken: (() => void) | undefined;

  constructor(wire: Wire, deliver: (frame: Frame) => void) {
    this.#wire = wire;
    this.#deliver = deliver;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** True while a message has left and not arrived. */
  get messageIsUnderWay(): boolean {
    return this.#underWay.some((frame) => frame.kind === 'message' || frame.kind === 'call');
  }

  send(frame: Frame): void {
    if (this.#isCut) return;
    this.#queue.push(frame);
    this.#queuedBytes += sizeOf(frame);
    this.#planDeparture();
  }

  /** The receiver took so many bytes out of what arrived. */
  consumed(bytes: number): void {
    this.#unread -= bytes;
    if (this.#queue.length > 0) this.#planDeparture();
  }

  /** Nothing more leaves or arrives. @param alsoUnderWay false: what has left still arrives. */
  cut(alsoUnderWay: boolean): void {
    this.#isCut = true;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    if (alsoUnderWay) this.#underWay.length = 0;
    this.onTaken?.();
  }

  /** Nothing arrives until {@link goOn}, be it that the connection is given up meanwhile: what has left is still there. */
  hold(): void {
    this.#isHeld = true;
  }

  goOn(): void {
    this.#isHeld = false;
    for (; this.#heldArrivals > 0; this.#heldArrivals--) this.#planArrival();
  }

  #planDeparture(): void {
    if (this.#departureIsPlanned || this.#isCut) return;
    this.#departureIsPlanned = true;
    this.#wire.scheduler.after(1, () => {
      this.#departureIsPlanned = false;
      this.#depart();
    });
  }

  #depart(): void {
    const state = this.#wire.state();
    if (state === 'broken') return;
    if (state === 'connecting') {
      if (this.#isWaiting) return;
      this.#isWaiting = true;
      this.#wire.whenChanged(() => {
        this.#isWaiting = false;
        this.#planDeparture();
      });
      return;
    }
    let taken = 0;
    for (const frame of this.#queue) {
      if (this.#unread > this.#wire.windowBytes) break;
      taken += 1;
      this.#unread += sizeOf(frame);
      this.#queuedBytes -= sizeOf(frame);
      if (frame.kind === 'call' || frame.kind === 'message') frame.message.depart();
      this.#underWay.push(frame);
      this.#planArrival();
    }
    this.#queue.splice(0, taken);
    if (taken > 0) this.onTaken?.();
  }

  #planArrival(): void {
    const now = this.#wire.scheduler.nowMicros;
    this.#lastArrivalMicros = Math.max(this.#lastArrivalMicros + 1, now + this.#wire.delayMicros());
    this.#wire.scheduler.after(this.#lastArrivalMicros - now, () => this.#arrive());
  }

  /** Each planned arrival delivers whatever is first: frames never overtake one another. */
  #arrive(): void {
    if (this.#isHeld) {
      this.#heldArrivals += 1;
      return;
    }
    if (this.#wire.state() === 'silent') {
      this.#wire.whenChanged(() => this.#planArrival());
      return;
    }
    const frame = this.#underWay.shift();
    if (frame !== undefined) this.#deliver(frame);
  }
}
