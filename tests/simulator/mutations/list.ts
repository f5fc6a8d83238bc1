/**
 * Bugs that somebody could write tomorrow, as changes to the text of the code: `find` must occur in the file exactly once, so that this list
 * breaks loudly when the code moves.
 */
export interface Mutation {
  readonly name: string;
  /** The rule that it breaks. */
  readonly rule: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export const mutations: readonly Mutation[] = [];
