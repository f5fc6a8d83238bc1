/** Unary calls about several partitions, each answered by its leader (F1). */
import type { NodeId } from '@tributary/model';
import type { Neighbours } from './neighbours.ts';

interface Named {
  readonly topicId: string;
  readonly partition: number;
}

/** How each part of the request is answered, in its order. */
export interface Answering<Wanted, Answer> {
  /** @param wanted what this broker leads, or nobody does. */
  readonly here: (wanted: readonly Wanted[]) => Promise<readonly Answer[]>;
  readonly there: (to: NodeId, wanted: readonly Wanted[]) => Promise<readonly Answer[]>;
  readonly failed: (wanted: Wanted, thrown: unknown) => Answer;
}

/** @returns in the order of the request. */
export async function eachByLeader<Wanted extends Named, Answer>(
  neighbours: Neighbours,
  wanted: readonly Wanted[],
  { here, there, failed }: Answering<Wanted, Answer>,
): Promise<Answer[]> {
  const byLeader = new Map<NodeId, number[]>();
  for (const [index, { topicId, partition }] of wanted.entries()) {
    const leader = neighbours.leaderElsewhere(topicId, partition)?.to ?? neighbours.me;
    const indices = byLeader.get(leader);
    if (indices === undefined) byLeader.set(leader, [index]);
    else indices.push(index);
  }
  const answers: Answer[] = [];
  await Promise.all(
    [...byLeader].map(async ([leader, indices]) => {
      const some = indices.flatMap((index) => wanted[index] ?? []);
      const told = await (leader === neighbours.me ? here(some) : there(leader, some)).catch((thrown: unknown) =>
        some.map((each) => failed(each, thrown)),
      );
      for (const [place, index] of indices.entries()) {
        const answer = told[place];
        const each = wanted[index];
        if (answer !== undefined) answers[index] = answer;
        else if (each !== undefined) answers[index] = failed(each, new Error(`Broker ${leader} left it unanswered.`));
      }
    }),
  );
  return answers;
}
