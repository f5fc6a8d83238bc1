// pure
/** The journal of the groups' coordinators. */
export const offsetsTopicName = '__consumer_offsets';

/** Made by the controller for the parts' own use: no client writes to them, and their shape is not for users to change. */
export const internalTopics: ReadonlySet<string> = new Set([offsetsTopicName]);

export const isInternalTopic = (name: string): boolean => internalTopics.has(name);
