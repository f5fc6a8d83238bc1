/** From the process to {@link SettingSources}: the file that `--config` or TRIBUTARY_CONFIG names, the environment, the flags. */
import { readFileSync } from 'node:fs';
import { TributaryError } from '@tributary/model';
import { fileError } from './file-system/file-error.ts';
import type { SettingSources } from './settings.ts';

const configFlag = 'config';
const configVariable = 'TRIBUTARY_CONFIG';
/** The command's own; a service that runs in the same shell is not meant. */
const foreignVariables = [configVariable, 'TRIBUTARY_BOOTSTRAP'];

/**
 * @param args flags as `--name value` or `--name=value`; a name alone means true.
 * @throws TributaryError INVALID_CONFIG for a flag that is none or a file that cannot be understood; FileError where it cannot be read.
 */
export function settingSources(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): SettingSources {
  const { [configFlag]: fromFlag, ...flags } = flagsOf(args);
  const name = fromFlag ?? environment[configVariable];
  return {
    ...(name === undefined ? {} : { file: { name, values: fileValues(name) } }),
    environment,
    flags,
    foreignVariables,
  };
}

function flagsOf(args: readonly string[]): Record<string, string> {
  const flags: Record<string, string> = {};
  for (let i = 0; i < args.length; i++) {
    const match = /^--([^=]+)(?:=(.*))?$/s.exec(args[i] ?? '');
    const [, name, joined] = match ?? [];
    if (name === undefined) throw invalid(`"${args[i]}" is not a flag: expected --name value.`);
    const next = args[i + 1];
    if (joined !== undefined) flags[name] = joined;
    else if (next === undefined || next.startsWith('--')) flags[name] = 'true';
    else {
      flags[name] = next;
      i++;
    }
  }
  return flags;
}

/** A JSON object where the name ends so, else lines of `name=value`, `#` before comments. */
function fileValues(name: string): Record<string, string> {
  let content: string;
  try {
    content = readFileSync(name, 'utf8');
  } catch (thrown) {
    throw fileError('read the configuration', name, thrown);
  }
  return name.endsWith('.json') ? jsonValues(name, content) : lineValues(name, content);
}

function jsonValues(name: string, content: string): Record<string, string> {
  let object: unknown;
  try {
    object = JSON.parse(content);
  } catch (cause) {
    throw invalid(`${name} is not valid JSON: ${cause instanceof Error ? cause.message : String(cause)}.`);
  }
  if (typeof object !== 'object' || object === null || Array.isArray(object))
    throw invalid(`${name} must hold one JSON object of settings.`);
  const values: Record<string, string> = {};
  for (const [key, value] of Object.entries(object)) {
    if (!['string', 'number', 'boolean'].includes(typeof value)) {
      throw invalid(
        `Bad value ${JSON.stringify(value)} for setting ${key} in ${name}: allowed is a text, a number, true or false.`,
      );
    }
    values[key] = String(value);
  }
  return values;
}

function lineValues(name: string, content: string): Record<string, string> {
  const values: Record<string, string> = {};
  for (const [index, line] of content.split(/\r?\n/).entries()) {
    const text = line.trim();
    if (text === '' || text.startsWith('#')) continue;
    const at = text.indexOf('=');
    if (at < 1) throw invalid(`Line ${index + 1} of ${name} is "${text}": expected name=value.`);
    values[text.slice(0, at).trim()] = text.slice(at + 1).trim();
  }
  return values;
}

function invalid(sentence: string): TributaryError {
  return new TributaryError('INVALID_CONFIG', sentence);
}
