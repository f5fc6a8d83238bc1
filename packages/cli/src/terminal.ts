/** What the terminal at an output can do, and what the user wants of it. */

interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/**
 * NO_COLOR (any value but none) and FORCE_COLOR=0 turn colours off, FORCE_COLOR (any other value) on; else a terminal that can has them.
 * FORCE_COLOR is the stronger wish: it is set for one command, NO_COLOR for all.
 */
export function coloured(output: Terminal, env: NodeJS.ProcessEnv = process.env): boolean {
  const forced = env['FORCE_COLOR'];
  if (forced !== undefined) return forced !== '0' && forced !== 'false';
  if ((env['NO_COLOR'] ?? '') !== '') return false;
  return output.isTTY === true && env['TERM'] !== 'dumb';
}

/** Columns; undefined: not a terminal, lines may be of any length. COLUMNS, where it is set, is believed first. */
export function widthOf(output: Terminal, env: NodeJS.ProcessEnv = process.env): number | undefined {
  if (output.isTTY !== true) return undefined;
  const wished = Number(env['COLUMNS']);
  if (Number.isInteger(wished) && wished > 0) return wished;
  return output.columns !== undefined && output.columns > 0 ? output.columns : undefined;
}
