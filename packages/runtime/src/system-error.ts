// pure
/** The errno name of a system error, such as "ENOENT"; '' where it is none. */
export function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '';
}
