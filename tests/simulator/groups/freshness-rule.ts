/**
 * G2, looked at as messages leave: a coordinator answers no sign of life without a write of the journal that was acknowledged, and sent a moment ago;
 * and a new owner ends nobody, of whom it has not heard itself, before one and a half of its sessions are over, counted from when it had read the journal:
 * until then it could not have heard anybody.
 */
import { groupPartitionOf, offsetsTopic } from '@tributary/metadata';
import { limits } from '@tributary/model';
import { decodeBatch, producerIdOf } from '@tributary/record';
import { JournalKey, type JoinRequest, MemberValue, methods } from '@tributary/wire';
import type { Stage } from '../cluster/stage.ts';
import type { Call } from '../network/connection.ts';
import type { GroupPlan } from './plan.ts';

/** Clocks of machines differ in their pace, by much less. */
const SLACK_MICROS = 5_000;
/** A journal is read in some milliseconds, unless something is in the way. */
const LONG_MICROS = 1_000_000;

interface Heard {
  readonly micros: number;
  /** On which it was said, and not answered; undefined: it was. */
  call: Call | undefined;
}

/** One life of an owner of one partition, by the writer epoch that it was given. */
interface Tenure {
  /** When its first write was sent. */
  readonly beganMicros: number;
  /** When it had read the journal; undefined: it reads. */
  servesMicros: number | undefined;
}

export class FreshnessRule {
  readonly #stage: Stage;
  readonly #groups: ReadonlyMap<string, GroupPlan>;
  /** When each write of a journal was sent, by call and correlation id. */
  readonly #sent = new WeakMap<Call, Map<number, { readonly partition: number; readonly micros: number }>>();
  /** By coordinator and partition: when the newest acknowledged write was sent. */
  readonly #newest = new Map<string, number>();
  readonly #groupOf = new WeakMap<Call, string>();
  /** By writer and partition. */
  readonly #tenures = new Map<string, Tenure>();
  /** What has reached a coordinator of a member, by machine and member id. */
  readonly #heard = new Map<string, Map<string, Heard>>();
  /** When somebody last said farewell to a coordinator: of a unary call it is not seen who. */
  readonly #farewells = new Map<string, number>();
  /** By group and instance id: the member that has the place. Static ones give it to whoever takes it. */
  readonly #holders = new Map<string, string>();
  readonly #instances = new Map<string, string>();

  constructor(stage: Stage, groups: readonly GroupPlan[]) {
    this.#stage = stage;
    this.#groups = new Map(groups.map((group) => [group.groupId, group]));
  }

  /** Beside whoever listens already. */
  begin(): void {
    const { network } = this.#stage.world;
    this.#stage.onLogged = (event, fields) => {
      if (event === 'group-partition-loaded') this.#serves(writerOf(fields['writerEpoch'], fields['partition']));
    };
    const { onSent, onAsked, onAnswered, onDelivered } = network;
    network.onDelivered = (from, to, path, kind, bytes) => {
      onDelivered?.(from, to, path, kind, bytes);
      if (path === methods.heartbeat.path) this.#farewells.set(to, this.#stage.world.scheduler.nowMicros);
    };
    network.onSent = (call, message) => {
      onSent?.(call, message);
      if (call.path === methods.produce.path) this.#wrote(call, message.bytes());
    };
    network.onAsked = (call, bytes) => {
      onAsked?.(call, bytes);
      if (call.path === methods.join.path) this.#joined(call, methods.join.request.decode(bytes));
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
      const writer = writerOf(producerIdOf(records, 0), partition);
      const tenure = this.#tenures.get(writer) ?? { beganMicros: micros, servesMicros: undefined };
      this.#tenures.set(writer, tenure);
      const members = membersIn(records);
      for (const { groupId, memberId, value } of members)
        if (value !== undefined) this.#seated(groupId, memberId, value);
      for (const { groupId, memberId, value } of members)
        if (value === undefined) this.#ended(call.client, tenure, groupId, memberId);
    }
  }

  #serves(writer: string): void {
    const { scheduler, coverage } = this.#stage.world;
    const tenure = this.#tenures.get(writer);
    if (tenure === undefined) return;
    tenure.servesMicros = scheduler.nowMicros;
    if (scheduler.nowMicros - tenure.beganMicros > LONG_MICROS) coverage.count('group: journal read for long');
  }

  #seated(groupId: string, memberId: string, value: Uint8Array): void {
    const { instanceId } = MemberValue.decode(value);
    if (instanceId === '') return;
    const place = `${groupId} ${instanceId}`;
    this.#holders.set(place, memberId);
    this.#instances.set(memberId, place);
  }

  #ended(coordinator: string, tenure: Tenure, groupId: string, memberId: string): void {
    const { world } = this.#stage;
    const { servesMicros } = tenure;
    const group = this.#groups.get(groupId);
    if (group === undefined) return;
    const place = this.#instances.get(memberId);
    if (place !== undefined && this.#holders.get(place) !== memberId) return;
    if (servesMicros === undefined)
      return world.broken('G2', `${coordinator} ends ${memberId} of ${groupId} before it has read the journal`);
    if (this.#mayHaveBeenHeard(coordinator, memberId, tenure)) return;
    world.coverage.count('checked: end of a member that the owner has not heard');
    const sinceMicros = world.scheduler.nowMicros - servesMicros;
    if (sinceMicros + SLACK_MICROS >= group.sessionTimeoutMs * limits.groupGrantSessions * 1_000) return;
    world.broken(
      'G2',
      `${coordinator} ends ${memberId} of ${groupId} ${Math.round(sinceMicros / 1_000)} ms after it had read the journal, and has not heard of it; its session timeout is ${group.sessionTimeoutMs} ms`,
    );
  }

  /** What was asked before it served counts if it still waited then. */
  #mayHaveBeenHeard(coordinator: string, memberId: string, { beganMicros, servesMicros = 0 }: Tenure): boolean {
    if ((this.#farewells.get(coordinator) ?? Number.NEGATIVE_INFINITY) >= beganMicros) return true;
    const heard = this.#heard.get(coordinator)?.get(memberId);
    if (heard === undefined || heard.micros < beganMicros) return false;
    return heard.call !== undefined || heard.micros >= servesMicros - limits.shardReadyWaitMs * 1_000 - SLACK_MICROS;
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
    const heard = this.#heard.get(call.server) ?? new Map<string, Heard>();
    this.#heard.set(call.server, heard);
    heard.set(member.memberId, { micros: this.#stage.world.scheduler.nowMicros, call });
  }

  #answered(call: Call, bytes: Uint8Array): void {
    if (!this.#isCoordinator(call.server)) return;
    const { member } = methods.join.response.decode(bytes);
    const heard = this.#heard.get(call.server)?.get(member?.memberId ?? '');
    if (member?.sequence !== 0n && heard?.call === call) heard.call = undefined;
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

const writerOf = (writerEpoch: unknown, partition: unknown): string => `${String(writerEpoch)} of ${String(partition)}`;

interface MemberRecord {
  readonly groupId: string;
  readonly memberId: string;
  readonly value: Uint8Array | undefined;
}

function membersIn(batch: Uint8Array): readonly MemberRecord[] {
  return [...decodeBatch(batch)].flatMap((record): readonly MemberRecord[] => {
    const { key } = JournalKey.decode(record.key ?? new Uint8Array());
    return key?.$case === 'member' ? [{ ...key.value, value: record.value ?? undefined }] : [];
  });
}
