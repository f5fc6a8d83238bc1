/** Heartbeat: what Join does with one message, for who has no stream. The assignment is in the answer unless the request names its version as applied. */
import { TributaryError } from '@tributary/model';
import type { CallContext } from '@tributary/ports';
import type { HeartbeatRequest, HeartbeatResponse } from '@tributary/wire';
import { memberRequest, memberResponse, sincePollMs } from './member-wire.ts';
import type { Reception } from './reception.ts';

export async function heartbeat(
  reception: Reception,
  { member: request }: HeartbeatRequest,
  { peer, signal }: CallContext,
): Promise<HeartbeatResponse> {
  if (request === undefined) throw new TributaryError('INVALID_REQUEST', 'The request has no member.');
  const { groupId, memberId, memberEpoch, context, sequence } = request;
  const shard = await reception.shardOf(groupId, context, { signal });
  const asked = memberRequest(request, reception.asker(context, peer));
  const sinceMs = sincePollMs(request);
  if (memberEpoch === 0) reception.facts.joins++;
  else reception.facts.heartbeats++;
  const reply = await shard.ask((groups, at) => groups.member(asked, at), {
    accepted: (_, sessions, nowMs) => {
      if (memberEpoch >= 0) sessions.heard(groupId, memberId, nowMs, sinceMs);
    },
  });
  const answer = reply.kind === 'ok' ? reply.value : undefined;
  const found = answer?.taskEpoch === undefined ? undefined : shard.groups.task(groupId, reception.topics);
  const task = found?.groupEpoch === answer?.taskEpoch ? found : undefined;
  const withAssignment = memberEpoch === 0 || asked.appliedVersion !== answer?.member?.assignmentVersion;
  return { member: memberResponse(reply, memberId, { sequence, withAssignment, task }) };
}
