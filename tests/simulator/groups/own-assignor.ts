/** An assignor of the application's own, as bad as such a one can be: it gives out all, or too little, or something twice, or throws. */
import type { Assignor, TopicPartition } from '../../../packages/client/src/index.ts';
import type { SeededRandom } from '../seeded-random.ts';

export function ownAssignor(random: SeededRandom, count: (what: string) => void): Assignor {
  return {
    name: 'own',
    assign: (members, topics) => {
      const how = random.pick(['well', 'well', 'well', 'too little', 'twice', 'throws'] as const);
      count(`group: assigned by a member, ${how}`);
      if (how === 'throws') throw new Error('an assignor with a bug');
      const given = new Map<string, TopicPartition[]>(members.map(({ memberId }) => [memberId, []]));
      for (const { name, partitions } of topics) {
        const subscribers = members.filter((member) => member.topics.includes(name));
        for (let partition = how === 'too little' ? 1 : 0; partition < partitions; partition++) {
          const place = { topic: name, partition };
          const owner = subscribers[partition % subscribers.length];
          const second = subscribers[(partition + 1) % subscribers.length];
          given.get(owner?.memberId ?? '')?.push(place);
          if (how === 'twice' && owner !== second) given.get(second?.memberId ?? '')?.push(place);
        }
      }
      return given;
    },
  };
}
