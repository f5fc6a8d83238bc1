import { bashScript } from '../completion/bash.ts';
import { fishScript } from '../completion/fish.ts';
import type { CompletedCommand } from '../completion/model.ts';
import { zshScript } from '../completion/zsh.ts';
import { print } from '../standard-output.ts';

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

export async function completion(shell: keyof typeof scripts, commands: readonly CompletedCommand[]): Promise<void> {
  await print(scripts[shell](commands));
}
