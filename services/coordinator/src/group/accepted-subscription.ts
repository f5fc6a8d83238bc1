// pure
/** What a member may ask for, and as what it is kept. */
import { checkTopicName, limits, TributaryError } from '@tributary/model';
import type { MemberFacts } from './change.ts';
import { type MemberRequest, type Refusal, type Subscription, refusal } from './decision.ts';
import type { GroupSettings } from './settings.ts';
import type { Subscriptions } from './subscriptions.ts';
import { defaultAssignor, refusedAssignor } from './targets.ts';

/** The part of a member's facts that it chooses. */
export type Wishes = Omit<
  MemberFacts,
  'memberEpoch' | 'assignmentVersion' | 'assigned' | 'revoking' | 'target' | 'away'
>;

/** undefined: it is well-formed. */
export function refusedGroupId(groupId: string): Refusal | undefined {
  if (groupId === '') return refusal('INVALID_GROUP_ID', 'The group id is empty: name the group.');
  if (groupId.length <= limits.groupIdLength) return undefined;
  return refusal(
    'INVALID_GROUP_ID',
    `The group id has ${groupId.length} characters; at most ${limits.groupIdLength} are allowed.`,
  );
}

export function refusedMemberId(memberId: string): Refusal | undefined {
  if (memberId === '') return refusal('INVALID_REQUEST', 'The member id is empty: choose a random one.');
  if (memberId.length <= limits.memberIdLength) return undefined;
  return refusal(
    'INVALID_REQUEST',
    `The member id has ${memberId.length} characters; at most ${limits.memberIdLength} are allowed.`,
  );
}

export function refusedEpoch(memberEpoch: number): Refusal | undefined {
  if (memberEpoch >= -2) return undefined;
  return refusal(
    'INVALID_REQUEST',
    `The member epoch is ${memberEpoch}: −1 leaves, −2 leaves a static member's place.`,
  );
}

export function wishesOf(
  subscription: Subscription,
  request: MemberRequest,
  settings: GroupSettings,
  subscriptions: Subscriptions,
): Wishes | Refusal {
  const assignor = subscription.assignor === '' ? defaultAssignor : subscription.assignor;
  const refused =
    refusedTopics(subscription, subscriptions) ??
    refusedTimeouts(subscription, settings) ??
    refusedSizes(subscription) ??
    refusedAssignor(assignor, subscription.clientAssignors);
  if (refused !== undefined) return refused;
  return {
    instanceId: subscription.instanceId === '' ? undefined : subscription.instanceId,
    clientId: request.clientId,
    host: request.host,
    rack: subscription.rack,
    topics: [...new Set(subscription.topics)].sort(),
    topicPattern: subscription.topicPattern === '' ? undefined : subscription.topicPattern,
    assignor,
    clientAssignors: subscription.clientAssignors,
    userData: subscription.userData,
    sessionTimeoutMs: subscription.sessionTimeoutMs === 0 ? settings.sessionTimeoutMs : subscription.sessionTimeoutMs,
    maxPollIntervalMs:
      subscription.maxPollIntervalMs === 0 ? settings.maxPollIntervalMs : subscription.maxPollIntervalMs,
  };
}

function refusedTopics({ topics, topicPattern }: Subscription, subscriptions: Subscriptions): Refusal | undefined {
  if (topics.length === 0 && topicPattern === '') {
    return refusal('INVALID_REQUEST', 'The subscription is to nothing: name topics or a pattern.');
  }
  if (topics.length > limits.groupSubscriptionTopics) {
    return refusal(
      'INVALID_REQUEST',
      `The subscription names ${topics.length} topics; at most ${limits.groupSubscriptionTopics} are allowed: use a pattern.`,
    );
  }
  const characters = topics.reduce((sum, topic) => sum + topic.length, 0);
  if (characters > limits.groupSubscription) {
    return refusal(
      'INVALID_REQUEST',
      `The names of the ${topics.length} topics have ${characters} characters; at most ${limits.groupSubscription} are allowed: use a pattern.`,
    );
  }
  try {
    for (const topic of topics) checkTopicName(topic);
    if (topicPattern !== '') subscriptions.check(topicPattern);
  } catch (thrown) {
    if (!(thrown instanceof TributaryError)) throw thrown;
    return refusal(thrown.error, thrown.message);
  }
  return undefined;
}

function refusedTimeouts(subscription: Subscription, settings: GroupSettings): Refusal | undefined {
  const { sessionTimeoutMs: session, maxPollIntervalMs: poll } = subscription;
  const { sessionTimeoutMsMin: min, sessionTimeoutMsMax: max } = settings;
  if (session !== 0 && (session < min || session > max)) {
    return refusal(
      'INVALID_SESSION_TIMEOUT',
      `session.timeout.ms is ${session}; the coordinator allows ${min} to ${max} (group.min.session.timeout.ms, group.max.session.timeout.ms).`,
    );
  }
  return poll >= 0 ? undefined : refusal('INVALID_REQUEST', `max.poll.interval.ms is ${poll}; it may not be negative.`);
}

function refusedSizes({ instanceId, userData, clientAssignors, rack }: Subscription): Refusal | undefined {
  if (instanceId.length > limits.memberIdLength || rack.length > limits.memberIdLength) {
    const [name, length] =
      rack.length > limits.memberIdLength ? ['rack', rack.length] : ['group.instance.id', instanceId.length];
    return refusal(
      'INVALID_REQUEST',
      `${name} has ${length} characters; at most ${limits.memberIdLength} are allowed.`,
    );
  }
  if (userData.length > limits.groupUserData) {
    return refusal(
      'INVALID_REQUEST',
      `The data for the assignor has ${userData.length} bytes; at most ${limits.groupUserData} are allowed.`,
    );
  }
  if (clientAssignors.length > limits.groupClientAssignors) {
    return refusal(
      'INVALID_REQUEST',
      `The member offers ${clientAssignors.length} assignors; at most ${limits.groupClientAssignors} are allowed.`,
    );
  }
  const long = clientAssignors.find(({ length }) => length > limits.memberIdLength);
  if (long !== undefined) {
    return refusal(
      'INVALID_REQUEST',
      `The name of an assignor that the member offers has ${long.length} characters; at most ${limits.memberIdLength} are allowed.`,
    );
  }
  return undefined;
}

/** Whether an assignment made for one is not for the other. */
export function otherwiseAssigned(a: Wishes, b: Wishes): boolean {
  return (
    a.topicPattern !== b.topicPattern ||
    a.assignor !== b.assignor ||
    a.rack !== b.rack ||
    !sameList(a.topics, b.topics) ||
    !sameList(a.clientAssignors, b.clientAssignors) ||
    !sameList(a.userData, b.userData)
  );
}

export function sameWishes(a: Wishes, b: Wishes): boolean {
  return (
    !otherwiseAssigned(a, b) &&
    a.instanceId === b.instanceId &&
    a.clientId === b.clientId &&
    a.host === b.host &&
    a.sessionTimeoutMs === b.sessionTimeoutMs &&
    a.maxPollIntervalMs === b.maxPollIntervalMs
  );
}

function sameList(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false;
  return true;
}
