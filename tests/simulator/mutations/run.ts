/** Not yet written. */
export function runMutations(_only: string | undefined): Promise<boolean> {
  return Promise.resolve(false);
}
