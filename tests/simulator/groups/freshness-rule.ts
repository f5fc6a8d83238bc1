/**
 * G2, looked at as messages leave: a coordinator answers no sign of life without a write of the journal that was acknowledged, and sent a moment ago;
 * and a new owner ends nobody, of whom it has not heard itself, before one and a half of its sessions are over.
 */
import { groupPartitionOf, offsetsTopic } from '@tributary/metadata';
import { decodeBatch, producerIdOf } from '@tributary/record';
import { JournalKey, type JoinRequest, MemberValue, methods } from '@tributary/wire';
import type { Stage } from '../cluster/stage.ts';
import type { Call } from '../network/connection.ts';
import type { GroupPlan } from './plan.ts';

/** Clocks of machines differ in their pace, by much less. */
const SLACK_MICROS = 5_000;

export class FreshnessRule {
  readonly #stage: Stage;
  readonly #groups: ReadonlyMap<string, GroupPlan>;
  /** When each write of a journal was sent, by call and correlation id. */
  readonly #sent = new WeakMap<Call, Map<number, { readonly partition: number; readonly micros: number }>>();
  /** By coordinator and partition: when the newest acknowledged write was sent. */
  readonly #newest = new Map<string, number>();
  readonly #groupOf = new WeakMap<Call, string>();
  /** By writer and partition: when its first write was sent. */
  readonly #began = new Map<string, number>();
  /** Members that a writer's coordinator has heard of since, by machine. */
  readonly #heard = new Map<string, Map<string, number>>();
  /** When somebody last said farewell to a coordinator: of a unary call it is not seen who. */
  readonly #farewells = new Map<string, number>();
  /** Static ones give their place to whoever takes it. */
  readonly #static = new Set<string>();

  constructor(stage: Stage, groups: readonly GroupPlan[]) {
    this.#stage = stage;
    this.#groups = new Map(groups.map((group) => [group.groupId, group]));
  }

  /** Beside whoever listens already. */
  begin(): void {
    const { network } = this.#stage.world;
    const { onSent, onAnswered, onDelivered } = network;
    network.onDelivered = (from, to, path, kind, bytes) => {
      onDelivered?.(from, to, path, kind, bytes);
      if (path === methods.heartbeat.path) this.#farewells.set(to, this.#stage.world.scheduler.nowMicros);
    };
    network.onSent = (call, message) => {
      onSent?.(call, message);
      if (call.path === methods.produce.path) this.#wrote(call, message.bytes());
      if (call.path === methods.join.path) this.#joined(call, methods.join.request.decode(message.bytes()));
    };
    network.onAnswered = (call, message) => {
      onAnswered?.(call, message);
      if (call.path === methods.produce.path) this.#acknowledged(call, message.bytes());
      if (call.path === methods.join.path) this.#answered(call, message.bytes());
    };
  }

  #wrote(call: Call, bytes: Uint8Array): void {
    if (!this.#isCoordinator(call.client)) return;
    const sent = this.#sent.get(call) ?? new Map<number, { readonly partition: number; readonly micros: number }>();
    this.#sent.set(call, sent);
    const micros = this.#stage.world.scheduler.nowMicros;
    for (const { correlationId, partition, records } of methods.produce.request.decode(bytes).batches) {
      sent.set(correlationId, { partition, micros });
      const writer = `${producerIdOf(records, 0)} of ${partition}`;
      const began = this.#began.get(writer) ?? micros;
      this.#began.set(writer, began);
      for (const record of decodeBatch(records)) {
        const { key } = JournalKey.decode(record.key ?? new Uint8Array());
        if (key?.$case === 'member') this.#wroteMember(call.client, began, key.value, record.value ?? undefined);
      }
    }
  }

  #wroteMember(
    coordinator: string,
    began: number,
    { groupId, memberId }: { readonly groupId: string; readonly memberId: string },
    value: Uint8Array | undefined,
  ): void {
    if (value !== undefined) {
      if (MemberValue.decode(value).instanceId !== '') this.#static.add(memberId);
      return;
    }
    const group = this.#groups.get(groupId);
    const said = this.#heard.get(coordinator)?.get(memberId) ?? Number.NEGATIVE_INFINITY;
    const heard = Math.max(said, this.#farewells.get(coordinator) ?? Number.NEGATIVE_INFINITY);
    if (group === undefined || this.#static.has(memberId) || heard >= began) return;
    this.#stage.world.coverage.count('checked: end of a member that the owner has not heard');
    const sinceMicros = this.#stage.world.scheduler.nowMicros - began;
    if (sinceMicros + SLACK_MICROS >= group.sessionTimeoutMs * 1_500) return;
    this.#stage.world.broken(
      'G2',
      `${coordinator} ends ${memberId} of ${groupId} ${Math.round(sinceMicros / 1_000)} ms after it began to write, and has not heard of it; its session timeout is ${group.sessionTimeoutMs} ms`,
    );
  }

  #acknowledged(call: Call, bytes: Uint8Array): void {
    for (const { correlationId, errorCode } of methods.produce.response.decode(bytes).results) {
      const sent = this.#sent.get(call)?.get(correlationId);
      if (sent === undefined || errorCode !== 0) continue;
      const key = `${call.client} ${sent.partition}`;
      this.#newest.set(key, Math.max(sent.micros, this.#newest.get(key) ?? 0));
    }
  }

  #joined(call: Call, { member }: JoinRequest): void {
    if (member === undefined) return;
    if (member.groupId !== '') this.#groupOf.set(call, member.groupId);
    if (!this.#isCoordinator(call.server)) return;
    const heard = this.#heard.get(call.server) ?? new Map<string, number>();
    this.#heard.set(call.server, heard);
    heard.set(member.memberId, this.#stage.world.scheduler.nowMicros);
  }

  #answered(call: Call, bytes: Uint8Array): void {
    if (!this.#isCoordinator(call.server)) return;
    const { member } = methods.join.response.decode(bytes);
    const group = this.#groups.get(this.#groupOf.get(call) ?? '');
    const topic = offsetsTopic(this.#stage.truth.image);
    // What is pushed answers nothing, and a refusal promises nothing.
    if (member === undefined || member.errorCode !== 0 || member.sequence === 0n) return;
    if (group === undefined || topic === undefined) return;
    const partition = groupPartitionOf(group.groupId, topic.partitions);
    const sinceMicros =
      this.#stage.world.scheduler.nowMicros -
      (this.#newest.get(`${call.server} ${partition}`) ?? Number.NEGATIVE_INFINITY);
    this.#stage.world.coverage.count('checked: sign of life answered on a renewed fence');
    if (sinceMicros <= group.sessionTimeoutMs * 500 + SLACK_MICROS) return;
    this.#stage.world.broken(
      'G2',
      `${call.server} answers a sign of life in ${group.groupId} ${Math.round(sinceMicros / 1_000)} ms after it sent its newest acknowledged write; its session timeout is ${group.sessionTimeoutMs} ms`,
    );
  }

  #isCoordinator(machine: string): boolean {
    return this.#stage.member(machine)?.role === 'coordinator';
  }
}
