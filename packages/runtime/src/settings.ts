// pure
/**
 * The settings of a part: each with its default, its meaning, and what is allowed. One table per service gives the reader, the error
 * sentences and the reference page.
 */
import { nearest, TributaryError } from '@tributary/model';
import { isServiceLink } from './service-links.ts';

export interface Setting<T> {
  /** As a user would write it; undefined: it must be set. */
  readonly default: string | undefined;
  /** What it is for, one sentence. */
  readonly doc: string;
  /** What is allowed, for error sentences and the reference page. */
  readonly allowed: string;
  /** @returns undefined where the text is not allowed. */
  readonly read: (text: string) => T | undefined;
}

export type SettingTable = Readonly<Record<string, Setting<unknown>>>;

/** The values of a table, under their names in it. */
export type SettingValues<Table extends SettingTable> = {
  readonly [Name in keyof Table]: Table[Name] extends Setting<infer T> ? T : never;
};

interface Meaning {
  readonly doc: string;
  readonly default?: string;
}

const setting = <T>({ doc, default: text }: Meaning, allowed: string, read: Setting<T>['read']): Setting<T> => ({
  default: text,
  doc,
  allowed,
  read,
});

export const textSetting = (meaning: Meaning, allowed = 'a text'): Setting<string> =>
  setting(meaning, allowed, (text) => text);

export function numberSetting(meaning: Meaning, least: number, most: number): Setting<number> {
  return setting(meaning, `a whole number from ${least} to ${most}`, (text) => {
    const value = Number(text);
    return /^-?\d{1,16}$/.test(text) && value >= least && value <= most ? value : undefined;
  });
}

export const portSetting = (meaning: Meaning): Setting<number> => numberSetting(meaning, 0, 65_535);

export const switchSetting = (meaning: Meaning): Setting<boolean> =>
  setting(meaning, 'true or false', (text) => (text === 'true' ? true : text === 'false' ? false : undefined));

export function choiceSetting<const Choice extends string>(
  meaning: Meaning,
  ...choices: readonly Choice[]
): Setting<Choice> {
  return setting(meaning, choices.join(' or '), (text) => choices.find((choice) => choice === text));
}

/** Items between commas. */
export function listSetting(
  meaning: Meaning,
  allowed: string,
  valid: (item: string) => boolean = () => true,
): Setting<readonly string[]> {
  return setting(meaning, allowed, (text) => {
    const items = text.split(',').map((item) => item.trim());
    const named = items.filter((item) => item !== '');
    return named.every(valid) ? named : undefined;
  });
}

/** Where values come from, the later ones win. */
export interface SettingSources {
  /** Of the file, with its name for error sentences. */
  readonly file?: { readonly name: string; readonly values: Readonly<Record<string, string>> };
  /** The process's environment; what begins with TRIBUTARY_ counts. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly flags?: Readonly<Record<string, string>>;
  /** TRIBUTARY_ variables that mean something to others. */
  readonly foreignVariables?: readonly string[];
}

const prefix = 'TRIBUTARY_';

/** The environment variable of a setting: `data-dir` is TRIBUTARY_DATA_DIR. */
export function variableOf(name: string): string {
  return prefix + name.toUpperCase().replaceAll(/[.-]/g, '_');
}

/**
 * @throws TributaryError INVALID_CONFIG naming an unknown setting with the nearest known one, a bad value with what is allowed, or a missing
 * one.
 */
export function readSettings<Table extends SettingTable>(table: Table, sources: SettingSources): SettingValues<Table> {
  const given = new Map<string, { readonly text: string; readonly origin: string }>();
  for (const [name, text] of Object.entries(sources.file?.values ?? {})) {
    given.set(known(table, name, `in ${sources.file?.name}`), { text, origin: `in ${sources.file?.name}` });
  }
  for (const [name, text] of variables(table, sources)) given.set(name, { text, origin: `from ${variableOf(name)}` });
  for (const [name, text] of Object.entries(sources.flags ?? {})) {
    given.set(known(table, name, 'on the command line'), { text, origin: `from --${name}` });
  }
  const values = Object.entries(table).map(([name, wanted]) => [name, valueOf(name, wanted, given.get(name))]);
  return Object.fromEntries(values) as SettingValues<Table>;
}

function valueOf(
  name: string,
  wanted: Setting<unknown>,
  given: { readonly text: string; readonly origin: string } | undefined,
): unknown {
  const text = given?.text ?? wanted.default;
  if (text === undefined) {
    throw invalid(
      `Setting ${name} is missing: set --${name} or ${variableOf(name)} to ${wanted.allowed}. ${wanted.doc}`,
    );
  }
  const value = wanted.read(text);
  if (value === undefined) {
    throw invalid(
      `Bad value "${text}" for setting ${name} (${given?.origin ?? 'the default'}): allowed is ${wanted.allowed}.`,
    );
  }
  return value;
}

/** Settings in the environment, by their names in the table. */
function variables(table: SettingTable, sources: SettingSources): (readonly [name: string, text: string])[] {
  const names = new Map(Object.keys(table).map((name) => [variableOf(name), name]));
  const foreign = new Set(sources.foreignVariables);
  const found: (readonly [string, string])[] = [];
  for (const [variable, text] of Object.entries(sources.environment ?? {})) {
    if (!variable.startsWith(prefix) || text === undefined || foreign.has(variable) || isServiceLink(variable, text))
      continue;
    const name = names.get(variable);
    if (name === undefined) {
      throw invalid(
        `Unknown setting ${variable} in the environment: the nearest known one is ${nearest(variable, [...names.keys()])}.`,
      );
    }
    found.push([name, text]);
  }
  return found;
}

function known(table: SettingTable, name: string, where: string): string {
  if (Object.hasOwn(table, name)) return name;
  throw invalid(`Unknown setting "${name}" ${where}: the nearest known one is "${nearest(name, Object.keys(table))}".`);
}

/** The reference page's table, in Markdown. */
export function settingsReference(table: SettingTable): string {
  const rows = Object.entries(table).map(([name, { default: text, doc, allowed }]) => {
    const shown = text === undefined ? 'none: must be set' : text === '' ? 'empty' : `\`${text}\``;
    return `| \`${name}\` | \`${variableOf(name)}\` | ${shown} | ${allowed} | ${doc} |`;
  });
  return [
    '| setting | environment | default | allowed | meaning |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

function invalid(sentence: string): TributaryError {
  return new TributaryError('INVALID_CONFIG', sentence);
}
