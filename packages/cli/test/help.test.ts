import assert from 'node:assert/strict';
import { test } from 'node:test';
import { softwareVersion } from '@tributary/model';
import type { Command } from 'commander';
import { createProgram } from '../src/program.ts';

interface Helped {
  readonly path: string;
  readonly help: string;
}

function all(): readonly Helped[] {
  const found: Helped[] = [];
  const visit = (command: Command, path: string): void => {
    let help = '';
    command.configureOutput({ writeOut: (text) => void (help += text), getOutHelpWidth: () => 100 });
    command.outputHelp();
    found.push({ path, help });
    for (const child of command.createHelp().visibleCommands(command))
      if (child.name() !== 'help') visit(child, `${path} ${child.name()}`.trim());
  };
  visit(createProgram(), '');
  return found;
}

/** The words of a command line as a shell would have them, up to a redirection or a comment. */
function wordsOf(line: string): readonly string[] {
  const end = line.search(/ [<>|#]/);
  const text = end < 0 ? line : line.slice(0, end);
  return [...text.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

const examplesIn = (help: string): readonly string[] =>
  [...help.matchAll(/^ {2}\$ (?:source <\()?tributary (.*?)\)? *$/gm)].map((match) => match[1] ?? '');

test('--version says which it is', async () => {
  let said = '';
  const program = createProgram().exitOverride();
  program.configureOutput({ writeOut: (text) => void (said += text) });
  await assert.rejects(program.parseAsync(['--version'], { from: 'user' }), { exitCode: 0 });
  assert.equal(said, `${softwareVersion}\n`);
});

test('every command and every group shows examples', () => {
  for (const { path, help } of all()) assert.match(help, /\nExamples:\n {2}\$ /, `tributary ${path} --help`);
});

test('every example is a command line that is accepted', async () => {
  for (const { path, help } of all()) {
    const examples = examplesIn(help);
    assert.notEqual(examples.length, 0, path);
    for (const example of examples) {
      const program = createProgram();
      let ran = '';
      const stub = (command: Command): void => {
        command.exitOverride().configureOutput({ writeErr: () => undefined });
        if (command.commands.length === 0) command.action(() => void (ran = command.name()));
        for (const child of command.commands) stub(child);
      };
      stub(program);
      const words = wordsOf(example.replace(/\).*$/, ''));
      await assert.doesNotReject(program.parseAsync([...words], { from: 'user' }), `${path}: ${example}`);
      assert.notEqual(ran, '', example);
    }
  }
});
