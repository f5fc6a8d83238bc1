/** What brokers say to each other, looked at as it leaves. */
import { methods } from '@tributary/wire';
import type { Call } from '../../network/connection.ts';
import type { Stage } from '../stage.ts';

interface Session {
  readonly folder: string;
  readonly leaderEpoch: number;
}

/**
 * L2, R1: what a follower acknowledges is durable there. R3: what a leader calls the high watermark all members have. R6, and one leader per epoch:
 * whoever pushes was given the epoch of the session, after its process had started.
 */
export class ReplicationRules {
  readonly #stage: Stage;
  readonly #sessions = new WeakMap<Call, Map<number, Session>>();

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  begin(): void {
    const { network } = this.#stage.world;
    network.onSent = (call, message) => {
      if (call.path === methods.replicate.path) this.#said(call, message.bytes());
    };
    this.#stage.durability.onReplicate = (call, bytes) => this.#pushed(call, bytes);
  }

  #said(call: Call, bytes: Uint8Array): void {
    const { attach, acknowledgements } = methods.replicate.request.decode(bytes);
    const sessions = this.#sessions.get(call) ?? new Map<number, Session>();
    this.#sessions.set(call, sessions);
    for (const { session, topicId, partition, leaderEpoch } of attach)
      sessions.set(session, { folder: `${topicId}-${partition}`, leaderEpoch });
    const follower = this.#stage.member(call.client);
    for (const { session, endOffset } of acknowledgements) {
      const folder = sessions.get(session)?.folder;
      if (folder === undefined || follower === undefined) continue;
      this.#stage.world.coverage.count('checked: acknowledgement of a follower');
      const end = this.#stage.durability.durableEnd(follower, folder);
      if (endOffset > end)
        this.#stage.world.broken(
          'L2',
          `${this.#stage.nameOf(folder)}: ${follower.name} acknowledges ${endOffset}, durable is ${end}`,
        );
    }
  }

  #pushed(call: Call, bytes: Uint8Array): void {
    const { pushes } = methods.replicate.response.decode(bytes);
    const leader = this.#stage.member(call.server);
    for (const { session, highWatermark } of pushes) {
      const about = this.#sessions.get(call)?.get(session);
      if (about === undefined || leader === undefined) continue;
      const { folder, leaderEpoch } = about;
      const what = `${this.#stage.nameOf(folder)}: ${leader.name} pushes in leader epoch ${leaderEpoch}`;
      const decision = this.#stage.truth.decision(folder, leaderEpoch);
      if (decision?.leader !== leader.nodeId)
        this.#stage.world.broken('R6', `${what}, which is ${decision?.leader ?? 'nobody'}'s`);
      if (leaderEpoch <= this.#stage.durability.epochAtStart(leader, folder))
        this.#stage.world.broken('R6', `${what}, and started after that`);
      this.#stage.durability.shown(folder, highWatermark, `a push of ${leader.name}`);
    }
  }
}
