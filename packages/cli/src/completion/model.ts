/** What can be completed, read from the commands themselves: nothing is written down twice. */
import type { Command, Option } from 'commander';
import { usualNames } from '../local/shape.ts';

/** What a value is: of these words, a topic, a consumer group, a file, a folder, or something that nobody can guess. */
export type ValueKind =
  | { readonly kind: 'choice'; readonly words: readonly string[] }
  | { readonly kind: 'topics' | 'groups' | 'files' | 'folders' | 'text' };

export interface CompletedOption {
  /** `--output` */
  readonly name: string;
  readonly description: string;
  /** undefined: it takes none. */
  readonly value: ValueKind | undefined;
}

export interface CompletedCommand {
  /** `topic create`; empty: the program itself. */
  readonly path: string;
  readonly description: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly CompletedOption[];
  /** Of its arguments; those after the last are as the last where it may be repeated. */
  readonly argument: ValueKind | undefined;
}

/** @returns the program and every command below it that is not hidden. */
export function completedCommands(program: Command): readonly CompletedCommand[] {
  const found: CompletedCommand[] = [];
  const visit = (command: Command, path: string): void => {
    const children = command
      .createHelp()
      .visibleCommands(command)
      .filter((child) => child.name() !== 'help');
    found.push({
      path,
      description: command.description(),
      commands: children.map((child) => ({ name: child.name(), description: child.description() })),
      options: command.createHelp().visibleOptions(command).flatMap(optionOf),
      argument: argumentOf(command, path),
    });
    for (const child of children) visit(child, path === '' ? child.name() : `${path} ${child.name()}`);
  };
  visit(program, '');
  return found;
}

function optionOf(option: Option): readonly CompletedOption[] {
  const name = option.long;
  if (name === undefined || name === null) return [];
  return [
    { name, description: option.description, value: option.required || option.optional ? valueOf(option) : undefined },
  ];
}

function valueOf(option: Option): ValueKind {
  if (option.argChoices !== undefined) return { kind: 'choice', words: option.argChoices };
  if (option.long === '--topic') return { kind: 'topics' };
  if (option.long === '--group') return { kind: 'groups' };
  const placeholder = /<([^>]+)>/.exec(option.flags)?.[1] ?? '';
  if (placeholder === 'folder') return { kind: 'folders' };
  if (placeholder === 'file' || placeholder === 'path') return { kind: 'files' };
  // `text|json|template`: those that are words, not names of something.
  if (placeholder.includes('|'))
    return { kind: 'choice', words: placeholder.split('|').filter((word) => word !== 'template') };
  return { kind: 'text' };
}

function argumentOf(command: Command, path: string): ValueKind | undefined {
  const [argument] = command.registeredArguments;
  if (argument === undefined) return undefined;
  if (argument.argChoices !== undefined) return { kind: 'choice', words: argument.argChoices };
  if (argument.name() === 'topic' || argument.name() === 'topics') return { kind: 'topics' };
  // The name of a topic that is to be made is nobody's yet.
  if (path.startsWith('topic ') && path !== 'topic create' && argument.name() === 'name') return { kind: 'topics' };
  if (argument.name() === 'group' || argument.name() === 'groups') return { kind: 'groups' };
  // There may be others, but asking costs more than a keypress should.
  if (path.startsWith('local ') && argument.name() === 'names') return { kind: 'choice', words: usualNames };
  if (argument.name() === 'paths') return { kind: 'files' };
  return { kind: 'text' };
}

/** For the shells' tables: `choice a b`, `topics`, `groups`, `files`, `folders`, `text`. */
export function kindText(value: ValueKind): string {
  return value.kind === 'choice' ? `choice ${value.words.join(' ')}` : value.kind;
}

/** In single quotes, for any of the shells. */
export function quoted(text: string): string {
  return `'${text.replace(/\s+/g, ' ').replaceAll("'", "'\\''")}'`;
}
